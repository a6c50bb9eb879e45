// SPDX-License-Identifier: MIT
// manager.c - demands event types, hands events to workers.
//
// DESIGN
// One thread per manager takes what the router put into its box, a load at a
// time, and runs methods itself, in order; events for pools are handed on.
// While a method waits for a reply its port keeps reading the box: replies are
// used, events are kept for later (port_pump).

#include "node/manager.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/queue.h"
#include "edri/log.h"
#include "node/ask.h"
#include "node/pool.h"
#include "node/section.h"

// How much of a load is worked off before its room is given back.
#define RELEASE_STEP ((size_t)16 * 1024)

struct edri_manager {
    edri_node_t *node;
    char *name;
    bool dead; // was refused: takes calls, never runs
    bool lossy;
    void *state;
    void (*destroy_state)(void *state);
    handler_t **handlers;
    size_t handler_count;
    const edri_type_t **types; // handled, observed or emitted
    size_t type_count;
    demand_t *demands;
    pthread_t thread;
    bool running;
    queue_t *started; // the thread says once how its start went
    // the thread's
    edri_port_t *port;
    arena_t *arena;
    map_t *by_type;   // type id → handler
    map_t *observers; // type id → observer
    jobs_t held;      // what the fences of their sources hold back in pools
    jobs_t waiting;   // and here: nobody else uses it
    uint64_t waiting_life; // the source of the newest
    bool waiting_many;     // they are of several sources
    load_t load;           // being worked off
    bool replies_done;
    clock_tick_t clock;
    token_t *token; // of the events that were begun last and not told yet
    uint32_t begun; // so many
};

// What the thread says in 'started'.
static char said_ok, said_failed;

// ----- setting up

edri_manager_t *
manager_new(edri_node_t *node, const char *name, bool dead)
{
    edri_manager_t *self = mem_new(sizeof *self);
    self->node = node;
    self->name = str_dup(name != NULL ? name : "");
    self->dead = dead;
    self->by_type = map_new();
    self->observers = map_new();
    self->started = queue_new();
    (void)pthread_mutex_init(&self->held.lock, NULL);
    (void)pthread_mutex_init(&self->waiting.lock, NULL);
    return self;
}

void
manager_destroy(edri_manager_t **self_p)
{
    edri_manager_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    if (self->destroy_state != NULL) {
        self->destroy_state(self->state);
    }
    for (size_t i = 0; i < self->handler_count; i++) {
        free(self->handlers[i]);
    }
    free(self->handlers);
    free(self->types);
    free(self->demands);
    map_destroy(&self->by_type);
    map_destroy(&self->observers);
    queue_destroy(&self->started);
    (void)pthread_mutex_destroy(&self->held.lock);
    (void)pthread_mutex_destroy(&self->waiting.lock);
    free(self->name);
    free(self);
}

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

