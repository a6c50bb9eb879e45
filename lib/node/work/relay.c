// SPDX-License-Identifier: MIT
// relay.c - what is said between a node and a worker's process.

#include "node/work/relay.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "edri/log.h"

// Flags that only the node sets.
#define NODE_FLAGS (WIRE_REDELIVERED | WIRE_OBSERVED | WIRE_ASKED)

static counters_t *
counters(const relay_t *self)
{
    return &self->roster->node->counters;
}

bool
relay_stopping(const relay_t *self)
{
    return self->port->quit || atomic_load(self->roster->stop);
}

edri_err_t
relay_broke(relay_t *self, const char *reason)
{
    (void)snprintf(
        self->reason, sizeof self->reason, "%s", reason != NULL ? reason : "");
    return EDRI_WORKER_DIED;
}

// ----- what the process says

// fill_work says what the process works for: one handler.
static void
fill_work(const relay_t *self, Edri__Link__Work *work, const handler_t *handler)
{
    const roster_t *roster = self->roster;
    const limits_t *limits = &roster->node->limits;
    edri__link__work__init(work);
    // protobuf-c writes to none of these.
    work->manager = (char *)(uintptr_t)roster->plan.manager;
    work->last_id = self->last_id;
    work->body_limit = limits->body_max;
    work->emit_wait_ms = (uint64_t)limits->emit_wait_ms;
    work->window_bytes = limits->port_queue;
    work->node = (char *)(uintptr_t)roster->node->name;
    work->target = self->port->target;
    work->own = roster->plan.house != NULL;
    if (handler != NULL) {
        work->type_name = (char *)(uintptr_t)handler->type->name;
        work->type = handler->type->id;
        work->time_limit_ms = handler->limit_ms;
        work->observes = handler->observe != NULL;
    }
}

// welcome answers HELLO: who the node is, and what the process works for.
static void
welcome(relay_t *self)
{
    const roster_plan_t *plan = &self->roster->plan;
    size_t count = plan->handler_count > 0 ? plan->handler_count : 1;
    Edri__Link__Welcome welcomed = EDRI__LINK__WELCOME__INIT;
    Edri__Link__Work *works = mem_new(count * sizeof *works);
    control_t *words = mem_new((count + 1) * sizeof *words);
    control_t **word_p = mem_new((count + 1) * sizeof *word_p);
    welcomed.version = 1;
    welcomed.life = self->roster->node->life;
    welcomed.session = self->port->number;
    for (size_t i = 0; i <= count; i++) {
        edri__link__control__init(&words[i]);
        word_p[i] = &words[i];
    }
    words[0].word_case = EDRI__LINK__CONTROL__WORD_WELCOME;
    words[0].welcome = &welcomed;
    for (size_t i = 0; i < count; i++) {
        fill_work(self, &works[i],
            i < plan->handler_count ? plan->handlers[i] : NULL);
        words[i + 1].word_case = EDRI__LINK__CONTROL__WORD_WORK;
        words[i + 1].work = &works[i];
    }
    channel_say(&self->channel, word_p, count + 1);
    free(word_p);
    free(words);
    free(works);
}

static edri_err_t
on_offer(relay_t *self, const head_t *head, const Edri__Link__Offer *offer)
{
    char why[256];
    return learned_offer(self->roster->node, head, offer, why, sizeof why) ==
                   EDRI_OK
               ? EDRI_OK
               : relay_broke(self, why);
}

static edri_err_t
on_word(relay_t *self, const head_t *head, const control_t *word)
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
            return relay_broke(self, "it does not speak version 1");
        }
        if (self->welcomed) {
            return relay_broke(self, "it said HELLO twice");
        }
        self->welcomed = true;
        welcome(self);
    } else if (what == EDRI__LINK__CONTROL__WORD_DRAIN) {
        self->drained = true;
    } else if (what == EDRI__LINK__CONTROL__WORD_BYE) {
        self->error = word->bye->error;
        return relay_broke(self, word->bye->reason);
    } else if (what != EDRI__LINK__CONTROL__WORD_DESCRIBE &&
               what != EDRI__LINK__CONTROL__WORD_HEARTBEAT) {
        return relay_broke(
            self, "it said a word that only a node or a switch says");
    }
    return EDRI_OK;
}

// take begins with a message: its words; its batch is passed on step by step.
static edri_err_t
take(relay_t *self)
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
        atomic_store(&self->port->waits_for, 0);
    }
    return err;
}

// ----- what the handler emits

// note_tunnel: this end is the process's.
static void
note_tunnel(relay_t *self, uint64_t id)
{
    self->last_tunnel = id > self->last_tunnel ? id : self->last_tunnel;
}

