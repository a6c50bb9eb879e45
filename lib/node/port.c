// SPDX-License-Identifier: MIT
// port.c - how a thread emits events and asks requests.

#include "node/port.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "node/ask.h"
#include "node/key.h"
#include "node/task.h"
#include "wire/envelope.h"

// How long a port waits for the router to answer attach and detach.
#define ROUTER_WAIT_MS 10000

static edri_err_t fail(edri_port_t *self, edri_err_t err, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

static edri_err_t
fail(edri_port_t *self, edri_err_t err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    free(self->error);
    self->error = str_vprintf(format, args);
    va_end(args);
    return err;
}

// check_owner refuses NULL, a destroyed port and other threads' ports.
static edri_err_t
check_owner(edri_port_t *self)
{
    if (self == NULL || self->magic != PORT_MAGIC) {
        return EDRI_STATE;
    }
    // The text is the owner's: nothing is written for a stranger.
    return pthread_equal(self->owner, pthread_self()) ? EDRI_OK : EDRI_STATE;
}

// ----- the bell

static void
ring(edri_port_t *self, const void *data, size_t size)
{
    self->bell->ring(self, data, size);
}

static edri_err_t
wait_bell(edri_port_t *self, int64_t deadline_ms)
{
    return self->bell->wait(self, deadline_ms);
}

static void
ring_router(edri_port_t *self, const void *data, size_t size)
{
    // Room is never short: one message per armed box, and the router reads.
    (void)zmq_send(self->other_end, data, size, ZMQ_DONTWAIT);
}

// hear reads all that the router has said.
static void
hear(edri_port_t *self)
{
    char word = 0;
    int size;
    while ((size = zmq_recv(self->other_end, &word, 1, ZMQ_DONTWAIT)) >= 0) {
        if (size == 0) {
            continue;
        }
        self->flushed = self->flushed || word == BELL_FLUSH;
        self->quit = self->quit || word == BELL_QUIT;
    }
}

// wait_any waits for any word of the router, or one of the other items.
static edri_err_t
wait_any(edri_port_t *self, zmq_pollitem_t *items, int items_count,
    int64_t deadline_ms)
{
    items[0] = (zmq_pollitem_t){self->other_end, 0, ZMQ_POLLIN, 0};
    long wait = -1;
    if (deadline_ms >= 0) {
        int64_t left = deadline_ms - clock_ms();
        wait = left > 0 ? (long)left : 0;
    }
    int count = zmq_poll(items, items_count, wait);
    if (count > 0 && items[0].revents != 0) {
        hear(self);
    }
    // Interrupted counts as rung: the caller looks again.
    return count == 0 ? EDRI_DEADLINE : EDRI_OK;
}

static edri_err_t
wait_router(edri_port_t *self, int64_t deadline_ms)
{
    zmq_pollitem_t item;
    return wait_any(self, &item, 1, deadline_ms);
}

static const bell_t router_bell = {.ring = ring_router, .wait = wait_router};

edri_err_t
port_wait_with(
    edri_port_t *self, zmq_pollitem_t *items, int count, int64_t deadline_ms)
{
    edri_err_t err =
        self->quit ? EDRI_CLOSED : wait_any(self, items, count, deadline_ms);
    return self->quit ? EDRI_CLOSED : err;
}

edri_err_t
port_sleep(edri_port_t *self, int64_t deadline_ms)
{
    edri_err_t err = self->quit ? EDRI_CLOSED : wait_bell(self, deadline_ms);
    return self->quit ? EDRI_CLOSED : err;
}

uint64_t
port_missed(edri_port_t *self)
{
    // Per event: a look costs nothing, an exchange would.
    if (atomic_load_explicit(&self->missed, memory_order_relaxed) == 0) {
        return 0;
    }
    return atomic_exchange(&self->missed, 0);
}

void
port_cancel(edri_port_t *self, uint64_t request)
{
    uint8_t word[9] = {BELL_CANCEL};
    memcpy(word + 1, &request, 8);
    ring(self, word, sizeof word);
}

// is_cancelled says whether what the port works for is wanted no more.
static bool
is_cancelled(const edri_port_t *self)
{
    const edri_task_t *task = self->task;
    return task != NULL && atomic_load(&task->cancelled_ms) != 0 &&
           self->cause.event == task->env.id && self->cause.life == task->life;
}

void
port_begun(edri_port_t *self, token_t *token, uint32_t events)
{
    if (token_begun(&self->node->tokens, token, events)) {
        ring(self, NULL, 0);
    }
}

void
port_release(edri_port_t *self, box_t *box, size_t size)
{
    if (box_release(box, size)) {
        ring(self, NULL, 0);
    }
}

// ----- making and ending

// number_of gives ports numbers from 1 to 65535 in turn.
static uint16_t
number_of(uint32_t serial)
{
    return (uint16_t)(serial % 65535 + 1);
}

// await waits for the router's answer to attach or detach.
static bool
await(edri_port_t *self, bool attached)
{
    int64_t deadline = clock_ms() + ROUTER_WAIT_MS;
    while (atomic_load(&self->attached) != attached &&
           wait_bell(self, deadline) == EDRI_OK) {
    }
    return atomic_load(&self->attached) == attached;
}

// make makes a port that is attached to nothing.
static edri_port_t *
make(edri_node_t *node, const bell_t *bell, size_t out_limit)
{
    edri_port_t *self = mem_new(sizeof *self);
    self->magic = PORT_MAGIC;
    self->node = node;
    self->bell = bell;
    self->owner = pthread_self();
    self->out = box_new(out_limit);
    self->in = box_new(node->limits.manager_queue);
    self->types = map_new();
    self->asks = map_new();
    self->cause.deadline_ms = -1;
    return self;
}

static bool
connect_router(edri_port_t *self)
{
    self->other_end = zmq_socket(self->node->zmq, ZMQ_DEALER);
    int zero = 0;
    uint8_t routing[PORT_ROUTING_SIZE] = {'P'};
    memcpy(routing + 1, &self->number, 2);
    memcpy(routing + 3, &self->serial, 4);
    return self->other_end != NULL &&
           zmq_setsockopt(self->other_end, ZMQ_LINGER, &zero, sizeof zero) ==
               0 &&
           zmq_setsockopt(self->other_end, ZMQ_SNDHWM, &zero, sizeof zero) ==
               0 &&
           zmq_setsockopt(
               self->other_end, ZMQ_ROUTING_ID, routing, sizeof routing) == 0 &&
           zmq_connect(self->other_end, NODE_PORTS_ENDPOINT) == 0;
}

edri_port_t *
port_new(edri_node_t *node, const edri_port_t *like)
{
    if (atomic_load(&node->phase) != PHASE_RUNNING) {
        return NULL;
    }
    edri_port_t *self = make(node, &router_bell, node->limits.port_queue);
    if (like != NULL) {
        self->manager = like->manager;
        self->demands = like->demands;
        self->demand_count = like->demand_count;
        self->lossy = like->lossy;
        self->priority = like->priority;
        self->faults = like->faults;
        atomic_init(&self->ranked, atomic_load(&like->ranked));
        self->worker = like->worker;
        self->target = like->target;
        self->drains = like->drains;
    }
    // Last: from here on the router may find it.
    do {
        self->serial = atomic_fetch_add(&node->next_serial, 1);
        self->number = number_of(self->serial);
    } while (shared_map_add(node->ports, self->number, self) != self);
    self->target = self->manager != NULL ? self->number : self->target;
    // Ids go on from where an earlier port of that number cannot have come.
    self->next_id = (uint64_t)self->number << 48 |
                    (uint64_t)(self->serial / 65535 & 0xffff) << 32;
    if (!connect_router(self)) {
        edri_port_destroy(&self);
        return NULL;
    }
    ring(self, (char[]){BELL_ATTACH}, 1);
    if (!await(self, true)) {
        edri_port_destroy(&self);
    }
    return self;
}

edri_port_t *
port_new_far(
    edri_node_t *node, const bell_t *bell, void *other_end, uint64_t last_id)
{
    // Full as soon as something could not be carried off.
    edri_port_t *self = make(node, bell, 1);
    self->other_end = other_end;
    self->number = (uint16_t)(last_id >> 48);
    self->next_id = last_id;
    return self;
}

void
edri_port_destroy(edri_port_t **self_p)
{
    edri_port_t *self = self_p != NULL ? *self_p : NULL;
    if (self == NULL) {
        return;
    }
    *self_p = NULL;
    ask_end_all(self, EDRI_CANCELLED);
    if (self->attached && atomic_load(&self->node->phase) == PHASE_RUNNING) {
        // What was emitted is taken before the router forgets us.
        ring(self, (char[]){BELL_DETACH}, 1);
        (void)await(self, false);
    }
    if (self->bell == &router_bell) {
        (void)shared_map_take(self->node->ports, self->number);
        (void)zmq_close(self->other_end);
    }
    for (size_t i = 0; i < self->deferred_count; i++) {
        load_clear(&self->deferred[i]);
    }
    free(self->deferred);
    load_clear(&self->spare);
    box_destroy(&self->out);
    box_destroy(&self->in);
    map_destroy(&self->types);
    map_destroy(&self->asks);
    free(self->error);
    self->magic = 0;
    free(self);
}

const char *
edri_port_error(const edri_port_t *self)
{
    return self != NULL && self->error != NULL ? self->error : "";
}

// ----- types and gates

static edri_err_t
find_type(edri_port_t *self, const edri_type_t *type, typeref_t **ref_p)
{
    if (type == self->last_type && type != NULL) {
        *ref_p = self->last_ref;
        return EDRI_OK;
    }
    typeref_t *ref = map_get(self->types, (uint64_t)(uintptr_t)type);
    if (ref == NULL) {
        char why[256];
        edri_err_t err =
            types_add(self->node->types, type, &ref, why, sizeof why);
        if (err != EDRI_OK) {
            return fail(self, err, "%s", why);
        }
        (void)map_put(self->types, (uint64_t)(uintptr_t)type, ref);
        if (self->bell->use != NULL) {
            self->bell->use(self, type);
        }
    }
    self->last_type = type;
    self->last_ref = *ref_p = ref;
    return EDRI_OK;
}

// ask_gate asks to be rung when the type's gate opens.
static void
ask_gate(edri_port_t *self, const typeref_t *ref)
{
    uint8_t word[9] = {BELL_GATE};
    memcpy(word + 1, &ref->type->id, 8);
    ring(self, word, sizeof word);
}

// not_waited says why the wait for room has ended.
static edri_err_t
not_waited(
    edri_port_t *self, const typeref_t *ref, edri_err_t err, bool hurried)
{
    const char *type = ref->type->name;
    const char *what =
        atomic_load(&ref->closed) ? "a receiver is" : "the port is";
    if (err == EDRI_CANCELLED) {
        return fail(
            self, err, "%s: %s full, and the task was cancelled", type, what);
    }
    if (err == EDRI_DEADLINE && hurried) {
        return fail(
            self, err, "%s: %s full, and the deadline has passed", type, what);
    }
    if (err == EDRI_DEADLINE) {
        return fail(self, EDRI_OVERLOADED, "%s: %s full, for %lld ms now", type,
            what, (long long)self->node->limits.emit_wait_ms);
    }
    return fail(self, err, "%s: the node has stopped", type);
}

// wait_for_room waits until the type's gate is open and the port's own box has
// room: for emit.wait, but not beyond deadline_ms (-1: none).
static edri_err_t
wait_for_room(
    edri_port_t *self, typeref_t *ref, bool no_wait, int64_t deadline_ms)
{
    int64_t until_ms = clock_ms() + self->node->limits.emit_wait_ms;
    bool hurried = deadline_ms >= 0 && deadline_ms < until_ms;
    until_ms = hurried ? deadline_ms : until_ms;
    (void)wait_bell(self, 0); // what has been said may be that there is room
    for (;;) {
        bool closed = atomic_load(&ref->closed);
        bool full = box_used(self->out) >= box_limit(self->out);
        if (!closed && !full) {
            return EDRI_OK;
        }
        if (no_wait) {
            return fail(self, EDRI_AGAIN, "%s: %s is full", ref->type->name,
                closed ? "a receiver" : "the port");
        }
        if (closed) {
            ask_gate(self, ref);
        } else if (!box_watch(self->out, box_limit(self->out) / 2)) {
            continue;
        }
        edri_err_t err =
            is_cancelled(self) ? EDRI_CANCELLED : port_sleep(self, until_ms);
        if (err != EDRI_OK) {
            return not_waited(self, ref, err, hurried);
        }
    }
}

static bool
has_room(edri_port_t *self, typeref_t *ref)
{
    return !atomic_load_explicit(&ref->closed, memory_order_relaxed) &&
           box_used(self->out) < box_limit(self->out);
}

// ----- emitting

// body_t is what is to be packed: a message, or bytes.
typedef struct body {
    const ProtobufCMessage *message; // NULL: the bytes
    const void *data;
    size_t size;
} body_t;

static void
pack_body(const body_t *body, uint8_t *out)
{
    if (body->message != NULL) {
        (void)protobuf_c_message_pack(body->message, out);
    } else if (body->size > 0) {
        memcpy(out, body->data, body->size);
    }
}

// put writes one envelope with its body into the port's box.
static void
put(edri_port_t *self, envelope_t *env, const body_t *body)
{
    blob_t *blob = NULL;
    size_t inside = body->size;
    if (body->size > WIRE_INLINE_MAX) {
        blob = blob_new(body->size);
        pack_body(body, blob_data(blob));
        env->flags |= WIRE_ATTACHED;
        inside = 0;
    }
    // Only what has an end needs to know when it began.
    int64_t base_ms = env->ttl_ms > 0 ? clock_ms() : 0;
    size_t size = envelope_size(env, inside);
    uint8_t *room =
        box_open(self->out, size, &(run_t){.base_ms = base_ms}, blob);
    uint8_t *place = envelope_write(env, inside, room, size);
    if (blob == NULL) {
        pack_body(body, place);
    }
    if (box_close(self->out)) {
        ring(self, NULL, 0);
    }
}

static void
fill_options(envelope_t *env, const edri_type_t *type, edri_kind_t kind,
    const edri_emit_options_t *options)
{
    edri_deliver_t deliver = type->deliver;
    uint8_t priority = type->priority;
    if (options != NULL) {
        deliver = options->set_deliver ? options->deliver : deliver;
        // What is retained keeps its order, by which late subscribers count.
        bool own = options->priority > 0 && !type->retained;
        priority = own ? (uint8_t)(options->priority - 1) : priority;
        env->ttl_ms = options->ttl_ms;
    }
    env->flags = envelope_flags(kind, deliver, priority & 7u) |
                 (type->shareable ? 0 : WIRE_NODE_ONLY);
}

static slice_t
trace_slice(const edri_trace_t *trace)
{
    static_assert(sizeof *trace == WIRE_TRACE_SIZE, "as on the wire");
    return (slice_t){(const uint8_t *)trace, sizeof *trace};
}

edri_err_t
edri_port_trace(edri_port_t *self, const edri_trace_t *trace)
{
    if (check_owner(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    self->cause.traced = trace != NULL;
    if (trace != NULL) {
        self->cause.trace = *trace;
    }
    return EDRI_OK;
}

// send_event checks, waits for room, not beyond deadline_ms (-1: none), and puts
// the envelope into the box; 'env' has its flags and ttl.
static edri_err_t
send_event(edri_port_t *self, typeref_t *ref, envelope_t *env, body_t *body,
    bool no_wait, int64_t deadline_ms)
{
    const edri_type_t *type = ref->type;
    if (self->quit) {
        return fail(self, EDRI_CLOSED, "%s: the node has stopped", type->name);
    }
    if (body->message != NULL) {
        if (body->message->descriptor != type->message) {
            return fail(self, EDRI_INVAL, "%s: the message is a %s", type->name,
                body->message->descriptor->name);
        }
        body->size = protobuf_c_message_get_packed_size(body->message);
    }
    if (body->size > self->node->limits.body_max) {
        return fail(self, EDRI_TOO_BIG,
            "%s: %zu bytes packed, node.body_limit is %zu", type->name,
            body->size, self->node->limits.body_max);
    }
    if (!has_room(self, ref)) {
        edri_err_t err = wait_for_room(self, ref, no_wait, deadline_ms);
        if (err != EDRI_OK) {
            return err;
        }
        if (type->kind == EDRI_REQUEST) {
            int64_t left = deadline_ms - clock_ms();
            env->ttl_ms = left > 0 ? (uint32_t)left : 1;
        }
    }
    if (ref->key != NULL) {
        env->flags |= WIRE_KEYED;
        env->key = body->message != NULL
                       ? key_of_message(ref->key, body->message)
                       : key_of_body(ref->key, body->data, body->size);
    }
    env->type = type->id;
    env->cause = self->cause.event;
    env->cause_life = self->cause.life;
    if (self->cause.traced) {
        env->trace = trace_slice(&self->cause.trace);
    }
    put(self, env, body);
    return EDRI_OK;
}

static edri_err_t
emit(edri_port_t *self, const edri_type_t *type, body_t *body,
    const edri_emit_options_t *options)
{
    if (check_owner(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    typeref_t *ref = NULL;
    edri_err_t err = find_type(self, type, &ref);
    if (err != EDRI_OK) {
        return err;
    }
    if (type->kind != EDRI_NOTIFICATION) {
        return fail(self, EDRI_INVAL,
            "%s: not a notification; use a request function", type->name);
    }
    envelope_t env = {.id = ++self->next_id};
    fill_options(&env, type, EDRI_NOTIFICATION, options);
    return send_event(self, ref, &env, body,
        options != NULL && options->no_wait, self->cause.deadline_ms);
}

edri_err_t
edri_emit(edri_port_t *self, const edri_type_t *type,
    const ProtobufCMessage *message, const edri_emit_options_t *options)
{
    if (message == NULL) {
        return EDRI_INVAL;
    }
    body_t body = {.message = message};
    return emit(self, type, &body, options);
}

edri_err_t
edri_emit_packed(edri_port_t *self, const edri_type_t *type, const void *data,
    size_t size, const edri_emit_options_t *options)
{
    if (data == NULL && size > 0) {
        return EDRI_INVAL;
    }
    body_t body = {.data = data, .size = size};
    return emit(self, type, &body, options);
}

void
port_reply(edri_port_t *self, const envelope_t *asked, uint64_t life,
    edri_err_t err, const char *text, const ProtobufCMessage *reply)
{
    envelope_t env = {
        .type = asked->type,
        .id = ++self->next_id,
        .flags = envelope_flags(
                     EDRI_REPLY, EDRI_ONE, envelope_priority(asked->flags)) |
                 WIRE_LAST,
        .request = asked->id,
        .to = life,
        .error = (uint32_t)err,
        .trace = asked->trace,
        .position = self->target,
    };
    body_t body = {0};
    char why[128];
    if (err == EDRI_OK && reply != NULL) {
        body.message = reply;
        body.size = protobuf_c_message_get_packed_size(reply);
        if (body.size > self->node->limits.body_max) {
            snprintf(why, sizeof why,
                "the reply is %zu bytes, node.body_limit is %zu", body.size,
                self->node->limits.body_max);
            env.error = EDRI_TOO_BIG;
            text = why;
            body = (body_t){0};
        }
    }
    if (env.error != EDRI_OK && text != NULL) {
        size_t size = strlen(text);
        size = size < WIRE_TEXT_MAX ? size : WIRE_TEXT_MAX;
        env.text = (slice_t){(const uint8_t *)text, size};
    }
    // A reply is never refused: it waits for the router, which never stops.
    while (!self->bell->takes_replies &&
           box_used(self->out) >= box_limit(self->out)) {
        if (box_watch(self->out, box_limit(self->out) / 2) &&
            port_sleep(self, -1) != EDRI_OK) {
            return;
        }
    }
    put(self, &env, &body);
}

edri_err_t
port_pass(edri_port_t *self, slice_t item, int64_t base_ms, blob_t **blob_p)
{
    if (box_used(self->out) >= box_limit(self->out) &&
        box_watch(self->out, box_limit(self->out) / 2)) {
        return EDRI_AGAIN;
    }
    run_t run = {.base_ms = base_ms};
    if (box_put(
            self->out, item.data, item.len, &run, blob_p, *blob_p != NULL)) {
        ring(self, NULL, 0);
    }
    *blob_p = NULL;
    return EDRI_OK;
}

bool
port_is_open(edri_port_t *self, const typeref_t *ref)
{
    bool closed = atomic_load(&ref->closed);
    if (closed) {
        ask_gate(self, ref);
    }
    return !closed;
}

// ----- asking

// time_for gives a request its time: what it may have, but no more than is left
// of the task that asks.
static edri_err_t
time_for(edri_port_t *self, const edri_type_t *type, uint32_t timeout_ms,
    ask_t *ask, uint32_t *ttl_ms)
{
    int64_t now_ms = clock_ms();
    *ttl_ms = timeout_ms > 0 ? timeout_ms : type->timeout_ms;
    if (is_cancelled(self)) {
        return fail(self, EDRI_CANCELLED,
            "%s: not asked: the task was cancelled", type->name);
    }
    if (self->cause.deadline_ms >= 0) {
        int64_t left = self->cause.deadline_ms - now_ms;
        if (left <= 0) {
            return fail(self, EDRI_DEADLINE,
                "%s: not asked: the task's deadline has passed", type->name);
        }
        *ttl_ms = left < *ttl_ms ? (uint32_t)left : *ttl_ms;
    }
    ask->deadline_ms = now_ms + *ttl_ms;
    return EDRI_OK;
}

static edri_err_t
begin_request(edri_port_t *self, const edri_type_t *type,
    const ProtobufCMessage *message, uint32_t timeout_ms, ask_t *ask)
{
    if (check_owner(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    typeref_t *ref = NULL;
    edri_err_t err = find_type(self, type, &ref);
    if (err != EDRI_OK) {
        return err;
    }
    if (type->kind != EDRI_REQUEST || message == NULL) {
        return fail(self, EDRI_INVAL, "%s: %s", type->name,
            message == NULL ? "no message" : "not a request; use emit");
    }
    edri_emit_options_t options = {
        .set_deliver = ask->all, .deliver = EDRI_ALL};
    err = time_for(self, type, timeout_ms, ask, &options.ttl_ms);
    if (err != EDRI_OK) {
        return err;
    }
    envelope_t env = {.id = ++self->next_id};
    fill_options(&env, type, EDRI_REQUEST, &options);
    ask->all = envelope_deliver(env.flags) == EDRI_ALL;
    ask->id = env.id;
    ask->type = type;
    ask->cause = self->cause;
    ask_begin(self, ask);
    body_t body = {.message = message};
    err = send_event(self, ref, &env, &body, false, ask->deadline_ms);
    if (err != EDRI_OK) {
        ask_drop(self, ask);
    } else {
        self->last_request = env.id;
    }
    return err;
}

uint64_t
edri_port_last_request(const edri_port_t *self)
{
    return self != NULL ? self->last_request : 0;
}

edri_err_t
edri_request_cancel(edri_port_t *self, uint64_t request)
{
    if (check_owner(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    ask_t *ask = map_get(self->asks, request);
    if (ask == NULL) {
        return fail(self, EDRI_NOT_FOUND,
            "the request to be cancelled has ended already");
    }
    ask_cancel(self, ask);
    return EDRI_OK;
}

edri_err_t
edri_request(edri_port_t *self, const edri_type_t *type,
    const ProtobufCMessage *message, uint32_t timeout_ms,
    ProtobufCMessage **reply_p)
{
    ask_t ask = {0};
    edri_err_t err = begin_request(self, type, message, timeout_ms, &ask);
    if (err == EDRI_OK) {
        err = ask_wait(self, &ask);
    }
    if (reply_p != NULL) {
        *reply_p = err == EDRI_OK ? ask.reply : NULL;
    }
    if ((err != EDRI_OK || reply_p == NULL) && ask.reply != NULL) {
        protobuf_c_message_free_unpacked(ask.reply, NULL);
    }
    return err;
}

edri_err_t
edri_request_async(edri_port_t *self, const edri_type_t *type,
    const ProtobufCMessage *message, uint32_t timeout_ms, edri_answer_fn *fn,
    edri_fn_t user, void *arg)
{
    if (fn == NULL) {
        return EDRI_INVAL;
    }
    ask_t *ask = mem_new(sizeof *ask);
    *ask = (ask_t){.fn = fn, .user = user, .arg = arg, .heap = true};
    edri_err_t err = begin_request(self, type, message, timeout_ms, ask);
    if (err != EDRI_OK) {
        free(ask);
    }
    return err;
}

edri_err_t
edri_request_all(edri_port_t *self, const edri_type_t *type,
    const ProtobufCMessage *message, uint32_t timeout_ms, edri_answer_fn *fn,
    edri_fn_t user, void *arg, uint32_t *asked, uint32_t *answered)
{
    if (fn == NULL) {
        return EDRI_INVAL;
    }
    ask_t ask = {.fn = fn, .user = user, .arg = arg, .all = true};
    edri_err_t err = begin_request(self, type, message, timeout_ms, &ask);
    if (err == EDRI_OK) {
        err = ask_wait(self, &ask);
    }
    if (asked != NULL) {
        *asked = ask.expected;
    }
    if (answered != NULL) {
        *answered = ask.replied;
    }
    return err;
}

// ----- waiting

edri_err_t
edri_port_poll(edri_port_t *self, int timeout_ms)
{
    if (check_owner(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    int64_t deadline = timeout_ms < 0 ? -1 : clock_ms() + timeout_ms;
    for (;;) {
        if (port_pump(self) > 0) {
            return EDRI_OK;
        }
        int64_t until = port_deadline(self);
        if (until < 0 || (deadline >= 0 && deadline < until)) {
            until = deadline;
        }
        edri_err_t err = port_sleep(self, until);
        if (err == EDRI_CLOSED) {
            return err;
        }
        if (err == EDRI_DEADLINE && until == deadline) {
            return port_pump(self) > 0 ? EDRI_OK : EDRI_AGAIN;
        }
    }
}

void
port_ask_flush(edri_port_t *self)
{
    self->flushed = false;
    ring(self, (char[]){BELL_FLUSH}, 1);
}

edri_err_t
edri_port_flush(edri_port_t *self, int timeout_ms)
{
    if (check_owner(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    int64_t deadline = timeout_ms < 0 ? -1 : clock_ms() + timeout_ms;
    port_ask_flush(self);
    while (!self->flushed) {
        edri_err_t err = port_sleep(self, deadline);
        if (err != EDRI_OK) {
            return err;
        }
        (void)port_pump(self);
    }
    return EDRI_OK;
}
