// SPDX-License-Identifier: MIT
// node/helm.h - who runs the router.
//
// DESIGN
// Only one thread at a time does the router's work: it has the helm.  As a rule
// that is the router's own thread, which gives it away while it sleeps.  A port's
// owner that is about to wait for what the router makes of its words (a request, the
// reply of a manager with nothing else to do) would have to wake that thread first,
// and a wake-up costs ten times what the work does.  So it takes the helm if it is
// free, has its own box routed, and goes to sleep; the router's thread sleeps on.
// What else there is to do, or is due sooner than that thread would wake, is left to
// it.  If the helm is not free it leaves a note: whoever has it looks for notes again
// after giving it away, so that none is left behind.
//
// The idea is that of flat combining (Hendler, Incze, Shavit, Tzafrir, 2010): who comes
// to a lock that is free does the work of all who came in vain.
//
// The router's thread is woken by a descriptor of its own, not by a bell: calls on a
// socket may have taken note of bells that nobody has read yet, and then neither the
// socket's descriptor nor another bell of the same port says so to who sleeps.

#ifndef NODE_HELM_H
#define NODE_HELM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct edri_port edri_port_t;
struct router;

// For longer nobody has the helm, but one whose log sink waits for something.
#define HELM_SOON_MS 2

typedef struct helm {
    pthread_mutex_t lock;         // held by who runs the router
    struct router *router;        // NULL: none that could be run
    _Atomic(edri_port_t *) noted; // a stack of those that left a note
    int wake_fd;                  // wakes the router's thread; -1: it has none
    bool deaf;                    // it should have: nobody else runs the router
} helm_t;

// note_t is a port's place among the notes.
typedef struct note {
    edri_port_t *below;
    atomic_bool left; // it is there
} note_t;

void helm_init(helm_t *self);
void helm_destroy(helm_t *self);

// helm_open begins to wake the router's thread, which calls it.  When there is no
// descriptor left, that thread does all itself, and is rung.
void helm_open(helm_t *self);

// helm_give lets others run that router while the helm is free; NULL: no longer.  The
// router's thread, which does not have it.
void helm_give(helm_t *self, struct router *router);

// helm_take and helm_leave begin and end what the router's thread does, helm_take_soon
// and helm_leave what a port's owner does, who must not wait for long.  helm_sleep
// is helm_leave for a thread that wants to sleep; it returns false when it must not:
// there are notes.
void helm_take(helm_t *self);
bool helm_take_soon(helm_t *self); // false: not within HELM_SOON_MS
void helm_leave(helm_t *self);
bool helm_sleep(helm_t *self);

// helm_wake wakes the router's thread.  Returns false when that is not possible.
bool helm_wake(const helm_t *self);

// helm_noted takes one port that has left a note, or NULL; for who has the helm.
edri_port_t *helm_noted(helm_t *self);
bool helm_any_noted(const helm_t *self);

// helm_detach takes a port out of the router, and its note back, in its owner's thread,
// which may free it then.  Returns false when the router must be told by a bell.
bool helm_detach(helm_t *self, edri_port_t *port);

// helm_woken forgets that the router's thread was to wake.
void helm_woken(helm_t *self);

// helm_serve has a port's box routed, by its owner's thread, which calls it, or by who
// has the helm.  Returns false when the router's thread must be rung.
bool helm_serve(helm_t *self, edri_port_t *port);

#endif
