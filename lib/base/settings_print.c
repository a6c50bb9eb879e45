// SPDX-License-Identifier: MIT
// settings_print.c - the table of settings for --help and the documentation.

#include <ctype.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/settings.h"
#include "base/settings_impl.h"

static const char *
kind_name(setting_kind_t kind)
{
    static const char *const names[] = {
        "text", "yes/no", "number", "size", "duration", "choice"};
    return names[kind];
}

// print_variable writes EDRI_NODE_NAME for node.name.
static void
print_variable(const char *name, FILE *out)
{
    fputs("EDRI_", out);
    for (; *name != '\0'; name++) {
        fputc(*name == '.' ? '_' : toupper(*name), out);
    }
}

static void
print_range(const setting_row_t *row, FILE *out)
{
    switch (row->kind) {
    case SETTING_CHOICE:
        fputs(row->unit, out);
        break;
    case SETTING_BOOL:
        fputs("1, 0", out);
        break;
    case SETTING_TEXT:
        fprintf(
            out, "%" PRId64 " to %" PRId64 " characters", row->min, row->max);
        break;
    case SETTING_INT:
    case SETTING_BYTES:
    case SETTING_DURATION:
        fprintf(out, "%" PRId64 " to %" PRId64 "%s%s", row->min, row->max,
            row->unit[0] != '\0' ? " " : "", row->unit);
        break;
    }
}

void
settings_print_help(const setting_row_t *rows, FILE *out)
{
    fputs("Settings: --set NAME=VALUE, or the environment variable, or the "
          "file named by\n--config FILE (ZPL):\n\n",
        out);
    for (const setting_row_t *row = rows; row->name != NULL; row++) {
        fprintf(out, "  %s (%s; default \"%s\"; ", row->name,
            kind_name(row->kind), row->otherwise);
        print_range(row, out);
        fputs("; ", out);
        print_variable(row->name, out);
        fprintf(out, ")\n      %s\n", row->help);
    }
}

void
settings_print_markdown(const setting_row_t *rows, const char *title, FILE *out)
{
    fprintf(out,
        "## %s\n\n| setting | environment | type | default | range | meaning "
        "|\n|---|---|---|---|---|---|\n",
        title);
    for (const setting_row_t *row = rows; row->name != NULL; row++) {
        fprintf(out, "| `%s` | `", row->name);
        print_variable(row->name, out);
        fprintf(out, "` | %s | %s%s%s | ", kind_name(row->kind),
            row->otherwise[0] != '\0' ? "`" : "", row->otherwise,
            row->otherwise[0] != '\0' ? "`" : "");
        if (row->kind == SETTING_CHOICE) {
            for (const char *at = row->unit; *at != '\0'; at++) {
                fputs(*at == '|' ? ", " : (char[]){*at, '\0'}, out);
            }
        } else {
            print_range(row, out);
        }
        fprintf(out, " | %s |\n", row->help);
    }
}

void
settings_print_values(const settings_t *self, FILE *out)
{
    for (size_t i = 0; i < self->count; i++) {
        fprintf(out, "%s = \"%s\"  (%s)\n", self->rows[i].name,
            self->values[i].text, self->values[i].where);
    }
}
