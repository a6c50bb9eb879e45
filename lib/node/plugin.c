// SPDX-License-Identifier: MIT
// plugin.c - managers in shared objects.

#include "edri/plugin.h"

#include "node/library.h"
#include "node/manager.h"
#include "node/section.h"

edri_err_t
edri_node_load(edri_node_t *self, const char *name, const char *path)
{
    char why[512];
    section_t section;
    edri_err_t err = section_read(self, name, &section);
    if (err != EDRI_OK) {
        return err;
    }
    // What is watched is expected to be written to.
    library_t *library = library_open(path, section.watched, why, sizeof why);
    if (library == NULL) {
        return node_fail(
            self, EDRI_NOT_FOUND, "plugin of manager %s: %s", name, why);
    }
    edri_manager_t *manager = edri_node_manager(self, name);
    edri_err_t before = self->first_err;
    manager_came_from(manager, library);
    edri_manager_t *outer = setup_by(manager);
    err = library_plugin(library)(manager);
    (void)setup_by(outer);
    if (err != EDRI_OK && self->first_err == before) {
        return node_fail(self, err, "plugin %s of manager %s: %s", path, name,
            edri_err_text(err));
    }
    return err;
}

static edri_err_t
load_section(edri_node_t *self, const char *name)
{
    section_t section;
    edri_err_t err = section_read(self, name, &section);
    if (err == EDRI_OK && section.plugin != NULL) {
        err = edri_node_load(self, name, section.plugin);
    } else if (err == EDRI_OK && node_manager(self, name) == NULL) {
        err = section_refuse(self, name, NULL,
            "'plugin = FILE.so' is expected; the program has no such manager");
    }
    return err;
}

edri_err_t
edri_node_load_plugins(edri_node_t *self)
{
    const void *cursor = NULL;
    const char *name = NULL;
    edri_err_t err = self->first_err;
    while (err == EDRI_OK &&
           settings_section_next(self->settings, "managers", &cursor, &name)) {
        err = load_section(self, name);
    }
    return err;
}
