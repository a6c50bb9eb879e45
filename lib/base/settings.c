// SPDX-License-Identifier: MIT
// settings.c - typed settings from one table: values, environment, flags.

#include "base/settings.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/settings_impl.h"

extern char **environ;

edri_err_t
settings_fail(settings_t *self, edri_err_t err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    free(self->error);
    self->error = str_vprintf(format, args);
    va_end(args);
    return err;
}

const char *
settings_error(const settings_t *self)
{
    return self->error != NULL ? self->error : "";
}

bool
settings_is_open(const settings_t *self, const char *section)
{
    const char *const *open = self->open_sections;
    while (open != NULL && *open != NULL) {
        if (streq(*open++, section)) {
            return true;
        }
    }
    return false;
}

// ----- values as text

// scale reads a unit behind a number: one of 'names', worth 'worth'.
static bool
scale(const char *unit, const char *const *names, const int64_t *worth,
    int64_t *number)
{
    for (int i = 0; names[i] != NULL; i++) {
        if (strcasecmp(unit, names[i]) == 0) {
            return !__builtin_mul_overflow(*number, worth[i], number);
        }
    }
    return false;
}

bool
settings_read_number(setting_kind_t kind, const char *text, int64_t *number)
{
    static const char *const sizes[] = {
        "", "b", "k", "kib", "m", "mib", "g", "gib", NULL};
    static const int64_t sizes_worth[] = {
        1, 1, 1 << 10, 1 << 10, 1 << 20, 1 << 20, 1 << 30, 1 << 30};
    static const char *const times[] = {"ms", "s", "m", "h", NULL};
    static const int64_t times_worth[] = {1, 1000, 60000, 3600000};
    char *end = NULL;
    errno = 0;
    *number = strtoll(text, &end, 10);
    if (end == text || errno != 0) {
        return false;
    }
    switch (kind) {
    case SETTING_BYTES:
        return scale(end, sizes, sizes_worth, number);
    case SETTING_DURATION:
        // "0" needs no unit: it is the same in all.
        return (*number == 0 && *end == '\0') ||
               scale(end, times, times_worth, number);
    case SETTING_INT:
    case SETTING_TEXT:
    case SETTING_BOOL:
    case SETTING_CHOICE:
        break;
    }
    return *end == '\0';
}

static bool
read_bool(const char *text, int64_t *number)
{
    static const char *const words[] = {
        "0", "1", "false", "true", "no", "yes", "off", "on"};
    for (int i = 0; i < 8; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *number = i % 2;
            return true;
        }
    }
    return false;
}

// is_choice says whether text is one of "a|b|c".
static bool
is_choice(const char *list, const char *text)
{
    size_t size = strlen(text);
    for (const char *at = list; size > 0 && at != NULL;) {
        if (strncmp(at, text, size) == 0 &&
            (at[size] == '|' || at[size] == '\0')) {
            return true;
        }
        at = strchr(at, '|');
        at = at != NULL ? at + 1 : NULL;
    }
    return false;
}

// expected says what would be right, for an error.
static char *
expected(const setting_row_t *row)
{
    switch (row->kind) {
    case SETTING_TEXT:
        return str_printf("a text of %" PRId64 " to %" PRId64 " characters",
            row->min, row->max);
    case SETTING_BOOL:
        return str_dup("1 or 0 (true, false, yes, no, on, off)");
    case SETTING_INT:
        return str_printf(
            "a number from %" PRId64 " to %" PRId64, row->min, row->max);
    case SETTING_BYTES:
        return str_printf("a size such as 64K, 8M or 1G, from %" PRId64
                          " to %" PRId64 " bytes",
            row->min, row->max);
    case SETTING_DURATION:
        return str_printf("a duration such as 150ms, 2s or 1m, from %" PRId64
                          " to %" PRId64 " ms",
            row->min, row->max);
    case SETTING_CHOICE:
        return str_printf("one of %s", row->unit);
    }
    return str_dup("");
}

static bool
fits(const setting_row_t *row, const char *text, int64_t *number)
{
    switch (row->kind) {
    case SETTING_TEXT:
        *number = (int64_t)strlen(text);
        break;
    case SETTING_BOOL:
        return read_bool(text, number);
    case SETTING_CHOICE:
        return is_choice(row->unit, text);
    case SETTING_INT:
    case SETTING_BYTES:
    case SETTING_DURATION:
        if (!settings_read_number(row->kind, text, number)) {
            return false;
        }
        break;
    }
    return *number >= row->min && *number <= row->max;
}

// ----- look-up

static ssize_t
find_row(const settings_t *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++) {
        if (streq(self->rows[i].name, name)) {
            return (ssize_t)i;
        }
    }
    return -1;
}

