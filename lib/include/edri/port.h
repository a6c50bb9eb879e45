// SPDX-License-Identifier: MIT
// edri/port.h - a port: how a thread emits events and asks requests.
//
// Generated functions (shop_quote_request and so on) are the typed form of
// what stands here.  A port belongs to the thread that created it; a call from
// another one returns EDRI_STATE and does nothing.

#ifndef EDRI_PORT_H
#define EDRI_PORT_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "edri/err.h"
#include "edri/task.h"
#include "edri/type.h"

// edri_port_destroy ends the port: events it has emitted still go out;
// requests still waiting for replies are cancelled (callbacks run).
// Sets *self_p to NULL.  Safe on NULL.
void edri_port_destroy(edri_port_t **self_p);

// edri_port_error returns what the last failed call says: which type, what was
// wrong, what to do; or "".  Borrowed until the next call on the port.
const char *edri_port_error(const edri_port_t *self);

// edri_emit_options_t changes how one event goes.  Zero means 'as the type
// says'; start from (edri_emit_options_t){0}.
typedef struct edri_emit_options {
    bool set_deliver; // true: 'deliver' below counts
    edri_deliver_t deliver;
    uint8_t priority; // 1 to 8: priority 0 to 7; 0, and always for retained
                      // types: as the type says
    uint32_t ttl_ms;  // dropped (counted) when not delivered by then
    bool no_wait;     // EDRI_AGAIN instead of waiting for a full receiver
} edri_emit_options_t;

// edri_emit sends a notification.  'message' is packed before the call
// returns and stays the caller's.  'options' may be NULL.
// Returns EDRI_OK: the event is in the port's buffer and goes to everybody who
// demands it (nobody is fine); EDRI_OVERLOADED: a receiver stayed full for
// emit.wait, EDRI_AGAIN: the same with no_wait; EDRI_TOO_BIG: packed it is over
// node.body_limit; EDRI_INVAL: wrong descriptor or not a notification;
// EDRI_DEADLINE, EDRI_CANCELLED: a receiver was full, and the task that emits
// has no more time, or was cancelled meanwhile;
// EDRI_CLOSED: the node has stopped; EDRI_STATE: another thread's port.
edri_err_t edri_emit(edri_port_t *self, const edri_type_t *type,
    const ProtobufCMessage *message, const edri_emit_options_t *options);

// edri_emit_packed is edri_emit for a body that is packed already.  It is not
// checked: the handler's side reports EDRI_UNDECODABLE.
edri_err_t edri_emit_packed(edri_port_t *self, const edri_type_t *type,
    const void *body, size_t size, const edri_emit_options_t *options);

// edri_request sends a request and waits for its reply.  timeout_ms 0 means
// the type's; what a handler asks, or a callback of what it asked, has at most
// what is left of its task's deadline.  On EDRI_OK *reply_p is the caller's, to
// be freed with protobuf_c_message_free_unpacked(reply, NULL); else it is NULL.
// reply_p may be NULL: the reply is not wanted, only that there was one.
// Returns EDRI_OK; EDRI_NO_RESPONDER, EDRI_RESPONDER_DIED, EDRI_DEADLINE,
// EDRI_UNDECODABLE, EDRI_OVERLOADED; EDRI_DEADLOCK when the only thread that
// could answer waits, itself or by way of others, for this very reply;
// EDRI_CANCELLED as soon as the task that asks is cancelled; whatever error the handler returned (its text in
// edri_port_error); or as edri_emit.  While it waits, callbacks of other
// requests of this port may run.  Its thread may do the router's work meanwhile, and must
// not be cancelled (pthread_cancel).
edri_err_t edri_request(edri_port_t *self, const edri_type_t *type,
    const ProtobufCMessage *message, uint32_t timeout_ms,
    ProtobufCMessage **reply_p);

// edri_answer_t is one answer to a request, borrowed for the callback.
typedef struct edri_answer {
    uint64_t request;              // which one: see edri_request_cancel
    edri_err_t err;                // EDRI_OK: 'reply' counts
    const char *text;              // of the error, or ""
    const ProtobufCMessage *reply; // NULL after an error
    uint64_t life;                 // who answered, or had to; 0: nobody
    bool last;                     // no other answer comes
} edri_answer_t;

// edri_answer_fn gets answers, in the port's thread: from edri_port_poll or
// any call that waits; in a manager, from its loop; in a pool worker, before
// its next task.  It may emit and request on the same port.  'user' and 'arg'
// are what the request was given: generated code keeps the typed callback in
// 'user', the caller's value is 'arg'.
typedef void edri_answer_fn(
    edri_fn_t user, const edri_answer_t *answer, void *arg);

