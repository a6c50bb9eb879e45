// SPDX-License-Identifier: MIT
// proxy.c - a thread of a pool that stands for a process.

#include "node/proxy.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "edri/log.h"
#include "node/channel.h"
#include "node/gates.h"
#include "node/system.h"

// An idle process is looked at this often.
#define IDLE_MS 1000

// Requests of one task that are remembered, to be cancelled with its process.
#define ASKED_MAX 64

// After so many starts in a row that came to nothing, tasks no longer wait.
#define FAILURES_MAX 3

// Flags that only the node sets.
#define NODE_FLAGS (WIRE_REDELIVERED | WIRE_OBSERVED | WIRE_ASKED)

typedef struct proxy {
    runner_t base; // first
    roster_t *roster;
    edri_port_t *port;
    hand_t hand; // the process; its carrier is the channel's
    channel_t channel;
    bool was_ready; // since it was started
    bool ready;     // waits for a task
    bool ended;     // the kernel says so
    // how it went
    backoff_t backoff;
    int64_t restart_ms; // no start before
    unsigned failures;  // starts in a row that came to nothing
    char reason[256];   // why we end it; "": it ended by itself
    char *why;          // how the last one ended
    // the message that is being passed on
    message_t message;
    bool held;
    bool says_ready; // when it has been passed on
    slice_t rest;    // of its batch
    bool flushing;   // it waits for port->flushed
    gates_t gates;
    // the task
    edri_task_t *task;
    const job_t *job;          // NULL: none
    bool given;                // the process has it
    bool answered;             // and has ended it,
    edri_err_t result;         // so
    bool unwanted;             // nobody waits for it: we end the process
    uint64_t asked[ASKED_MAX]; // the newest of its requests
    size_t asked_count;
    uint64_t last_id; // of what the processes sent
} proxy_t;

static counters_t *
counters(const proxy_t *self)
{
    return &self->roster->node->counters;
}

static bool
stopping(const proxy_t *self)
{
    return self->port->quit || atomic_load(self->roster->stop);
}

// broke notes why a process has to be ended; NULL: it has ended by itself.
static edri_err_t
broke(proxy_t *self, const char *reason)
{
    (void)snprintf(
        self->reason, sizeof self->reason, "%s", reason != NULL ? reason : "");
    return EDRI_WORKER_DIED;
}

// ----- what the process says

// welcome answers HELLO: who the node is, and what the process works for.
static void
welcome(proxy_t *self)
{
    const handler_t *handler = self->roster->handler;
    const limits_t *limits = &self->roster->node->limits;
    Edri__Link__Welcome welcomed = EDRI__LINK__WELCOME__INIT;
    Edri__Link__Work work = EDRI__LINK__WORK__INIT;
    control_t first = EDRI__LINK__CONTROL__INIT;
    control_t second = EDRI__LINK__CONTROL__INIT;
    welcomed.version = 1;
    welcomed.life = self->roster->node->life;
    welcomed.session = self->port->number;
    // protobuf-c writes to none of these.
    work.manager = (char *)(uintptr_t)handler->manager;
    work.type_name = (char *)(uintptr_t)handler->type->name;
    work.type = handler->type->id;
    work.last_id = self->last_id;
    work.body_limit = limits->body_max;
    work.emit_wait_ms = (uint64_t)limits->emit_wait_ms;
    work.window_bytes = limits->port_queue;
    work.node = (char *)(uintptr_t)self->roster->node->name;
    work.target = self->port->target;
    work.time_limit_ms = handler->limit_ms;
    first.word_case = EDRI__LINK__CONTROL__WORD_WELCOME;
    first.welcome = &welcomed;
    second.word_case = EDRI__LINK__CONTROL__WORD_WORK;
    second.work = &work;
    channel_say(&self->channel, (control_t *[]){&first, &second}, 2);
}

static edri_err_t
on_offer(proxy_t *self, const head_t *head, const Edri__Link__Offer *offer)
{
    char why[256];
    return learned_offer(self->roster->node, head, offer, why, sizeof why) ==
                   EDRI_OK
               ? EDRI_OK
               : broke(self, why);
}

