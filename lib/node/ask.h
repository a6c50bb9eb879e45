// SPDX-License-Identifier: MIT
// node/ask.h - requests of a port that wait for their replies.

#ifndef NODE_ASK_H
#define NODE_ASK_H

#include "core/gather.h"
#include "node/port.h"

// ask_t is one request on its way.
struct ask {
    struct ask *before; // in the port's list by deadline
    struct ask *after;
    uint64_t id;
    int64_t deadline_ms;
    const edri_type_t *type;
    cause_t cause;      // what it is asked for
    tenant_t tenant;    // by whose code
    edri_answer_fn *fn; // NULL: edri_request waits
    edri_fn_t user;
    void *arg;
    bool all;   // to every responder
    bool heap;  // freed when done; else the waiter's
    bool waits; // the port's owner waits for it
    bool opens; // a tunnel, with this window for what comes
    size_t window;
    bool done;
    uint64_t outer;    // what the port's owner waited for before
    gather_t *gather;  // of 'all': who was asked; NULL: not known yet
    uint32_t expected; // answers; 0: not known yet (all)
    uint32_t got;
    uint32_t replied;        // of these, without an error
    edri_err_t err;          // result: first error
    ProtobufCMessage *reply; // result for edri_request
};

// ask_begin puts the request into the port's books.
void ask_begin(edri_port_t *port, ask_t *ask);

// ask_opened ends and frees one whose tunnel is open, without a call.
void ask_opened(edri_port_t *port, ask_t *ask);

// ask_drop takes it out without an answer: it was never sent.
void ask_drop(edri_port_t *port, ask_t *ask);

// ask_waits says that the port's owner waits for it from now on: ask_wait must
// follow, or ask_drop.  ask_wait waits until it is done.  Returns its result.
void ask_waits(edri_port_t *port, ask_t *ask);
edri_err_t ask_wait(edri_port_t *port, ask_t *ask);

// ask_cancel ends a request with EDRI_CANCELLED, and what was begun for it.
void ask_cancel(edri_port_t *port, ask_t *ask);

// ask_cancel_caused cancels what was asked for that event.  Returns how many.
size_t ask_cancel_caused(edri_port_t *port, uint64_t event, uint64_t life);

// ask_settle waits until the callbacks of all requests of the port have run.
void ask_settle(edri_port_t *port);

// ask_end_all ends every request with that error.
void ask_end_all(edri_port_t *port, edri_err_t err);

#endif
