// SPDX-License-Identifier: MIT
// tunnel.c - the ends of tunnels in a port: what is sent and received.

#include "edri/tunnel.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "node/tunnel_impl.h"
#include "node/tunnels.h"
#include "wire/nesting.h"

// ----- making and freeing

edri_tunnel_t *
tunnel_new(edri_port_t *port, const edri_type_t *type, uint64_t id)
{
    edri_tunnel_t *self = mem_new(sizeof *self);
    self->port = port;
    self->type = type;
    self->id = id;
    self->tenant = port->tenant;
    self->cause = port->cause;
    self->cause.deadline_ms = -1; // it has no end
    atomic_fetch_add(&port->node->tunnels_open, 1);
    window_in_init(&self->in, tunnels_window(port->node));
    (void)map_put(port->tunnels, id, self);
    return self;
}

void
piece_free(piece_t *piece)
{
    blob_drop(&piece->blob);
    free(piece);
}

void
tunnel_free(edri_tunnel_t *self)
{
    if (map_take(self->port->tunnels, self->id) != NULL) {
        atomic_fetch_sub(&self->port->node->tunnels_open, 1);
    }
    while (self->first != NULL) {
        piece_t *next = self->first->next;
        piece_free(self->first);
        self->first = next;
    }
    if (self->task != NULL) {
        self->task->tunnel = NULL;
    }
    edri_tunnel_t **at = &self->port->heard;
    while (self->listed && *at != NULL) {
        if (*at == self) {
            *at = self->next;
            break;
        }
        at = &(*at)->next;
    }
    free(self->opening);
    free(self->text);
    free(self);
}

bool
tunnel_is_over(const edri_tunnel_t *self)
{
    return self->closed || (self->finished && self->ended);
}

// ----- saying

void
tunnel_say(edri_tunnel_t *self, uint32_t word, uint64_t position,
    edri_err_t err, const char *text, const content_t *body)
{
    uint32_t flags =
        envelope_flags(EDRI_TUNNEL, EDRI_ONE, self->type->priority & 7u);
    envelope_t env = {.type = self->type->id,
        .id = self->id,
        .flags = flags | word,
        .request = self->peer,
        .to = self->life,
        .error = (uint32_t)err,
        .position = position};
    if (text != NULL) {
        size_t size = strlen(text);
        env.text = (slice_t){
            (const uint8_t *)text, size < WIRE_TEXT_MAX ? size : WIRE_TEXT_MAX};
    }
    port_put(self->port, &env, body != NULL ? body : &(content_t){0});
}

void
tunnel_say_opened(edri_tunnel_t *self)
{
    if (!self->opened) { // so it is a worker's, whose handler runs
        self->opened = true;
        task_opened(self->task);
        tunnel_say(self, WIRE_OPENED, self->in.granted, EDRI_OK, NULL, NULL);
    }
}

edri_err_t
tunnel_check(const edri_tunnel_t *self)
{
    return self != NULL ? port_check(self->port) : EDRI_STATE;
}

edri_err_t
tunnel_fail(edri_tunnel_t *self, edri_err_t err, const char *text)
{
    return port_fail(self->port, err, "%s: %s", self->type->name, text);
}

// ended_with is the error of a tunnel that was closed.
static edri_err_t
ended_with(edri_tunnel_t *self)
{
    edri_err_t err = self->reason != EDRI_OK ? self->reason : EDRI_CLOSED;
    return tunnel_fail(self, err,
        self->text != NULL && self->text[0] != '\0'
            ? self->text
            : "the other end has closed the tunnel");
}

static bool
is_cancelled(const edri_tunnel_t *self)
{
    return self->task != NULL && atomic_load(&self->task->cancelled_ms) != 0;
}

// pause_until waits for a word.  Returns EDRI_OK, EDRI_AGAIN when the time is over,
// EDRI_CLOSED: the node stops, or EDRI_CANCELLED.
static edri_err_t
pause_until(edri_tunnel_t *self, int64_t deadline_ms)
{
    edri_port_t *port = self->port;
    if (port_pump(port) > 0) {
        return EDRI_OK;
    }
    if (is_cancelled(self)) {
        return tunnel_fail(self, EDRI_CANCELLED, "the task has been cancelled");
    }
    int64_t until_ms = port_deadline(port);
    bool sooner = deadline_ms >= 0 && (until_ms < 0 || deadline_ms < until_ms);
    until_ms = sooner ? deadline_ms : until_ms;
    edri_err_t err = port_sleep(port, until_ms);
    if (err == EDRI_CLOSED) {
        return tunnel_fail(self, err, "the node has stopped");
    }
    (void)port_pump(port);
    return err == EDRI_DEADLINE && sooner ? EDRI_AGAIN : EDRI_OK;
}

static int64_t
deadline_of(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : clock_ms() + timeout_ms;
}

bool
tunnel_port_full(edri_port_t *port)
{
    return box_used(port->out) >= box_limit(port->out) &&
           box_watch(port->out, box_limit(port->out) / 2);
}

