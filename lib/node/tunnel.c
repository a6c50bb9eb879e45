// SPDX-License-Identifier: MIT
// tunnel.c - the ends of tunnels in a port.

#include "edri/tunnel.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "core/window.h"
#include "node/ask.h"
#include "node/tunnel.h"
#include "node/tunnels.h"
#include "node/work/task.h"
#include "wire/nesting.h"

// piece_t is a message that has come and was not received.
typedef struct piece {
    struct piece *next;
    blob_t *blob; // or the bytes below
    size_t size;
    uint8_t data[];
} piece_t;

struct edri_tunnel {
    edri_port_t *port;
    const edri_type_t *type;
    bool opener;
    uint64_t id;
    uint64_t life; // of the other end, and its id
    uint64_t peer;
    window_out_t out;
    window_in_t in;
    piece_t *first;
    piece_t *last;
    bool opened;   // the acceptor has said so, or heard so
    bool finished; // nothing more goes,
    bool ended;    // or comes
    bool closed;   // by the other end, or the router
    bool short_of; // 'room' is to be called
    bool in_call;  // of a callback
    unsigned busy; // calls of its own that wait: no callback comes between
    bool due;      // one would have come
    struct opening *opening; // whom it is to be given to; NULL: nobody
    bool listed;             // in port->heard
    edri_tunnel_t *next;     // there
    bool gone;               // was closed there: freed when it returns
    edri_err_t reason;
    char *text;
    edri_tunnel_calls_t calls;
    void *arg;
    bool has_calls;
    bool told_end;     // 'ready' was called for it
    tenant_t tenant;   // whose code has it
    cause_t cause;     // for which event it was opened
    bool handed;       // its handler has returned: it belongs to the port
    edri_task_t *task; // whose handler has it, or NULL
};

// ----- making and freeing

static edri_tunnel_t *
new_end(edri_port_t *port, const edri_type_t *type, uint64_t id)
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

static void
free_piece(piece_t *piece)
{
    blob_drop(&piece->blob);
    free(piece);
}

static void
free_end(edri_tunnel_t *self)
{
    if (map_take(self->port->tunnels, self->id) != NULL) {
        atomic_fetch_sub(&self->port->node->tunnels_open, 1);
    }
    while (self->first != NULL) {
        piece_t *next = self->first->next;
        free_piece(self->first);
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

// is_over says whether neither end has anything to say.
static bool
is_over(const edri_tunnel_t *self)
{
    return self->closed || (self->finished && self->ended);
}

// ----- saying

// say writes one envelope of the tunnel into the port's box.
static void
say(edri_tunnel_t *self, uint32_t word, uint64_t position, edri_err_t err,
    const char *text, const content_t *body)
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
    port_put(self->port, &env, body);
}

static const content_t nothing;

// accept says OPENED, once.
static void
accept(edri_tunnel_t *self)
{
    if (!self->opened) { // so it is a worker's, whose handler runs
        self->opened = true;
        task_opened(self->task);
        say(self, WIRE_OPENED, self->in.granted, EDRI_OK, NULL, &nothing);
    }
}

// check refuses what is no end of this thread.
static edri_err_t
check(const edri_tunnel_t *self)
{
    return self != NULL ? port_check(self->port) : EDRI_STATE;
}

// fail sets the port's error.
static edri_err_t
fail(edri_tunnel_t *self, edri_err_t err, const char *text)
{
    return port_fail(self->port, err, "%s: %s", self->type->name, text);
}

// ended_with is the error of a tunnel that was closed.
static edri_err_t
ended_with(edri_tunnel_t *self)
{
    edri_err_t err = self->reason != EDRI_OK ? self->reason : EDRI_CLOSED;
    return fail(self, err,
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
        return fail(self, EDRI_CANCELLED, "the task has been cancelled");
    }
    int64_t until_ms = port_deadline(port);
    bool sooner = deadline_ms >= 0 && (until_ms < 0 || deadline_ms < until_ms);
    until_ms = sooner ? deadline_ms : until_ms;
    edri_err_t err = port_sleep(port, until_ms);
    if (err == EDRI_CLOSED) {
        return fail(self, err, "the node has stopped");
    }
    (void)port_pump(port);
    return err == EDRI_DEADLINE && sooner ? EDRI_AGAIN : EDRI_OK;
}

static int64_t
deadline_of(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : clock_ms() + timeout_ms;
}

// port_full says whether the port's box takes no more, and asks to be rung.
static bool
port_full(edri_port_t *port)
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
            return fail(self, EDRI_CLOSED, "the node has stopped");
        }
        if (window_out_may(&self->out) && !port_full(self->port)) {
            return EDRI_OK;
        }
        if (tries == 0) {
            deadline_ms = deadline_of(timeout_ms);
        }
        edri_err_t err = pause_until(self, deadline_ms);
        if (err == EDRI_AGAIN && window_out_may(&self->out) &&
            !port_full(self->port)) {
            return EDRI_OK;
        }
        if (err != EDRI_OK) {
            self->short_of = err == EDRI_AGAIN;
            self->port->starved = self->port->starved || self->short_of;
            return err == EDRI_AGAIN
                       ? fail(self, err, "the other end has no room")
                       : err;
        }
    }
}

