// SPDX-License-Identifier: MIT
// base/settings.h - typed settings from one table: file, environment, flags.
//
// A program has one table of rows (name, type, default, range, unit, help).
// Values come, later ones winning, from the defaults, a ZPL file (RFC 4), the
// environment (EDRI_NODE_NAME for node.name) and flags (--set node.name=X).

#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "edri/err.h"

typedef enum setting_kind {
    SETTING_TEXT,
    SETTING_BOOL, // 1 0 true false yes no on off
    SETTING_INT,
    SETTING_BYTES,    // 4096, 64K, 8M, 1G (powers of 1024)
    SETTING_DURATION, // 150ms, 2s, 1m, 1h; read as milliseconds
    SETTING_CHOICE    // one of 'unit', a list such as "debug|info|warn"
} setting_kind_t;

typedef struct setting_row {
    const char *name; // "node.name"
    setting_kind_t kind;
    const char *otherwise; // the default, as text
    int64_t min;           // of numbers, in bytes or ms; of TEXT: length
    int64_t max;
    const char *unit; // "ms", "bytes", ""; CHOICE: the list
    const char *help; // one or two sentences
} setting_row_t;

typedef struct settings settings_t;

// settings_new creates settings with the defaults of 'rows', which are
// borrowed for its life and end with a row without name.  'open_sections'
// (NULL-ended, or NULL) names top-level sections of the file that are not in
// the table but allowed, such as "managers".  Caller owns the result.
settings_t *settings_new(
    const setting_row_t *rows, const char *const *open_sections);
void settings_destroy(settings_t **self_p);

// settings_read_args reads file (--config FILE, EDRI_CONFIG), environment and
// --set flags, in that order of rank, and removes what it used from argv:
// *argc_p and argv become what is left.  --help is left alone.
// Returns EDRI_OK, or EDRI_INVAL / EDRI_NOT_FOUND / EDRI_SYSTEM, and
// settings_error says what, where (file and line, variable or flag) and what
// would be right (for an unknown name the nearest one).  An EDRI_ variable
// that no row has is an error, too, except EDRI_CONFIG, EDRI_WORKER, EDRI_BIN,
// EDRI_LIB and EDRI_SRC, and those of sections that only another of our programs has.
edri_err_t settings_read_args(settings_t *self, int *argc_p, char **argv);

// settings_read_number reads an integer, bytes (K, M, G) or a duration (ms, s, m,
// h), as settings of that kind.  Returns false when the text is none.
bool settings_read_number(
    setting_kind_t kind, const char *text, int64_t *number);

// settings_read_file reads one ZPL file.  settings_read_env reads environ.
edri_err_t settings_read_file(settings_t *self, const char *path);
edri_err_t settings_read_env(settings_t *self, char *const *environment);

// settings_set sets one value; 'where' names the source for messages, such as
// "flag --set".  Returns EDRI_OK, EDRI_NOT_FOUND or EDRI_INVAL.
edri_err_t settings_set(
    settings_t *self, const char *name, const char *value, const char *where);

// settings_text, _int, _bool return a value; the name must be in the table
// (asserted).  settings_int also serves BYTES (bytes) and DURATION (ms).
const char *settings_text(const settings_t *self, const char *name);
int64_t settings_int(const settings_t *self, const char *name);
bool settings_bool(const settings_t *self, const char *name);

// settings_section_next walks the children of an open section of the file:
// start with *cursor NULL; gives each child's name.  settings_section_text
// returns the text at a path such as "managers/resize/plugin", or NULL.
bool settings_section_next(const settings_t *self, const char *section,
    const void **cursor, const char **name_p);
const char *settings_section_text(const settings_t *self, const char *path);

// settings_section_where returns "FILE:LINE" of that path for messages, or "";
// the caller frees it.
char *settings_section_where(const settings_t *self, const char *path);

// settings_error says what the last failed call found; "" otherwise.
const char *settings_error(const settings_t *self);

// settings_print_help writes the table for --help; settings_print_markdown the
// same for docs/settings.md; settings_print_values what is in force and where
// each value came from.
void settings_print_help(const setting_row_t *rows, FILE *out);
void settings_print_markdown(
    const setting_row_t *rows, const char *title, FILE *out);
void settings_print_values(const settings_t *self, FILE *out);

#endif
