// SPDX-License-Identifier: MIT
// health.c - how a manager is: what its queue and its answers tell.

#include "core/health.h"

void
health_init(health_t *self, int64_t now_ms)
{
    *self = (health_t){
        .since_ms = now_ms, .next_ms = now_ms, .progress_ms = now_ms};
}

bool
health_ask(health_t *self, const health_times_t *times, int64_t now_ms)
{
    if (self->asked_ms != 0 || now_ms < self->next_ms) {
        return false; // one at a time: the queue of a stuck one does not grow
    }
    self->asked_ms = now_ms;
    self->next_ms = now_ms + times->probe_ms;
    return true;
}

void
health_answered(health_t *self, int64_t now_ms)
{
    if (self->asked_ms != 0) {
        self->delay_ms = now_ms - self->asked_ms;
        self->asked_ms = 0;
    }
}

bool
health_look(health_t *self, const health_times_t *times, bool busy,
    uint64_t progress, int64_t now_ms)
{
    if (!busy || progress != self->progress) {
        self->progress = progress;
        self->progress_ms = now_ms;
    }
    int64_t asked_ms = self->asked_ms != 0 ? self->asked_ms : now_ms;
    int64_t oldest_ms =
        asked_ms < self->progress_ms ? asked_ms : self->progress_ms;
    int64_t waited_ms = now_ms - oldest_ms;
    health_state_t state = waited_ms >= times->stuck_ms  ? HEALTH_STUCK
                           : waited_ms >= times->slow_ms ? HEALTH_SLOW
                                                         : HEALTH_OK;
    if (state == self->state) {
        return false;
    }
    self->state = state;
    self->since_ms = state == HEALTH_OK ? now_ms : oldest_ms;
    return true;
}

const char *
health_name(health_state_t state)
{
    static const char *const names[] = {"ok", "slow", "stuck", "dead"};
    return names[state];
}
