// SPDX-License-Identifier: MIT
// core/cancels.h - cancels that are remembered: their requests may still come.
//
// DESIGN
// A cancel may overtake its request, or find it in a queue.  So each is kept by
// the asker's life and the request's id, for a bounded time and in a bounded
// number, the oldest first out: whoever is forgotten is begun in vain, and ends
// by its deadline.  A life alone stands for all its requests.  Pure: no clock,
// no thread.

#ifndef CORE_CANCELS_H
#define CORE_CANCELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// So many are kept, for so long: longer than a frame is sent again after an
// outage in which nobody was given up.
#define CANCELS_MAX     256
#define CANCELS_KEEP_MS 60000

// Instead of a request's id: all requests of that life.
#define CANCELS_ALL UINT64_C(0)

typedef struct cancel {
    uint64_t life;
    uint64_t id;
    int64_t until_ms;
} cancel_t;

// cancels_t begins as zeros.
typedef struct cancels {
    size_t first; // the oldest
    size_t count;
    cancel_t ring[CANCELS_MAX];
} cancels_t;

// cancels_add remembers one; the oldest makes room.
void cancels_add(cancels_t *self, uint64_t life, uint64_t id, int64_t now_ms);

// cancels_has says whether that request, or all of its life, was cancelled.
// About 1 ns when nothing is remembered.
bool cancels_has(
    const cancels_t *self, uint64_t life, uint64_t id, int64_t now_ms);

// cancels_forget forgets all of a life: it asks again.
void cancels_forget(cancels_t *self, uint64_t life);

#endif
