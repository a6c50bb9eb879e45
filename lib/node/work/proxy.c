// SPDX-License-Identifier: MIT
// proxy.c - a thread of a pool that stands for a process, or for a thread of one.

#include "node/work/proxy.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "edri/log.h"
#include "node/system.h"
#include "node/work/house.h"
#include "node/work/relay.h"

// An idle process is looked at this often.
#define IDLE_MS 1000

// A task that may be short is looked for that long before its proxy sleeps: to be
// woken takes longer.  What was long then makes it sleep at once the next times.
#define SPIN_NS   ((int64_t)30000)
#define SLEEP_MAX 64

// After so many starts in a row that came to nothing, tasks no longer wait.
#define FAILURES_MAX 3

typedef struct proxy {
    runner_t base; // first
    roster_t *roster;
    edri_port_t *port;
    relay_t relay;
    house_t *house;   // NULL: the process is this proxy's alone
    unsigned seat;    // there
    hand_t hand;      // the process, without a house
    int pid;          // 0: none
    uint64_t life;    // of the house
    bool was_ready;   // since it was started
    unsigned renewal; // of the roster, that it has seen to
    bool renewing;    // it is at it
    // how it went
    backoff_t backoff;
    int64_t restart_ms; // no start before
    unsigned failures;  // starts in a row that came to nothing
    char *why;          // how the last one ended; NULL: none has
    // the task
    edri_task_t *task;
    bool unwanted;       // nobody waits for it: we end the process
    unsigned long_tasks; // in a row: so often it sleeps at once,
    unsigned sleeps;     // this often yet
} proxy_t;

static counters_t *
counters(const proxy_t *self)
{
    return &self->roster->node->counters;
}

// leaving says whether the node stops, or the manager has given up.
static bool
leaving(const proxy_t *self)
{
    return relay_stopping(&self->relay) ||
           (self->house != NULL && house_closed(self->house));
}

// keeps_house says whether this proxy starts the process of a house and buries
// it.
static bool
keeps_house(const proxy_t *self)
{
    return self->house != NULL && self->seat == 0;
}

// ----- the end of a process

// leave_house closes the seat in the life that it is in.
static void
leave_house(proxy_t *self)
{
    if (self->house != NULL && self->life != 0) {
        house_leave(self->house, self->life);
    }
    self->life = 0;
}

// dismiss ends the process.  Returns how that went; the caller frees it.
static char *
dismiss(proxy_t *self, int64_t grace_ms)
{
    uint64_t life = self->life;
    bool forced = grace_ms == 0 && self->relay.reason[0] != '\0';
    if (self->was_ready) {
        atomic_fetch_sub(&self->roster->ready, 1);
    }
    relay_reset(&self->relay);
    self->was_ready = false;
    self->pid = 0;
    if (self->house == NULL) {
        return roster_dismiss(&self->hand, grace_ms);
    }
    if (forced) {
        house_condemn(self->house, life, self->relay.reason);
    }
    leave_house(self);
    if (keeps_house(self)) {
        return house_bury(self->house, grace_ms);
    }
    house_clear(self->house, clock_ms(), self->roster->grace_ms);
    house_condemn(self->house, life, NULL); // its keeper looks after it
    return house_mourn(self->house, life, self->roster->grace_ms);
}

static void
pause_starts(proxy_t *self)
{
    self->restart_ms = clock_ms() + backoff_next(&self->backoff, random_u64());
}

// report says that a process has ended, once for each.
static void
report(proxy_t *self)
{
    const roster_plan_t *plan = &self->roster->plan;
    bool works = self->relay.job != NULL;
    counter_add(counters(self), COUNTER_WORKERS_DIED, 1);
    edri_log_warn("WORKER-DIED", "manager=%s event=%llu text=\"%s\"",
        plan->manager, (unsigned long long)(works ? self->task->env.id : 0),
        self->why);
    system_worker_down(self->port, plan->manager, plan->what, self->why);
}