static edri_err_t
on_word(proxy_t *self, const head_t *head, const control_t *word)
{
    Edri__Link__Control__WordCase what = word->word_case;
    if (what == EDRI__LINK__CONTROL__WORD_READY) {
        self->says_ready = true;
    } else if (what == EDRI__LINK__CONTROL__WORD_OFFER) {
        return on_offer(self, head, word->offer);
    } else if (what == EDRI__LINK__CONTROL__WORD_FLUSH) {
        port_ask_flush(self->port);
        self->flushing = true;
    } else if (what == EDRI__LINK__CONTROL__WORD_QUIT) {
        edri_node_quit(self->roster->node);
    } else if (what == EDRI__LINK__CONTROL__WORD_HELLO) {
        if (word->hello->version != 1) {
            return broke(self, "it does not speak version 1");
        }
        welcome(self);
    } else if (what == EDRI__LINK__CONTROL__WORD_BYE) {
        return broke(self, word->bye->reason);
    } else if (what != EDRI__LINK__CONTROL__WORD_DESCRIBE &&
               what != EDRI__LINK__CONTROL__WORD_HEARTBEAT) {
        return broke(self, "it said a word that only a node or a switch says");
    }
    return EDRI_OK;
}

// take begins with a message: its words; its batch is passed on step by step.
static edri_err_t
take(proxy_t *self)
{
    const head_t *head = self->message.head;
    edri_err_t err = EDRI_OK;
    self->held = true;
    self->rest = self->message.batch;
    for (size_t i = 0; i < head->n_control && err == EDRI_OK; i++) {
        err = on_word(self, head, head->control[i]);
    }
    for (size_t i = 0; i < head->n_cancels; i++) {
        port_cancel(self->port, head->cancels[i]); // only its own
    }
    return err;
}

// ----- what the handler emits

// pass_event passes on a notification or request.  Returns EDRI_AGAIN while
// there is no room for it.
static edri_err_t
pass_event(proxy_t *self, slice_t item, const envelope_t *env)
{
    edri_port_t *port = self->port;
    typeref_t *ref = shared_map_get(self->roster->node->types, env->type);
    if (ref == NULL || envelope_kind(env->flags) != ref->type->kind) {
        return broke(self, "it emitted an event of a type that it has not "
                           "offered, or of another kind");
    }
    if (!self->given || (env->flags & NODE_FLAGS) != 0) {
        return broke(self, "it emitted without a task, or with wrong flags");
    }
    if (env->id >> 48 != port->number || env->id <= self->last_id) {
        return broke(self, "it emitted an event whose id is not the next");
    }
    int64_t base_ms =
        env->ttl_ms > 0 ? clock_ms() - self->message.head->age_ms : 0;
    edri_err_t err = port_pass(port, item, base_ms, &self->message.blob);
    if (err != EDRI_OK) {
        return err;
    }
    self->last_id = env->id;
    if (ref->type->kind == EDRI_REQUEST) {
        self->asked[self->asked_count++ % ASKED_MAX] = env->id;
    }
    const char *why = gates_heed(&self->gates, port, &self->channel, ref);
    return why == NULL ? EDRI_OK : broke(self, why);
}

static void
note_drop(const proxy_t *self, edri_err_t reason)
{
    const handler_t *handler = self->roster->handler;
    drops_note(&self->roster->node->drops, handler->type->id, NULL,
        handler->manager, reason, 1);
}