// edri_request_async sends a request and returns; 'fn' is called exactly once:
// with the reply, an error, or EDRI_CANCELLED.  timeout_ms as in edri_request.
// Returns as edri_emit; after an error 'fn' is never called.
edri_err_t edri_request_async(edri_port_t *self, const edri_type_t *type,
    const ProtobufCMessage *message, uint32_t timeout_ms, edri_answer_fn *fn,
    edri_fn_t user, void *arg);

// edri_progress_t is how far a handler is with a request, borrowed for the
// callback.
typedef struct edri_progress {
    uint64_t request; // which one: see edri_port_last_request
    uint64_t life;    // of the node that works on it
    uint64_t done;
    uint64_t total; // 0: not known
    const char *text;
} edri_progress_t;

typedef void edri_progress_fn(const edri_progress_t *progress, void *arg);

// edri_port_on_progress lets 'fn' (NULL: nothing any more) be called when handlers
// tell how far they are (edri_task_progress) with requests that this port asks
// from now on: where answers are handled, so also while edri_request waits, and
// never after the request's end.  Returns EDRI_OK, EDRI_STATE.
edri_err_t edri_port_on_progress(
    edri_port_t *self, edri_progress_fn *fn, void *arg);

// edri_port_last_request returns the number of the request that was begun last
// on this port, or 0: right after edri_request_async it is that one's.
uint64_t edri_port_last_request(const edri_port_t *self);

// edri_request_cancel ends a request of this port that nobody wants answered any
// more: its callback gets EDRI_CANCELLED, marked last, before the call returns.
// Handlers that work on it learn so (edri_task_cancelled), and what they have
// asked for in turn is cancelled, too, on whatever node; where it still waits it
// is not begun.  It may come too late for that: see docs/guarantees.md.
// Returns EDRI_OK; EDRI_NOT_FOUND when it has ended already; EDRI_STATE.
edri_err_t edri_request_cancel(edri_port_t *self, uint64_t request);

// edri_request_all asks every manager that handles the type (scatter-gather)
// and waits until each has answered or ended, or the deadline passed; 'fn' is
// called once for each answer or error, the last one marked; with nobody there
// once, with EDRI_NO_RESPONDER.  *asked and *answered (may be NULL) say how
// many were asked and how many replied.
// Returns EDRI_OK when all replied, else the first error; edri_port_error then
// says how it ended, such as "shop.Quote: 7 of 8 answered; node-3/pricing:
// responder ended, outcome unknown".
edri_err_t edri_request_all(edri_port_t *self, const edri_type_t *type,
    const ProtobufCMessage *message, uint32_t timeout_ms, edri_answer_fn *fn,
    edri_fn_t user, void *arg, uint32_t *asked, uint32_t *answered);

// edri_port_trace says which trace it belongs to what the port emits and asks
// from now on (NULL: none): in a handler or callback until it returns, else until
// the next call.  A handler that makes a span of its own sets it here, with the
// id of edri_task_trace.  Returns EDRI_OK, EDRI_STATE.
edri_err_t edri_port_trace(edri_port_t *self, const edri_trace_t *trace);

// edri_port_poll runs the callbacks of answers that have come, waiting up to
// timeout_ms (-1: for ever) for the first.  Returns EDRI_OK if any ran,
// EDRI_AGAIN if none did, EDRI_CLOSED, EDRI_STATE.
edri_err_t edri_port_poll(edri_port_t *self, int timeout_ms);

// edri_port_wait is edri_port_poll that waits for file descriptors, too, as poll(2)
// does: POLLIN and POLLOUT in 'events'; 'revents' says what is ready, with POLLERR for
// whatever else; it may also return when nothing is.  Callbacks may have run when it
// returns, also of tunnels; it does not wait when something was said in a tunnel since
// the last call.  timeout_ms -1: for ever.  Returns EDRI_OK, EDRI_AGAIN when the time is
// over, EDRI_CLOSED, EDRI_STATE.
edri_err_t edri_port_wait(
    edri_port_t *self, struct pollfd *fds, size_t count, int timeout_ms);

// edri_port_flush waits until the router has taken all that was emitted here,
// and sent what goes to other nodes.  Returns EDRI_OK, EDRI_DEADLINE.
edri_err_t edri_port_flush(edri_port_t *self, int timeout_ms);

#endif