// count_end counts the end of a house: it may be the last.
static void
count_end(proxy_t *self)
{
    edri_err_t err = (edri_err_t)self->relay.error;
    if (err == EDRI_OK || err == EDRI_AGAIN) {
        err = EDRI_WORKER_DIED; // whatever the process said: it is over
    }
    if (!house_ended(self->house, clock_ms(), err, self->why) &&
        !relay_stopping(&self->relay)) {
        edri_log_error("MANAGER-CLOSED", "manager=%s text=\"%s\"",
            self->roster->plan.manager, self->why);
    }
}

// bury sees to a process that has ended, or has to: 'why' says how.
static void
bury(proxy_t *self)
{
    relay_t *relay = &self->relay;
    int pid = self->pid;
    bool forced = relay->reason[0] != '\0';
    self->failures += !self->was_ready;
    for (size_t i = 0; i < relay->asked_count && i < ASKED_MAX; i++) {
        port_cancel(self->port, relay->asked[i]); // nobody hears the answers
    }
    relay->asked_count = 0;
    char *how = dismiss(self, forced ? 0 : self->roster->grace_ms);
    bool told = self->house != NULL; // 'how' has the reason
    free(self->why);
    self->why = str_printf("worker %d of %s %s%s", pid, self->roster->plan.what,
        forced && !told ? "was ended: " : how,
        forced && !told ? relay->reason : "");
    free(how);
    if (self->house == NULL || keeps_house(self)) {
        pause_starts(self);
        report(self);
    }
    if (keeps_house(self) && !self->renewing) {
        count_end(self);
    }
}

// ----- its beginning

// not_started notes that no process could be started.
static void
not_started(proxy_t *self, const char *why)
{
    self->failures++;
    free(self->why);
    self->why = str_printf(
        "no worker of %s could be started: %s", self->roster->plan.what, why);
    edri_log_error("WORKER-START", "manager=%s text=\"%s\"",
        self->roster->plan.manager, self->why);
    pause_starts(self);
    if (self->house != NULL && !self->renewing) {
        count_end(self);
    }
}

// hire starts a process, or takes the seat in one that the house's keeper has
// started.  Returns EDRI_OK, EDRI_AGAIN: no seat is there now, or EDRI_WORKER_DIED.
static edri_err_t
hire(proxy_t *self)
{
    const char *why = NULL;
    carrier_t *carrier = NULL;
    int end_fd = -1;
    edri_err_t err = EDRI_OK;
    if (self->house == NULL) {
        err = roster_hire(self->roster, &self->hand, &carrier, 1, &why);
        self->pid = (int)self->hand.process.pid;
        end_fd = self->hand.process.fd;
    } else if (self->seat == 0) {
        err = house_start(self->house, self->roster, &why);
    }
    if (err != EDRI_OK) {
        not_started(self, why);
        return EDRI_WORKER_DIED;
    }
    if (self->house != NULL) {
        house_visit_t visit = house_enter(self->house, self->seat);
        carrier = visit.carrier;
        self->life = visit.life;
        self->pid = visit.pid;
        end_fd = visit.end_fd;
    }
    if (carrier == NULL && keeps_house(self)) { // it was ended at once
        char *how = house_bury(self->house, 0);
        not_started(self, how);
        free(how);
        return EDRI_WORKER_DIED;
    }
    if (carrier == NULL) {
        return EDRI_AGAIN;
    }
    if (self->house == NULL || self->seat == 0) {
        counter_add(counters(self), COUNTER_WORKERS_STARTED, 1);
    }
    self->relay.channel.carrier = carrier;
    self->relay.end_fd = end_fd;
    self->relay.error = 0;
    return EDRI_OK;
}

// start starts a process and waits until it is ready.  Returns EDRI_OK,
// EDRI_AGAIN, EDRI_WORKER_DIED or EDRI_CLOSED.
static edri_err_t
start(proxy_t *self)
{
    int64_t deadline = clock_ms() + self->roster->start_ms;
    edri_err_t err = hire(self);
    if (err != EDRI_OK) {
        return err;
    }
    while (err == EDRI_OK && !self->relay.ready) {
        err = relay_step(&self->relay, deadline);
        if (err == EDRI_DEADLINE) {
            err = relay_broke(
                &self->relay, "it was not ready within worker.start");
        }
    }
    if (err == EDRI_WORKER_DIED) {
        bury(self);
    } else if (err == EDRI_OK) {
        self->failures = 0;
        self->was_ready = true;
        atomic_fetch_add(&self->roster->ready, 1);
        if (self->house != NULL) {
            house_ready(self->house, self->seat);
        }
    }
    return err;
}

