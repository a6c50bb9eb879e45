// SPDX-License-Identifier: MIT
// edri/tunnel.h - tunnels: two-way streams of messages between two workers.
//
// A type of kind TUNNEL is opened like a request: its message is the arguments.  The
// manager that is chosen gives it to a worker, whose handler gets the tunnel, or
// refuses it.  Then both ends send and receive messages ('up' from the opener,
// 'down' to it), each as fast as the other reads: a writer waits when the reader's
// window (tunnel.window) is full.  Messages come whole, once and in order.  When one
// end dies, or closes it, the other learns so at once, with the reason.
//
// A tunnel belongs to the thread of its port: that of the port that opened it, or of
// the worker that handles it.  Generated code has the typed form of the calls below;
// a direction that is declared as "bytes" carries bytes as they are.
//
// A worker has three ways to live with a tunnel:
//   - its handler sends and receives, waiting, and returns when it is done: then the
//     tunnel is finished, or closed with the error that it returns;
//   - it sets callbacks (edri_tunnel_on) and returns: they are called in the port's
//     thread until the tunnel is closed.  In a pool the worker takes no other task
//     before that; a method goes on with other events;
//   - it returns an error before it has used the tunnel: that refuses it.
// A tunnel is accepted by its first use, or by EDRI_OK from the handler.

#ifndef EDRI_TUNNEL_H
#define EDRI_TUNNEL_H

#include <stddef.h>
#include <stdint.h>

#include "edri/err.h"
#include "edri/port.h"
#include "edri/task.h"
#include "edri/type.h"

typedef struct edri_tunnel edri_tunnel_t;

// edri_bytes_t is a message that came as bytes: the caller's, by reference, until
// edri_bytes_free, which is safe on zeros.  Any thread.
typedef struct edri_bytes {
    const uint8_t *data;
    size_t size;
    void *owner;
} edri_bytes_t;

void edri_bytes_free(edri_bytes_t *self);

// ----- opening

// edri_tunnel_open opens a tunnel and waits until it is accepted.  timeout_ms 0 means
// the type's; it is the time to be accepted in, not that of the tunnel.  On EDRI_OK
// *tunnel_p is the caller's, to be ended with edri_tunnel_close; else it is NULL.
// Returns as edri_request: EDRI_NO_RESPONDER, EDRI_DEADLINE, EDRI_DEADLOCK, or whatever
// error the handler returned; EDRI_OVERLOADED: as many tunnels as tunnel.limit or the
// acceptor allow are open.  edri_port_error has the text.
edri_err_t edri_tunnel_open(edri_port_t *port, const edri_type_t *type,
    const ProtobufCMessage *arguments, uint32_t timeout_ms,
    edri_tunnel_t **tunnel_p) EDRI_MUST_CHECK;

// edri_tunnel_opened_fn gets the tunnel, which is its own from then on, or NULL with
// an error and its text; once, in the port's thread, as edri_answer_fn.
typedef void edri_tunnel_opened_fn(
    edri_tunnel_t *tunnel, edri_err_t err, const char *text, void *arg);

// edri_tunnel_open_async opens one and returns.  Returns as edri_emit; after an error
// 'fn' is never called.  edri_port_last_request is its number, for
// edri_request_cancel.
edri_err_t edri_tunnel_open_async(edri_port_t *port, const edri_type_t *type,
    const ProtobufCMessage *arguments, uint32_t timeout_ms,
    edri_tunnel_opened_fn *fn, void *arg) EDRI_MUST_CHECK;

// edri_task_tunnel is the tunnel that a handler got; NULL when its type is no tunnel,
// or it has been closed.
edri_tunnel_t *edri_task_tunnel(edri_task_t *task);

// ----- sending

// edri_tunnel_send sends a message, which stays the caller's, and waits up to
// timeout_ms (-1: as long as it takes; 0: not at all) until the other end has room.
// Callbacks of the port, and of other tunnels, may run meanwhile, also with 0.
// Returns EDRI_OK: it is on its way; EDRI_AGAIN: no room in that time; EDRI_INVAL:
// another message than this direction carries; EDRI_TOO_BIG: over node.body_limit;
// EDRI_STATE: this end has finished, or it is another thread's; EDRI_CLOSED: the other
// end has closed the tunnel, or the reason that it gave, see edri_tunnel_text;
// EDRI_CANCELLED: the task has been cancelled.  While there is room it does not look
// whether the other end has closed: who only sends learns it then, or from edri_port_poll.
edri_err_t edri_tunnel_send(edri_tunnel_t *self,
    const ProtobufCMessage *message, int timeout_ms) EDRI_MUST_CHECK;

