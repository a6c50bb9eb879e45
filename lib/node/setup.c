// SPDX-License-Identifier: MIT
// setup.c - a manager is set up, by code and by the configuration.

#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "node/manager_impl.h"
#include "node/watch.h"
#include "node/work/workers.h"

// ----- by code

// in_setup says whether the manager's code may set it up now: before the node
// starts, or when it is the next edition's (renew.h).
static bool
in_setup(const edri_manager_t *self)
{
    return self != NULL && (self->draft != self->now ||
                               atomic_load(&self->node->phase) == PHASE_SETUP);
}

static edri_err_t fail(edri_manager_t *self, edri_err_t err, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

// Whose code sets it up in this thread now.
static _Thread_local edri_manager_t *in_hand;

edri_manager_t *
setup_by(edri_manager_t *manager)
{
    edri_manager_t *before = in_hand;
    in_hand = manager;
    return before;
}

edri_manager_t *
setup_other(const char *name)
{
    edri_manager_t *self = in_hand;
    if (self == NULL) {
        return NULL;
    }
    (void)fail(self, EDRI_STATE,
        "manager %s: a plugin sets up the manager that it is given, and no "
        "other: "
        "name it in a section of its own",
        name != NULL ? name : "");
    edri_manager_t *dead = manager_new(self->node, name, true);
    edition_t *edition = self->draft;
    edition->others = mem_resize(
        edition->others, (edition->other_count + 1) * sizeof *edition->others);
    edition->others[edition->other_count++] = dead;
    return dead;
}

// fail keeps what is wrong with the set-up, as the node's error or the edition's.
// Returns 'err'.
static edri_err_t
fail(edri_manager_t *self, edri_err_t err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    if (self->draft == self->now) {
        (void)node_fail(self->node, err, "manager %s: %s", self->name, text);
    } else if (self->draft->err == EDRI_OK) {
        self->draft->err = err;
        (void)edri_manager_fail(self, err, "%s", text);
    }
    free(text);
    return err;
}

// usable says whether the manager may still be set up with that type, and
// makes the type known to the node as *ref_p.
static edri_err_t
usable(edri_manager_t *self, const edri_type_t *type, typeref_t **ref_p)
{
    if (self == NULL) {
        return EDRI_INVAL;
    }
    if (!in_setup(self)) {
        return fail(self, EDRI_STATE, "the node has started already");
    }
    char why[256];
    edri_err_t err = types_add(self->node, type, ref_p, why, sizeof why);
    return err == EDRI_OK ? EDRI_OK : fail(self, err, "%s", why);
}

static edri_err_t
add_handler(edri_manager_t *self, handler_t handler)
{
    handler_t *mine = mem_new(sizeof *mine);
    *mine = handler;
    mine->manager = self->name;
    edri_err_t err = edition_add(self->draft, mine);
    if (err != EDRI_OK) {
        free(mine);
        return fail(self, err, "%s has a handler already", handler.type->name);
    }
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
        return fail(self, EDRI_INVAL, "%s: %s", type->name,
            fits ? "no handler"
                 : "EDRI_THREADS and EDRI_PROCESSES take 1 to 256");
    }
    err = add_handler(self,
        (handler_t){.type = type, .call = call, .fn = fn, .workers = workers});
    if (err == EDRI_OK && self->draft == self->now) {
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
        return fail(self, EDRI_INVAL, "%s: %s", type->name,
            type->kind != EDRI_REQUEST ? "only replies can be observed"
                                       : "no observer");
    }
    return add_handler(self,
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
    handler_t *handler = edition_handler(self->draft, type->id, false);
    if (handler == NULL || !type->retained) {
        return fail(self, EDRI_INVAL, "%s: %s", type->name,
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
    if (!in_setup(self)) {
        return EDRI_STATE;
    }
    self->draft->lossy = true;
    return EDRI_OK;
}

edri_err_t
edri_manager_own_process(edri_manager_t *self)
{
    if (!in_setup(self)) {
        return EDRI_STATE;
    }
    self->draft->apart = true;
    return EDRI_OK;
}

edri_err_t
edri_manager_queue(edri_manager_t *self, size_t bytes)
{
    if (!in_setup(self)) {
        return EDRI_STATE;
    }
    if (bytes < (size_t)QUEUE_MIN || bytes > (size_t)QUEUE_MAX) {
        return fail(self, EDRI_INVAL,
            "a queue of %zu bytes: 4 KiB to 16 GiB are expected", bytes);
    }
    self->draft->queue = bytes;
    return EDRI_OK;
}

edri_err_t
edri_manager_time_limit(edri_manager_t *self, uint32_t ms)
{
    if (!in_setup(self)) {
        return EDRI_STATE;
    }
    if (ms > TIME_MAX_MS) {
        return fail(self, EDRI_INVAL,
            "a time limit of %u ms: 24 h at most are expected", ms);
    }
    self->draft->limit_ms = ms;
    return EDRI_OK;
}

edri_err_t
edri_manager_set_state(
    edri_manager_t *self, void *state, void (*destroy)(void *state))
{
    if (!in_setup(self)) {
        return EDRI_STATE;
    }
    self->draft->crew.state = state;
    self->draft->destroy_state = destroy;
    return EDRI_OK;
}

edri_err_t
edri_manager_worker_state(
    edri_manager_t *self, edri_worker_begin_fn *begin, edri_worker_end_fn *end)
{
    if (!in_setup(self)) {
        return EDRI_STATE;
    }
    if (begin == NULL) {
        return fail(self, EDRI_INVAL, "a state of the workers needs 'begin'");
    }
    self->draft->crew.begin = begin;
    self->draft->crew.end = end;
    return EDRI_OK;
}

edri_err_t
edri_manager_hooks(edri_manager_t *self, const edri_hooks_t *hooks)
{
    if (!in_setup(self)) {
        return EDRI_STATE;
    }
    self->draft->hooks = hooks != NULL ? *hooks : (edri_hooks_t){0};
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

// ----- by the configuration

// runs_processes says whether handlers run in processes that a program can be.
static bool
runs_processes(const edition_t *edition, const handler_t *handler)
{
    return edition->apart || handler->workers.kind == WORKERS_PROCESSES ||
           handler->workers.kind == WORKERS_FRESH;
}

bool
manager_has_processes(const edri_manager_t *self)
{
    bool any = self->now->apart;
    for (size_t i = 0; i < self->now->handler_count; i++) {
        any = any || runs_processes(self->now, self->now->handlers[i]);
    }
    return any;
}

// configure_handler lets the configuration say who runs it.  Returns false when it
// names a program that nobody would run.
static bool
configure_handler(
    const edri_manager_t *self, edition_t *edition, handler_t *handler)
{
    const section_t *section = &self->section;
    handler->limit_ms = edition->limit_ms;
    if (handler->observe != NULL) {
        return true; // observers are methods
    }
    if (section->has_mode) {
        handler->workers = section->mode;
    }
    handler->program = section->program;
    bool apart = runs_processes(edition, handler);
    if (apart && self->node->worker == NULL) {
        // Nothing here may need the code of those that run elsewhere.
        const typeref_t *ref =
            shared_map_get(self->node->types, handler->type->id);
        handler->type = ref->type;
    }
    return section->program == NULL || apart;
}

edri_err_t
setup_configure(edri_manager_t *self, edition_t *edition)
{
    const section_t *section = &self->section;
    edition->queue =
        section->queue >= 0 ? (size_t)section->queue : edition->queue;
    edition->limit_ms = section->limit_ms >= 0 ? (uint32_t)section->limit_ms
                                               : edition->limit_ms;
    edition->apart = section->has_run ? section->apart : edition->apart;
    bool fine = true;
    for (size_t i = 0; i < edition->handler_count; i++) {
        fine = configure_handler(self, edition, edition->handlers[i]) && fine;
    }
    return fine ? EDRI_OK : EDRI_INVAL;
}

// watch_files watches what runs: a plugin, the files that a command line names, or
// this program.
static edri_err_t
watch_files(edri_manager_t *self)
{
    const section_t *section = &self->section;
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
    section_t *section = &self->section;
    if (self->dead) {
        return EDRI_OK;
    }
    edri_err_t err = section_read(self->node, self->name, section);
    if (err == EDRI_OK && setup_configure(self, self->now) != EDRI_OK) {
        err = section_refuse(self->node, self->name, "program", SETUP_PROGRAM);
    }
    if (err == EDRI_OK && section->watched && self->now->library == NULL &&
        !manager_has_processes(self)) {
        err = section_refuse(self->node, self->name, "watch",
            "plugins, and what runs in processes, can be reloaded; this is "
            "part "
            "of the program: add 'run = process' or 'mode = processes:N'");
    }
    if (err == EDRI_OK && section->watched && self->node->worker == NULL) {
        err = watch_files(self);
    }
    return err;
}