// finished counts how a task has ended.
static void
finished(proxy_t *self, edri_err_t err, slice_t text)
{
    const edri_type_t *type = self->roster->handler->type;
    edri_task_t *task = self->task;
    self->answered = true;
    self->result = err;
    atomic_store(&task->running, 0);
    counter_add(counters(self),
        err == EDRI_OK ? COUNTER_HANDLED : COUNTER_HANDLER_FAILED, 1);
    if (err == EDRI_UNDECODABLE) {
        counter_add(counters(self), COUNTER_UNDECODABLE, 1);
        note_drop(self, err);
    }
    if (err != EDRI_OK) {
        task->text = edri_task_printf(task, "%.*s", (int)text.len,
            text.data != NULL ? (const char *)text.data : "");
        faults_note(task->crew->faults, type, err, task->text);
    }
    if (err != EDRI_OK && type->kind != EDRI_REQUEST) {
        edri_log_warn("HANDLER-FAILED", "type=%s error=%s text=\"%s\"",
            type->name, edri_err_name(err), task->text);
    }
}

// pass_reply takes the end of the task, and passes it on to who asked.
static edri_err_t
pass_reply(proxy_t *self, slice_t item, slice_t content)
{
    envelope_t reply;
    if (envelope_read(content, &reply) != EDRI_OK || !self->given ||
        self->answered || reply.request != self->task->env.id ||
        reply.type != self->task->env.type ||
        reply.to != self->job->origin.life || (reply.flags & NODE_FLAGS) != 0 ||
        reply.text.len > WIRE_TEXT_MAX) {
        return broke(self, "it replied to what it was not asked");
    }
    if (envelope_kind(self->task->env.flags) == EDRI_REQUEST) {
        edri_err_t err = port_pass(self->port, item, 0, &self->message.blob);
        if (err != EDRI_OK) {
            return err;
        }
    }
    finished(self, (edri_err_t)reply.error, reply.text);
    return EDRI_OK;
}

static edri_err_t
pass_one(proxy_t *self, slice_t item, slice_t content)
{
    envelope_t env;
    if (envelope_route(content, &env) != EDRI_OK) {
        return broke(self, "what it emitted is no envelope");
    }
    bool attached = (env.flags & WIRE_ATTACHED) != 0;
    if (attached != (self->message.blob != NULL)) {
        return broke(self, "an attachment is missing, or is nobody's");
    }
    edri_err_t err = envelope_kind(env.flags) == EDRI_REPLY
                         ? pass_reply(self, item, content)
                         : pass_event(self, item, &env);
    if (err == EDRI_OK && env.id >> 48 == self->port->number &&
        env.id > self->last_id) {
        self->last_id = env.id;
    }
    return err;
}

// pass_on goes on with the message that is held.  Returns EDRI_OK when that is
// done, or EDRI_AGAIN: the bell will be rung.
static edri_err_t
pass_on(proxy_t *self)
{
    slice_t item;
    slice_t content;
    for (slice_t rest = self->rest; batch_next(&rest, &item, &content);) {
        edri_err_t err = pass_one(self, item, content);
        if (err != EDRI_OK) {
            return err;
        }
        self->rest = rest;
    }
    if (self->rest.len > 0) {
        return broke(self, "what it emitted is no batch");
    }
    if (self->message.batch.len > 0 &&
        self->message.head->lane != EDRI__WIRE__LANE__REPLY_LANE) {
        channel_took(&self->channel);
    }
    message_clear(&self->message);
    self->held = false;
    if (self->says_ready && self->given && !self->answered) {
        return broke(self, "it wants a task and has not ended the last");
    }
    if (self->says_ready) {
        self->ready = true;
        self->given = self->says_ready = false;
    }
    return EDRI_OK;
}

// ----- one step

// give_replies hands over what came for requests of the handler.
static void
give_replies(proxy_t *self)
{
    cargo_t cargo;
    size_t spent = 0;
    while (channel_next(&self->channel, self->port->in, &cargo, &spent)) {
        head_t head = EDRI__WIRE__HEAD__INIT;
        channel_send(&self->channel, &head, &cargo);
    }
    if (spent > 0) {
        port_release(self->port, self->port->in, spent);
    }
    if (self->flushing && self->port->flushed) {
        Edri__Link__Flush flush = EDRI__LINK__FLUSH__INIT;
        control_t word = EDRI__LINK__CONTROL__INIT;
        word.word_case = EDRI__LINK__CONTROL__WORD_FLUSH;
        word.flush = &flush;
        self->flushing = false;
        channel_say(&self->channel, (control_t *[]){&word}, 1);
    }
}