// edri_tunnel_send_bytes sends bytes, which are copied.  edri_tunnel_send_owned sends
// them by reference: 'release' is called with 'hint', in any thread, when they are
// needed no more; also when they could not be sent.  Returns as edri_tunnel_send.
edri_err_t edri_tunnel_send_bytes(edri_tunnel_t *self, const void *data,
    size_t size, int timeout_ms) EDRI_MUST_CHECK;
edri_err_t edri_tunnel_send_owned(edri_tunnel_t *self, void *data, size_t size,
    void (*release)(void *hint), void *hint, int timeout_ms) EDRI_MUST_CHECK;

// edri_tunnel_finish says that nothing more comes from this end: the other one
// receives EDRI_END behind all that was sent.  Receiving goes on.  Returns EDRI_OK, or
// as edri_tunnel_send.
edri_err_t edri_tunnel_finish(edri_tunnel_t *self);

// ----- receiving

// edri_tunnel_receive takes the next message, waiting up to timeout_ms (-1: as long as
// it takes; 0: not at all).  On EDRI_OK *message_p is the caller's, to be freed with
// protobuf_c_message_free_unpacked(message, NULL).
// Returns EDRI_OK; EDRI_AGAIN: none came in that time; EDRI_END: the other end has
// finished; EDRI_CLOSED: it has closed the tunnel, or the reason that it gave (behind
// all that it had sent); EDRI_UNDECODABLE: what came is no such message: it is taken;
// EDRI_STATE; EDRI_CANCELLED.
edri_err_t edri_tunnel_receive(edri_tunnel_t *self, int timeout_ms,
    ProtobufCMessage **message_p) EDRI_MUST_CHECK;

// edri_tunnel_receive_bytes takes the next message as bytes, packed if it is declared
// as a message.  Returns as edri_tunnel_receive.
edri_err_t edri_tunnel_receive_bytes(
    edri_tunnel_t *self, int timeout_ms, edri_bytes_t *bytes) EDRI_MUST_CHECK;

// ----- callbacks

// edri_tunnel_calls_t is what is called in the port's thread, by its loop or a call that
// waits, but never by one for the same tunnel; NULL: nothing.  They may send, receive
// and close.
typedef struct edri_tunnel_calls {
    // ready: there may be something to receive now, or EDRI_END.
    void (*ready)(edri_tunnel_t *self, void *arg);
    // room: there is room again after edri_tunnel_send returned EDRI_AGAIN.
    void (*room)(edri_tunnel_t *self, void *arg);
    // closed: both ends have finished, or one has closed it; all that came has been
    // received.  A handler's tunnel is freed after it; another is the callee's to
    // close.
    void (*closed)(
        edri_tunnel_t *self, edri_err_t reason, const char *text, void *arg);
} edri_tunnel_calls_t;

// edri_tunnel_on sets the callbacks, which are copied, and accepts the tunnel.
// Returns EDRI_OK, EDRI_STATE.
edri_err_t edri_tunnel_on(
    edri_tunnel_t *self, const edri_tunnel_calls_t *calls, void *arg);

// ----- the end

// edri_tunnel_close ends a tunnel and sets *self_p to NULL; safe on NULL.  What this
// end has sent still arrives; then the other gets 'reason', EDRI_OK as EDRI_CLOSED,
// and the text (or NULL).  After both ends have finished nothing is said.
void edri_tunnel_close(
    edri_tunnel_t **self_p, edri_err_t reason, const char *text);

// edri_tunnel_text is the text of the reason for which the other end has closed it;
// "" before.  Borrowed.  edri_tunnel_peer is the other end's life.
const char *edri_tunnel_text(const edri_tunnel_t *self);
uint64_t edri_tunnel_peer(const edri_tunnel_t *self);

// edri_tunnel_is_closed says whether the other end has closed it (1), and why in
// *reason_p (may be NULL); it may still have sent something.
int edri_tunnel_is_closed(const edri_tunnel_t *self, edri_err_t *reason_p);

// edri_tunnel_pump pours a file descriptor into the tunnel and what comes out of it
// into another, until both have ended; in (-1: nothing is sent) is read to its end,
// then this end finishes; out -1: what comes is dropped.  'sent' and 'received' (may be
// NULL) count bytes.  The descriptors stay the caller's; they may be files, pipes,
// sockets.  Blocks.  Returns EDRI_OK when the other end has finished, too, or has
// closed it behind that without an error; EDRI_SYSTEM: reading or writing failed
// (errno); EDRI_INVAL: a direction is not bytes; or as edri_tunnel_receive.
edri_err_t edri_tunnel_pump(edri_tunnel_t *self, int in, int out,
    uint64_t *sent, uint64_t *received) EDRI_MUST_CHECK;

#endif
