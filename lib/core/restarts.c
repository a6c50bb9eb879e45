// SPDX-License-Identifier: MIT
// restarts.c - how often something may be started again.

#include "core/restarts.h"

bool
restarts_note(restarts_t *self, int64_t now_ms)
{
    if (self->most == 0 || self->most > RESTARTS_MAX) {
        return false;
    }
    // The oldest of the last 'most' ends is the one that counts.
    int64_t oldest_ms = self->times[self->next];
    bool full = self->count == self->most;
    self->times[self->next] = now_ms;
    self->next = (self->next + 1) % self->most;
    self->count += !full;
    return !full || now_ms - oldest_ms >= self->within_ms;
}
