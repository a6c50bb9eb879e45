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
#include "node/house.h"
#include "node/retire.h"
#include "node/section.h"
#include "node/turn.h"
#include "node/workers.h"

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
    free(self->why);
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
    return err;
}

const handler_t *
manager_handler(const edri_manager_t *self, uint64_t type, bool observes)
{
    return map_get(observes ? self->observers : self->by_type, type);
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

// find_ranks looks whether its methods' types differ in priority.
static void
find_ranks(const edri_manager_t *self, edri_port_t *like)
{
    bool any = false;
    for (size_t i = 0; i < self->handler_count; i++) {
        const handler_t *handler = self->handlers[i];
        uint8_t priority = handler->type->priority;
        if (handler->workers.kind == WORKERS_METHOD && !self->apart) {
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
            .pooled = self->apart || handler->workers.kind != WORKERS_METHOD,
            .replay = handler->replay,
            .replay_age_ms = handler->replay_age_ms};
    }
    find_ranks(self, like);
    like->manager = self->name;
    like->demands = self->demands;
    like->demand_count = self->handler_count;
    like->lossy = self->lossy;
    like->queue = self->queue;
    like->faults = &self->faults;
    like->drains = self->hooks.draining != NULL;
}

// in_house says whether a handler runs in the manager's own process, and there
// (own) in its own thread.
static bool
in_house(const edri_manager_t *self, const handler_t *handler, bool own)
{
    unsigned kind = handler->workers.kind;
    bool alone = kind == WORKERS_METHOD || self->program != NULL;
    bool here = kind == WORKERS_METHOD || kind == WORKERS_THREADS;
    return self->apart && here && alone == own;
}

// add_pool makes and starts a pool for some handlers.
static edri_err_t
add_pool(edri_manager_t *self, pool_plan_t *plan, handler_t **handlers,
    size_t count, const char *what)
{
    plan->roster.manager = self->name;
    plan->roster.what = what;
    plan->roster.handlers = handlers;
    plan->roster.handler_count = count;
    plan->crew = &self->crew;
    plan->manager = self->port;
    plan->held = &self->held;
    pool_t *pool = pool_new(plan);
    self->pools =
        mem_resize(self->pools, (self->pool_count + 1) * sizeof(pool_t *));
    self->pools[self->pool_count++] = pool;
    for (size_t i = 0; i < count; i++) {
        handlers[i]->pool = pool;
    }
    if (plan->roster.house != NULL && plan->roster.first_seat == 0) {
        house_owner(plan->roster.house, pool_jobs(pool));
    }
    return pool_start(pool);
}

// open_house makes the pool of what the manager's own thread runs elsewhere.
static edri_err_t
open_house(edri_manager_t *self)
{
    const settings_t *settings = self->node->settings;
    unsigned seats = 1;
    size_t count = 0;
    self->inmates = mem_new((self->handler_count + 1) * sizeof(handler_t *));
    for (size_t i = 0; i < self->handler_count; i++) {
        handler_t *handler = self->handlers[i];
        if (in_house(self, handler, true)) {
            self->inmates[count++] = handler;
        } else if (in_house(self, handler, false)) {
            seats += workers_count(handler->workers);
        }
    }
    self->house = house_new(
        seats, (restarts_t){
                   .most = (uint32_t)settings_int(settings, "worker.restarts"),
                   .within_ms = settings_int(settings, "worker.restarts_in")});
    pool_plan_t plan = {.workers = EDRI_THREADS(1),
        .roster = {.program = self->program, .house = self->house}};
    return add_pool(self, &plan, self->inmates, count, self->name);
}

// start_pools makes the pools of all handlers that have one.
static edri_err_t
start_pools(edri_manager_t *self)
{
    unsigned seat = 1;
    edri_err_t err = self->apart ? open_house(self) : EDRI_OK;
    for (size_t i = 0; i < self->handler_count && err == EDRI_OK; i++) {
        handler_t *handler = self->handlers[i];
        pool_plan_t plan = {.workers = handler->workers,
            .roster = {.program = handler->program,
                .fresh = handler->workers.kind == WORKERS_FRESH}};
        if (handler->pool != NULL || handler->workers.kind == WORKERS_METHOD) {
            continue;
        }
        if (in_house(self, handler, false)) {
            plan.roster.house = self->house;
            plan.roster.first_seat = seat;
            seat += workers_count(handler->workers);
        }
        err = add_pool(self, &plan, &self->handlers[i], 1, handler->type->name);
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
    for (size_t i = 0; i < self->handler_count && !self->apart; i++) {
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
    // A process of its own is there for the hook, which comes later.
    return err == EDRI_OK && !self->apart ? start_pools(self) : err;
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
    for (size_t i = 0; i < self->pool_count; i++) {
        int64_t next_ms = pool_watch(self->pools[i], now_ms);
        if (next_ms >= 0 && (self->watch_ms < 0 || next_ms < self->watch_ms)) {
            self->watch_ms = next_ms;
        }
    }
}

// tell_drain calls the hook when the router has asked for it.
static void
tell_drain(edri_manager_t *self)
{
    if (atomic_load_explicit(&self->port->drain, memory_order_relaxed) !=
        DRAIN_ASKED) {
        return;
    }
    if (self->house == NULL) {
        manager_call_draining(self, self->port);
    } else if (!house_has_drained(self->house)) {
        house_drain(self->house);
        return;
    }
    atomic_store(&self->port->drain, DRAIN_TOLD);
    port_ring(self->port, NULL, 0); // the router may wait for it
}

// wait_bell waits for the router, or for the own process.
static edri_err_t
wait_bell(edri_manager_t *self, int64_t until_ms)
{
    zmq_pollitem_t items[2]; // the first is the port's
    if (self->house == NULL) {
        return port_sleep(self->port, until_ms);
    }
    items[1] =
        (zmq_pollitem_t){.fd = house_fd(self->house), .events = ZMQ_POLLIN};
    edri_err_t err = port_wait_with(self->port, items, 2, until_ms);
    house_seen(self->house);
    return err;
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
    if (wait_bell(self, may_wait ? until : 0) == EDRI_DEADLINE) {
        (void)port_expire(self->port, clock_ms());
    }
}

bool
manager_step(edri_manager_t *self, bool may_wait)
{
    turn_resume(self);
    tell_drain(self);
    if (self->pool_count > 0) {
        watch_pools(self);
    }
    // What has come meanwhile may be more urgent than what waits.
    bool ready = agenda_next(self->agenda) == 0;
    if ((!ready || port_has_load(self->port)) &&
        port_next_load(self->port, &self->load, &self->replies_done)) {
        turn_load(self);
    } else if (!turn_next(self)) {
        sleep_on(self, may_wait);
    }
    return !self->port->quit && !atomic_load(&self->port->stop) &&
           (self->house == NULL || !house_closed(self->house));
}

// end_pools ends all pools; the own process's is the last.
static void
end_pools(edri_manager_t *self, jobs_t *left)
{
    if (self->house != NULL) {
        house_stop(self->house);
    }
    while (self->pool_count > 0) {
        pool_destroy(&self->pools[--self->pool_count], left);
    }
    for (size_t i = 0; i < self->handler_count; i++) {
        self->handlers[i]->pool = NULL;
    }
    house_destroy(&self->house);
    free(self->pools);
    free(self->inmates);
    self->pools = NULL;
    self->inmates = NULL;
}

// close_down ends a manager whose own process has ended too often.
static void
close_down(edri_manager_t *self)
{
    edri_err_t err = EDRI_OK;
    jobs_t ended;
    jobs_init(&ended);
    self->why = str_printf(
        "manager %s was closed: %s", self->name, house_why(self->house, &err));
    end_pools(self, &ended);
    retire(self, &ended, self->why);
    jobs_clear(&ended);
}

void
manager_close(edri_manager_t *self)
{
    end_pools(self, NULL);
    leave_all(self);
    crew_end(&self->crew, &self->worker);
    if (self->is_ready && !self->apart) {
        manager_call_stopped(self);
    }
    edri_port_destroy(&self->port);
    load_clear(&self->load);
    arena_destroy(&self->arena);
}

// move_out starts the manager's own process, and waits until it is ready.
static edri_err_t
move_out(edri_manager_t *self)
{
    const char *why = NULL;
    edri_err_t err = start_pools(self);
    err = err == EDRI_OK ? house_begun(self->house, &why) : err;
    while (err == EDRI_AGAIN) {
        (void)wait_bell(self, -1);
        err = self->port->quit ? EDRI_CLOSED : house_begun(self->house, &why);
    }
    if (err != EDRI_OK && why != NULL) {
        self->failed = "its process could not begin";
        (void)edri_manager_fail(self, err, "%s", why);
    }
    return err;
}

// become_ready waits for the node and calls the hook.  Returns false when the
// manager must end.
static bool
become_ready(edri_manager_t *self)
{
    if (queue_take(self->orders) == NULL) {
        return false;
    }
    self->err =
        self->apart ? move_out(self) : manager_call_started(self, self->port);
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
        if (!self->port->quit && !atomic_load(&self->port->stop)) {
            close_down(self);
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

edri_err_t
manager_call_started(edri_manager_t *self, edri_port_t *port)
{
    self->failed = "its hook, started, failed";
    return self->hooks.started != NULL
               ? self->hooks.started(self, port, self->crew.state)
               : EDRI_OK;
}

void
manager_call_draining(edri_manager_t *self, edri_port_t *port)
{
    if (self->hooks.draining != NULL) {
        self->hooks.draining(self, port, self->crew.state);
    }
}

void
manager_call_stopped(edri_manager_t *self)
{
    if (self->hooks.stopped != NULL) {
        self->hooks.stopped(self, self->crew.state);
    }
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
