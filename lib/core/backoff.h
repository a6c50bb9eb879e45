// SPDX-License-Identifier: MIT
// core/backoff.h - pauses between tries: doubled each time, jittered.

#ifndef CORE_BACKOFF_H
#define CORE_BACKOFF_H

#include <stdint.h>

typedef struct backoff {
    int64_t min_ms;
    int64_t max_ms;
    int64_t next_ms; // before jitter; 0: min_ms
} backoff_t;

// backoff_next returns how long to wait before the next try: between half of
// the pause and the whole of it, as 'random' says.  The one after is twice as
// long, at most max_ms.
int64_t backoff_next(backoff_t *self, uint64_t random);

// backoff_reset begins with min_ms again.
void backoff_reset(backoff_t *self);

#endif
