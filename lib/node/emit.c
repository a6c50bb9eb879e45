// SPDX-License-Identifier: MIT
// emit.c - how events get into a port's box: emitted, asked, replied.

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "node/ask.h"
#include "node/key.h"
#include "node/tunnels.h"
#include "node/used.h"
#include "node/work/task.h"
#include "wire/envelope.h"

// is_cancelled says whether what the port works for is wanted no more.
static bool
is_cancelled(const edri_port_t *self)
{
    const edri_task_t *task = self->task;
    return task != NULL && atomic_load(&task->cancelled_ms) != 0 &&
           self->cause.event == task->env.id && self->cause.life == task->life;
}

// ----- gates

// ask_gate asks to be rung when the type's gate opens.
static void
ask_gate(edri_port_t *self, const typeref_t *ref)
{
    uint8_t word[9] = {BELL_GATE};
    memcpy(word + 1, &ref->type->id, 8);
    port_ring(self, word, sizeof word);
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
        return port_fail(
            self, err, "%s: %s full, and the task was cancelled", type, what);
    }
    if (err == EDRI_DEADLINE && hurried) {
        return port_fail(
            self, err, "%s: %s full, and the deadline has passed", type, what);
    }
    if (err == EDRI_DEADLINE) {
        return port_fail(self, EDRI_OVERLOADED, "%s: %s full, for %lld ms now",
            type, what, (long long)self->node->limits.emit_wait_ms);
    }
    return port_fail(self, err, "%s: the node has stopped", type);
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
    (void)port_sleep(self, 0); // what has been said may be that there is room
    for (;;) {
        bool closed = atomic_load(&ref->closed);
        bool full = box_used(self->out) >= box_limit(self->out);
        if (!closed && !full) {
            return EDRI_OK;
        }
        if (no_wait) {
            return port_fail(self, EDRI_AGAIN, "%s: %s is full",
                ref->type->name, closed ? "a receiver" : "the port");
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

static void
pack_body(const content_t *body, uint8_t *out)
{
    if (body->message != NULL) {
        flat_pack(body->flat, body->message, out);
    } else if (body->size > 0) {
        memcpy(out, body->data, body->size);
    }
}

// attach makes the attachment of a body, or NULL when it is small.
static blob_t *
attach(const content_t *body)
{
    if (body->size <= WIRE_INLINE_MAX) {
        return NULL;
    }
    if (body->blob != NULL) {
        return blob_share(body->blob);
    }
    blob_t *blob = blob_new(body->size);
    pack_body(body, blob_data(blob));
    return blob;
}

void
port_put(edri_port_t *self, envelope_t *env, const content_t *body)
{
    blob_t *blob = attach(body);
    size_t inside = blob == NULL ? body->size : 0;
    env->flags |= blob != NULL ? WIRE_ATTACHED : 0;
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
        port_filled(self);
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
    if (port_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    self->cause.traced = trace != NULL;
    if (trace != NULL) {
        self->cause.trace = *trace;
    }
    return EDRI_OK;
}

// key_of hashes the key of an event.
static uint64_t
key_of(const typeref_t *ref, const edri_type_t *type, const content_t *body)
{
    const ProtobufCFieldDescriptor *key = ref->key;
    if (body->message == NULL) {
        return key_of_body(key, body->data, body->size);
    }
    if (type != ref->type) { // another copy, perhaps of another version
        key = protobuf_c_message_descriptor_get_field_by_name(
            type->message, type->key);
    }
    return key_of_message(key, body->message);
}

// send_event checks, waits for room, not beyond deadline_ms (-1: none), and puts
// the envelope into the box; 'env' has its flags and ttl.  'type' is the emitter's,
// 'ref' what the node knows of it.
static edri_err_t
send_event(edri_port_t *self, const edri_type_t *type, typeref_t *ref,
    envelope_t *env, content_t *body, bool no_wait, int64_t deadline_ms)
{
    if (self->quit) {
        return port_fail(
            self, EDRI_CLOSED, "%s: the node has stopped", type->name);
    }
    if (body->message != NULL) {
        if (body->message->descriptor != type->message) {
            return port_fail(self, EDRI_INVAL, "%s: the message is a %s",
                type->name, body->message->descriptor->name);
        }
        body->size = flat_size(body->flat, body->message);
    }
    if (body->size > self->node->limits.body_max) {
        return port_fail(self, EDRI_TOO_BIG,
            "%s: %zu bytes packed, node.body_limit is %zu", type->name,
            body->size, self->node->limits.body_max);
    }
    if (!has_room(self, ref)) {
        edri_err_t err = wait_for_room(self, ref, no_wait, deadline_ms);
        if (err != EDRI_OK) {
            return err;
        }
        if (envelope_kind(env->flags) == EDRI_REQUEST) {
            int64_t left = deadline_ms - clock_ms();
            env->ttl_ms = left > 0 ? (uint32_t)left : 1;
        }
    }
    if (ref->key != NULL) {
        env->flags |= WIRE_KEYED;
        env->key = key_of(ref, type, body);
    }
    env->type = type->id;
    env->cause = self->cause.event;
    env->cause_life = self->cause.life;
    if (self->cause.traced) {
        env->trace = trace_slice(&self->cause.trace);
    }
    port_put(self, env, body);
    return EDRI_OK;
}

static edri_err_t
emit(edri_port_t *self, const edri_type_t *type, content_t *body,
    const edri_emit_options_t *options)
{
    if (port_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    used_t *used = NULL;
    edri_err_t err = used_find(self, type, &used);
    if (err != EDRI_OK) {
        return err;
    }
    if (type->kind != EDRI_NOTIFICATION) {
        return port_fail(self, EDRI_INVAL,
            "%s: not a notification; use a request function", type->name);
    }
    envelope_t env = {.id = ++self->next_id};
    fill_options(&env, type, EDRI_NOTIFICATION, options);
    body->flat = used->message;
    return send_event(self, type, used->ref, &env, body,
        options != NULL && options->no_wait, self->cause.deadline_ms);
}

edri_err_t
edri_emit(edri_port_t *self, const edri_type_t *type,
    const ProtobufCMessage *message, const edri_emit_options_t *options)
{
    if (message == NULL) {
        return EDRI_INVAL;
    }
    content_t body = {.message = message};
    return emit(self, type, &body, options);
}

edri_err_t
edri_emit_packed(edri_port_t *self, const edri_type_t *type, const void *data,
    size_t size, const edri_emit_options_t *options)
{
    if (data == NULL && size > 0) {
        return EDRI_INVAL;
    }
    content_t body = {.data = data, .size = size};
    return emit(self, type, &body, options);
}

void
port_reply(edri_port_t *self, const envelope_t *asked, uint64_t life,
    edri_err_t err, const char *text, const ProtobufCMessage *reply,
    const flat_t *flat)
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
    content_t body = {0};
    char why[128];
    if (err == EDRI_OK && reply != NULL) {
        body.message = reply;
        body.flat = flat;
        body.size = flat_size(flat, reply);
        if (body.size > self->node->limits.body_max) {
            snprintf(why, sizeof why,
                "the reply is %zu bytes, node.body_limit is %zu", body.size,
                self->node->limits.body_max);
            env.error = EDRI_TOO_BIG;
            text = why;
            body = (content_t){0};
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
    port_put(self, &env, &body);
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
        port_ring(self, NULL, 0);
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
        return port_fail(self, EDRI_CANCELLED,
            "%s: not asked: the task was cancelled", type->name);
    }
    if (self->cause.deadline_ms >= 0) {
        int64_t left = self->cause.deadline_ms - now_ms;
        if (left <= 0) {
            return port_fail(self, EDRI_DEADLINE,
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
    if (port_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    used_t *used = NULL;
    edri_err_t err = used_find(self, type, &used);
    if (err != EDRI_OK) {
        return err;
    }
    edri_kind_t kind = ask->opens ? EDRI_TUNNEL : EDRI_REQUEST;
    if (type->kind != kind || message == NULL) {
        return port_fail(self, EDRI_INVAL, "%s: %s", type->name,
            message == NULL ? "no message"
            : ask->opens    ? "not a tunnel"
                            : "not a request; use emit, or open a tunnel");
    }
    edri_emit_options_t options = {
        .set_deliver = ask->all, .deliver = EDRI_ALL};
    err = time_for(self, type, timeout_ms, ask, &options.ttl_ms);
    if (err != EDRI_OK) {
        return err;
    }
    envelope_t env = {.id = ++self->next_id, .position = ask->window};
    fill_options(&env, type, EDRI_REQUEST, &options);
    env.flags |= self->tenant.on_progress != NULL ? WIRE_PROGRESS : 0;
    ask->all = envelope_deliver(env.flags) == EDRI_ALL;
    ask->id = env.id;
    ask->type = type;
    ask->cause = self->cause;
    ask->tenant = self->tenant;
    ask->outer = atomic_load(&self->waits_for);
    ask_begin(self, ask);
    if (ask->waits) { // before anybody can answer
        ask_waits(self, ask);
    }
    content_t body = {.message = message, .flat = used->message};
    self->soon = ask->waits;
    err =
        send_event(self, type, used->ref, &env, &body, false, ask->deadline_ms);
    self->soon = false;
    if (err != EDRI_OK) {
        ask_drop(self, ask);
    } else {
        self->last_request = env.id;
    }
    return err;
}

void
port_progress(edri_port_t *self, const envelope_t *asked, uint64_t life,
    uint64_t done, uint64_t total, const char *text)
{
    Edri__Wire__Progress progress = EDRI__WIRE__PROGRESS__INIT;
    envelope_t env = {.type = asked->type,
        .id = ++self->next_id,
        .flags = envelope_flags(
                     EDRI_REPLY, EDRI_ONE, envelope_priority(asked->flags)) |
                 WIRE_PROGRESS,
        .request = asked->id,
        .to = life,
        .trace = asked->trace,
        .position = self->target};
    progress.done = done;
    progress.total = total;
    content_t body = {.message = &progress.base,
        .size = protobuf_c_message_get_packed_size(&progress.base)};
    if (text != NULL) {
        size_t size = strlen(text);
        size = size < WIRE_TEXT_MAX ? size : WIRE_TEXT_MAX;
        env.text = (slice_t){(const uint8_t *)text, size};
    }
    if (self->bell->takes_replies ||
        box_used(self->out) < box_limit(self->out)) {
        port_put(self, &env, &body);
    }
}

edri_err_t
edri_port_on_progress(edri_port_t *self, edri_progress_fn *fn, void *arg)
{
    if (port_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    self->tenant.on_progress = fn;
    self->tenant.progress_arg = arg;
    return EDRI_OK;
}

uint64_t
edri_port_last_request(const edri_port_t *self)
{
    return self != NULL ? self->last_request : 0;
}

edri_err_t
edri_request_cancel(edri_port_t *self, uint64_t request)
{
    if (port_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    ask_t *ask = map_get(self->asks, request);
    if (ask == NULL) {
        return port_fail(self, EDRI_NOT_FOUND,
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
    ask_t ask = {.waits = true};
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
port_open_tunnel(edri_port_t *self, const edri_type_t *type,
    const ProtobufCMessage *arguments, uint32_t timeout_ms, bool waits,
    edri_answer_fn *fn, void *arg)
{
    if (port_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    size_t limit = self->node->limits.tunnel_limit;
    if (atomic_load(&self->node->tunnels_open) >= limit) {
        return port_fail(self, EDRI_OVERLOADED,
            "%zu ends of tunnels are open here, as many as tunnel.limit allows",
            limit);
    }
    ask_t *ask = mem_new(sizeof *ask);
    *ask = (ask_t){.fn = fn,
        .arg = arg,
        .heap = true,
        .waits = waits,
        .opens = true,
        .window = tunnels_window(self->node)};
    edri_err_t err = begin_request(self, type, arguments, timeout_ms, ask);
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
    ask_t ask = {
        .fn = fn, .user = user, .arg = arg, .all = true, .waits = true};
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