// await_house waits for a life of the house whose seat was not taken.
static void
await_house(proxy_t *self)
{
    zmq_pollitem_t items[2]; // the first is the port's
    items[1] = (zmq_pollitem_t){
        .fd = house_bell(self->house, self->seat), .events = ZMQ_POLLIN};
    (void)port_wait_with(self->port, items, 2, -1);
    house_heard(self->house, self->seat);
}

// may_start waits until a start is allowed.  Returns EDRI_OK or EDRI_CLOSED.
static edri_err_t
may_start(proxy_t *self)
{
    edri_err_t err = EDRI_OK;
    while (
        err != EDRI_CLOSED && !leaving(self) && clock_ms() < self->restart_ms) {
        err = port_sleep(self->port, self->restart_ms);
    }
    return leaving(self) ? EDRI_CLOSED : EDRI_OK;
}

// look hears what an idle process has said, and whether it has ended.
static void
look(proxy_t *self)
{
    edri_err_t err = self->was_ready ? EDRI_OK : EDRI_AGAIN;
    // Our own close their connection when they end.
    if (err == EDRI_OK && self->roster->plan.program != NULL &&
        self->house == NULL && process_ended(&self->hand.process)) {
        self->relay.ended = true;
    }
    if (err == EDRI_OK && self->house != NULL &&
        !house_lives(self->house, self->life)) {
        err = relay_broke(&self->relay, NULL);
    }
    while (err == EDRI_OK) {
        err = relay_advance(&self->relay);
    }
    if (err == EDRI_WORKER_DIED) {
        bury(self);
    }
}

// get_ready sees to it that a process waits for a task.  Returns EDRI_OK;
// EDRI_WORKER_DIED, 'why' says so, or EDRI_CLOSED.
static edri_err_t
get_ready(proxy_t *self)
{
    look(self);
    edri_err_t err = leaving(self) ? EDRI_CLOSED : EDRI_OK;
    while (!self->relay.ready && err != EDRI_CLOSED) {
        if (self->house == NULL && self->failures >= FAILURES_MAX &&
            clock_ms() < self->restart_ms) {
            return EDRI_WORKER_DIED;
        }
        err = may_start(self);
        if (err == EDRI_OK) {
            err = start(self);
        }
        if (err == EDRI_AGAIN) {
            await_house(self);
        }
    }
    if (leaving(self)) {
        return EDRI_CLOSED;
    }
    return self->relay.ready ? EDRI_OK : err;
}

// ----- as a runner

// drain lets the manager's own process call its hook.
static void
drain(proxy_t *self)
{
    relay_t *relay = &self->relay;
    edri_err_t err = EDRI_OK;
    relay_drain(relay);
    while (err == EDRI_OK && !relay->drained) {
        err = relay_step(relay, -1);
    }
    if (err == EDRI_WORKER_DIED) {
        bury(self); // what it had to say, nobody will
    }
    house_drained(self->house);
}

