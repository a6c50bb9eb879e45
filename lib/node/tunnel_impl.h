// SPDX-License-Identifier: MIT
// node/tunnel_impl.h - one end of a tunnel, as its own files see it.

#ifndef NODE_TUNNEL_IMPL_H
#define NODE_TUNNEL_IMPL_H

#include "core/window.h"
#include "node/ask.h"
#include "node/tunnel.h"
#include "node/work/task.h"

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

// tunnel_new makes an end with that id, in the port's books; tunnel_free frees it.
edri_tunnel_t *tunnel_new(
    edri_port_t *port, const edri_type_t *type, uint64_t id);
void tunnel_free(edri_tunnel_t *self);
void piece_free(piece_t *piece);

// tunnel_check refuses what is no end of this thread (EDRI_STATE); tunnel_fail sets
// the port's error and returns it; tunnel_is_over: neither end has anything to say.
edri_err_t tunnel_check(const edri_tunnel_t *self);
edri_err_t tunnel_fail(edri_tunnel_t *self, edri_err_t err, const char *text);
bool tunnel_is_over(const edri_tunnel_t *self);

// tunnel_say writes one envelope of the tunnel into the port's box, with a body or NULL;
// tunnel_say_opened says OPENED, once.
void tunnel_say(edri_tunnel_t *self, uint32_t word, uint64_t position,
    edri_err_t err, const char *text, const content_t *body);
void tunnel_say_opened(edri_tunnel_t *self);

// tunnel_port_full says whether the port's box takes no more, and asks to be rung.
bool tunnel_port_full(edri_port_t *port);

// tunnel_take takes the first piece that has come, and lets the writer send more.
piece_t *tunnel_take(edri_tunnel_t *self);

// ----- tunnel_heard.c

// tunnel_list notes that somebody is to be called for it; tunnel_call_back lets the
// callbacks see what there is.  The tunnel may be gone then.
void tunnel_list(edri_tunnel_t *self);
void tunnel_call_back(edri_tunnel_t *self);

// ----- tunnel_open.c

// tunnel_opened_in takes OPENED: the request has found its tunnel.  tunnel_hand_over
// then gives it to whoever has asked for it.
void tunnel_opened_in(edri_port_t *port, const envelope_t *env, uint64_t life);
void tunnel_hand_over(edri_tunnel_t *self);

#endif
