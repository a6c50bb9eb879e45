// SPDX-License-Identifier: MIT
// plugin.c - managers in shared objects.

#include "edri/plugin.h"

#include <dlfcn.h>
#include <unistd.h>

#include "base/alloc.h"
#include "node/section.h"

typedef edri_err_t plugin_fn(edri_manager_t *manager);

edri_err_t
edri_node_load(edri_node_t *self, const char *name, const char *path)
{
    // A plain name is looked for where libraries are; dlopen knows where.
    if (strchr(path, '/') != NULL && access(path, R_OK) != 0) {
        return node_fail(self, EDRI_NOT_FOUND,
            "plugin %s of manager %s: no such file", path, name);
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        return node_fail(
            self, EDRI_NOT_FOUND, "plugin of manager %s: %s", name, dlerror());
    }
    self->plugins = mem_resize(
        self->plugins, (self->plugin_count + 1) * sizeof *self->plugins);
    self->plugins[self->plugin_count++] = handle;
    // POSIX lets dlsym give functions; the union keeps ISO C content.
    union {
        void *object;
        plugin_fn *function;
    } symbol = {dlsym(handle, "edri_plugin")};
    if (symbol.object == NULL) {
        return node_fail(self, EDRI_NOT_FOUND,
            "plugin %s of manager %s: it does not define edri_plugin", path,
            name);
    }
    edri_err_t before = self->first_err;
    edri_err_t err = symbol.function(edri_node_manager(self, name));
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
