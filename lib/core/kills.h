// SPDX-License-Identifier: MIT
// core/kills.h - which events have ended the workers that handled them.
//
// DESIGN
// An event whose handler ends its process may come again: its type says retry,
// or its source gives it to others.  So it is remembered by life and id.  Only
// the newest KILLS_MAX are: what came so long ago that others took its place
// costs one more worker.

#ifndef CORE_KILLS_H
#define CORE_KILLS_H

#include <stddef.h>
#include <stdint.h>

#define KILLS_MAX 256

typedef struct kill {
    uint64_t life;
    uint64_t id;
    uint32_t count;
} kill_t;

// kills_t begins as zeros.
typedef struct kills {
    kill_t events[KILLS_MAX];
    size_t count;
    size_t next; // takes the place of the oldest, once all are taken
} kills_t;

// kills_note counts one more worker that the event has ended.  Returns how many
// these are.
uint32_t kills_note(kills_t *self, uint64_t life, uint64_t id);

// kills_of returns how many workers the event has ended.
uint32_t kills_of(const kills_t *self, uint64_t life, uint64_t id);

#endif
