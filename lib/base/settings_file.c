// SPDX-License-Identifier: MIT
// settings_file.c - settings from a ZPL file (ZeroMQ RFC 4).
//
// DESIGN
// czmq's zconfig reads the file.  It keeps no line numbers and prints what it
// finds wrong to the standard output, so check_lines() goes over the same text
// first: it refuses what zconfig would, with file and line, and line_of() finds
// the line of a path for later messages.

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/settings.h"
#include "base/settings_impl.h"

#define FILE_SIZE_MAX ((long)1 << 20)
#define DEPTH_MAX     16

static char *
read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    char *text = mem_new((size_t)FILE_SIZE_MAX + 1);
    size_t size = fread(text, 1, (size_t)FILE_SIZE_MAX + 1, file);
    bool fine = ferror(file) == 0 && size <= (size_t)FILE_SIZE_MAX;
    if (!fine && errno == 0) {
        errno = EFBIG;
    }
    (void)fclose(file);
    if (!fine) {
        free(text);
        return NULL;
    }
    text[size] = '\0';
    return text;
}

// line_t is one line, cut into its pieces.
typedef struct line {
    int level; // -1: blank or comment
    const char *name;
    int name_size;
    const char *rest; // behind the name, blanks skipped
} line_t;

static bool
is_name(char c)
{
    return isalnum((unsigned char)c) || (c != '\0' && strchr("$-_@.&+/", c));
}

// cut_line reads one line at 'at'.  Returns what is wrong, or NULL.
static const char *
cut_line(const char *at, line_t *line)
{
    const char *start = at;
    while (*at == ' ') {
        at++;
    }
    line->level = -1;
    if (*at == '\0' || *at == '\n' || *at == '#' || *at == '\r') {
        return NULL;
    }
    if (*at == '\t') {
        return "a tab; indent with 4 spaces";
    }
    if ((at - start) % 4 != 0) {
        return "indented by something else than 4 spaces a level";
    }
    line->name = at;
    while (is_name(*at)) {
        at++;
    }
    line->name_size = (int)(at - line->name);
    if (line->name_size == 0) {
        return "no name";
    }
    while (*at == ' ') {
        at++;
    }
    if (*at != '\0' && *at != '\n' && *at != '\r' && *at != '#' && *at != '=') {
        return "'=' is expected behind the name";
    }
    line->rest = at;
    line->level = (int)(line->name - start) / 4;
    return NULL;
}

// quotes_match says whether a quoted value ends in its line.
static bool
quotes_match(const char *rest)
{
    if (*rest != '=') {
        return true;
    }
    rest += 1 + strspn(rest + 1, " ");
    if (*rest != '"' && *rest != '\'') {
        return true;
    }
    size_t inside = strcspn(rest + 1, *rest == '"' ? "\"\n" : "'\n");
    return rest[1 + inside] == *rest;
}

static edri_err_t
check_lines(settings_t *self, const char *path, const char *text)
{
    int level = -1;
    int number = 0;
    for (const char *at = text; at != NULL; number++) {
        line_t line;
        const char *wrong = cut_line(at, &line);
        if (wrong == NULL && line.level >= 0) {
            if (line.level > level + 1 || line.level >= DEPTH_MAX) {
                wrong = "indented too far";
            } else if (!quotes_match(line.rest)) {
                wrong = "the quote is not closed";
            }
            level = line.level;
        }
        if (wrong != NULL) {
            return settings_fail(
                self, EDRI_INVAL, "%s:%d: %s", path, number + 1, wrong);
        }
        at = strchr(at, '\n');
        at = at != NULL ? at + 1 : NULL;
    }
    return EDRI_OK;
}

// line_of finds the first line with that path, such as "node/name", from line
// 'after' + 1 on; 0: none.
static int
line_of(const char *text, const char *wanted, int after)
{
    char path[512] = "";
    size_t ends[DEPTH_MAX + 1] = {0};
    int number = 1;
    for (const char *at = text; at != NULL; number++) {
        line_t line;
        if (cut_line(at, &line) == NULL && line.level >= 0 &&
            line.level < DEPTH_MAX) {
            size_t start = line.level > 0 ? ends[line.level - 1] : 0;
            int size = snprintf(path + start, sizeof path - start, "%s%.*s",
                start > 0 ? "/" : "", line.name_size, line.name);
            size_t end = start + (size_t)size;
            ends[line.level] = end < sizeof path ? end : sizeof path - 1;
            if (number > after && streq(path, wanted)) {
                return number;
            }
        }
        at = strchr(at, '\n');
        at = at != NULL ? at + 1 : NULL;
    }
    return 0;
}

