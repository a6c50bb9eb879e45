// SPDX-License-Identifier: MIT
// manager.c - demands event types, hands events to workers.
//
// DESIGN
// One thread per manager takes what the router put into its box, a load at a
// time, and runs methods itself, in order; events for pools are handed on.
// While a method waits for a reply its port keeps reading the box: replies are
// used, events are kept for later (port_pump).

#include "node/manager.h"

#include <stdarg.h>
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

// Jobs that are done before fences are looked at again.
#define TURN_MAX 64

struct edri_manager {
    edri_node_t *node;
    char *name;
    bool dead; // was refused: takes calls, never runs
    bool lossy;
    crew_t crew;
    faults_t faults; // of its handlers
    void (*destroy_state)(void *state);
    edri_hooks_t hooks;
    const char *failed; // what fails if the start does now
    char *error;        // what the user's code said of it
    handler_t **handlers;
    size_t handler_count;
    const edri_type_t **types; // handled, observed or emitted
    size_t type_count;
    demand_t *demands;
    pthread_t thread;
    bool running;
    queue_t *started; // the thread says how its start, and its hook, went
    queue_t *orders;  // closed, or one word: the node is ready
    edri_err_t err;   // of the thread's start or hook
    // the thread's
    edri_port_t *port;
    arena_t *arena;
    void *worker;     // its own, for methods
    bool is_ready;    // its hook has returned EDRI_OK
    bool pooled;      // it has pools
    int64_t watch_ms; // when to look at the pools; -1: they have nothing to do
    map_t *by_type;   // type id → handler
    map_t *observers; // type id → observer
    agenda_t *agenda; // jobs for the methods, when they cannot be run at once
    bool ranked;      // events for methods have several priorities
    jobs_t held;      // what the fences of their sources hold back in pools
    jobs_t waiting;   // and here: nobody else uses it
    load_t load;      // being worked off
    bool replies_done;
    clock_tick_t clock;
    token_t *token; // of the events that were begun last and not told yet
    uint32_t begun; // so many
};

// What is said in 'started' and 'orders'.
static char word;

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
    self->orders = queue_new();
    self->crew.manager = self;
    faults_init(&self->faults);
    self->crew.faults = &self->faults;
    self->failed = "cannot be started";
    self->agenda = agenda_new();
    jobs_init(&self->held);
    jobs_init(&self->waiting);
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
        self->destroy_state(self->crew.state);
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
    queue_destroy(&self->orders);
    free(self->error);
    faults_end(&self->faults);
    agenda_destroy(&self->agenda);
    jobs_clear(&self->held);
    jobs_clear(&self->waiting);
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

