// SPDX-License-Identifier: MIT
// node/listen.h - a port's owner listens to the connections instead of the router's
// thread, while core/lookout.h says that what comes is for it alone.
//
// DESIGN
// The lookout's owner, when it waits, waits for the connections' descriptors, too, and
// the router's thread no longer does.  When something has come, it takes the helm, reads
// and routes it, and finds what is for it in its own box, without any bell.  All else
// stays with the router's thread: clocks, bells, commands, processes.  Each of the two
// may still read a connection whenever it has the helm.
//
// The lookout may work for long at what it has got, and then nobody listens.  So when it
// wakes it sets a timer, unless one is set; if it is still awake in the same turn when
// that tells the router's thread, that thread listens again until the lookout sleeps,
// and if something had come by then, it is the lookout no longer.  So what comes may wait
// for 1 ms, rarely 2, at most once in LOOKOUT_PAUSE_MS; the timer ticks once in 1 ms as
// long as something comes.  Go's scheduler retakes a processor from a system call in the
// same way (runtime/proc.go, sysmon).  A lookout that should wake and gets no processor
// (a thread of low priority, a debugger) is not seen by that: then what comes waits until
// the router's thread next has something to do, link.heartbeat at most.
//
// docs/model/listen.pml: a connection with something to read is always read.
//
// While there is a lookout, libzmq's thread and it may huddle on one processor
// (base/huddle.h), the lookout only while it sleeps: what its owner calls, and what that
// starts, runs wherever it may, but for a signal's handler that comes in its sleep.

#ifndef NODE_LISTEN_H
#define NODE_LISTEN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "base/affinity.h"
#include "core/lookout.h"

typedef struct edri_port edri_port_t;
struct router;

typedef struct listen {
    // by who has the helm
    lookout_t lookout;
    bool on;             // the lookout listens, the router's thread does not
    affinity_t affinity; // libzmq's thread, and what the lookout's does
    int heard_fd;        // the connection that a lookout has read last
    // by all
    _Atomic(edri_port_t *) who; // the lookout
    atomic_uint_fast64_t
        set;      // its turn (port.h) when the timer was set; 0: it is not
    int timer_fd; // -1: there is none, and no lookout
} listen_t;

// listen_init; listen_open makes the timer, without which there is no lookout;
// listen_close ends it.  io_thread: the name of libzmq's thread, if that may huddle;
// NULL: it may not.
void listen_init(listen_t *self);
void listen_open(listen_t *self, const char *io_thread);
void listen_close(listen_t *self);

// ----- for who has the helm

// listen_heard notes what has come from the connections, all at once.
void listen_heard(listen_t *self, const lookout_for_t *came, int64_t now_ms);

// listen_tend looks where threads should run, every now and then; by_lookout: its thread
// does, not the router's.
void listen_tend(struct router *router, bool by_lookout);

// listen_rang is called by the router's thread when the timer has rung.
void listen_rang(struct router *router);

// listen_dismiss lets the router's thread listen again, which the caller wakes unless it
// is that thread.
void listen_dismiss(listen_t *self, int64_t now_ms);

// listen_forget does so if the port is the lookout, and forgets it: it ends.
void listen_forget(listen_t *self, const edri_port_t *port, int64_t now_ms);

// ----- for the owner of a port, without the helm

// listen_wait_t is one wait of the lookout.
typedef struct listen_wait {
    zmq_pollitem_t *items; // the connections
    int count; // 0: it is no lookout; -1: something has come already
    affinity_stay_t stay;
} listen_wait_t;

// listen_is says whether the port is the lookout.
static inline bool
listen_is(const listen_t *self, const edri_port_t *port)
{
    return atomic_load_explicit(&self->who, memory_order_relaxed) == port;
}

// listen_begin fills in, behind what its owner waits for itself, the descriptors of the
// connections, LINKS_MAX at most.  Where something has come already, listen_end must be
// called at once.
void listen_begin(
    edri_port_t *port, zmq_pollitem_t *items, listen_wait_t *wait);

// listen_end ends listening, and handles what has come there.  The owner looks into its
// box then: nobody rings for that.
void listen_end(edri_port_t *port, listen_wait_t *wait);

#endif
