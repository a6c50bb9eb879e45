// SPDX-License-Identifier: MIT
// section.c - a manager's section in the configuration file.

#include "node/section.h"

#include <stdlib.h>

#include "base/alloc.h"

static char *
path_of(const char *name, const char *key)
{
    return str_printf("managers/%s%s%s", name, key != NULL ? "/" : "",
        key != NULL ? key : "");
}

edri_err_t
section_refuse(
    edri_node_t *node, const char *name, const char *key, const char *what)
{
    char *path = path_of(name, key);
    char *where = settings_section_where(node->settings, path);
    edri_err_t err =
        node_fail(node, EDRI_INVAL, "%s: %s: %s", where, path, what);
    free(where);
    free(path);
    return err;
}

// text_of returns a value of the section; NULL when it is absent or empty.
static const char *
text_of(const edri_node_t *node, const char *name, const char *key)
{
    char *path = path_of(name, key);
    const char *text = settings_section_text(node->settings, path);
    free(path);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

// check_keys lets only what a manager knows stand in its section.
static edri_err_t
check_keys(edri_node_t *node, const char *name)
{
    const void *cursor = NULL;
    const char *key = NULL;
    edri_err_t err = EDRI_OK;
    char *path = path_of(name, NULL);
    while (err == EDRI_OK &&
           settings_section_next(node->settings, path, &cursor, &key)) {
        if (!streq(key, "plugin") && !streq(key, "mode") &&
            !streq(key, "program") && !streq(key, "queue") &&
            !streq(key, "time_limit") && !streq(key, "run") &&
            !streq(key, "watch") && !streq(key, "tunnels") &&
            !streq(key, "set")) {
            err = section_refuse(node, name, key,
                "unknown setting; a manager has 'plugin', 'watch', 'run', "
                "'mode', 'program', 'queue', 'time_limit', 'tunnels' and a "
                "section 'set'");
        }
    }
    free(path);
    return err;
}

// read_limit reads a number from least to most; -1 when it is absent.
static edri_err_t
read_limit(edri_node_t *node, const char *name, const char *key,
    setting_kind_t kind, int64_t least, int64_t most, int64_t *number)
{
    const char *text = text_of(node, name, key);
    *number = -1;
    if (text == NULL || (settings_read_number(kind, text, number) &&
                            *number >= least && *number <= most)) {
        return EDRI_OK;
    }
    return section_refuse(node, name, key,
        kind == SETTING_BYTES ? "bytes from 4K to 16G are expected, such as 1M"
        : kind == SETTING_INT
            ? "a number from 1 to 16777216 is expected"
            : "a time up to 24h is expected, such as 10s; 0 for no limit");
}

edri_err_t
section_read(edri_node_t *node, const char *name, section_t *self)
{
    edri_err_t err = check_keys(node, name);
    const char *mode = text_of(node, name, "mode");
    *self = (section_t){.plugin = text_of(node, name, "plugin"),
        .program = text_of(node, name, "program"),
        .has_mode = mode != NULL};
    const char *run = text_of(node, name, "run");
    self->has_run = run != NULL;
    self->apart = run != NULL && streq(run, "process");
    if (err == EDRI_OK && run != NULL && !self->apart && !streq(run, "node")) {
        err = section_refuse(
            node, name, "run", "process (one of its own) or node is expected");
    }
    const char *watch = text_of(node, name, "watch");
    self->watched = watch != NULL && streq(watch, "1");
    if (err == EDRI_OK && watch != NULL && !self->watched &&
        !streq(watch, "0")) {
        err = section_refuse(node, name, "watch", "1 or 0 is expected");
    }
    if (err == EDRI_OK && mode != NULL && !workers_read(mode, &self->mode)) {
        err = section_refuse(node, name, "mode",
            "method, threads:N, processes:N, fresh or fresh:N is expected, N "
            "from 1 to 256");
    }
    if (err == EDRI_OK) {
        err = read_limit(node, name, "queue", SETTING_BYTES, QUEUE_MIN,
            QUEUE_MAX, &self->queue);
    }
    if (err == EDRI_OK) {
        err = read_limit(
            node, name, "tunnels", SETTING_INT, 1, TUNNELS_MAX, &self->tunnels);
    }
    if (err == EDRI_OK) {
        err = read_limit(node, name, "time_limit", SETTING_DURATION, 0,
            TIME_MAX_MS, &self->limit_ms);
    }
    return err;
}