static char *
place_of(const settings_t *self, const char *path)
{
    return str_printf("%s:%d", self->path, line_of(self->text, path, 0));
}

// ----- applying

static edri_err_t
apply_leaf(settings_t *self, const char *section, zconfig_t *leaf)
{
    char *path = str_printf("%s/%s", section, zconfig_name(leaf));
    char *name = str_printf("%s.%s", section, zconfig_name(leaf));
    char *where = place_of(self, path);
    int first = line_of(self->text, path, 0);
    int second = line_of(self->text, path, first);
    edri_err_t err = EDRI_OK;
    if (second > 0) {
        err = settings_fail(self, EDRI_INVAL,
            "%s:%d: %s: was set in line %d already; keep one of the two",
            self->path, second, name, first);
    } else if (zconfig_child(leaf) != NULL) {
        err = settings_fail(self, EDRI_INVAL,
            "%s: %s: a value is expected, not a section", where, name);
    } else {
        const char *value = zconfig_value(leaf);
        err = settings_set(self, name, value != NULL ? value : "", where);
    }
    free(where);
    free(name);
    free(path);
    return err;
}

static bool
has_section(const settings_t *self, const char *section)
{
    size_t size = strlen(section);
    for (size_t i = 0; i < self->count; i++) {
        if (strncmp(self->rows[i].name, section, size) == 0 &&
            self->rows[i].name[size] == '.') {
            return true;
        }
    }
    return false;
}

static edri_err_t
apply_section(settings_t *self, zconfig_t *section)
{
    const char *name = zconfig_name(section);
    if (settings_is_open(self, name)) {
        return EDRI_OK;
    }
    if (!has_section(self, name)) {
        char *where = place_of(self, name);
        edri_err_t err = settings_fail(self, EDRI_NOT_FOUND,
            "%s: %s: unknown section; --help lists all settings", where, name);
        free(where);
        return err;
    }
    edri_err_t err = EDRI_OK;
    for (zconfig_t *leaf = zconfig_child(section);
         leaf != NULL && err == EDRI_OK; leaf = zconfig_next(leaf)) {
        err = apply_leaf(self, name, leaf);
    }
    return err;
}

edri_err_t
settings_read_file(settings_t *self, const char *path)
{
    errno = 0;
    char *text = read_text(path);
    if (text == NULL) {
        return settings_fail(
            self, EDRI_SYSTEM, "%s: cannot be read: %s", path, strerror(errno));
    }
    edri_err_t err = check_lines(self, path, text);
    zconfig_t *root = err == EDRI_OK ? zconfig_str_load(text) : NULL;
    if (err == EDRI_OK && root == NULL) {
        err =
            settings_fail(self, EDRI_INVAL, "%s: not a ZPL file (RFC 4)", path);
    }
    if (err != EDRI_OK) {
        free(text);
        return err;
    }
    free(self->text);
    self->text = text;
    char *copy = str_dup(path);
    free(self->path);
    self->path = copy;
    zconfig_destroy(&self->file);
    self->file = root;
    for (zconfig_t *section = zconfig_child(root);
         section != NULL && err == EDRI_OK; section = zconfig_next(section)) {
        err = apply_section(self, section);
    }
    return err;
}

// ----- open sections

bool
settings_section_next(const settings_t *self, const char *section,
    const void **cursor, const char **name_p)
{
    zconfig_t *at = NULL;
    if (*cursor == NULL) {
        zconfig_t *parent =
            self->file != NULL ? zconfig_locate(self->file, section) : NULL;
        at = parent != NULL ? zconfig_child(parent) : NULL;
    } else {
        // zconfig's own look-ups take no const; nothing is changed.
        at = zconfig_next((zconfig_t *)(uintptr_t)*cursor);
    }
    *cursor = at;
    *name_p = at != NULL ? zconfig_name(at) : NULL;
    return at != NULL;
}

const char *
settings_section_text(const settings_t *self, const char *path)
{
    zconfig_t *at =
        self->file != NULL ? zconfig_locate(self->file, path) : NULL;
    return at != NULL ? zconfig_value(at) : NULL;
}

char *
settings_section_where(const settings_t *self, const char *path)
{
    return self->path != NULL ? place_of(self, path) : str_dup("");
}
