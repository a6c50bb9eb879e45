// SPDX-License-Identifier: MIT
// worker.c - this process runs handlers of another one, which is the node.
//
// DESIGN
// One thread.  The handler's port is an ordinary one, whose bell is the carrier
// to the node: to ring it is to carry off what stands in its box, to wait for
// it is to read what the node says.  Replies for the handler go into its other
// box; so requests, callbacks and errors work as they do in a thread (port.c,
// ask.c).
//
// The port counts as full while something could not be carried off, or the
// window is closed; so emit waits, or refuses, here.  The gates of types are
// the node's: it says when they close and open (GATE).

#include "node/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "node/ask.h"
#include "node/channel.h"
#include "node/manager.h"
#include "node/process.h"
#include "node/task.h"

typedef struct worker {
    edri_node_t *node;
    channel_t channel;
    edri_port_t *port;
    const handler_t *handler;
    handler_t limited; // the same, with the node's time limit
    const crew_t *crew;
    void *own; // of this worker (crew_begin)
    arena_t *arena;
    message_t task; // that came and is not done; no head: none
    bool said_ready;
    size_t spent; // of the port's box, sent and not released
} worker_t;

// give_up ends the process: what happened breaks the protocol, or this program
// is not the one that the node means.
static void give_up(worker_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

// leave closes the connection and ends the process.
static void leave(worker_t *self, int code) __attribute__((noreturn));

static void
leave(worker_t *self, int code)
{
    if (self->crew != NULL) {
        crew_end(self->crew, &self->own);
    }
    channel_clear(&self->channel);
    if (self->node->zmq != NULL) {
        (void)zmq_ctx_term(self->node->zmq); // what was said goes out
    }
    exit(code);
}

static void
say(worker_t *self, control_t *word)
{
    channel_say(&self->channel, &word, 1);
}

static void
give_up(worker_t *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *reason = str_vprintf(format, args);
    va_end(args);
    Edri__Link__Bye bye = EDRI__LINK__BYE__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    bye.reason = reason;
    word.word_case = EDRI__LINK__CONTROL__WORD_BYE;
    word.bye = &bye;
    say(self, &word);
    free(reason);
    leave(self, 2);
}

static void
say_ready(worker_t *self)
{
    Edri__Link__Ready ready = EDRI__LINK__READY__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_READY;
    word.ready = &ready;
    say(self, &word);
}

// tell_quit passes on that a handler has called edri_node_quit.
static void
tell_quit(worker_t *self)
{
    if (atomic_exchange(&self->node->quit, false)) {
        Edri__Link__Quit quit = EDRI__LINK__QUIT__INIT;
        control_t word = EDRI__LINK__CONTROL__INIT;
        word.word_case = EDRI__LINK__CONTROL__WORD_QUIT;
        word.quit = &quit;
        say(self, &word);
    }
}

// ----- the port's bell

// carry_off sends what stands in the box; its room is given back when more may
// be emitted.  With the reply of a task that has nothing else to wait for goes
// the wish for the next.
static void
carry_off(worker_t *self)
{
    cargo_t cargo;
    while (
        channel_next(&self->channel, self->port->out, &cargo, &self->spent)) {
        Edri__Link__Ready ready = EDRI__LINK__READY__INIT;
        control_t word = EDRI__LINK__CONTROL__INIT;
        control_t *words = &word;
        head_t head = EDRI__WIRE__HEAD__INIT;
        word.word_case = EDRI__LINK__CONTROL__WORD_READY;
        word.ready = &ready;
        if (cargo.replies) {
            tell_quit(self);
        }
        if (cargo.replies && !port_asking(self->port)) {
            head.control = &words;
            head.n_control = 1;
            self->said_ready = true;
        }
        channel_send(&self->channel, &head, &cargo);
    }
    if (self->spent > 0 && channel_has_room(&self->channel)) {
        (void)box_release(self->port->out, self->spent); // who waits looks
        self->spent = 0;
    }
}

static void
hear_word(worker_t *self, const control_t *word)
{
    if (word->word_case == EDRI__LINK__CONTROL__WORD_FLUSH) {
        self->port->flushed = true;
    } else if (word->word_case == EDRI__LINK__CONTROL__WORD_GATE) {
        typeref_t *ref = shared_map_get(self->node->types, word->gate->type);
        if (ref != NULL) {
            atomic_store(&ref->closed, word->gate->closed);
        }
    }
}

// found is the requests_found_fn: the task is the one that runs here.
static void
found(uint16_t port, void *arg)
{
    (void)port;
    (void)arg;
}

// hear takes a message.
static void
hear(worker_t *self, message_t *message)
{
    const head_t *head = message->head;
    for (size_t i = 0; i < head->n_control; i++) {
        hear_word(self, head->control[i]);
    }
    for (size_t i = 0; i < head->n_cancels; i++) {
        requests_cancel(&self->node->requests, head->from, head->cancels[i],
            clock_ms(), found, NULL);
    }
    if (message->batch.len > 0 && head->lane == EDRI__WIRE__LANE__REPLY_LANE) {
        run_t run = {.life = head->from};
        (void)box_put(self->port->in, message->batch.data, message->batch.len,
            &run, &message->blob, message->blob != NULL);
        message->blob = NULL;
    } else if (message->batch.len > 0) {
        self->task = *message;
        *message = (message_t){0};
    }
    message_clear(message);
}

// exchange reads what has come and sends what may go.  Returns whether anything
// had come.
static bool
exchange(worker_t *self)
{
    message_t message;
    const char *why = NULL;
    edri_err_t err = EDRI_OK;
    bool came = false;
    while (self->task.head == NULL &&
           (err = channel_receive(&self->channel, &message, &why)) == EDRI_OK) {
        hear(self, &message);
        came = true;
    }
    if (err != EDRI_OK && err != EDRI_AGAIN && err != EDRI_CLOSED) {
        give_up(self, "what the node says is malformed: %s", why);
    }
    self->port->quit = self->port->quit || err == EDRI_CLOSED;
    carry_off(self);
    return came || self->port->quit;
}

static edri_err_t
wait_node(edri_port_t *port, int64_t deadline_ms)
{
    worker_t *self = port->other_end;
    if (exchange(self)) {
        return EDRI_OK;
    }
    int64_t left = deadline_ms < 0 ? -1 : deadline_ms - clock_ms();
    edri_err_t err = carrier_wait(self->channel.carrier, deadline_ms < 0 ? -1
                                                         : left > 0 ? (int)left
                                                                    : 0);
    if (err == EDRI_OK) {
        (void)exchange(self);
    }
    return err;
}

static void
ring_node(edri_port_t *port, const void *word, size_t size)
{
    worker_t *self = port->other_end;
    // The handler may compute for long now: what it has emitted goes first.
    int64_t deadline = clock_ms() + self->node->limits.emit_wait_ms;
    carry_off(self);
    while (!carrier_flush(self->channel.carrier) && !port->quit &&
           wait_node(port, deadline) == EDRI_OK) {
    }
    if (size > 0 && *(const char *)word == BELL_FLUSH) {
        Edri__Link__Flush flush = EDRI__LINK__FLUSH__INIT;
        control_t said = EDRI__LINK__CONTROL__INIT;
        said.word_case = EDRI__LINK__CONTROL__WORD_FLUSH;
        said.flush = &flush;
        say(self, &said);
    }
    if (size > 0 && *(const char *)word == BELL_CANCEL) {
        uint64_t id = 0;
        memcpy(&id, (const char *)word + 1, sizeof id);
        channel_cancel(&self->channel, 0, id);
    }
}

// offer says that a type is handled or emitted, and describes it.
static void
offer(worker_t *self, const edri_type_t *type, bool emits)
{
    Edri__Link__TypeInfo info = EDRI__LINK__TYPE_INFO__INIT;
    Edri__Link__TypeInfo *infos = &info;
    Edri__Link__Offer offered = EDRI__LINK__OFFER__INIT;
    Edri__Link__Describe described = EDRI__LINK__DESCRIBE__INIT;
    control_t words[2] = {EDRI__LINK__CONTROL__INIT, EDRI__LINK__CONTROL__INIT};
    const edri_file_t *file = type->file;
    // protobuf-c writes to none of these.
    info.name = (char *)(uintptr_t)type->name;
    info.type = type->id;
    info.file = (ProtobufCBinaryData){
        sizeof file->sha256, (uint8_t *)(uintptr_t)file->sha256};
    info.emits = emits;
    info.handles = !emits;
    described.file = info.file;
    described.descriptors =
        (ProtobufCBinaryData){file->size, (uint8_t *)(uintptr_t)file->data};
    offered.types = &infos;
    offered.n_types = 1;
    words[0].word_case = EDRI__LINK__CONTROL__WORD_DESCRIBE;
    words[0].describe = &described;
    words[1].word_case = EDRI__LINK__CONTROL__WORD_OFFER;
    words[1].offer = &offered;
    channel_say(&self->channel, (control_t *[]){&words[0], &words[1]}, 2);
}

static void
use(edri_port_t *port, const edri_type_t *type)
{
    offer(port->other_end, type, true);
}

static const bell_t node_bell = {
    .ring = ring_node, .wait = wait_node, .takes_replies = true, .use = use};

// ----- beginning

static void
open_carrier(worker_t *self, const char *where)
{
    if (streq(where, "fd:3")) {
        self->channel.carrier = carrier_stream(3, WIRE_BODY_MAX);
    } else {
        self->node->zmq = zmq_ctx_new();
        self->channel.carrier =
            carrier_pair(self->node->zmq, where, false, WIRE_BODY_MAX);
    }
    if (self->channel.carrier == NULL) {
        fprintf(stderr, "EDRI_WORKER=%s: no connection to the node\n", where);
        exit(2);
    }
}

static void
say_hello(worker_t *self)
{
    Edri__Link__Hello hello = EDRI__LINK__HELLO__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    hello.version = 1;
    hello.pid = (uint32_t)getpid();
    word.word_case = EDRI__LINK__CONTROL__WORD_HELLO;
    word.hello = &hello;
    say(self, &word);
}

// begin takes up the work that the node gives.
static void
begin(worker_t *self, const Edri__Link__Welcome *welcome,
    const Edri__Link__Work *work)
{
    edri_manager_t *manager = node_manager(self->node, work->manager);
    self->handler =
        manager != NULL ? manager_handler(manager, work->type) : NULL;
    if (welcome->version != 1) {
        give_up(self, "the node speaks version %u", welcome->version);
    }
    if (self->handler == NULL) {
        give_up(self, "the program has no manager %s with a handler of %s",
            work->manager, work->type_name);
    }
    self->limited = *self->handler;
    self->limited.limit_ms = work->time_limit_ms;
    self->handler = &self->limited;
    self->crew = manager_crew(manager);
    self->node->life = welcome->life;
    self->node->limits.body_max = work->body_limit;
    self->node->limits.emit_wait_ms = (int64_t)work->emit_wait_ms;
    self->channel.limit = work->window_bytes;
    self->port = port_new_far(self->node, &node_bell, self, work->last_id);
    self->port->target = work->target;
    self->node->name = str_dup(work->node); // until this process ends
    thread_name(work->type_name);
    edri_err_t err = crew_begin(self->crew, &self->own);
    if (err != EDRI_OK) {
        give_up(self,
            "what a worker of %s has for itself could not be made: %s",
            work->manager, edri_err_text(err));
    }
    offer(self, self->handler->type, false);
}

// shake hands: HELLO, then WELCOME and WORK in one message.
static void
shake(worker_t *self)
{
    const char *why = NULL;
    message_t message;
    say_hello(self);
    edri_err_t err = EDRI_OK;
    while (
        (err = channel_receive(&self->channel, &message, &why)) == EDRI_AGAIN) {
        (void)carrier_wait(self->channel.carrier, -1);
    }
    if (err == EDRI_CLOSED) {
        leave(self, 0);
    }
    const head_t *head = message.head;
    if (err != EDRI_OK || head->n_control != 2 ||
        head->control[0]->word_case != EDRI__LINK__CONTROL__WORD_WELCOME ||
        head->control[1]->word_case != EDRI__LINK__CONTROL__WORD_WORK) {
        give_up(self, "WELCOME and WORK are expected first");
    }
    begin(self, head->control[0]->welcome, head->control[1]->work);
    message_clear(&message);
}

// ----- tasks

static void
run_task(worker_t *self)
{
    const head_t *head = self->task.head;
    slice_t rest = self->task.batch;
    slice_t item;
    slice_t content;
    if (head->n_to != 1 || !batch_next(&rest, &item, &content)) {
        give_up(self, "a task has one envelope and one destination");
    }
    // What is borrowed ends with the next message; the task may read some.
    uint8_t *copy = arena_alloc(self->arena, content.len + 1);
    memcpy(copy, content.data, content.len);
    run_t origin = {.life = head->from,
        .base_ms = clock_ms() - head->age_ms,
        .redelivered = head->to[0]->redelivered};
    edri_task_t task = {.port = self->port,
        .crew = self->crew,
        .worker = self->own,
        .handler = self->handler,
        .arena = self->arena,
        .missed = head->to[0]->missed,
        .attempt = head->to[0]->attempt,
        .far = true};
    names_set(&self->node->names, head->from, head->to[0]->sender);
    blob_t *blob = self->task.blob;
    self->task.blob = NULL;
    message_clear(&self->task);
    self->said_ready = false;
    // Whether its time has passed was judged by the node.
    edri_err_t err = task_run(
        &task, (slice_t){copy, content.len}, blob, &origin, origin.base_ms);
    edri_assert(err == EDRI_OK); // the node has it with the reply
    blob_drop(&blob);
    ask_settle(self->port);
    task_end(&task);
    if (!self->said_ready) {
        tell_quit(self);
        say_ready(self);
    }
}

void
worker_run(edri_node_t *node, const char *where)
{
    worker_t self = {.node = node, .arena = arena_new()};
    char *place = str_dup(where);
    // Programs that the handlers start are none of the node's workers.
    (void)unsetenv("EDRI_WORKER");
    process_follow(); // once more: main() may have forked since
    atomic_store(&node->phase, PHASE_WORKER);
    open_carrier(&self, place);
    free(place);
    shake(&self);
    say_ready(&self);
    while (!self.port->quit) {
        if (self.task.head != NULL) {
            run_task(&self);
        } else {
            (void)wait_node(self.port, -1);
        }
    }
    leave(&self, 0);
}
