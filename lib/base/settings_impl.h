// SPDX-License-Identifier: MIT
// base/settings_impl.h - what the files of settings share.

#ifndef BASE_SETTINGS_IMPL_H
#define BASE_SETTINGS_IMPL_H

#include <czmq.h>

#include "base/settings.h"

// value_t is one setting in force.
typedef struct value {
    char *text;
    int64_t number; // of numbers, in bytes or ms; BOOL: 0 or 1
    char *where;    // "default", "FILE:LINE", "flag --set" ...
} value_t;

struct settings {
    const setting_row_t *rows;
    size_t count;
    value_t *values; // one per row
    const char *const *open_sections;
    zconfig_t *file; // the last file read, or NULL
    char *path;      // its name
    char *text;      // its text
    char *error;
};

// settings_fail keeps a text for settings_error and returns err.
edri_err_t settings_fail(settings_t *self, edri_err_t err, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

// settings_is_open says whether a top-level section is open.
bool settings_is_open(const settings_t *self, const char *section);

#endif
