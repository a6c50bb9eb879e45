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

// refuse says what is wrong with a manager's section, and where.
static edri_err_t
refuse(edri_node_t *self, const char *path, const char *what)
{
    char *where = settings_section_where(self->settings, path);
    edri_err_t err =
        node_fail(self, EDRI_INVAL, "%s: %s: %s", where, path, what);
    free(where);
    return err;
}

// check_section lets only 'plugin' and 'set' stand in a manager's section.
static edri_err_t
check_section(edri_node_t *self, const char *section)
{
    const void *cursor = NULL;
    const char *name = NULL;
    edri_err_t err = EDRI_OK;
    while (err == EDRI_OK &&
           settings_section_next(self->settings, section, &cursor, &name)) {
        if (!streq(name, "plugin") && !streq(name, "set")) {
            char *path = str_printf("%s/%s", section, name);
            err = refuse(self, path,
                "unknown setting; a manager has 'plugin' and a section 'set'");
            free(path);
        }
    }
    return err;
}

static edri_err_t
load_section(edri_node_t *self, const char *name)
{
    char *section = str_printf("managers/%s", name);
    char *path = str_printf("%s/plugin", section);
    const char *plugin = settings_section_text(self->settings, path);
    edri_err_t err = check_section(self, section);
    if (err == EDRI_OK && (plugin == NULL || plugin[0] == '\0')) {
        err = refuse(self, section, "'plugin = FILE.so' is expected");
    } else if (err == EDRI_OK) {
        err = edri_node_load(self, name, plugin);
    }
    free(path);
    free(section);
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
