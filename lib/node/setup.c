// SPDX-License-Identifier: MIT
// setup.c - a manager is set up, by code and by the configuration.

#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "node/section.h"
#include "node/turn.h"
#include "node/watch.h"
#include "node/work/workers.h"

// usable says whether the manager may still be set up with that type, and
// makes the type known to the node as *ref_p.
static edri_err_t
usable(edri_manager_t *self, const edri_type_t *type, typeref_t **ref_p)
{
    if (self == NULL) {
        return EDRI_INVAL;
    }
    if (atomic_load(&self->node->phase) != PHASE_SETUP) {
        return node_fail(self->node, EDRI_STATE,
            "manager %s: the node has started already", self->name);
    }
    char why[256];
    edri_err_t err = types_add(self->node->types, type, ref_p, why, sizeof why);
    if (err != EDRI_OK) {
        return node_fail(self->node, err, "manager %s: %s", self->name, why);
    }
    return EDRI_OK;
}

static edri_err_t
add_handler(edri_manager_t *self, map_t *map, handler_t handler)
{
    if (map_get(map, handler.type->id) != NULL) {
        return node_fail(self->node, EDRI_EXISTS,
            "manager %s: %s has a handler already", self->name,
            handler.type->name);
    }
    handler_t *mine = mem_new(sizeof *mine);
    *mine = handler;
    mine->manager = self->name;
    (void)map_put(map, handler.type->id, mine);
    self->handlers = mem_resize(
        self->handlers, (self->handler_count + 1) * sizeof *self->handlers);
    self->handlers[self->handler_count++] = mine;
    return EDRI_OK;
}

edri_err_t
edri_manager_handle(edri_manager_t *self, const edri_type_t *type,
    edri_handle_fn *call, edri_fn_t fn, edri_workers_t workers)
{
    typeref_t *ref = NULL;
    edri_err_t err = usable(self, type, &ref);
    if (err != EDRI_OK) {
        return err;
    }
    bool fits = workers_fit(workers);
    if (call == NULL || fn == NULL || !fits) {
        return node_fail(self->node, EDRI_INVAL, "manager %s: %s: %s",
            self->name, type->name,
            fits ? "no handler"
                 : "EDRI_THREADS and EDRI_PROCESSES take 1 to 256");
    }
    err = add_handler(self, self->by_type,
        (handler_t){.type = type, .call = call, .fn = fn, .workers = workers});
    if (err == EDRI_OK) {
        atomic_store(&ref->handled, true);
    }
    return err;
}

edri_err_t
edri_manager_observe(edri_manager_t *self, const edri_type_t *type,
    edri_observe_fn *call, edri_fn_t fn)
{
    typeref_t *ref = NULL;
    edri_err_t err = usable(self, type, &ref);
    if (err != EDRI_OK) {
        return err;
    }
    if (call == NULL || fn == NULL || type->kind != EDRI_REQUEST) {
        return node_fail(self->node, EDRI_INVAL, "manager %s: %s: %s",
            self->name, type->name,
            type->kind != EDRI_REQUEST ? "only replies can be observed"
                                       : "no observer");
    }
    return add_handler(self, self->observers,
        (handler_t){
            .type = type, .observe = call, .fn = fn, .workers = EDRI_METHOD});
}

edri_err_t
edri_manager_replay(
    edri_manager_t *self, const edri_type_t *type, uint32_t age_ms)
{
    typeref_t *ref = NULL;
    edri_err_t err = usable(self, type, &ref);
    if (err != EDRI_OK) {
        return err;
    }
    handler_t *handler = map_get(self->by_type, type->id);
    if (handler == NULL || !type->retained) {
        return node_fail(self->node, EDRI_INVAL, "manager %s: %s: %s",
            self->name, type->name,
            handler == NULL ? "handle the type before asking for its past"
                            : "the type is not retained (option retain)");
    }
    handler->replay = true;
    handler->replay_age_ms = age_ms;
    return EDRI_OK;
}

edri_err_t
edri_manager_emits(edri_manager_t *self, const edri_type_t *type)
{
    typeref_t *ref = NULL;
    return usable(self, type, &ref);
}

edri_err_t
edri_manager_lossy(edri_manager_t *self)
{
    if (self == NULL || atomic_load(&self->node->phase) != PHASE_SETUP) {
        return EDRI_STATE;
    }
    self->lossy = true;
    return EDRI_OK;
}

edri_err_t
edri_manager_own_process(edri_manager_t *self)
{
    if (self == NULL || atomic_load(&self->node->phase) != PHASE_SETUP) {
        return EDRI_STATE;
    }
    self->apart = true;
    return EDRI_OK;
}

edri_err_t
edri_manager_queue(edri_manager_t *self, size_t bytes)
{
    if (self == NULL || atomic_load(&self->node->phase) != PHASE_SETUP) {
        return EDRI_STATE;
    }
    if (bytes < (size_t)QUEUE_MIN || bytes > (size_t)QUEUE_MAX) {
        return node_fail(self->node, EDRI_INVAL,
            "manager %s: a queue of %zu bytes: 4 KiB to 16 GiB are expected",
            self->name, bytes);
    }
    self->queue = bytes;
    return EDRI_OK;
}

