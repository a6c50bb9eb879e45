// SPDX-License-Identifier: MIT
// plugin.c - managers in shared objects.

#include "edri/plugin.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "node/node.h"

typedef edri_err_t plugin_fn(edri_manager_t *manager);

edri_err_t
edri_node_load(edri_node_t *self, const char *name, const char *path)
{
    if (access(path, R_OK) != 0) {
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

edri_err_t
edri_node_load_plugins(edri_node_t *self)
{
    const void *cursor = NULL;
    const char *name = NULL;
    edri_err_t err = self->first_err;
    while (err == EDRI_OK &&
           settings_section_next(self->settings, "managers", &cursor, &name)) {
        char *path = str_printf("managers/%s/plugin", name);
        const char *plugin = settings_section_text(self->settings, path);
        if (plugin == NULL || plugin[0] == '\0') {
            char *where = settings_section_where(self->settings, path);
            err = node_fail(self, EDRI_INVAL,
                "%s: managers/%s: 'plugin = FILE.so' is expected", where, name);
            free(where);
        } else {
            err = edri_node_load(self, name, plugin);
        }
        free(path);
    }
    return err;
}
