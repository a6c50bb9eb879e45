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
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/queue.h"
#include "edri/log.h"
#include "node/ask.h"
#include "node/pools.h"
#include "node/renew.h"
#include "node/retire.h"
#include "node/tunnel.h"
#include "node/turn.h"
#include "node/watch.h"
#include "node/work/house.h"
#include "node/work/workers.h"

// What is said in 'started' and 'orders'.
static char word;

edri_manager_t *
manager_new(edri_node_t *node, const char *name, bool dead)
{
    edri_manager_t *self = mem_new(sizeof *self);
    self->node = node;
    self->name = str_dup(name != NULL ? name : "");
    self->dead = dead;
    self->started = queue_new();
    self->orders = queue_new();
    self->crew.manager = self;
    faults_init(&self->faults);
    self->crew.faults = &self->faults;
    self->now = self->draft = edition_new(&self->crew, 0);
    self->failed = "cannot be started";
    self->wake_fd = -1;
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
    while (self->ending != NULL) {
        edition_t *next = self->ending->next;
        edition_destroy(&self->ending);
        self->ending = next;
    }
    edition_destroy(&self->now);
    free(self->demands);
    queue_destroy(&self->started);
    queue_destroy(&self->orders);
    watch_destroy(&self->watch);
    free(self->error);
    free(self->why);
    faults_end(&self->faults);
    agenda_destroy(&self->agenda);
    jobs_clear(&self->held);
    jobs_clear(&self->waiting);
    spares_clear(&self->spares);
    free(self->name);
    free(self);
}

void
manager_came_from(edri_manager_t *self, library_t *library)
{
    self->now->library = library;
}

const handler_t *
manager_handler(const edri_manager_t *self, uint64_t type, bool observes)
{
    return edition_handler(self->now, type, observes);
}

const crew_t *
manager_crew(const edri_manager_t *self)
{
    return &self->now->crew;
}

// ----- the thread

// find_ranks looks whether its methods' types differ in priority.
static void
find_ranks(const edition_t *edition, edri_port_t *like)
{
    bool any = false;
    for (size_t i = 0; i < edition->handler_count; i++) {
        const handler_t *handler = edition->handlers[i];
        uint8_t priority = handler->type->priority;
        if (handler->workers.kind == WORKERS_METHOD && !edition->apart) {
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
    const edition_t *edition = self->now;
    self->demands = mem_new((edition->handler_count + 1) * sizeof(demand_t));
    for (size_t i = 0; i < edition->handler_count; i++) {
        const handler_t *handler = edition->handlers[i];
        self->demands[i] = (demand_t){
            .ref = shared_map_get(self->node->types, handler->type->id),
            .observer = handler->observe != NULL,
            .pooled = edition->apart || handler->workers.kind != WORKERS_METHOD,
            .replay = handler->replay,
            .replay_age_ms = handler->replay_age_ms};
    }
    find_ranks(edition, like);
    like->manager = self->name;
    like->demands = self->demands;
    like->demand_count = edition->handler_count;
    like->lossy = edition->lossy;
    like->tunnel_limit =
        self->section.tunnels > 0 ? (size_t)self->section.tunnels : 0;
    like->queue = edition->queue;
    like->faults = &self->faults;
    // A program of its own says itself what it does then; a plugin may have another
    // hook by then.
    like->drains = edition->hooks.draining != NULL ||
                   edition->library != NULL ||
                   (edition->apart && self->section.program != NULL);
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

edri_err_t
manager_open(edri_manager_t *self)
{
    edri_port_t like = {0};
    if (manager_has_processes(self) || self->now->library != NULL) {
        self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    build_demands(self, &like);
    self->watch_ms = -1;
    self->arena = arena_new();
    self->port = port_new(self->node, &like);
    edri_err_t err =
        self->port != NULL ? edition_begin_worker(self->now) : EDRI_SYSTEM;
    // A process of its own is there for the hook, which comes later.
    return err == EDRI_OK && !self->now->apart
               ? pools_start(self, self->now, NULL)
               : err;
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

// wait_bell waits for the router, for those who look after processes, or for a
// change of a file that is watched.
static edri_err_t
wait_bell(edri_manager_t *self, int64_t until_ms)
{
    zmq_pollitem_t items[3]; // the first is the port's
    uint64_t count = 0;
    bool watches =
        self->watch != NULL && self->now->is_ready && !self->renewing;
    if (self->wake_fd < 0) {
        return port_sleep(self->port, until_ms);
    }
    items[1] = (zmq_pollitem_t){.fd = self->wake_fd, .events = ZMQ_POLLIN};
    items[2] =
        (zmq_pollitem_t){.fd = watch_fd(self->watch), .events = ZMQ_POLLIN};
    edri_err_t err =
        port_wait_with(self->port, items, watches ? 3 : 2, until_ms);
    (void)!read(self->wake_fd, &count, sizeof count);
    return err;
}

// sleep_on waits for the bell, or until something is due.
static void
sleep_on(edri_manager_t *self, bool may_wait)
{
    if (self->port->heard != NULL || self->port->starved) {
        tunnels_call(self->port);
    }
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

// heed_health ends a process of its own that the node has found stuck.
static void
heed_health(edri_manager_t *self)
{
    if (self->house == NULL ||
        !atomic_load_explicit(&self->port->stuck, memory_order_relaxed)) {
        return;
    }
    atomic_store(&self->port->stuck, false);
    if (self->node->limits.restart_stuck) {
        house_restart(
            self->house, "it was stuck: nothing had gone on for health.stuck");
    }
}

bool
manager_step(edri_manager_t *self, bool may_wait)
{
    turn_resume(self);
    tell_drain(self);
    renew_tend(self);
    heed_health(self);
    if (self->now->pool_count > 0 || self->ending != NULL) {
        pools_watch(self);
    }
    spares_tend(&self->spares, clock_ms());
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

// close_down ends a manager whose own process has ended too often.
static void
close_down(edri_manager_t *self)
{
    edri_err_t err = EDRI_OK;
    jobs_t ended;
    jobs_init(&ended);
    self->why = str_printf(
        "manager %s was closed, its process had ended more often than "
        "worker.restarts allows: %s",
        self->name, house_why(self->house, &err));
    pools_end(self, self->now, &ended);
    retire(self, &ended, self->why);
    jobs_clear(&ended);
}

void
manager_close(edri_manager_t *self)
{
    edition_t *edition = self->now;
    renew_close(self);
    pools_end(self, edition, NULL);
    leave_all(self);
    crew_end(&edition->crew, &edition->worker);
    if (edition->is_ready && !edition->apart) {
        manager_call_stopped(self);
    }
    edri_port_destroy(&self->port);
    load_clear(&self->load);
    arena_destroy(&self->arena);
    watch_destroy(&self->watch);
    if (self->wake_fd >= 0) {
        (void)close(self->wake_fd);
        self->wake_fd = -1;
    }
}

// move_out starts the manager's own process, and waits until it is ready.
static edri_err_t
move_out(edri_manager_t *self)
{
    const char *why = NULL;
    edri_err_t err = pools_start(self, self->now, NULL);
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
    self->err = self->now->apart ? move_out(self)
                                 : manager_call_started(self, self->port);
    self->now->is_ready = self->err == EDRI_OK;
    queue_put(self->started, &word);
    return self->err == EDRI_OK;
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
    return edition_call_started(self->now, port);
}

void
manager_call_draining(edri_manager_t *self, edri_port_t *port)
{
    edition_call_draining(self->now, port);
}

void
manager_call_stopped(edri_manager_t *self)
{
    edition_call_stopped(self->now);
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
