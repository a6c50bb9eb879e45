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
            !streq(key, "program") && !streq(key, "set")) {
            err = section_refuse(node, name, key,
                "unknown setting; a manager has 'plugin', 'mode', 'program' "
                "and a section 'set'");
        }
    }
    free(path);
    return err;
}

edri_err_t
section_read(edri_node_t *node, const char *name, section_t *self)
{
    edri_err_t err = check_keys(node, name);
    const char *mode = text_of(node, name, "mode");
    *self = (section_t){.plugin = text_of(node, name, "plugin"),
        .program = text_of(node, name, "program"),
        .has_mode = mode != NULL};
    if (err == EDRI_OK && mode != NULL && !workers_read(mode, &self->mode)) {
        err = section_refuse(node, name, "mode",
            "method, threads:N, processes:N, fresh or fresh:N is expected, N "
            "from 1 to 256");
    }
    return err;
}
