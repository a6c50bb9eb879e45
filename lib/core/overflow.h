// SPDX-License-Identifier: MIT
// core/overflow.h - what happens to events whose receiver is full.
//
// DESIGN
// What waits for a receiver stands in an outq, each chunk with the policy of
// its events.  BLOCK events are appended whatever waits: whoever emits them is
// held back (a gate), not the event.  DROP_NEWEST: a full queue takes no more.
// DROP_OLDEST: the oldest of these make room, one by one.  LATEST: while the
// queue is full one event per type and key waits beside it, the newest, at the
// place of the first; it joins when there is room.  Pure.

#ifndef CORE_OVERFLOW_H
#define CORE_OVERFLOW_H

#include "core/outq.h"

// latest_t is what waits beside a queue, by type and key.
typedef struct latest latest_t;

// overflow_dropped_fn is told of each event that is dropped.
typedef void overflow_dropped_fn(uint64_t type, void *arg);

typedef struct overflow {
    size_t limit;     // of the queue, in bytes
    latest_t *latest; // NULL: nothing
    overflow_dropped_fn *dropped;
    void *arg;
} overflow_t;

// overflow_put queues one item under its policy; 'full' says that the queue is,
// or what it leads to.  'blob' (or NULL) is taken over.
void overflow_put(overflow_t *self, outq_t *queue, bool full,
    edri_overflow_t policy, slice_t item, const envelope_t *env,
    const run_t *origin, blob_t *blob);

// overflow_join moves what waits beside the queue into it: there is room again.
void overflow_join(overflow_t *self, outq_t *queue);

// overflow_weight is how many bytes wait beside the queue.
size_t overflow_weight(const overflow_t *self);

// overflow_clear frees what waits beside the queue.
void overflow_clear(overflow_t *self);

#endif