const crew_t *
manager_crew(const edri_manager_t *self)
{
    return &self->crew;
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

// ----- jobs: what cannot be run at once

// give_job gives the thread or a pool an event to do later.
static void
give_job(edri_manager_t *self, job_t *job, int64_t now_ms)
{
    job->missed = port_missed(self->port);
    if (job->handler->pool != NULL) {
        pool_put(job->handler->pool, job);
    } else {
        agenda_put(self->agenda, &job->entry, job->priority, now_ms);
    }
}

// resume_all puts back what a fence has held, in order: it may be begun now.
static void
resume_all(edri_manager_t *self)
{
    job_t *lists[] = {jobs_take(&self->held), jobs_take(&self->waiting)};
    for (int i = 0; i < 2; i++) {
        job_t *job = lists[i];
        while (job != NULL) {
            job_t *next = job->next;
            if (job->handler->pool != NULL) {
                pool_again(job->handler->pool, job);
            } else {
                agenda_again(self->agenda, &job->entry);
            }
            job = next;
        }
    }
}

// new_task is a task of the manager's own thread.
static edri_task_t
new_task(const edri_manager_t *self, const handler_t *handler)
{
    return (edri_task_t){.port = self->port,
        .crew = &self->crew,
        .worker = self->worker,
        .handler = handler,
        .arena = self->arena};
}

// end_try delays a job that must be tried again, or ends it.
static void
end_try(edri_manager_t *self, job_t *job, bool again, int64_t due_ms)
{
    if (again) {
        agenda_delay(self->agenda, &job->entry, due_ms);
    } else {
        agenda_done(self->agenda, &job->entry);
        job_end(job, self->port, self->port->in);
    }
}

// do_job runs one that was taken from the agenda, unless its fence holds it back
// or its source has given it to another.
static void
do_job(edri_manager_t *self, job_t *job)
{
    bool first = job->origin.token != NULL && job->tries == 0;
    token_may_t may =
        first ? jobs_hold(&self->waiting, job, &self->clock) : TOKEN_BEGIN;
    int64_t due_ms = 0;
    if (may == TOKEN_HOLD) {
        return;
    }
    if (may == TOKEN_GONE) {
        counter_add(&self->node->counters, COUNTER_WITHDRAWN, 1);
        agenda_done(self->agenda, &job->entry);
        job_drop(job, self->port, self->port->in);
        return;
    }
    job->origin.redelivered = job->origin.redelivered || may == TOKEN_MARKED;
    if (first) {
        port_begun(self->port, job->origin.token, 1);
    }
    edri_task_t task = new_task(self, job->handler);
    bool again = job_run(job, &task, &due_ms);
    end_try(self, job, again, due_ms);
}

// do_next does what comes next on the agenda, until something comes that may be
// more urgent.  Returns false when nothing was ready.
static bool
do_next(edri_manager_t *self)
{
    size_t count = 0;
    agenda_entry_t *entry = NULL;
    while (count < TURN_MAX && agenda_next(self->agenda) != INT64_MAX &&
           !atomic_load_explicit(&self->port->stop, memory_order_relaxed) &&
           (entry = agenda_take(self->agenda, clock_ms())) != NULL) {
        do_job(self, (job_t *)(void *)entry);
        count++;
        if (port_has_load(self->port)) {
            break;
        }
    }
    return count > 0;
}

// ----- events

// copy_job makes a job of the event just read, with its attachment.
static job_t *
copy_job(const handler_t *handler, const reader_t *at, const envelope_t *env,
    const run_t *origin, size_t weight)
{
    blob_t *blob = at->blob_p != NULL ? *at->blob_p : NULL;
    if (at->blob_p != NULL) {
        *at->blob_p = NULL; // moves into the job
    }
    return job_new(handler, env, at->content, blob, origin, weight);
}

// is_next says whether an event may be run before all that waits here: nothing
// does, and none is more urgent than another.
static bool
is_next(const edri_manager_t *self)
{
    return !self->ranked && agenda_count(self->agenda) == 0 &&
           self->waiting.first == NULL;
}

// run_now runs a method.  Returns the bytes that are done with: 0 when the event
// must be tried again.
static size_t
run_now(edri_manager_t *self, const handler_t *handler, const reader_t *at,
    const envelope_t *env, const run_t *origin, size_t weight, int64_t now_ms)
{
    blob_t *blob = at->blob_p != NULL ? *at->blob_p : NULL;
    edri_task_t task = new_task(self, handler);
    task.missed = port_missed(self->port);
    edri_err_t err = task_run(&task, at->content, blob, origin, now_ms);
    size_t done = weight;
    if (err != EDRI_OK) {
        int64_t due_ms = 0;
        job_t *job = copy_job(handler, at, env, origin, weight);
        bool again = job_again(job, &task, err, &due_ms);
        agenda_put(self->agenda, &job->entry, job->priority, now_ms);
        (void)agenda_take(self->agenda, now_ms); // nothing else is in it
        end_try(self, job, again, due_ms);
        done = 0;
    }
    task_end(&task);
    return done;
}

// run_first runs a method for an event that need not wait, unless its source has
// given it to another, or its fence holds it back.
static size_t
run_first(edri_manager_t *self, const handler_t *handler, const reader_t *at,
    const envelope_t *env, size_t weight, int64_t now_ms)
{
    run_t origin = *at->run;
    token_t *token = origin.token;
    bool movable = token != NULL && envelope_movable(env->flags);
    token_may_t may = movable ? token_may(token, &self->clock) : TOKEN_BEGIN;
    if (may == TOKEN_HOLD) {
        give_job(self, copy_job(handler, at, env, &origin, weight), now_ms);
        return 0;
    }
    origin.redelivered = origin.redelivered || may == TOKEN_MARKED;
    if (token != NULL) {
        begin(self, token, at->rest.len == 0);
    }
    if (may == TOKEN_GONE) {
        counter_add(&self->node->counters, COUNTER_WITHDRAWN, 1);
        return weight;
    }
    return run_now(self, handler, at, env, &origin, weight, now_ms);
}

// dispatch gives one event to its handler.  Returns the bytes that are done
// with: 0 when it waits for its turn.
static size_t
dispatch(edri_manager_t *self, const reader_t *at, const envelope_t *env,
    int64_t now_ms)
{
    bool observed = (env->flags & WIRE_OBSERVED) != 0;
    handler_t *handler =
        map_get(observed ? self->observers : self->by_type, env->type);
    size_t weight = at->item.len;
    if (at->blob_p != NULL) {
        weight += blob_size(*at->blob_p);
    }
    if (handler == NULL) {
        counter_add(&self->node->counters, COUNTER_DENIED, 1);
        if (at->run->token != NULL) {
            begin(self, at->run->token, at->rest.len == 0);
        }
        return weight;
    }
    if (handler->pool == NULL && is_next(self)) {
        return run_first(self, handler, at, env, weight, now_ms);
    }
    give_job(self, copy_job(handler, at, env, at->run, weight), now_ms);
    return 0;
}

static void
work_off(edri_manager_t *self, load_t *load, bool replies_done)
{
    reader_t at = reader_begin(load);
    envelope_t env;
    size_t done = 0;
    int64_t now_ms = clock_ms();
    self->ranked = atomic_load(&self->port->ranked);
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

// find_ranks looks whether its methods' types differ in priority.
static void
find_ranks(const edri_manager_t *self, edri_port_t *like)
{
    bool any = false;
    for (size_t i = 0; i < self->handler_count; i++) {
        const handler_t *handler = self->handlers[i];
        uint8_t priority = handler->type->priority;
        if (handler->workers.kind == WORKERS_METHOD) {
            if (any && priority != like->priority) {
                atomic_store(&like->ranked, true);
            }
            like->priority = priority;
            any = true;
        }
    }
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
            .pooled = handler->workers.kind != WORKERS_METHOD,
            .replay = handler->replay,
            .replay_age_ms = handler->replay_age_ms};
    }
    find_ranks(self, like);
    like->manager = self->name;
    like->demands = self->demands;
    like->demand_count = self->handler_count;
    like->lossy = self->lossy;
    like->faults = &self->faults;
    like->drains = self->hooks.draining != NULL;
}

