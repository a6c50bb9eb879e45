// SPDX-License-Identifier: MIT
// core/lookout.h - who listens to the connections while all sleep.
//
// DESIGN
// As a rule the router's thread does.  But when what comes is for one port, again and
// again and little at a time (a request, the reply to one), then to wake the router's
// thread only to have it wake the port's owner is one wake-up too many.  So that owner
// becomes the lookout: it listens in the thread's stead, from its next sleep on.  It is
// one no longer as soon as what comes is for others, is much, or it does not listen for
// long: then nobody is for a while.  It is a guess about what comes next; whoever listens,
// everything that has come is handled.

#ifndef CORE_LOOKOUT_H
#define CORE_LOOKOUT_H

#include <stdbool.h>
#include <stdint.h>

// What comes at once is much from so many events on.
#define LOOKOUT_MUCH 8

// So often in a row little has come, all for one, before that one is made the lookout.
#define LOOKOUT_CALM 16

// How long nobody is made the lookout after one was no good.
#define LOOKOUT_PAUSE_MS 1000

typedef struct lookout {
    void *who;        // the lookout; NULL: the router's thread listens
    void *likely;     // for whom the last was,
    unsigned calm;    // and so many before it
    int64_t pause_ms; // nobody is made the lookout before that
} lookout_t;

// lookout_for_t is for whom something was that came.
typedef struct lookout_for {
    void *one;   // NULL: nobody who could be the lookout
    bool others; // it was for others, too
    uint64_t events;
} lookout_for_t;

// lookout_for_one notes that so many events of it are for one.
void lookout_for_one(lookout_for_t *self, void *one, uint64_t events);

// lookout_heard judges all that came at once.
void lookout_heard(lookout_t *self, const lookout_for_t *came, int64_t now_ms);

// lookout_dismiss ends what the lookout does, for a while.
void lookout_dismiss(lookout_t *self, int64_t now_ms);

#endif