// pass_event passes on a notification or request.  Returns EDRI_AGAIN while
// there is no room for it.
static edri_err_t
pass_event(relay_t *self, slice_t item, const envelope_t *env)
{
    edri_port_t *port = self->port;
    typeref_t *ref = shared_map_get(self->roster->node->types, env->type);
    edri_kind_t kind = ref != NULL ? ref->type->kind : EDRI_REPLY;
    // What opens a tunnel is a request.
    kind = kind == EDRI_TUNNEL ? EDRI_REQUEST : kind;
    if (ref == NULL || envelope_kind(env->flags) != kind) {
        return relay_broke(self,
            "it emitted an event of a type that it has not "
            "offered, or of another kind");
    }
    bool may = self->given || self->own; // its hooks emit, too
    if (!may || (env->flags & NODE_FLAGS) != 0) {
        return relay_broke(
            self, "it emitted without a task, or with wrong flags");
    }
    if (env->id >> 48 != port->number || env->id <= self->last_id) {
        return relay_broke(
            self, "it emitted an event whose id is not the next");
    }
    int64_t base_ms =
        env->ttl_ms > 0 ? clock_ms() - self->message.head->age_ms : 0;
    if (kind == EDRI_REQUEST) {
        // The process takes nothing else before that has ended (deadlock.h); whoever
        // gets the request must see so.
        atomic_store(&port->waits_for, env->id);
    }
    edri_err_t err = port_pass(port, item, base_ms, &self->message.blob);
    if (err != EDRI_OK) {
        return err;
    }
    self->last_id = env->id;
    if (ref->type->kind == EDRI_TUNNEL) {
        note_tunnel(self, env->id); // it may be opened
    }
    if (kind == EDRI_REQUEST) {
        self->asked[self->asked_count++ % ASKED_MAX] = env->id;
    }
    const char *why = gates_heed(&self->gates, port, &self->channel, ref);
    return why == NULL ? EDRI_OK : relay_broke(self, why);
}

// is_opening says whether OPENED answers the task that runs there.
static bool
is_opening(const relay_t *self, const envelope_t *env)
{
    uint64_t life = self->job != NULL ? self->job->origin.life : 0;
    life = life != 0 ? life : self->roster->node->life;
    return self->given && !self->answered &&
           env->request == self->task->env.id &&
           env->type == self->task->env.type && env->to == life;
}

// pass_tunnel passes on what is said in a tunnel; its router knows whether it may be.
static edri_err_t
pass_tunnel(relay_t *self, slice_t item, slice_t content)
{
    envelope_t env;
    if (envelope_read(content, &env) != EDRI_OK ||
        env.id >> 48 != self->port->number) {
        return relay_broke(self, "it spoke in a tunnel that is not its own");
    }
    bool opens = (env.flags & WIRE_OPENED) != 0;
    if (opens && !is_opening(self, &env)) {
        return relay_broke(
            self, "it opened a tunnel that it was not asked for");
    }
    edri_err_t err = port_pass(self->port, item, 0, &self->message.blob);
    if (err == EDRI_OK) {
        note_tunnel(self, env.id);
        if (opens) {
            task_opened(self->task);
        }
    }
    return err;
}

// finished counts how a task has ended.
static void
finished(relay_t *self, edri_err_t err, slice_t text)
{
    const handler_t *handler = self->task->handler;
    const edri_type_t *type = handler->type;
    edri_task_t *task = self->task;
    self->answered = true;
    self->result = err;
    atomic_store(&task->running, 0);
    if (handler->observe != NULL) {
        return;
    }
    counter_add(counters(self),
        err == EDRI_OK ? COUNTER_HANDLED : COUNTER_HANDLER_FAILED, 1);
    if (err == EDRI_UNDECODABLE) {
        counter_add(counters(self), COUNTER_UNDECODABLE, 1);
        drops_note(&self->roster->node->drops, type->id, NULL, handler->manager,
            err, 1);
    }
    if (err != EDRI_OK) {
        task->text = edri_task_printf(task, "%.*s", (int)text.len,
            text.data != NULL ? (const char *)text.data : "");
        faults_note(task->crew->faults, type, err, task->text);
    }
    if (err != EDRI_OK && type->kind == EDRI_NOTIFICATION) {
        edri_log_warn("HANDLER-FAILED", "type=%s error=%s text=\"%s\"",
            type->name, edri_err_name(err), task->text);
    }
}

// is_answer says whether it is about the task that runs there.
static bool
is_answer(const relay_t *self, const envelope_t *reply)
{
    return self->given && !self->answered &&
           reply->request == self->task->env.id &&
           reply->type == self->task->env.type &&
           reply->to == self->job->origin.life &&
           (reply->flags & NODE_FLAGS) == 0 && reply->text.len <= WIRE_TEXT_MAX;
}