static void call_back(edri_tunnel_t *self);

// idle ends a call that may have waited: the callback that was due meanwhile comes
// now.  The tunnel may be gone then.  Returns 'err'.
static edri_err_t
idle(edri_tunnel_t *self, edri_err_t err)
{
    if (--self->busy == 0 && self->gone && !self->in_call) {
        free_end(self);
    } else if (self->busy == 0 && self->due) {
        call_back(self);
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
    accept(self);
    // A closed one says so when it is sent to.
    return self->closed ||
           (window_out_may(&self->out) && !port_full(self->port));
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
    if (check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    return what_comes(self) == NULL && (!goes || what_goes(self) == NULL)
               ? EDRI_OK
               : fail(self, EDRI_INVAL, "a direction carries messages");
}

// send sends one message, when there is room.
static edri_err_t
send(edri_tunnel_t *self, const content_t *body, int timeout_ms)
{
    if (self->finished) {
        return fail(self, EDRI_STATE, "this end has finished");
    }
    if (body->size > self->port->node->limits.body_max) {
        return fail(self, EDRI_TOO_BIG, "a message is over node.body_limit");
    }
    accept(self);
    self->busy++;
    edri_err_t err = await_room(self, timeout_ms);
    if (err == EDRI_OK) {
        window_out_sent(&self->out, body->size + TUNNEL_OVERHEAD);
        say(self, 0, 0, EDRI_OK, NULL, body);
    }
    return idle(self, err);
}

edri_err_t
edri_tunnel_send(
    edri_tunnel_t *self, const ProtobufCMessage *message, int timeout_ms)
{
    if (check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    if (message == NULL || message->descriptor != what_goes(self)) {
        return fail(self, EDRI_INVAL,
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
    if (check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    if (what_goes(self) != NULL) {
        return fail(self, EDRI_INVAL, "this direction carries messages");
    }
    return send(self, &(content_t){.data = data, .size = size}, timeout_ms);
}

edri_err_t
edri_tunnel_send_owned(edri_tunnel_t *self, void *data, size_t size,
    void (*release)(void *hint), void *hint, int timeout_ms)
{
    blob_t *blob = blob_wrap(data, size, release, hint);
    edri_err_t err = check(self);
    if (err == EDRI_OK && what_goes(self) != NULL) {
        err = fail(self, EDRI_INVAL, "this direction carries messages");
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
    if (check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    if (self->finished) {
        return EDRI_OK;
    }
    if (self->closed) {
        return ended_with(self);
    }
    accept(self);
    self->finished = true;
    say(self, WIRE_END, 0, EDRI_OK, NULL, &nothing);
    return EDRI_OK;
}

// ----- receiving

// take_piece takes the first that has come, and lets the writer send more.
static piece_t *
take_piece(edri_tunnel_t *self)
{
    piece_t *piece = self->first;
    self->first = piece->next;
    self->last = self->first != NULL ? self->last : NULL;
    if (window_in_read(&self->in, piece->size + TUNNEL_OVERHEAD,
            tunnels_window(self->port->node)) &&
        !self->closed && !self->ended) {
        say(self, WIRE_CREDIT, self->in.granted, EDRI_OK, NULL, &nothing);
    }
    return piece;
}

// await_piece waits for one.
static edri_err_t
await_piece(edri_tunnel_t *self, int timeout_ms)
{
    int64_t deadline_ms = 0;
    accept(self);
    for (int tries = 0; self->first == NULL; tries++) {
        if (self->ended) {
            return EDRI_END;
        }
        if (self->closed) {
            return ended_with(self);
        }
        if (self->port->quit) {
            return fail(self, EDRI_CLOSED, "the node has stopped");
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
    if (check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    self->busy++;
    edri_err_t err = await_piece(self, timeout_ms);
    if (err == EDRI_OK) {
        *piece_p = take_piece(self);
    }
    return idle(self, err);
}

edri_err_t
edri_tunnel_receive(
    edri_tunnel_t *self, int timeout_ms, ProtobufCMessage **message_p)
{
    piece_t *piece = NULL;
    *message_p = NULL;
    if (check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    edri_port_t *port = self->port;
    const edri_type_t *type = self->type;
    const ProtobufCMessageDescriptor *descriptor = what_comes(self);
    if (descriptor == NULL) {
        return fail(self, EDRI_INVAL, "this direction carries bytes");
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
    free_piece(piece);
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
        free_piece(self->owner);
    }
    *self = (edri_bytes_t){0};
}

// ----- callbacks

// list notes that somebody is to be called for it.
static void
list(edri_tunnel_t *self)
{
    if (!self->listed) {
        self->listed = true;
        self->next = self->port->heard;
        self->port->heard = self;
    }
}

// drop_pieces drops what nobody will take.
static void
drop_pieces(edri_tunnel_t *self)
{
    while (self->first != NULL) {
        free_piece(take_piece(self));
    }
}

// call_ready calls as long as something is taken; the end is told once.
static void
call_ready(edri_tunnel_t *self)
{
    uint64_t before = 0;
    bool any = self->first != NULL || (self->ended && !self->told_end);
    while (any && self->calls.ready != NULL && !self->gone) {
        before = self->in.read;
        self->told_end = self->ended && self->first == NULL;
        self->calls.ready(self, self->arg);
        any = (self->first != NULL && self->in.read != before) ||
              (self->ended && !self->told_end);
    }
    if (self->closed && self->first != NULL && !self->gone) {
        drop_pieces(self); // it was offered, and nothing else will come
    }
}

static void
call_room(edri_tunnel_t *self)
{
    bool room = self->short_of && !self->gone && !self->closed &&
                window_out_may(&self->out);
    if (!room) {
        return;
    }
    if (port_full(self->port)) {
        self->port->starved = true;
        return;
    }
    self->short_of = false;
    if (self->calls.room != NULL) {
        self->calls.room(self, self->arg);
    }
}

static void
call_closed(edri_tunnel_t *self)
{
    self->has_calls = false; // once
    if (self->calls.closed != NULL) {
        self->calls.closed(self, self->reason,
            self->text != NULL ? self->text : "", self->arg);
    }
}

// call_back lets the callbacks see what there is.  The tunnel may be gone then.
static void
call_back(edri_tunnel_t *self)
{
    edri_port_t *port = self->port;
    if (!self->has_calls) {
        return;
    }
    self->due = true;
    if (self->in_call || self->busy > 0) {
        return; // then
    }
    cause_t cause = port->cause;
    tenant_t tenant = port_lend(port, &self->tenant);
    port->cause = self->cause;
    self->in_call = true;
    while (self->due && !self->gone) {
        self->due = false;
        call_ready(self);
        call_room(self);
    }
    bool over = is_over(self) && self->first == NULL && !self->gone;
    if (over) {
        call_closed(self);
    }
    self->in_call = false;
    port->cause = cause;
    port_lend_back(port, &tenant);
    if (self->gone || (over && self->handed)) {
        free_end(self);
    }
}

edri_err_t
edri_tunnel_on(edri_tunnel_t *self, const edri_tunnel_calls_t *calls, void *arg)
{
    if (check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    accept(self);
    self->calls = calls != NULL ? *calls : (edri_tunnel_calls_t){0};
    self->arg = arg;
    self->has_calls = calls != NULL;
    if (self->has_calls) {
        list(self); // something may have come already
    }
    return EDRI_OK;
}

// ----- the end

void
edri_tunnel_close(edri_tunnel_t **self_p, edri_err_t reason, const char *text)
{
    edri_tunnel_t *self = self_p != NULL ? *self_p : NULL;
    if (check(self) != EDRI_OK) {
        return;
    }
    *self_p = NULL;
    if (!is_over(self) && !self->gone) {
        accept(self);
        say(self, WIRE_CLOSE, 0, reason, text, &nothing);
        self->closed = true;
    }
    if (self->in_call || self->busy > 0) {
        self->gone = true; // freed when that call ends
    } else {
        free_end(self);
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

// ----- opening

// An opening is what the request of edri_tunnel_open_async is for.
struct opening {
    edri_tunnel_opened_fn *fn;
    void *arg;
    cause_t cause; // once it is open: of the request
    tenant_t tenant;
};

// on_refused is called when the request ends without a tunnel.
static void
on_refused(edri_fn_t user, const edri_answer_t *answer, void *arg)
{
    struct opening *opening = arg;
    (void)user;
    opening->fn(NULL, answer->err, answer->text, opening->arg);
    free(opening);
}

// hand_over gives whoever has asked for it the tunnel.
static void
hand_over(edri_tunnel_t *self)
{
    edri_port_t *port = self->port;
    struct opening *opening = self->opening;
    cause_t cause = port->cause;
    self->opening = NULL;
    port->cause = opening->cause;
    tenant_t tenant = port_lend(port, &opening->tenant);
    opening->fn(self, EDRI_OK, "", opening->arg);
    port->cause = cause;
    port_lend_back(port, &tenant);
    free(opening);
}

static edri_err_t
open_tunnel(edri_port_t *port, const edri_type_t *type,
    const ProtobufCMessage *arguments, uint32_t timeout_ms, bool waits,
    edri_tunnel_opened_fn *fn, void *arg)
{
    struct opening *opening = mem_new(sizeof *opening);
    *opening = (struct opening){.fn = fn, .arg = arg};
    edri_err_t err = port_open_tunnel(
        port, type, arguments, timeout_ms, waits, on_refused, opening);
    if (err != EDRI_OK) {
        free(opening);
    }
    return err;
}

edri_err_t
edri_tunnel_open_async(edri_port_t *port, const edri_type_t *type,
    const ProtobufCMessage *arguments, uint32_t timeout_ms,
    edri_tunnel_opened_fn *fn, void *arg)
{
    return fn != NULL
               ? open_tunnel(port, type, arguments, timeout_ms, false, fn, arg)
               : EDRI_INVAL;
}

// outcome_t is how edri_tunnel_open went.
typedef struct outcome {
    bool done;
    edri_tunnel_t *tunnel;
    edri_err_t err;
    char *text;
} outcome_t;

static void
note_outcome(edri_tunnel_t *tunnel, edri_err_t err, const char *text, void *arg)
{
    outcome_t *outcome = arg;
    *outcome = (outcome_t){true, tunnel, err, str_dup(text)};
}

edri_err_t
edri_tunnel_open(edri_port_t *port, const edri_type_t *type,
    const ProtobufCMessage *arguments, uint32_t timeout_ms,
    edri_tunnel_t **tunnel_p)
{
    outcome_t outcome = {0};
    *tunnel_p = NULL;
    uint64_t outer = port != NULL ? atomic_load(&port->waits_for) : 0;
    edri_err_t err = open_tunnel(
        port, type, arguments, timeout_ms, true, note_outcome, &outcome);
    if (err != EDRI_OK) {
        return err;
    }
    uint64_t request = port->last_request;
    while (!outcome.done) {
        if (port_pump(port) == 0 && !outcome.done &&
            port_sleep(port, port_deadline(port)) == EDRI_CLOSED) {
            (void)edri_request_cancel(port, request);
        }
    }
    atomic_store(&port->waits_for, outer);
    *tunnel_p = outcome.tunnel;
    err = outcome.err;
    if (err != EDRI_OK) {
        (void)port_fail(port, err, "%s: %s%s%s", type->name, edri_err_text(err),
            outcome.text[0] != '\0' ? ": " : "", outcome.text);
    }
    free(outcome.text);
    return err;
}

// close_unwanted closes a tunnel that nobody waits for any more.
static void
close_unwanted(edri_port_t *port, const envelope_t *opened, uint64_t life)
{
    static const char text[] = "nobody waits for the tunnel any more";
    envelope_t env = {.type = opened->type,
        .id = opened->request,
        .flags = envelope_flags(EDRI_TUNNEL, EDRI_ONE, 3) | WIRE_CLOSE,
        .request = opened->id,
        .to = life,
        .error = EDRI_CANCELLED,
        .text = {(const uint8_t *)text, sizeof text - 1}};
    port_put(port, &env, &nothing);
}

// opened_in takes OPENED: the request has found its tunnel.
static void
opened_in(edri_port_t *port, const envelope_t *env, uint64_t life)
{
    ask_t *ask = map_get(port->asks, env->request);
    if (ask == NULL || ask->fn != on_refused) {
        counter_add(&port->node->counters, COUNTER_LATE, 1);
        close_unwanted(port, env, life);
        return;
    }
    struct opening *opening = ask->arg;
    edri_tunnel_t *self = new_end(port, ask->type, ask->id);
    self->opener = self->opened = true;
    self->life = life;
    self->peer = env->id;
    (void)window_out_granted(&self->out, env->position);
    window_in_init(&self->in, ask->window); // as was granted with the request
    opening->cause = ask->cause;
    self->tenant = opening->tenant = ask->tenant;
    self->cause = ask->cause;
    self->cause.deadline_ms = -1;
    self->opening = opening;
    ask_opened(port, ask);
    // The acceptor knows; its router does not.
    say(self, WIRE_CREDIT, self->in.granted, EDRI_OK, NULL, &nothing);
    list(self);
}

// ----- a worker's

edri_err_t
tunnel_accept(edri_task_t *task)
{
    edri_port_t *port = task->port;
    size_t limit = port->node->limits.tunnel_limit;
    if (atomic_load(&port->node->tunnels_open) >= limit) {
        task->text = edri_task_printf(task,
            "%zu ends of tunnels are open at the node, as many as tunnel.limit "
            "allows",
            limit);
        return EDRI_OVERLOADED;
    }
    edri_tunnel_t *self = new_end(port, task->handler->type, ++port->next_id);
    self->life = task->life != 0 ? task->life : port->node->life;
    self->peer = task->env.id;
    self->task = task;
    (void)window_out_granted(&self->out, task->env.position);
    task->tunnel = self;
    return EDRI_OK;
}

edri_tunnel_t *
edri_task_tunnel(edri_task_t *task)
{
    return task->tunnel;
}

void
tunnel_handled(edri_task_t *task, edri_err_t err)
{
    edri_tunnel_t *self = task->tunnel;
    if (self == NULL) {
        return; // the handler has closed it
    }
    if (err != EDRI_OK && !self->opened) {
        free_end(self); // refused
    } else if (err != EDRI_OK) {
        edri_tunnel_close(&self, err, task->text);
    } else if (!self->has_calls) {
        (void)edri_tunnel_finish(self);
        edri_tunnel_close(&self, EDRI_OK, NULL);
    } else {
        self->handed = true;
        self->task = NULL;
        task->tunnel = NULL;
        call_back(self); // it may be over
    }
}

void
tunnels_settle(edri_port_t *port)
{
    size_t cursor = 0;
    void *value = NULL;
    bool any = true;
    while (any && !port->quit) {
        any = false;
        cursor = 0;
        while (!any && map_next(port->tunnels, &cursor, NULL, &value)) {
            any = ((edri_tunnel_t *)value)->handed;
        }
        if (any && port_pump(port) == 0) {
            (void)port_sleep(port, port_deadline(port));
        }
    }
}

bool
tunnels_for(const edri_port_t *port, uint32_t edition)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(port->tunnels, &cursor, NULL, &value)) {
        if (((edri_tunnel_t *)value)->tenant.edition == edition) {
            return true;
        }
    }
    return false;
}

void
tunnels_end(edri_port_t *port)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(port->tunnels, &cursor, NULL, &value)) {
        free_end(value);
    }
    map_destroy(&port->tunnels);
}

// ----- hearing

static void
data_in(edri_tunnel_t *self, const envelope_t *env, blob_t **blob_p)
{
    size_t size = blob_p != NULL ? blob_size(*blob_p) : env->body.len;
    if (self->ended || !window_in_received(&self->in, size + TUNNEL_OVERHEAD)) {
        static const char text[] = "the other end sent more than it may";
        counter_add(&self->port->node->counters, COUNTER_DENIED, 1);
        say(self, WIRE_CLOSE, 0, EDRI_PROTO, text, &nothing);
        self->closed = true;
        self->reason = EDRI_PROTO;
        self->text = str_dup(text);
        return;
    }
    size_t inside = blob_p != NULL ? 0 : size;
    piece_t *piece = mem_resize(NULL, sizeof *piece + inside);
    *piece = (piece_t){.size = size};
    if (blob_p != NULL) {
        piece->blob = blob_share(*blob_p);
    } else if (size > 0) {
        memcpy(piece->data, env->body.data, size);
    }
    *(self->last != NULL ? &self->last->next : &self->first) = piece;
    self->last = piece;
}

static void
close_in(edri_tunnel_t *self, const envelope_t *env)
{
    self->closed = true;
    self->reason = (edri_err_t)env->error;
    self->text = str_printf("%.*s", (int)env->text.len,
        env->text.data != NULL ? (const char *)env->text.data : "");
}

void
port_tunnel(edri_port_t *port, const reader_t *at)
{
    envelope_t env;
    if (envelope_read(at->content, &env) != EDRI_OK) {
        counter_add(&port->node->counters, COUNTER_MALFORMED, 1);
        return;
    }
    uint64_t life = at->run->life != 0 ? at->run->life : port->node->life;
    if ((env.flags & WIRE_OPENED) != 0) {
        opened_in(port, &env, life);
        return;
    }
    edri_tunnel_t *self = map_get(port->tunnels, env.request);
    if (self == NULL || self->peer != env.id || self->life != life ||
        self->closed) {
        counter_add(&port->node->counters, COUNTER_LATE, 1);
        return; // it was closed here meanwhile
    }
    port->news = true;
    if ((env.flags & WIRE_CREDIT) != 0) {
        (void)window_out_granted(&self->out, env.position);
    } else if ((env.flags & WIRE_END) != 0) {
        self->ended = true;
    } else if ((env.flags & WIRE_CLOSE) != 0) {
        close_in(self, &env);
    } else {
        data_in(self, &env, at->blob_p);
    }
    // Callbacks wait until the whole load has been read: what they may wait for
    // stands in it.
    if (self->has_calls) {
        list(self);
    }
}

// list_starved lists those that have waited for room in the port.
static void
list_starved(edri_port_t *port)
{
    size_t cursor = 0;
    void *value = NULL;
    if (box_used(port->out) >= box_limit(port->out)) {
        return;
    }
    port->starved = false;
    while (map_next(port->tunnels, &cursor, NULL, &value)) {
        edri_tunnel_t *self = value;
        if (self->short_of && self->has_calls) {
            list(self);
        }
    }
}

void
tunnels_call(edri_port_t *port)
{
    if (port->starved) {
        list_starved(port);
    }
    while (port->heard != NULL) {
        edri_tunnel_t *self = port->heard;
        port->heard = self->next;
        self->listed = false;
        if (self->opening != NULL) {
            hand_over(self);
        } else {
            call_back(self);
        }
    }
}
