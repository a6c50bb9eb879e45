// SPDX-License-Identifier: MIT
// worker.c - this process runs handlers of another one, which is the node.
//
// DESIGN
// A thread for each connection; as a rule that is one.  The handler's port is an
// ordinary one, whose bell is the carrier to the node: to ring it is to carry off
// what stands in its box, to wait for it is to read what the node says.  Replies
// for the handler go into its other box; so requests, callbacks and errors work
// as they do in a thread (port.c, ask.c).
//
// The port counts as full while something could not be carried off, or the
// window is closed; so emit waits, or refuses, here.  The gates of types are
// the node's: it says when they close and open (GATE).
//
// In the process of a whole manager (house.h) the first thread is the manager's
// own: it calls the hooks, and the others begin when 'started' has returned.

#include "node/work/worker.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "node/ask.h"
#include "node/manager.h"
#include "node/tunnel.h"
#include "node/work/channel.h"
#include "node/work/process.h"
#include "node/work/task.h"
#include "node/work/workers.h"

// How many connections a process has at most.
#define SEATS_MAX (WORKERS_MAX * 16)

// staff_t is what the threads have in common.
typedef struct staff {
    edri_node_t *node;
    struct worker *workers;
    unsigned count;
    edri_manager_t *manager; // that they work for
    pthread_mutex_t lock;    // of what its code does when a thread begins
    bool started;            // its hook has returned EDRI_OK
} staff_t;

typedef struct worker {
    staff_t *staff;
    edri_node_t *node;
    channel_t channel;
    edri_port_t *port;
    handler_t *handlers; // with the node's time limits
    size_t handler_count;
    bool whole; // it works for the manager's own process
    const crew_t *crew;
    void *own; // of this worker (crew_begin)
    arena_t *arena;
    message_t task; // that came and is not done; no head: none
    bool said_ready;
    bool drain;   // the hook is to be called
    size_t spent; // of the port's box, sent and not released
    bool room; // was given back that its owner waits for, and has not been told
    pthread_t thread; // but for the first
    int wake_fd;      // another thread has heard of a gate; -1: there is none
} worker_t;

// give_up ends the process: what happened breaks the protocol, or this program
// is not the one that the node means.
static void give_up(worker_t *self, edri_err_t err, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));

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
give_up(worker_t *self, edri_err_t err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *reason = str_vprintf(format, args);
    va_end(args);
    Edri__Link__Bye bye = EDRI__LINK__BYE__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    bye.reason = reason;
    bye.error = err;
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
        if (cargo.ends) {
            tell_quit(self);
        }
        if (cargo.ends && !port_asking(self->port) &&
            map_size(self->port->tunnels) == 0) {
            head.control = &words;
            head.n_control = 1;
            self->said_ready = true;
        }
        channel_send(&self->channel, &head, &cargo);
    }
    if (self->spent > 0 && channel_has_room(&self->channel)) {
        self->room = box_release(self->port->out, self->spent) || self->room;
        self->spent = 0;
    }
}

// wake_others lets the other threads look at the gates again.
static void
wake_others(const worker_t *self)
{
    uint64_t one = 1;
    for (unsigned i = 0; i < self->staff->count; i++) {
        const worker_t *other = &self->staff->workers[i];
        if (other != self && other->wake_fd >= 0) {
            (void)!write(other->wake_fd, &one, sizeof one);
        }
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
            wake_others(self);
        }
    } else if (word->word_case == EDRI__LINK__CONTROL__WORD_DRAIN) {
        self->drain = true;
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

// exchange reads what has come and sends what may go.  Returns whether there is anything
// for the port's owner to look at: before it sleeps.
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
        give_up(self, EDRI_PROTO, "what the node says is malformed: %s", why);
    }
    self->port->quit = self->port->quit || err == EDRI_CLOSED;
    carry_off(self);
    came = came || self->room;
    self->room = false;
    return came || self->port->quit;
}