// await waits for the router, the process, or its end.
static edri_err_t
await(proxy_t *self, int64_t deadline_ms)
{
    zmq_pollitem_t items[3]; // the first is the port's
    int count = 1;
    int end = 0;
    // While a message is held nothing more is read: that pushes back.
    carrier_item(self->channel.carrier, !self->held, &items[count]);
    count += items[count].events != 0;
    if (!self->held && !self->ended) {
        end = count++;
        items[end] =
            (zmq_pollitem_t){.fd = self->hand.process.fd, .events = ZMQ_POLLIN};
    }
    edri_err_t err = port_wait_with(self->port, items, count, deadline_ms);
    self->ended = self->ended || (end > 0 && items[end].revents != 0);
    return err;
}

// advance does what there is to do.  Returns EDRI_OK, EDRI_AGAIN: nothing now,
// EDRI_CLOSED: the node stops, or EDRI_WORKER_DIED.
static edri_err_t
advance(proxy_t *self)
{
    const char *why = NULL;
    if (stopping(self) && !self->given) {
        return EDRI_CLOSED;
    }
    (void)carrier_flush(self->channel.carrier);
    give_replies(self);
    gates_look(&self->gates, self->port, &self->channel);
    if (self->held) {
        return pass_on(self);
    }
    edri_err_t err = channel_receive(&self->channel, &self->message, &why);
    if (err == EDRI_OK) {
        return take(self);
    }
    // What it had sent has been read: then its end counts.
    return err == EDRI_AGAIN && !self->ended ? err : broke(self, why);
}

// step is advance that waits for something to do; or EDRI_DEADLINE.
static edri_err_t
step(proxy_t *self, int64_t deadline_ms)
{
    edri_err_t err = advance(self);
    return err == EDRI_AGAIN ? await(self, deadline_ms) : err;
}

// ----- the process

// dismiss ends the process and says how that went.
static char *
dismiss(proxy_t *self, int64_t grace_ms)
{
    if (self->was_ready) {
        atomic_fetch_sub(&self->roster->ready, 1);
    }
    message_clear(&self->message);
    channel_clear(&self->channel);
    self->held = self->says_ready = self->flushing = self->given = false;
    self->ready = self->was_ready = self->ended = false;
    self->gates.count = 0;
    return roster_dismiss(&self->hand, grace_ms);
}

static void
pause_starts(proxy_t *self)
{
    self->restart_ms = clock_ms() + backoff_next(&self->backoff, random_u64());
}

// bury sees to a process that has ended, or has to: 'why' says how.
static void
bury(proxy_t *self)
{
    const handler_t *handler = self->roster->handler;
    int pid = (int)self->hand.process.pid;
    bool forced = self->reason[0] != '\0';
    self->failures += !self->was_ready;
    for (size_t i = 0; i < self->asked_count && i < ASKED_MAX; i++) {
        port_cancel(self->port, self->asked[i]); // nobody hears the answers
    }
    self->asked_count = 0;
    char *how = dismiss(self, forced ? 0 : self->roster->grace_ms);
    free(self->why);
    self->why = str_printf("worker %d of %s %s%s", pid, handler->type->name,
        forced ? "was ended: " : how, forced ? self->reason : "");
    free(how);
    pause_starts(self);
    counter_add(counters(self), COUNTER_WORKERS_DIED, 1);
    edri_log_warn("WORKER-DIED", "manager=%s event=%llu text=\"%s\"",
        handler->manager,
        (unsigned long long)(self->job != NULL ? self->task->env.id : 0),
        self->why);
    system_worker_down(self->port, handler, self->why);
}