// await_room waits until a message may go.
static edri_err_t
await_room(edri_tunnel_t *self, int timeout_ms)
{
    int64_t deadline_ms = 0;
    for (int tries = 0;; tries++) {
        if (self->closed) {
            return ended_with(self);
        }
        if (self->port->quit) {
            return tunnel_fail(self, EDRI_CLOSED, "the node has stopped");
        }
        if (window_out_may(&self->out) && !tunnel_port_full(self->port)) {
            return EDRI_OK;
        }
        if (tries == 0) {
            deadline_ms = deadline_of(timeout_ms);
        }
        edri_err_t err = pause_until(self, deadline_ms);
        if (err == EDRI_AGAIN && window_out_may(&self->out) &&
            !tunnel_port_full(self->port)) {
            return EDRI_OK;
        }
        if (err != EDRI_OK) {
            self->short_of = err == EDRI_AGAIN;
            self->port->starved = self->port->starved || self->short_of;
            return err == EDRI_AGAIN
                       ? tunnel_fail(self, err, "the other end has no room")
                       : err;
        }
    }
}

// idle ends a call that may have waited.  A callback that was due meanwhile comes
// later: the caller has yet to note that its message has gone.  Returns 'err'.
static edri_err_t
idle(edri_tunnel_t *self, edri_err_t err)
{
    if (--self->busy == 0 && self->gone && !self->in_call) {
        tunnel_free(self);
    } else if (self->busy == 0 && self->due && !self->in_call) {
        tunnel_list(self);
    }
    return err;
}

// what_goes is the message that this end sends; NULL: bytes.  what_comes likewise.
static const ProtobufCMessageDescriptor *
what_goes(const edri_tunnel_t *self)
{
    return self->opener ? self->type->up : self->type->down;
}

static const ProtobufCMessageDescriptor *
what_comes(const edri_tunnel_t *self)
{
    return self->opener ? self->type->down : self->type->up;
}

edri_port_t *
tunnel_port(const edri_tunnel_t *self)
{
    return self->port;
}

bool
tunnel_has_room(edri_tunnel_t *self)
{
    tunnel_say_opened(self);
    // A closed one says so when it is sent to.
    return self->closed ||
           (window_out_may(&self->out) && !tunnel_port_full(self->port));
}

int
edri_tunnel_is_closed(const edri_tunnel_t *self, edri_err_t *reason_p)
{
    if (reason_p != NULL) {
        *reason_p = self->reason;
    }
    return self->closed;
}