edri_err_t
edri_manager_time_limit(edri_manager_t *self, uint32_t ms)
{
    if (self == NULL || atomic_load(&self->node->phase) != PHASE_SETUP) {
        return EDRI_STATE;
    }
    if (ms > TIME_MAX_MS) {
        return node_fail(self->node, EDRI_INVAL,
            "manager %s: a time limit of %u ms: 24 h at most are expected",
            self->name, ms);
    }
    self->limit_ms = ms;
    return EDRI_OK;
}

edri_err_t
edri_manager_set_state(
    edri_manager_t *self, void *state, void (*destroy)(void *state))
{
    if (self == NULL || atomic_load(&self->node->phase) != PHASE_SETUP) {
        return EDRI_STATE;
    }
    self->crew.state = state;
    self->destroy_state = destroy;
    return EDRI_OK;
}

edri_err_t
edri_manager_worker_state(
    edri_manager_t *self, edri_worker_begin_fn *begin, edri_worker_end_fn *end)
{
    if (self == NULL || atomic_load(&self->node->phase) != PHASE_SETUP) {
        return EDRI_STATE;
    }
    if (begin == NULL) {
        return node_fail(self->node, EDRI_INVAL,
            "manager %s: a state of the workers needs 'begin'", self->name);
    }
    self->crew.begin = begin;
    self->crew.end = end;
    return EDRI_OK;
}

edri_err_t
edri_manager_hooks(edri_manager_t *self, const edri_hooks_t *hooks)
{
    if (self == NULL || atomic_load(&self->node->phase) != PHASE_SETUP) {
        return EDRI_STATE;
    }
    self->hooks = hooks != NULL ? *hooks : (edri_hooks_t){0};
    return EDRI_OK;
}

edri_err_t
edri_manager_fail(edri_manager_t *self, edri_err_t err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    free(self->error);
    self->error = str_vprintf(format, args);
    va_end(args);
    return err == EDRI_OK ? EDRI_FAILED : err;
}

const char *
edri_manager_setting(
    const edri_manager_t *self, const char *key, const char *otherwise)
{
    char *path = str_printf("managers/%s/set/%s", self->name, key);
    const char *value = settings_section_text(self->node->settings, path);
    free(path);
    return value != NULL ? value : otherwise;
}

const char *
edri_manager_name(const edri_manager_t *self)
{
    return self->name;
}

struct edri_node *
edri_manager_node(const edri_manager_t *self)
{
    return self->node;
}

// runs_processes says whether handlers run in processes that a program can be.
static bool
runs_processes(const edri_manager_t *self, const handler_t *handler)
{
    return self->apart || handler->workers.kind == WORKERS_PROCESSES ||
           handler->workers.kind == WORKERS_FRESH;
}

bool
manager_has_processes(const edri_manager_t *self)
{
    bool any = self->apart;
    for (size_t i = 0; i < self->handler_count; i++) {
        any = any || runs_processes(self, self->handlers[i]);
    }
    return any;
}

// configure_handler lets the configuration say who runs it.
static edri_err_t
configure_handler(
    edri_manager_t *self, handler_t *handler, const section_t *section)
{
    handler->limit_ms = self->limit_ms;
    if (handler->observe != NULL) {
        return EDRI_OK; // observers are methods
    }
    if (section->has_mode) {
        handler->workers = section->mode;
    }
    handler->program = section->program;
    if (section->program != NULL && !runs_processes(self, handler)) {
        return section_refuse(self->node, self->name, "program",
            "handlers in processes are expected; add 'mode = processes:N', "
            "'mode = fresh' or 'run = process'");
    }
    return EDRI_OK;
}

// watch_files watches what its processes run: a plugin, the files that a command
// line names, or this program.
static edri_err_t
watch_files(edri_manager_t *self, const section_t *section)
{
    const char *text = section->program != NULL  ? section->program
                       : section->plugin != NULL ? section->plugin
                                                 : self->node->program;
    char *words = str_dup(text);
    char *rest = NULL;
    bool any = false;
    self->watch = watch_new();
    char *path = strtok_r(words, section->program != NULL ? " " : "", &rest);
    while (path != NULL && self->watch != NULL) {
        struct stat file;
        bool is_file = strchr(path, '/') != NULL && stat(path, &file) == 0 &&
                       S_ISREG(file.st_mode);
        any = (is_file && watch_add(self->watch, path)) || any;
        path = strtok_r(NULL, " ", &rest);
    }
    free(words);
    return any ? EDRI_OK
               : section_refuse(self->node, self->name, "watch",
                     "nothing to watch: the plugin or program is expected with "
                     "its path");
}

edri_err_t
manager_configure(edri_manager_t *self)
{
    section_t section;
    if (self->dead) {
        return EDRI_OK;
    }
    edri_err_t err = section_read(self->node, self->name, &section);
    if (err == EDRI_OK) {
        self->queue = section.queue >= 0 ? (size_t)section.queue : self->queue;
        self->limit_ms =
            section.limit_ms >= 0 ? (uint32_t)section.limit_ms : self->limit_ms;
        self->apart = section.has_run ? section.apart : self->apart;
        self->program = section.program;
    }
    for (size_t i = 0; i < self->handler_count && err == EDRI_OK; i++) {
        err = configure_handler(self, self->handlers[i], &section);
    }
    if (err == EDRI_OK && section.watched && !manager_has_processes(self)) {
        err = section_refuse(self->node, self->name, "watch",
            "what runs in processes can be reloaded; add 'run = process' or "
            "'mode = processes:N'");
    }
    if (err == EDRI_OK && section.watched && self->node->worker == NULL) {
        err = watch_files(self, &section);
    }
    return err;
}