// distance is the number of edits between two short names (V. Levenshtein).
static int
distance(const char *a, const char *b)
{
    size_t n = strlen(b);
    int row[64];
    if (n >= 64) {
        return 64;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = (int)j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= n; j++) {
            int above = row[j];
            int best = diagonal + (a[i - 1] != b[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[n];
}

static edri_err_t
unknown(settings_t *self, const char *name, const char *where)
{
    const char *nearest = "";
    int best = 64;
    for (size_t i = 0; i < self->count; i++) {
        int edits = distance(name, self->rows[i].name);
        if (edits < best) {
            best = edits;
            nearest = self->rows[i].name;
        }
    }
    return settings_fail(self, EDRI_NOT_FOUND,
        best <= 4 ? "%s: %s: unknown setting; did you mean %s?"
                  : "%s: %s: unknown setting; --help lists them all",
        where, name, nearest);
}

// ----- making and setting

static void
assign(value_t *value, const char *text, int64_t number, const char *where)
{
    char *new_text = str_dup(text);
    char *new_where = str_dup(where);
    free(value->text);
    free(value->where);
    *value = (value_t){new_text, number, new_where};
}

settings_t *
settings_new(const setting_row_t *rows, const char *const *open_sections)
{
    settings_t *self = mem_new(sizeof *self);
    self->rows = rows;
    self->open_sections = open_sections;
    while (rows[self->count].name != NULL) {
        self->count++;
    }
    self->values = mem_new((self->count + 1) * sizeof(value_t));
    for (size_t i = 0; i < self->count; i++) {
        int64_t number = 0;
        // Our own table must be right.
        edri_assert(fits(&rows[i], rows[i].otherwise, &number));
        assign(&self->values[i], rows[i].otherwise, number, "default");
    }
    return self;
}

void
settings_destroy(settings_t **self_p)
{
    settings_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->count; i++) {
        free(self->values[i].text);
        free(self->values[i].where);
    }
    free(self->values);
    zconfig_destroy(&self->file);
    free(self->path);
    free(self->text);
    free(self->error);
    free(self);
}

edri_err_t
settings_set(
    settings_t *self, const char *name, const char *value, const char *where)
{
    ssize_t at = find_row(self, name);
    if (at < 0) {
        return unknown(self, name, where);
    }
    int64_t number = 0;
    if (!fits(&self->rows[at], value, &number)) {
        char *right = expected(&self->rows[at]);
        edri_err_t err = settings_fail(self, EDRI_INVAL,
            "%s: %s: \"%s\" does not fit; %s is expected", where, name, value,
            right);
        free(right);
        return err;
    }
    assign(&self->values[at], value, number, where);
    return EDRI_OK;
}

// ----- environment

// row_of_variable finds "node.queue_limit" for EDRI_NODE_QUEUE_LIMIT.
static ssize_t
row_of_variable(const settings_t *self, const char *variable, size_t size)
{
    for (size_t i = 0; i < self->count; i++) {
        const char *name = self->rows[i].name;
        size_t j = 0;
        while (j < size && name[j] != '\0' &&
               variable[j] == (name[j] == '.' ? '_' : toupper(name[j]))) {
            j++;
        }
        if (j == size && name[j] == '\0') {
            return (ssize_t)i;
        }
    }
    return -1;
}

// is_reserved names variables of ours that are no settings.
static bool
is_reserved(const char *name, size_t size)
{
    static const char *const reserved[] = {
        "CONFIG", "WORKER", "BIN", "LIB", "SRC", NULL};
    for (int i = 0; reserved[i] != NULL; i++) {
        if (strlen(reserved[i]) == size &&
            strncmp(reserved[i], name, size) == 0) {
            return true;
        }
    }
    return false;
}

// is_foreign says whether the variable belongs to another of our programs: a
// switch and a node may share an environment.
static bool
is_foreign(const settings_t *self, const char *name)
{
    static const char *const sections[] = {
        "node_", "emit_", "worker_", "link_", "gone_", "log_", "switch_", NULL};
    for (int i = 0; sections[i] != NULL; i++) {
        size_t size = strlen(sections[i]);
        if (strncasecmp(name, sections[i], size) == 0) {
            for (size_t j = 0; j < self->count; j++) {
                if (strncmp(self->rows[j].name, sections[i], size - 1) == 0 &&
                    self->rows[j].name[size - 1] == '.') {
                    return false;
                }
            }
            return true;
        }
    }
    return false;
}

// unknown_variable names the setting that was perhaps meant.
static edri_err_t
unknown_variable(
    settings_t *self, const char *variable, size_t size, const char *where)
{
    char *name = str_printf("%.*s", (int)size, variable);
    for (char *at = name; *at != '\0'; at++) {
        *at = (char)tolower((unsigned char)*at);
    }
    char *section_end = strchr(name, '_');
    if (section_end != NULL) {
        *section_end = '.';
    }
    edri_err_t err = unknown(self, name, where);
    free(name);
    return err;
}

edri_err_t
settings_read_env(settings_t *self, char *const *environment)
{
    for (; environment != NULL && *environment != NULL; environment++) {
        const char *equals = strchr(*environment, '=');
        if (equals == NULL || strncmp(*environment, "EDRI_", 5) != 0) {
            continue;
        }
        const char *name = *environment + 5;
        size_t size = (size_t)(equals - name);
        if (is_reserved(name, size)) {
            continue;
        }
        char *where = str_printf("environment EDRI_%.*s", (int)size, name);
        ssize_t at = row_of_variable(self, name, size);
        edri_err_t err = EDRI_OK;
        if (at >= 0) {
            err = settings_set(self, self->rows[at].name, equals + 1, where);
        } else if (!is_foreign(self, name)) {
            err = unknown_variable(self, name, size, where);
        }
        free(where);
        if (err != EDRI_OK) {
            return err;
        }
    }
    return EDRI_OK;
}

// ----- flags

// take_flag gives the value of "--name VALUE" or "--name=VALUE" at *at and
// moves *at behind it.  Returns false when it is another argument.
static bool
take_flag(const char *flag, int argc, char **argv, int *at, char **value_p)
{
    size_t size = strlen(flag);
    if (strncmp(argv[*at], flag, size) != 0 ||
        (argv[*at][size] != '\0' && argv[*at][size] != '=')) {
        return false;
    }
    if (argv[*at][size] == '=') {
        *value_p = argv[*at] + size + 1;
    } else {
        *value_p = *at + 1 < argc ? argv[++*at] : NULL;
    }
    ++*at;
    return true;
}

static edri_err_t
set_flag(settings_t *self, char *pair)
{
    char *equals = pair != NULL ? strchr(pair, '=') : NULL;
    if (equals == NULL) {
        return settings_fail(self, EDRI_INVAL,
            "flag --set: NAME=VALUE is expected, such as --set log.level=info");
    }
    char *name = str_printf("%.*s", (int)(equals - pair), pair);
    edri_err_t err = settings_set(self, name, equals + 1, "flag --set");
    free(name);
    return err;
}

// find_config returns the configuration file's name, or NULL; *missing says
// that --config has no value.
static char *
find_config(int argc, char **argv, bool *missing)
{
    char *path = getenv("EDRI_CONFIG");
    *missing = false;
    for (int i = 1; i < argc && !streq(argv[i], "--");) {
        char *value = NULL;
        if (take_flag("--config", argc, argv, &i, &value)) {
            path = value;
            *missing = value == NULL;
        } else {
            i++;
        }
    }
    return path;
}

edri_err_t
settings_read_args(settings_t *self, int *argc_p, char **argv)
{
    bool missing = false;
    const char *path = find_config(*argc_p, argv, &missing);
    if (missing) {
        return settings_fail(
            self, EDRI_INVAL, "flag --config: a file name is expected");
    }
    edri_err_t err = path != NULL ? settings_read_file(self, path) : EDRI_OK;
    if (err == EDRI_OK) {
        err = settings_read_env(self, environ);
    }
    int kept = *argc_p > 0 ? 1 : 0;
    bool ours = true;
    for (int i = 1; i < *argc_p && err == EDRI_OK;) {
        char *value = NULL;
        ours = ours && !streq(argv[i], "--");
        if (ours && take_flag("--set", *argc_p, argv, &i, &value)) {
            err = set_flag(self, value);
        } else if (!ours || !take_flag("--config", *argc_p, argv, &i, &value)) {
            argv[kept++] = argv[i++];
        }
    }
    if (err == EDRI_OK && kept < *argc_p) {
        *argc_p = kept;
        argv[kept] = NULL;
    }
    return err;
}

// ----- reading

static const value_t *
value_of(const settings_t *self, const char *name)
{
    ssize_t at = find_row(self, name);
    edri_assert(at >= 0);
    return &self->values[at];
}

const char *
settings_text(const settings_t *self, const char *name)
{
    return value_of(self, name)->text;
}

int64_t
settings_int(const settings_t *self, const char *name)
{
    return value_of(self, name)->number;
}

bool
settings_bool(const settings_t *self, const char *name)
{
    return value_of(self, name)->number != 0;
}