edri_err_t
tunnel_carries_bytes(edri_tunnel_t *self, bool goes)
{
    if (tunnel_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    return what_comes(self) == NULL && (!goes || what_goes(self) == NULL)
               ? EDRI_OK
               : tunnel_fail(self, EDRI_INVAL, "a direction carries messages");
}

// send sends one message, when there is room.
static edri_err_t
send(edri_tunnel_t *self, const content_t *body, int timeout_ms)
{
    if (self->finished) {
        return tunnel_fail(self, EDRI_STATE, "this end has finished");
    }
    if (body->size > self->port->node->limits.body_max) {
        return tunnel_fail(
            self, EDRI_TOO_BIG, "a message is over node.body_limit");
    }
    tunnel_say_opened(self);
    self->busy++;
    edri_err_t err = await_room(self, timeout_ms);
    if (err == EDRI_OK) {
        window_out_sent(&self->out, body->size + TUNNEL_OVERHEAD);
        tunnel_say(self, 0, 0, EDRI_OK, NULL, body);
    }
    return idle(self, err);
}

edri_err_t
edri_tunnel_send(
    edri_tunnel_t *self, const ProtobufCMessage *message, int timeout_ms)
{
    if (tunnel_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    if (message == NULL || message->descriptor != what_goes(self)) {
        return tunnel_fail(self, EDRI_INVAL,
            what_goes(self) == NULL ? "this direction carries bytes"
                                    : "this direction carries another message");
    }
    content_t body = {.message = message,
        .size = protobuf_c_message_get_packed_size(message)};
    return send(self, &body, timeout_ms);
}

edri_err_t
edri_tunnel_send_bytes(
    edri_tunnel_t *self, const void *data, size_t size, int timeout_ms)
{
    if (tunnel_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    if (what_goes(self) != NULL) {
        return tunnel_fail(self, EDRI_INVAL, "this direction carries messages");
    }
    return send(self, &(content_t){.data = data, .size = size}, timeout_ms);
}

edri_err_t
edri_tunnel_send_owned(edri_tunnel_t *self, void *data, size_t size,
    void (*release)(void *hint), void *hint, int timeout_ms)
{
    blob_t *blob = blob_wrap(data, size, release, hint);
    edri_err_t err = tunnel_check(self);
    if (err == EDRI_OK && what_goes(self) != NULL) {
        err = tunnel_fail(self, EDRI_INVAL, "this direction carries messages");
    }
    if (err == EDRI_OK) {
        err = send(self, &(content_t){.data = data, .size = size, .blob = blob},
            timeout_ms);
    }
    blob_drop(&blob);
    return err;
}

edri_err_t
edri_tunnel_finish(edri_tunnel_t *self)
{
    if (tunnel_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    if (self->finished) {
        return EDRI_OK;
    }
    if (self->closed) {
        return ended_with(self);
    }
    tunnel_say_opened(self);
    self->finished = true;
    tunnel_say(self, WIRE_END, 0, EDRI_OK, NULL, NULL);
    return EDRI_OK;
}

// ----- receiving

piece_t *
tunnel_take(edri_tunnel_t *self)
{
    piece_t *piece = self->first;
    self->first = piece->next;
    self->last = self->first != NULL ? self->last : NULL;
    if (window_in_read(&self->in, piece->size + TUNNEL_OVERHEAD,
            tunnels_window(self->port->node)) &&
        !self->closed && !self->ended) {
        tunnel_say(self, WIRE_CREDIT, self->in.granted, EDRI_OK, NULL, NULL);
    }
    return piece;
}

// await_piece waits for one.
static edri_err_t
await_piece(edri_tunnel_t *self, int timeout_ms)
{
    int64_t deadline_ms = 0;
    tunnel_say_opened(self);
    for (int tries = 0; self->first == NULL; tries++) {
        if (self->ended) {
            return EDRI_END;
        }
        if (self->closed) {
            return ended_with(self);
        }
        if (self->port->quit) {
            return tunnel_fail(self, EDRI_CLOSED, "the node has stopped");
        }
        if (tries == 0) {
            deadline_ms = deadline_of(timeout_ms);
        }
        edri_err_t err = pause_until(self, deadline_ms);
        if (err != EDRI_OK && self->first == NULL && !self->ended &&
            !self->closed) {
            return err;
        }
    }
    return EDRI_OK;
}

static slice_t
bytes_of(piece_t *piece)
{
    return piece->blob != NULL
               ? (slice_t){blob_data(piece->blob), blob_size(piece->blob)}
               : (slice_t){piece->data, piece->size};
}

// receive takes the next message as it came.
static edri_err_t
receive(edri_tunnel_t *self, int timeout_ms, piece_t **piece_p)
{
    *piece_p = NULL;
    if (tunnel_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    self->busy++;
    edri_err_t err = await_piece(self, timeout_ms);
    if (err == EDRI_OK) {
        *piece_p = tunnel_take(self);
    }
    return idle(self, err);
}

edri_err_t
edri_tunnel_receive(
    edri_tunnel_t *self, int timeout_ms, ProtobufCMessage **message_p)
{
    piece_t *piece = NULL;
    *message_p = NULL;
    if (tunnel_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    edri_port_t *port = self->port;
    const edri_type_t *type = self->type;
    const ProtobufCMessageDescriptor *descriptor = what_comes(self);
    if (descriptor == NULL) {
        return tunnel_fail(self, EDRI_INVAL, "this direction carries bytes");
    }
    edri_err_t err = receive(self, timeout_ms, &piece);
    if (err != EDRI_OK) {
        return err;
    }
    slice_t bytes = bytes_of(piece);
    *message_p =
        nesting_fits(descriptor, bytes)
            ? protobuf_c_message_unpack(descriptor, NULL, bytes.len, bytes.data)
            : NULL;
    piece_free(piece);
    if (*message_p == NULL) {
        counter_add(&port->node->counters, COUNTER_UNDECODABLE, 1);
        return port_fail(port, EDRI_UNDECODABLE, "%s: what came is no %s",
            type->name, descriptor->name);
    }
    return EDRI_OK;
}

edri_err_t
edri_tunnel_receive_bytes(
    edri_tunnel_t *self, int timeout_ms, edri_bytes_t *bytes)
{
    piece_t *piece = NULL;
    edri_err_t err = receive(self, timeout_ms, &piece);
    *bytes = (edri_bytes_t){0};
    if (err == EDRI_OK) {
        slice_t content = bytes_of(piece);
        *bytes = (edri_bytes_t){content.data, content.len, piece};
    }
    return err;
}

void
edri_bytes_free(edri_bytes_t *self)
{
    if (self->owner != NULL) {
        piece_free(self->owner);
    }
    *self = (edri_bytes_t){0};
}

// ----- the end

void
edri_tunnel_close(edri_tunnel_t **self_p, edri_err_t reason, const char *text)
{
    edri_tunnel_t *self = self_p != NULL ? *self_p : NULL;
    if (tunnel_check(self) != EDRI_OK) {
        return;
    }
    *self_p = NULL;
    if (!tunnel_is_over(self) && !self->gone) {
        tunnel_say_opened(self);
        tunnel_say(self, WIRE_CLOSE, 0, reason, text, NULL);
        self->closed = true;
    }
    if (self->in_call || self->busy > 0) {
        self->gone = true; // freed when that call ends
    } else {
        tunnel_free(self);
    }
}

const char *
edri_tunnel_text(const edri_tunnel_t *self)
{
    return self->text != NULL ? self->text : "";
}

uint64_t
edri_tunnel_peer(const edri_tunnel_t *self)
{
    return self->life;
}
