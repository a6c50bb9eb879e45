// SPDX-License-Identifier: MIT
// node/ear.h - waiting for ZeroMQ sockets, with few system calls.
//
// DESIGN
// zmq_poll asks every socket twice for its events, and each question is two system
// calls, whether anything has happened there or not.  But a socket's descriptor
// (ZMQ_FD, man zmq_getsockopt) becomes readable when something happens to it, unless
// a call on the socket has dealt with that on its way.  So: after a call on a socket
// it is asked once before its thread sleeps, unless the call was a receive that found
// nothing; else its descriptor is enough.

#ifndef NODE_EAR_H
#define NODE_EAR_H

#include <errno.h>
#include <stdbool.h>
#include <zmq.h>

#include "node/helm.h"

// ear_t is one socket of the thread that uses it.
typedef struct ear {
    void *socket; // NULL: it is not open
    int fd;       // -1: it has none
    bool touched; // something was done with the socket since it was found empty
} ear_t;

// ear_open begins to wait for a socket, which stays the caller's.
void ear_open(ear_t *self, void *socket);

// ear_touch notes that something is about to be done with it, or was.
static inline void
ear_touch(ear_t *self)
{
    self->touched = true;
}

// ear_empty notes that a receive has just failed: as a rule there was nothing.
static inline void
ear_empty(ear_t *self)
{
    self->touched = self->touched && zmq_errno() != EAGAIN;
}

// ear_look says whether a socket that was touched is readable; of others their
// descriptor says so.
bool ear_look(ear_t *self);

// Items of ears_poll, at most.
#define EARS_MAX 16

// nap_t is how a thread waits.
typedef struct nap {
    long ms;     // at most; -1: for ever
    bool yields; // it lets others run once, and looks again, before it sleeps;
    unsigned spin_us; // and so long again and again
    helm_t *
        helm; // others may have it meanwhile; NULL: it is none of this thread's
} nap_t;

// ears_poll waits as zmq_poll does.  items[i] is ears[i] (its socket, ZMQ_POLLIN), or,
// where that is NULL, a descriptor, or another socket: then all are zmq_poll's.  A socket
// may be said to be readable and have nothing.  Whoever has the helm meanwhile may call
// the sockets.  Returns how many are readable, 0 when the time is over, -1 with errno.
int ears_poll(
    ear_t *const *ears, zmq_pollitem_t *items, int count, const nap_t *nap);

#endif