static edri_err_t
start_pools(edri_manager_t *self)
{
    edri_err_t err = EDRI_OK;
    for (size_t i = 0; i < self->handler_count && err == EDRI_OK; i++) {
        handler_t *handler = self->handlers[i];
        if (handler->workers.kind != WORKERS_METHOD) {
            self->pooled = true;
            handler->pool =
                pool_new(handler, &self->crew, self->port, &self->held);
            err = pool_start(handler->pool);
        }
    }
    return err;
}

// leave_all ends what has waited to the end.
static void
leave_all(edri_manager_t *self)
{
    job_t *lists[] = {jobs_take(&self->held), jobs_take(&self->waiting)};
    for (int i = 0; i < 2; i++) {
        while (lists[i] != NULL) {
            job_t *job = lists[i];
            lists[i] = job->next;
            job_leave(job, self->port, self->port->in);
        }
    }
    agenda_entry_t *entry = NULL;
    while ((entry = agenda_drop(self->agenda)) != NULL) {
        job_leave((job_t *)(void *)entry, self->port, self->port->in);
    }
}

// begin_own makes what the manager's thread has for itself, if it runs anything.
static edri_err_t
begin_own(edri_manager_t *self)
{
    for (size_t i = 0; i < self->handler_count; i++) {
        if (self->handlers[i]->workers.kind == WORKERS_METHOD) {
            return crew_begin(&self->crew, &self->worker);
        }
    }
    return EDRI_OK;
}

edri_err_t
manager_open(edri_manager_t *self)
{
    edri_port_t like = {0};
    build_demands(self, &like);
    self->watch_ms = -1;
    self->arena = arena_new();
    self->port = port_new(self->node, &like);
    edri_err_t err = self->port != NULL ? begin_own(self) : EDRI_SYSTEM;
    return err == EDRI_OK ? start_pools(self) : err;
}