// start starts a process and waits until it is ready.  Returns EDRI_OK,
// EDRI_WORKER_DIED or EDRI_CLOSED.
static edri_err_t
start(proxy_t *self)
{
    const char *why = NULL;
    int64_t deadline = clock_ms() + self->roster->start_ms;
    if (roster_hire(self->roster, &self->hand, &why) != EDRI_OK) {
        self->failures++;
        free(self->why);
        self->why = str_printf("no worker of %s could be started: %s",
            self->roster->handler->type->name, why);
        edri_log_error("WORKER-START", "manager=%s text=\"%s\"",
            self->roster->handler->manager, self->why);
        pause_starts(self);
        return EDRI_WORKER_DIED;
    }
    counter_add(counters(self), COUNTER_WORKERS_STARTED, 1);
    self->channel.carrier = self->hand.carrier;
    self->hand.carrier = NULL;
    edri_err_t err = EDRI_OK;
    while (err == EDRI_OK && !self->ready) {
        err = step(self, deadline);
        if (err == EDRI_DEADLINE) {
            err = broke(self, "it was not ready within worker.start");
        }
    }
    if (err == EDRI_WORKER_DIED) {
        bury(self);
    } else if (err == EDRI_OK) {
        self->failures = 0;
        self->was_ready = true;
        atomic_fetch_add(&self->roster->ready, 1);
    }
    return err;
}

// may_start waits until a start is allowed.  Returns EDRI_OK or EDRI_CLOSED.
static edri_err_t
may_start(proxy_t *self)
{
    edri_err_t err = EDRI_OK;
    while (err != EDRI_CLOSED && !stopping(self) &&
           clock_ms() < self->restart_ms) {
        err = port_sleep(self->port, self->restart_ms);
    }
    return stopping(self) ? EDRI_CLOSED : EDRI_OK;
}