static void
add_type(edri_manager_t *self, const edri_type_t *type)
{
    for (size_t i = 0; i < self->type_count; i++) {
        if (self->types[i]->id == type->id) {
            return;
        }
    }
    self->types =
        mem_resize(self->types, (self->type_count + 1) * sizeof *self->types);
    self->types[self->type_count++] = type;
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
    add_type(self, handler.type);
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
    edri_err_t err = usable(self, type, &ref);
    if (err == EDRI_OK) {
        add_type(self, type);
    }
    return err;
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
edri_manager_set_state(
    edri_manager_t *self, void *state, void (*destroy)(void *state))
{
    if (self == NULL || atomic_load(&self->node->phase) != PHASE_SETUP) {
        return EDRI_STATE;
    }
    self->state = state;
    self->destroy_state = destroy;
    return EDRI_OK;
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

edri_err_t
manager_configure(edri_manager_t *self)
{
    section_t section;
    edri_err_t err =
        self->dead ? EDRI_OK : section_read(self->node, self->name, &section);
    for (size_t i = 0; i < self->handler_count && err == EDRI_OK; i++) {
        handler_t *handler = self->handlers[i];
        if (handler->observe != NULL) {
            continue; // observers are methods
        }
        if (section.has_mode) {
            handler->workers = section.mode;
        }
        handler->program = section.program;
        if (section.program != NULL &&
            handler->workers.kind != WORKERS_PROCESSES &&
            handler->workers.kind != WORKERS_FRESH) {
            err = section_refuse(self->node, self->name, "program",
                "handlers in processes are expected; add 'mode = processes:N' "
                "or 'mode = fresh'");
        }
    }
    return err;
}

const handler_t *
manager_handler(const edri_manager_t *self, uint64_t type)
{
    return map_get(self->by_type, type);
}

void *
manager_state(const edri_manager_t *self)
{
    return self->state;
}

size_t
manager_types(const edri_manager_t *self, const edri_type_t *const **p)
{
    *p = (const edri_type_t *const *)self->types;
    return self->type_count;
}

// ----- the thread

// tell_begun tells the router of the events that were begun.
static void
tell_begun(edri_manager_t *self)
{
    if (self->token != NULL) {
        port_begun(self->port, self->token, self->begun);
        self->token = NULL;
        self->begun = 0;
    }
}

// begin counts an event of a frame as begun; 'last' is the last one of a run,
// whose handler may take long.
static void
begin(edri_manager_t *self, token_t *token, bool last)
{
    if (token != self->token) {
        tell_begun(self);
        self->token = token;
    }
    self->begun++;
    if (last) {
        tell_begun(self);
    }
}

static void
run_method(edri_manager_t *self, const handler_t *handler, slice_t content,
    blob_t *blob, const run_t *origin, int64_t now_ms, uint64_t missed)
{
    edri_task_t task = {.port = self->port,
        .state = self->state,
        .handler = handler,
        .arena = self->arena,
        .missed = missed};
    task_run(&task, content, blob, origin, now_ms);
}

// ----- what a fence holds back

// must_wait says whether older events of that source wait here already.
static bool
must_wait(const edri_manager_t *self, uint64_t life)
{
    return self->waiting.count > 0 &&
           (self->waiting_life == life || self->waiting_many);
}

static void
keep_waiting(edri_manager_t *self, job_t *job)
{
    self->waiting_many =
        self->waiting.count > 0 &&
        (self->waiting_many || self->waiting_life != job->origin.life);
    self->waiting_life = job->origin.life;
    jobs_put(&self->waiting, job);
}

// resume begins one job that has waited, if it may now.
static void
resume(edri_manager_t *self, job_t *job)
{
    if (must_wait(self, job->origin.life)) {
        keep_waiting(self, job);
        return;
    }
    token_may_t may =
        job->movable ? token_may(job->origin.token, &self->clock) : TOKEN_BEGIN;
    if (may == TOKEN_HOLD) {
        keep_waiting(self, job);
    } else if (may == TOKEN_GONE) {
        counter_add(&self->node->counters, COUNTER_WITHDRAWN, 1);
        job_drop(job, self->port, self->port->in);
    } else if (job->handler->pool != NULL) {
        pool_put(job->handler->pool, job);
    } else {
        job->origin.redelivered =
            job->origin.redelivered || may == TOKEN_MARKED;
        run_method(self, job->handler, (slice_t){job->content, job->size},
            job->blob, &job->origin, clock_ms(), job->missed);
        job_drop(job, self->port, self->port->in);
    }
}

// resume_all looks at all that waits for a fence, oldest first.
static void
resume_all(edri_manager_t *self)
{
    job_t *lists[] = {jobs_take(&self->held), jobs_take(&self->waiting)};
    for (int i = 0; i < 2; i++) {
        job_t *job = lists[i];
        while (job != NULL) {
            job_t *next = job->next;
            resume(self, job);
            job = next;
        }
    }
}

// ----- events

// dispatch gives one event to its handler.  Returns the bytes that are done
// with: 0 when a pool has them, or a fence holds the event back.
static size_t
dispatch(edri_manager_t *self, const reader_t *at, const envelope_t *env,
    int64_t now_ms)
{
    bool observed = (env->flags & WIRE_OBSERVED) != 0;
    handler_t *handler =
        map_get(observed ? self->observers : self->by_type, env->type);
    size_t weight = at->item.len;
    blob_t *blob = at->blob_p != NULL ? *at->blob_p : NULL;
    run_t origin = *at->run;
    token_t *token = origin.token;
    bool movable = token != NULL && envelope_movable(env->flags);
    token_may_t may = movable ? token_may(token, &self->clock) : TOKEN_BEGIN;
    if (blob != NULL) {
        weight += blob_size(blob);
    }
    if (handler == NULL || may == TOKEN_GONE) {
        counter_add(&self->node->counters,
            handler == NULL ? COUNTER_DENIED : COUNTER_WITHDRAWN, 1);
        if (token != NULL) {
            begin(self, token, at->rest.len == 0);
        }
        return weight;
    }
    bool wait =
        may == TOKEN_HOLD || (token != NULL && must_wait(self, origin.life));
    origin.redelivered = origin.redelivered || may == TOKEN_MARKED;
    if (wait || handler->pool != NULL) {
        if (at->blob_p != NULL) {
            *at->blob_p = NULL; // moves into the job
        }
        job_t *job =
            job_new(handler, at->content, blob, &origin, weight, movable);
        job->missed = port_missed(self->port);
        if (wait) {
            keep_waiting(self, job);
        } else {
            pool_put(handler->pool, job);
        }
        return 0;
    }
    if (token != NULL) {
        begin(self, token, at->rest.len == 0);
    }
    run_method(self, handler, at->content, blob, &origin, now_ms,
        port_missed(self->port));
    return weight;
}

static void
work_off(edri_manager_t *self, load_t *load, bool replies_done)
{
    reader_t at = reader_begin(load);
    envelope_t env;
    size_t done = 0;
    int64_t now_ms = clock_ms();
    // What is left when the node stops goes back to where it came from.
    while (!atomic_load_explicit(&self->port->stop, memory_order_relaxed) &&
           reader_next(&at, &env)) {
        bool reply = envelope_kind(env.flags) == EDRI_REPLY &&
                     (env.flags & WIRE_OBSERVED) == 0;
        if (reply) {
            if (!replies_done) {
                port_answer(self->port, &at);
            }
            done += at.item.len;
            done += at.blob_p != NULL ? blob_size(*at.blob_p) : 0;
        } else {
            // Handlers may take long: what came with ttl is judged anew.
            done +=
                dispatch(self, &at, &env, env.ttl_ms > 0 ? clock_ms() : now_ms);
        }
        if (done >= RELEASE_STEP) {
            port_release(self->port, self->port->in, done);
            done = 0;
        }
    }
    tell_begun(self);
    if (done > 0) {
        port_release(self->port, self->port->in, done);
    }
    load_reset(load);
}

static void
build_demands(edri_manager_t *self, edri_port_t *like)
{
    self->demands = mem_new((self->handler_count + 1) * sizeof(demand_t));
    for (size_t i = 0; i < self->handler_count; i++) {
        const handler_t *handler = self->handlers[i];
        self->demands[i] = (demand_t){
            .ref = shared_map_get(self->node->types, handler->type->id),
            .observer = handler->observe != NULL,
            .replay = handler->replay,
            .replay_age_ms = handler->replay_age_ms};
    }
    like->manager = self->name;
    like->demands = self->demands;
    like->demand_count = self->handler_count;
    like->lossy = self->lossy;
}

static edri_err_t
start_pools(edri_manager_t *self)
{
    edri_err_t err = EDRI_OK;
    for (size_t i = 0; i < self->handler_count && err == EDRI_OK; i++) {
        handler_t *handler = self->handlers[i];
        if (handler->workers.kind != WORKERS_METHOD) {
            handler->pool =
                pool_new(handler, self->state, self->port, &self->held);
            err = pool_start(handler->pool);
        }
    }
    return err;
}

// drop_all frees what a fence has held back to the end.
static void
drop_all(edri_manager_t *self)
{
    job_t *lists[] = {jobs_take(&self->held), jobs_take(&self->waiting)};
    for (int i = 0; i < 2; i++) {
        while (lists[i] != NULL) {
            job_t *job = lists[i];
            lists[i] = job->next;
            job_leave(job, self->port, self->port->in);
        }
    }
}

edri_err_t
manager_open(edri_manager_t *self)
{
    edri_port_t like = {0};
    build_demands(self, &like);
    self->arena = arena_new();
    self->port = port_new(self->node, &like);
    return self->port != NULL ? start_pools(self) : EDRI_SYSTEM;
}

bool
manager_step(edri_manager_t *self, bool may_wait)
{
    resume_all(self);
    if (port_next_load(self->port, &self->load, &self->replies_done)) {
        work_off(self, &self->load, self->replies_done);
    } else if (port_sleep(self->port,
                   may_wait ? port_deadline(self->port) : 0) == EDRI_DEADLINE) {
        (void)port_expire(self->port, clock_ms());
    }
    return !self->port->quit && !atomic_load(&self->port->stop);
}

void
manager_close(edri_manager_t *self)
{
    for (size_t i = 0; i < self->handler_count; i++) {
        pool_destroy(&self->handlers[i]->pool);
    }
    drop_all(self);
    edri_port_destroy(&self->port);
    load_clear(&self->load);
    arena_destroy(&self->arena);
}

static void *
run_manager(void *arg)
{
    edri_manager_t *self = arg;
    thread_name(self->name);
    edri_err_t err = manager_open(self);
    queue_put(self->started, err == EDRI_OK ? &said_ok : &said_failed);
    while (err == EDRI_OK && manager_step(self, true)) {
    }
    manager_close(self);
    return NULL;
}

edri_err_t
manager_start(edri_manager_t *self)
{
    if (self->dead) {
        return EDRI_OK;
    }
    if (pthread_create(&self->thread, NULL, run_manager, self) != 0) {
        return EDRI_SYSTEM;
    }
    self->running = true;
    return queue_take(self->started) == &said_ok ? EDRI_OK : EDRI_SYSTEM;
}

void
manager_join(edri_manager_t *self)
{
    if (self->running) {
        (void)pthread_join(self->thread, NULL);
        self->running = false;
    }
}