// watch_pools looks for threads that are stuck, when it is time.
static void
watch_pools(edri_manager_t *self)
{
    int64_t now_ms = clock_ms();
    if (self->watch_ms > now_ms) {
        return;
    }
    self->watch_ms = -1;
    for (size_t i = 0; i < self->handler_count; i++) {
        pool_t *pool = self->handlers[i]->pool;
        int64_t next_ms = pool != NULL ? pool_watch(pool, now_ms) : -1;
        if (next_ms >= 0 && (self->watch_ms < 0 || next_ms < self->watch_ms)) {
            self->watch_ms = next_ms;
        }
    }
}

// tell_drain calls the hook when the router has asked for it.
static void
tell_drain(edri_manager_t *self)
{
    if (atomic_load_explicit(&self->port->drain, memory_order_relaxed) ==
        DRAIN_ASKED) {
        self->hooks.draining(self, self->port, self->crew.state);
        atomic_store(&self->port->drain, DRAIN_TOLD);
    }
}

// sleep_on waits for the bell, or until something is due.
static void
sleep_on(edri_manager_t *self, bool may_wait)
{
    int64_t until = port_deadline(self->port);
    int64_t next_ms = agenda_next(self->agenda);
    if (self->watch_ms >= 0 && self->watch_ms < next_ms) {
        next_ms = self->watch_ms;
    }
    if (next_ms != INT64_MAX && (until < 0 || next_ms < until)) {
        until = next_ms;
    }
    if (port_sleep(self->port, may_wait ? until : 0) == EDRI_DEADLINE) {
        (void)port_expire(self->port, clock_ms());
    }
}

bool
manager_step(edri_manager_t *self, bool may_wait)
{
    resume_all(self);
    tell_drain(self);
    if (self->pooled) {
        watch_pools(self);
    }
    // What has come meanwhile may be more urgent than what waits.
    bool ready = agenda_next(self->agenda) == 0;
    if ((!ready || port_has_load(self->port)) &&
        port_next_load(self->port, &self->load, &self->replies_done)) {
        work_off(self, &self->load, self->replies_done);
    } else if (!do_next(self)) {
        sleep_on(self, may_wait);
    }
    return !self->port->quit && !atomic_load(&self->port->stop);
}

void
manager_close(edri_manager_t *self)
{
    for (size_t i = 0; i < self->handler_count; i++) {
        pool_destroy(&self->handlers[i]->pool);
    }
    leave_all(self);
    crew_end(&self->crew, &self->worker);
    if (self->is_ready && self->hooks.stopped != NULL) {
        self->hooks.stopped(self, self->crew.state);
    }
    edri_port_destroy(&self->port);
    load_clear(&self->load);
    arena_destroy(&self->arena);
}

// become_ready waits for the node and calls the hook.  Returns false when the
// manager must end.
static bool
become_ready(edri_manager_t *self)
{
    if (queue_take(self->orders) == NULL) {
        return false;
    }
    if (self->hooks.started != NULL) {
        self->failed = "its hook, started, failed";
        self->err = self->hooks.started(self, self->port, self->crew.state);
    }
    self->is_ready = self->err == EDRI_OK;
    queue_put(self->started, &word);
    return self->is_ready;
}

static void *
run_manager(void *arg)
{
    edri_manager_t *self = arg;
    thread_name(self->name);
    self->err = manager_open(self);
    bool opened = self->err == EDRI_OK;
    queue_put(self->started, &word);
    if (opened && become_ready(self)) {
        while (manager_step(self, true)) {
        }
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
    (void)queue_take(self->started);
    return self->err;
}

void
manager_ready(edri_manager_t *self)
{
    if (self->running) {
        queue_put(self->orders, &word);
    }
}

edri_err_t
manager_await(edri_manager_t *self)
{
    if (self->running) {
        (void)queue_take(self->started);
    }
    return self->err;
}

char *
manager_why(const edri_manager_t *self, edri_err_t err)
{
    return str_printf("manager %s: %s: %s%s%s", self->name, self->failed,
        edri_err_text(err), self->error != NULL ? ": " : "",
        self->error != NULL ? self->error : "");
}

void
manager_join(edri_manager_t *self)
{
    if (self->running) {
        queue_close(self->orders);
        (void)pthread_join(self->thread, NULL);
        self->running = false;
    }
}