// renew starts a process beside the one that waits here, and goes over to it when
// it is ready; else the old one stays.
static void
renew(proxy_t *self)
{
    relay_t old = self->relay;
    hand_t old_hand = self->hand;
    uint64_t old_life = self->life;
    int old_pid = self->pid;
    // What is held of the old one's is its own.
    relay_begin(&self->relay);
    self->life = 0;
    self->was_ready = false;
    self->pid = 0;
    self->renewing = true;
    edri_err_t err = start(self);
    self->renewing = false;
    if (err != EDRI_OK && self->pid != 0) {
        free(dismiss(self, 0)); // the node stops meanwhile
    }
    if (err == EDRI_OK) {
        old.last_id = self->relay.last_id;
        relay_reset(&old);
        atomic_fetch_sub(&self->roster->ready, 1);
        if (self->house != NULL) {
            house_leave(self->house, old_life);
        } else {
            free(roster_dismiss(&old_hand, self->roster->grace_ms));
        }
        edri_log_info("WORKER-RENEWED", "manager=%s what=%s pid=%d before=%d",
            self->roster->plan.manager, self->roster->plan.what, self->pid,
            old_pid);
    } else {
        old.last_id = self->relay.last_id; // the new one may have used some
        self->relay = old;
        self->hand = old_hand;
        self->life = old_life;
        self->pid = old_pid;
        self->was_ready = true;
        self->restart_ms = 0;
        self->failures = 0;
    }
    roster_note_renewed(
        self->roster, err, err == EDRI_CLOSED ? "the node stops" : self->why);
}

// follow does what was asked of processes beside their tasks; one waits for a task
// here.  Returns whether that may have changed.
static bool
follow(proxy_t *self)
{
    roster_t *roster = self->roster;
    unsigned renewal = atomic_load(&roster->renewal);
    if (keeps_house(self)) {
        house_clear(self->house, clock_ms(), roster->grace_ms);
    }
    if (self->house != NULL && self->seat > 0 &&
        house_newer(self->house, self->life)) {
        atomic_fetch_sub(&roster->ready, 1);
        relay_reset(&self->relay);
        self->was_ready = false;
        leave_house(self);
        return true;
    }
    if (self->renewal != renewal && !self->relay.held &&
        (self->house == NULL || self->seat == 0)) {
        self->renewal = renewal;
        renew(self);
        return true;
    }
    return false;
}

// get_current is get_ready for a process that is not to be renewed: no task is
// begun in the old one when there is a new one.
static edri_err_t
get_current(proxy_t *self)
{
    edri_err_t err = get_ready(self);
    return err == EDRI_OK && follow(self) ? get_ready(self) : err;
}

static int64_t
tend(runner_t *base)
{
    proxy_t *self = (proxy_t *)base;
    if (self->roster->plan.fresh) {
        return INT64_MAX;
    }
    edri_err_t err = get_current(self);
    if (err == EDRI_OK && keeps_house(self) && house_wants_drain(self->house)) {
        drain(self);
        err = get_ready(self);
    }
    // Jobs are only taken to be refused when no other process can have them.
    while (err == EDRI_WORKER_DIED && atomic_load(&self->roster->ready) > 0) {
        err = may_start(self);
        if (err == EDRI_OK) {
            err = get_ready(self);
        }
    }
    return err == EDRI_WORKER_DIED ? self->restart_ms : clock_ms() + IDLE_MS;
}

// end_badly ends a task that no handler has ended.  Returns its error.
static edri_err_t
end_badly(proxy_t *self, edri_err_t err, const char *text)
{
    edri_task_t *task = self->task;
    counter_add(counters(self), COUNTER_QUARANTINED, err == EDRI_QUARANTINED);
    counter_add(counters(self), COUNTER_WORKER_DIED, err == EDRI_WORKER_DIED);
    task->text = edri_task_strdup(task, text);
    faults_note(task->crew->faults, task->handler->type, err, text);
    if (envelope_kind(task->env.flags) == EDRI_REQUEST) {
        if (!task->opened) { // else the router closes the tunnel
            port_reply(
                self->port, &task->env, task->life, err, text, NULL, NULL);
        }
    } else {
        edri_log_warn("HANDLER-FAILED",
            "type=%s event=%llu error=%s text=\"%s\"",
            task->handler->type->name, (unsigned long long)task->env.id,
            edri_err_name(err), text);
    }
    return err;
}

// is_over says whether the time of the task has passed; a request ends at its
// asker, who watches it, too.
static bool
is_over(const proxy_t *self)
{
    const handler_t *handler = self->task->handler;
    if (self->task->deadline_ms < 0 || clock_ms() < self->task->deadline_ms) {
        return false;
    }
    counter_add(counters(self), COUNTER_EXPIRED, 1);
    drops_note(&self->roster->node->drops, handler->type->id, NULL,
        handler->manager, EDRI_DEADLINE, 1);
    return true;
}

