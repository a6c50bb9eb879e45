// SPDX-License-Identifier: MIT
// core/fence.h - may a receiver begin what its source might give to another?
//
// DESIGN
// A source that believes a receiver dead gives its unsettled events to another
// member, marked.  The receiver may be alive all the same: frozen, or cut off.
// So that it never begins such an event without the mark, it needs a lease:
//
//   receiver → source   ask: a number, which is the receiver's own time
//   source → receiver   echo of it, unless the life was given up
//
// A lease ends lease_ms after the time of its ask, on the receiver's clock; the
// source gives nobody up before lease_ms and a little more have passed since it
// last answered, on its own.  The source's span begins later and is longer, so
// at any time at most one of the two has the event, whatever the network does
// and without comparing clocks (C. Gray, D. Cheriton, "Leases", 1989).  Clocks
// must count suspension and may differ in speed by a hundredth.  Pure.

#ifndef CORE_FENCE_H
#define CORE_FENCE_H

#include <stdbool.h>
#include <stdint.h>

// fence_slack_ms is by how much the source waits longer.
int64_t fence_slack_ms(int64_t lease_ms);

// ----- at the receiver, one per source

typedef struct fence {
    int64_t lease_ms;
    int64_t until_ms; // the lease's end; 0: none yet
    int64_t asked_ms; // newest ask; 0: none
    bool free;        // the source has ended: nobody else gets anything
} fence_t;

void fence_init(fence_t *self, int64_t lease_ms);

// fence_open says whether handlers may be entered.
bool fence_open(const fence_t *self, int64_t now_ms);

// fence_ask says whether to ask now, and notes it: the number is now_ms.  At
// most four times a lease, and in time to have the next before the last ends.
bool fence_ask(fence_t *self, int64_t now_ms);

// fence_due is when fence_ask may be true.
int64_t fence_due(const fence_t *self);

// fence_echo takes the source's answer.  Returns false when that was never
// asked.
bool fence_echo(fence_t *self, int64_t number);

// ----- at the source, one per receiver

typedef struct lease {
    int64_t lease_ms;
    int64_t given_ms; // when it was last answered; 0: never
} lease_t;

void lease_init(lease_t *self, int64_t lease_ms);
void lease_give(lease_t *self, int64_t now_ms);

// lease_end is from when on the receiver may be given up.
int64_t lease_end(const lease_t *self);

#endif