// wait_any waits for the node, or another thread; -1: for ever.
static edri_err_t
wait_any(const worker_t *self, int wait_ms)
{
    zmq_pollitem_t items[2];
    uint64_t count = 0;
    if (self->wake_fd < 0) {
        return carrier_wait(self->channel.carrier, wait_ms);
    }
    carrier_item(self->channel.carrier, true, &items[0]);
    items[1] = (zmq_pollitem_t){.fd = self->wake_fd, .events = ZMQ_POLLIN};
    bool any = zmq_poll(items, 2, wait_ms) != 0;
    (void)!read(self->wake_fd, &count, sizeof count);
    return any ? EDRI_OK : EDRI_DEADLINE;
}

static edri_err_t
wait_node(edri_port_t *port, int64_t deadline_ms)
{
    worker_t *self = port->other_end;
    if (exchange(self)) {
        return EDRI_OK;
    }
    int64_t left = deadline_ms < 0 ? -1 : deadline_ms - clock_ms();
    edri_err_t err = wait_any(self, deadline_ms < 0 ? -1
                                    : left > 0      ? (int)left
                                                    : 0);
    if (err == EDRI_OK) {
        (void)exchange(self);
    }
    return err;
}

static edri_err_t
wait_node_fds(
    edri_port_t *port, zmq_pollitem_t *items, int count, int64_t deadline_ms)
{
    worker_t *self = port->other_end;
    uint64_t rung = 0;
    if (exchange(self)) {
        return EDRI_OK;
    }
    int64_t left = deadline_ms < 0 ? -1 : deadline_ms - clock_ms();
    carrier_item(self->channel.carrier, true, &items[0]);
    items[1] = (zmq_pollitem_t){.fd = self->wake_fd, .events = ZMQ_POLLIN};
    if (self->wake_fd < 0) { // the place is not used
        items[1] = items[0];
        items++;
        count--;
    }
    int any = zmq_poll(items, count + 2,
        deadline_ms < 0 ? -1
        : left > 0      ? (long)left
                        : 0);
    if (self->wake_fd >= 0) {
        (void)!read(self->wake_fd, &rung, sizeof rung);
    }
    (void)exchange(self);
    return any == 0 ? EDRI_DEADLINE : EDRI_OK;
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

static const bell_t node_bell = {.ring = ring_node,
    .wait = wait_node,
    .wait_fds = wait_node_fds,
    .takes_replies = true,
    .use = use};

// ----- beginning

// read_seats reads "fd:FIRST-LAST".  Returns how many these are; 0: it is no such
// thing.
static unsigned
read_seats(const char *where, int *first)
{
    int last = 0;
    char end = '\0';
    if (sscanf(where, "fd:%d-%d%c", first, &last, &end) != 2 || *first < 3 ||
        last < *first || last - *first >= SEATS_MAX) {
        return 0;
    }
    return (unsigned)(last - *first + 1);
}

// open_carriers connects all threads with the node.
static void
open_carriers(staff_t *self, const char *where)
{
    int first = 0;
    unsigned seats = read_seats(where, &first);
    self->count = seats > 0 ? seats : 1;
    self->workers = mem_new(self->count * sizeof *self->workers);
    for (unsigned i = 0; i < self->count; i++) {
        worker_t *worker = &self->workers[i];
        worker->staff = self;
        worker->node = self->node;
        worker->wake_fd =
            seats > 1 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
        if (seats > 0) {
            // Programs that a handler starts are none of the node's.
            (void)fcntl(first + (int)i, F_SETFD, FD_CLOEXEC);
            worker->channel.carrier =
                carrier_stream(first + (int)i, WIRE_BODY_MAX);
        }
    }
    if (seats == 0) {
        self->node->zmq = zmq_ctx_new();
        self->workers[0].channel.carrier =
            carrier_pair(self->node->zmq, where, false, WIRE_BODY_MAX);
    }
    if (self->workers[0].channel.carrier == NULL) {
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

// take_work notes one of the handlers that it runs.
static void
take_work(worker_t *self, const Edri__Link__Work *work)
{
    const handler_t *handler =
        manager_handler(self->staff->manager, work->type, work->observes);
    if (work->type_name[0] == '\0') {
        return; // it only calls hooks
    }
    if (handler == NULL) {
        give_up(self, EDRI_NOT_FOUND,
            "the program has no manager %s with %s of %s", work->manager,
            work->observes ? "an observer" : "a handler", work->type_name);
    }
    handler_t *mine = &self->handlers[self->handler_count++];
    *mine = *handler;
    mine->limit_ms = work->time_limit_ms;
    if (!work->observes) {
        offer(self, mine->type, false);
    }
}

// settle_in sets up what all threads of the process share; the first does.
static void
settle_in(worker_t *self, const Edri__Link__Welcome *welcome,
    const Edri__Link__Work *work)
{
    edri_node_t *node = self->node;
    if (welcome->version != 1) {
        give_up(
            self, EDRI_PROTO, "the node speaks version %u", welcome->version);
    }
    self->staff->manager = node_manager(node, work->manager);
    if (self->staff->manager == NULL) {
        give_up(self, EDRI_NOT_FOUND, "the program has no manager %s",
            work->manager);
    }
    node->life = welcome->life;
    node->limits.body_max = work->body_limit;
    node->limits.emit_wait_ms = (int64_t)work->emit_wait_ms;
    node->name = str_dup(work->node); // until this process ends
}

// begin takes up the work that the node gives.
static void
begin(worker_t *self, const head_t *head)
{
    const Edri__Link__Work *work = head->control[1]->work;
    if (self->staff->manager == NULL) {
        settle_in(self, head->control[0]->welcome, work);
    }
    self->arena = arena_new();
    self->whole = work->own;
    self->crew = manager_crew(self->staff->manager);
    self->channel.limit = work->window_bytes;
    self->port = port_new_far(self->node, &node_bell, self, work->last_id);
    self->port->target = work->target;
    thread_name(work->type_name[0] != '\0' ? work->type_name : work->manager);
    self->handlers = mem_new(head->n_control * sizeof *self->handlers);
    for (size_t i = 1; i < head->n_control; i++) {
        take_work(self, head->control[i]->work);
    }
    // One after the other: what fails is told of the manager.
    pthread_mutex_lock(&self->staff->lock);
    edri_err_t err =
        self->handler_count > 0 ? crew_begin(self->crew, &self->own) : EDRI_OK;
    if (err == EDRI_OK) {
        pthread_mutex_unlock(&self->staff->lock);
    }
    if (err != EDRI_OK) {
        char *why = manager_why(self->staff->manager, err);
        give_up(self, err, "what a worker has for itself could not be made: %s",
            why);
    }
}

// is_work says whether a message is WELCOME and what there is to do.
static bool
is_work(const head_t *head)
{
    bool fine = head->n_control > 1 && head->control[0]->word_case ==
                                           EDRI__LINK__CONTROL__WORD_WELCOME;
    for (size_t i = 1; i < head->n_control && fine; i++) {
        fine = head->control[i]->word_case == EDRI__LINK__CONTROL__WORD_WORK;
    }
    return fine;
}

// shake hands: HELLO, then WELCOME and WORK in one message.  Returns false when the
// node has no work any more.
static bool
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
        return false;
    }
    if (err != EDRI_OK || !is_work(message.head)) {
        give_up(self, EDRI_PROTO, "WELCOME and WORK are expected first");
    }
    begin(self, message.head);
    message_clear(&message);
    return true;
}

// ----- tasks

// handler_of finds who does an event; it was announced.
static const handler_t *
handler_of(worker_t *self, slice_t content)
{
    envelope_t env;
    edri_err_t err = envelope_route(content, &env);
    bool observed = (env.flags & WIRE_OBSERVED) != 0;
    for (size_t i = 0; i < self->handler_count && err == EDRI_OK; i++) {
        const handler_t *handler = &self->handlers[i];
        if (handler->type->id == env.type &&
            (handler->observe != NULL) == observed) {
            return handler;
        }
    }
    give_up(self, EDRI_PROTO, "a task is of a type that was not announced");
}

static void
run_task(worker_t *self)
{
    const head_t *head = self->task.head;
    slice_t rest = self->task.batch;
    slice_t item;
    slice_t content;
    if (head->n_to != 1 || !batch_next(&rest, &item, &content)) {
        give_up(
            self, EDRI_PROTO, "a task has one envelope and one destination");
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
        .handler = handler_of(self, content),
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
    tunnels_settle(self->port);
    task_end(&task);
    if (!self->said_ready) {
        tell_quit(self);
        say_ready(self);
    }
}

// ----- the whole

// call_started calls the hook of the manager's own process.
static void
call_started(worker_t *self)
{
    edri_manager_t *manager = self->staff->manager;
    edri_err_t err = manager_call_started(manager, self->port);
    ask_settle(self->port);
    if (err != EDRI_OK) {
        char *why = manager_why(manager, err);
        give_up(self, err, "%s", why);
    }
    self->staff->started = true;
}

static void
call_draining(worker_t *self)
{
    Edri__Link__Drain drain = EDRI__LINK__DRAIN__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    self->drain = false;
    manager_call_draining(self->staff->manager, self->port);
    ask_settle(self->port);
    carry_off(self); // what it has emitted goes first
    word.word_case = EDRI__LINK__CONTROL__WORD_DRAIN;
    word.drain = &drain;
    say(self, &word);
}

// work does what the node gives until it has enough of it.
static void
work(worker_t *self)
{
    say_ready(self);
    while (!self->port->quit) {
        if (self->task.head != NULL) {
            run_task(self);
        } else if (self->drain) {
            call_draining(self);
        } else {
            (void)wait_node(self->port, -1);
        }
    }
}

static void
clear(worker_t *self)
{
    crew_end(self->crew, &self->own);
    channel_clear(&self->channel);
    edri_port_destroy(&self->port);
    arena_destroy(&self->arena);
    free(self->handlers);
}

static void *
run_other(void *arg)
{
    worker_t *self = arg;
    if (shake(self)) { // else its seat was never taken
        work(self);
        clear(self);
    } else {
        channel_clear(&self->channel);
    }
    return NULL;
}

// begin_others starts the threads beside the first.
static void
begin_others(staff_t *self)
{
    for (unsigned i = 1; i < self->count; i++) {
        worker_t *worker = &self->workers[i];
        if (pthread_create(&worker->thread, NULL, run_other, worker) != 0) {
            give_up(&self->workers[0], EDRI_SYSTEM, "no thread can be started");
        }
    }
}

void
worker_refuse(
    edri_node_t *node, const char *where, edri_err_t err, const char *why)
{
    staff_t self = {.node = node, .lock = PTHREAD_MUTEX_INITIALIZER};
    open_carriers(&self, where);
    give_up(&self.workers[0], err, "%s", why);
}

void
worker_run(edri_node_t *node, const char *where)
{
    staff_t self = {.node = node, .lock = PTHREAD_MUTEX_INITIALIZER};
    char *place = str_dup(where);
    // Programs that the handlers start are none of the node's workers.
    (void)unsetenv("EDRI_WORKER");
    process_follow(); // once more: main() may have forked since
    atomic_store(&node->phase, PHASE_WORKER);
    open_carriers(&self, place);
    free(place);
    worker_t *first = &self.workers[0];
    if (!shake(first)) {
        leave(first, 0);
    }
    if (first->whole) {
        call_started(first);
    }
    begin_others(&self);
    work(first);
    for (unsigned i = 1; i < self.count; i++) {
        (void)pthread_join(self.workers[i].thread, NULL);
    }
    crew_end(first->crew, &first->own);
    if (self.started) {
        manager_call_stopped(self.manager);
    }
    leave(first, 0);
}