// is_cancelled says whether the task was cancelled before it was begun.
static bool
is_cancelled(const proxy_t *self)
{
    bool cancelled = atomic_load(&self->task->cancelled_ms) != 0;
    counter_add(counters(self), COUNTER_NOT_BEGUN, cancelled);
    return cancelled;
}

// end_of is when a task that goes on has to end: worker.grace after nobody waited
// for it, or after the node began to stop; -1: never.
static int64_t
end_of(proxy_t *self, int64_t *stop_ms)
{
    uint64_t id = 0;
    int64_t since_ms = task_unwanted(self->task, &id);
    if (relay_stopping(&self->relay)) {
        *stop_ms = *stop_ms > 0 ? *stop_ms : clock_ms();
        since_ms = *stop_ms < since_ms ? *stop_ms : since_ms;
    }
    return since_ms < INT64_MAX ? since_ms + self->roster->grace_ms : -1;
}

// spin looks for the end of a task that may be short, without sleeping.  Returns as
// relay_advance, EDRI_AGAIN: it is not.
static edri_err_t
spin(proxy_t *self)
{
    edri_err_t err = EDRI_AGAIN;
    if (self->sleeps > 0) {
        self->sleeps--;
        return err;
    }
    int64_t end_ns = clock_ns() + SPIN_NS;
    while (err == EDRI_AGAIN && clock_ns() < end_ns) {
        (void)sched_yield(); // whoever has something to do goes first
        err = relay_advance(&self->relay);
    }
    self->long_tasks = err != EDRI_AGAIN              ? 0
                       : self->long_tasks < SLEEP_MAX ? 2 * self->long_tasks + 1
                                                      : SLEEP_MAX;
    self->sleeps = self->long_tasks;
    return err;
}

// see_through waits for the end of the task that the process has.  Returns
// EDRI_OK, EDRI_WORKER_DIED or EDRI_CLOSED.
static edri_err_t
see_through(proxy_t *self)
{
    relay_t *relay = &self->relay;
    edri_err_t err = spin(self);
    bool told = false;
    int64_t stop_ms = 0;
    err = err == EDRI_AGAIN ? EDRI_OK : err;
    while (err == EDRI_OK && !relay->ready) {
        int64_t end_ms = end_of(self, &stop_ms);
        if (!told && atomic_load(&self->task->cancelled_ms) != 0) {
            told = true;
            channel_cancel(
                &relay->channel, self->task->life, self->task->env.id);
        }
        bool over = end_ms >= 0 && clock_ms() >= end_ms;
        if (over && stop_ms > 0) {
            (void)relay_broke(relay, "the node stops");
            free(dismiss(self, 0));
            return EDRI_CLOSED;
        }
        if (over) {
            self->unwanted = true;
            return relay_broke(relay,
                "it went on for worker.grace after its task was cancelled or "
                "its time was over");
        }
        // Nothing rings when a manager is closed.
        int64_t look_ms = clock_ms() + IDLE_MS;
        err = relay_step(
            relay, end_ms >= 0 && end_ms < look_ms ? end_ms : look_ms);
        err = err == EDRI_DEADLINE ? EDRI_OK : err;
    }
    return err;
}

// work gives the task to the process and sees it through.  Returns how it ended
// when it is to be tried again or kept: of notifications only.
static edri_err_t
work(proxy_t *self)
{
    relay_t *relay = &self->relay;
    if (is_over(self)) {
        return EDRI_OK;
    }
    edri_err_t err = get_current(self);
    if (err == EDRI_OK && (is_over(self) || is_cancelled(self))) {
        return EDRI_OK;
    }
    if (err == EDRI_OK) {
        relay_give(relay, relay->job);
        err = see_through(self);
        if (err == EDRI_WORKER_DIED) {
            bury(self);
            // Not for what another seat has done, when that is known.
            bool innocent = self->house != NULL && relay->reason[0] == '\0' &&
                            strstr(self->why, " was ended: ") != NULL;
            if (!self->unwanted && !innocent) {
                roster_blame(
                    self->roster, self->task->life, self->task->env.id);
            }
        } else {
            backoff_reset(&self->backoff);
        }
    }
    if (relay->answered) {
        return relay->result;
    }
    return err == EDRI_OK
               ? err
               : end_badly(self, err,
                     err == EDRI_CLOSED ? "the node has stopped" : self->why);
}