// look hears what an idle process has said, and whether it has ended.
static void
look(proxy_t *self)
{
    edri_err_t err = self->was_ready ? EDRI_OK : EDRI_AGAIN;
    if (err == EDRI_OK && process_ended(&self->hand.process)) {
        self->ended = true;
    }
    while (err == EDRI_OK) {
        err = advance(self);
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
    edri_err_t err = stopping(self) ? EDRI_CLOSED : EDRI_OK;
    while (!self->ready && err != EDRI_CLOSED) {
        if (self->failures >= FAILURES_MAX && clock_ms() < self->restart_ms) {
            return EDRI_WORKER_DIED;
        }
        err = may_start(self);
        if (err == EDRI_OK) {
            err = start(self);
        }
    }
    if (stopping(self)) {
        return EDRI_CLOSED;
    }
    return self->ready ? EDRI_OK : err;
}

// ----- as a runner

static int64_t
tend(runner_t *base)
{
    proxy_t *self = (proxy_t *)base;
    if (self->roster->fresh) {
        return INT64_MAX;
    }
    edri_err_t err = get_ready(self);
    // Jobs are only taken to be refused when no other process can have them.
    while (err == EDRI_WORKER_DIED && atomic_load(&self->roster->ready) > 0) {
        err = may_start(self);
        if (err == EDRI_OK) {
            err = get_ready(self);
        }
    }
    return err == EDRI_WORKER_DIED ? self->restart_ms : clock_ms() + IDLE_MS;
}

// give hands the task to the process.
static void
give(proxy_t *self, const job_t *job)
{
    Edri__Wire__Destination to = EDRI__WIRE__DESTINATION__INIT;
    Edri__Wire__Destination *to_p = &to;
    uint32_t target = self->port->number;
    head_t head = EDRI__WIRE__HEAD__INIT;
    to.life = self->roster->node->life;
    to.targets = &target;
    to.n_targets = 1;
    to.redelivered = job->origin.redelivered;
    to.missed = job->missed;
    to.attempt = job->tries;
    to.sender = (char *)(uintptr_t)edri_task_sender(self->task);
    head.to = &to_p;
    head.n_to = 1;
    head.types = &self->task->env.type;
    head.n_types = 1;
    size_t size = 0;
    uint8_t *item = batch_wrap((slice_t){job->content, job->size}, &size);
    cargo_t cargo = {
        .batch = {item, size}, .blob = job->blob, .run = job->origin};
    channel_send(&self->channel, &head, &cargo);
    free(item);
    self->ready = false;
    self->given = true;
    task_begins(self->task);
    atomic_store(&self->task->running, self->task->env.id);
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
        port_reply(self->port, &task->env, task->life, err, text, NULL);
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
    if (self->task->deadline_ms < 0 || clock_ms() < self->task->deadline_ms) {
        return false;
    }
    counter_add(counters(self), COUNTER_EXPIRED, 1);
    note_drop(self, EDRI_DEADLINE);
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
    if (stopping(self)) {
        *stop_ms = *stop_ms > 0 ? *stop_ms : clock_ms();
        since_ms = *stop_ms < since_ms ? *stop_ms : since_ms;
    }
    return since_ms < INT64_MAX ? since_ms + self->roster->grace_ms : -1;
}

// see_through waits for the end of the task that the process has.  Returns
// EDRI_OK, EDRI_WORKER_DIED or EDRI_CLOSED.
static edri_err_t
see_through(proxy_t *self)
{
    edri_err_t err = EDRI_OK;
    bool told = false;
    int64_t stop_ms = 0;
    while (err == EDRI_OK && !self->ready) {
        int64_t end_ms = end_of(self, &stop_ms);
        if (!told && atomic_load(&self->task->cancelled_ms) != 0) {
            told = true;
            channel_cancel(
                &self->channel, self->task->life, self->task->env.id);
        }
        if (end_ms >= 0 && clock_ms() >= end_ms && stop_ms > 0) {
            free(dismiss(self, 0));
            return EDRI_CLOSED;
        }
        if (end_ms >= 0 && clock_ms() >= end_ms) {
            self->unwanted = true;
            return broke(self, "it went on for worker.grace after its task was "
                               "cancelled or its time was over");
        }
        err = step(self, end_ms);
        err = err == EDRI_DEADLINE ? EDRI_OK : err;
    }
    return err;
}

// work gives the task to the process and sees it through.  Returns how it ended
// when it is to be tried again or kept: of notifications only.
static edri_err_t
work(proxy_t *self)
{
    if (is_over(self)) {
        return EDRI_OK;
    }
    edri_err_t err = get_ready(self);
    if (err == EDRI_OK && (is_over(self) || is_cancelled(self))) {
        return EDRI_OK;
    }
    if (err == EDRI_OK) {
        give(self, self->job);
        err = see_through(self);
        if (err == EDRI_WORKER_DIED) {
            if (!self->unwanted) {
                roster_blame(
                    self->roster, self->task->life, self->task->env.id);
            }
            bury(self);
        } else {
            backoff_reset(&self->backoff);
        }
    }
    if (self->answered) {
        return self->result;
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
    task->life = job->origin.life;
    task->text = NULL;
    task->attempt = job->tries;
    task->deadline_ms =
        task->env.ttl_ms > 0 ? job->origin.base_ms + task->env.ttl_ms : -1;
    atomic_store(&task->cancelled_ms, 0);
    atomic_store(&task->running, 0);
    self->job = job;
    self->answered = self->unwanted = false;
    self->asked_count = 0;
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
    self->job = NULL;
    if (self->roster->fresh && self->hand.process.pid > 0) {
        free(dismiss(self, self->roster->grace_ms));
    }
    return again;
}

static void
destroy(runner_t *base)
{
    proxy_t *self = (proxy_t *)base;
    if (self->hand.process.pid > 0) {
        free(dismiss(self, self->roster->grace_ms));
    }
    free(self->why);
    free(self);
}

runner_t *
runner_of_processes(roster_t *roster, edri_task_t *task)
{
    edri_port_t *port = task->port;
    proxy_t *self = mem_new(sizeof *self);
    self->base = (runner_t){tend, run, destroy};
    self->roster = roster;
    self->port = port;
    self->task = task;
    self->hand.lifeline = -1;
    // The processes count on from where the port stands; what the proxy says
    // itself has ids that they cannot reach.
    self->last_id = port->next_id;
    port->next_id |= UINT64_C(0xffff) << 32;
    self->backoff = roster->backoff;
    return &self->base;
}
