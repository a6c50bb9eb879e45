// SPDX-License-Identifier: MIT
// backoff.c - pauses between tries: doubled each time, jittered.

#include "core/backoff.h"

int64_t
backoff_next(backoff_t *self, uint64_t random)
{
    int64_t pause = self->next_ms > 0 ? self->next_ms : self->min_ms;
    self->next_ms = 2 * pause < self->max_ms ? 2 * pause : self->max_ms;
    return pause / 2 + (int64_t)(random % (uint64_t)(pause / 2 + 1));
}

void
backoff_reset(backoff_t *self)
{
    self->next_ms = 0;
}