// begin_task reads the job's event.  Returns false when there is nothing to do.
static bool
begin_task(proxy_t *self, const job_t *job)
{
    edri_task_t *task = self->task;
    if (envelope_read((slice_t){job->content, job->size}, &task->env) !=
        EDRI_OK) {
        counter_add(counters(self), COUNTER_MALFORMED, 1);
        return false;
    }
    task->handler = job->handler;
    task->life = job->origin.life;
    task->text = NULL;
    task->opened = false;
    task->attempt = job->tries;
    task->deadline_ms =
        task->env.ttl_ms > 0 ? job->origin.base_ms + task->env.ttl_ms : -1;
    atomic_store(&task->cancelled_ms, 0);
    atomic_store(&task->running, 0);
    self->relay.job = job;
    self->relay.answered = self->unwanted = false;
    self->relay.asked_count = 0;
    return true;
}

// run_request does a request, unless it was cancelled before.
static void
run_request(proxy_t *self)
{
    requests_t *requests = &self->roster->node->requests;
    if (!requests_enter(requests, self->task, clock_ms())) {
        counter_add(counters(self), COUNTER_NOT_BEGUN, 1);
        return;
    }
    (void)work(self); // the asker has its end
    atomic_store(&self->task->running, 0);
    requests_leave(requests, self->task);
}

static bool
run(runner_t *base, job_t *job, int64_t *due_ms)
{
    proxy_t *self = (proxy_t *)base;
    edri_err_t err = EDRI_OK;
    if (!begin_task(self, job)) {
        return false;
    }
    bool request = envelope_kind(self->task->env.flags) == EDRI_REQUEST;
    if (roster_barred(self->roster, job->origin.life, self->task->env.id)) {
        err = end_badly(self, EDRI_QUARANTINED,
            "its handlers have ended their processes worker.kills times");
    } else if (request) {
        run_request(self);
    } else {
        err = work(self);
    }
    bool again = job_again(job, self->task, request ? EDRI_OK : err, due_ms);
    task_end(self->task);
    self->relay.job = NULL;
    if (self->roster->plan.fresh && self->pid > 0) {
        free(dismiss(self, self->roster->grace_ms));
    }
    return again;
}

static bool
leaves(const runner_t *base)
{
    const proxy_t *self = (const proxy_t *)base;
    return atomic_load(&self->port->stop) || leaving(self);
}

static void
destroy(runner_t *base)
{
    proxy_t *self = (proxy_t *)base;
    relay_reset(&self->relay);
    if (self->house == NULL || keeps_house(self)) {
        free(dismiss(self, self->roster->grace_ms));
    } else {
        leave_house(self);
    }
    free(self->why);
    free(self);
}

runner_t *
runner_of_processes(roster_t *roster, edri_task_t *task)
{
    edri_port_t *port = task->port;
    proxy_t *self = mem_new(sizeof *self);
    self->base = (runner_t){tend, run, leaves, destroy};
    self->roster = roster;
    self->port = port;
    self->task = task;
    self->house = roster->plan.house;
    self->seat = roster->plan.first_seat + atomic_fetch_add(&roster->seats, 1);
    self->hand.lifeline = -1;
    // The processes count on from where the port stands; what the proxy says
    // itself has ids that they cannot reach.
    self->relay = (relay_t){.roster = roster,
        .port = port,
        .task = task,
        .end_fd = -1,
        .own = self->house != NULL && self->seat == 0,
        .gates = {.shared = self->house != NULL},
        .last_id = port->next_id};
    port->next_id |= UINT64_C(0xffff) << 32;
    self->backoff = roster->backoff;
    self->renewal = atomic_load(&roster->renewal);
    return &self->base;
}