// pass_reply takes the end of the task, or how far it is, and passes it on to who
// asked.
static edri_err_t
pass_reply(relay_t *self, slice_t item, slice_t content)
{
    envelope_t reply;
    if (envelope_read(content, &reply) != EDRI_OK || !is_answer(self, &reply)) {
        return relay_broke(self, "it replied to what it was not asked");
    }
    // A tunnel that was opened has told its end itself.
    bool waits = envelope_kind(self->task->env.flags) == EDRI_REQUEST &&
                 !self->task->opened;
    if (waits) {
        edri_err_t err = port_pass(self->port, item, 0, &self->message.blob);
        if (err != EDRI_OK) {
            return err;
        }
    }
    if ((reply.flags & WIRE_PROGRESS) == 0) {
        finished(self, (edri_err_t)reply.error, reply.text);
    }
    return EDRI_OK;
}

static edri_err_t
pass_one(relay_t *self, slice_t item, slice_t content)
{
    envelope_t env;
    if (envelope_route(content, &env) != EDRI_OK) {
        return relay_broke(self, "what it emitted is no envelope");
    }
    bool attached = (env.flags & WIRE_ATTACHED) != 0;
    if (attached != (self->message.blob != NULL)) {
        return relay_broke(self, "an attachment is missing, or is nobody's");
    }
    edri_kind_t kind = envelope_kind(env.flags);
    edri_err_t err = kind == EDRI_REPLY    ? pass_reply(self, item, content)
                     : kind == EDRI_TUNNEL ? pass_tunnel(self, item, content)
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
pass_on(relay_t *self)
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
        return relay_broke(self, "what it emitted is no batch");
    }
    if (self->message.batch.len > 0 &&
        self->message.head->lane != EDRI__WIRE__LANE__REPLY_LANE) {
        channel_took(&self->channel);
    }
    message_clear(&self->message);
    self->held = false;
    if (self->says_ready && self->given && !self->answered) {
        return relay_broke(self, "it wants a task and has not ended the last");
    }
    if (self->says_ready) {
        self->ready = true;
        self->given = self->says_ready = false;
        gates_leave(&self->gates, &self->channel);
    }
    return EDRI_OK;
}

// ----- one step

// give_replies hands over what came for requests of the handler.
static void
give_replies(relay_t *self)
{
    cargo_t cargo;
    size_t spent = 0;
    while (channel_next(&self->channel, self->port->in, &cargo, &spent)) {
        atomic_store(&self->port->waits_for, 0); // it may go on
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
await(relay_t *self, int64_t deadline_ms)
{
    zmq_pollitem_t items[3]; // the first is the port's
    int count = 1;
    int end = 0;
    // While a message is held nothing more is read: that pushes back.
    carrier_item(self->channel.carrier, !self->held, &items[count]);
    count += items[count].events != 0;
    if (!self->held && !self->ended && self->end_fd >= 0) {
        end = count++;
        items[end] = (zmq_pollitem_t){.fd = self->end_fd, .events = ZMQ_POLLIN};
    }
    edri_err_t err = port_wait_with(self->port, items, count, deadline_ms);
    self->ended = self->ended || (end > 0 && items[end].revents != 0);
    return err;
}

edri_err_t
relay_advance(relay_t *self)
{
    const char *why = NULL;
    if (relay_stopping(self) && !self->given) {
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
    return err == EDRI_AGAIN && !self->ended ? err : relay_broke(self, why);
}

edri_err_t
relay_step(relay_t *self, int64_t deadline_ms)
{
    edri_err_t err = relay_advance(self);
    return err == EDRI_AGAIN ? await(self, deadline_ms) : err;
}

void
relay_begin(relay_t *self)
{
    self->message = (message_t){0};
    self->channel = (channel_t){0};
    self->rest = (slice_t){0};
    self->held = self->says_ready = self->flushing = self->given = false;
    self->ready = self->ended = self->drained = self->welcomed = false;
    self->last_tunnel = 0;
    atomic_store(&self->port->waits_for, 0);
    self->end_fd = -1;
    self->gates.count = 0;
}

void
relay_reset(relay_t *self)
{
    if (self->last_tunnel != 0) {
        uint8_t word[9] = {BELL_TUNNEL};
        memcpy(word + 1, &self->last_tunnel, 8);
        port_ring(self->port, word, sizeof word);
    }
    message_clear(&self->message);
    channel_clear(&self->channel);
    relay_begin(self);
}

void
relay_drain(relay_t *self)
{
    Edri__Link__Drain drain = EDRI__LINK__DRAIN__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_DRAIN;
    word.drain = &drain;
    self->drained = false;
    channel_say(&self->channel, (control_t *[]){&word}, 1);
}

// ----- tasks

void
relay_give(relay_t *self, const job_t *job)
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
