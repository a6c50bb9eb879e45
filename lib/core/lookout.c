// SPDX-License-Identifier: MIT
// lookout.c - who listens to the connections while all sleep.

#include "core/lookout.h"

#include <stddef.h>

void
lookout_for_one(lookout_for_t *self, void *one, uint64_t events)
{
    self->others = self->others || (self->one != NULL && self->one != one);
    self->one = one;
    self->events += events;
}

void
lookout_dismiss(lookout_t *self, int64_t now_ms)
{
    if (self->who != NULL) {
        self->pause_ms = now_ms + LOOKOUT_PAUSE_MS;
    }
    self->who = NULL;
    self->calm = 0;
}

void
lookout_heard(lookout_t *self, const lookout_for_t *came, int64_t now_ms)
{
    if (came->one == NULL && !came->others) {
        return; // words between routers only
    }
    bool calm = !came->others && came->events < LOOKOUT_MUCH;
    if (!calm || (self->who != NULL && came->one != self->who)) {
        lookout_dismiss(self, now_ms);
        return;
    }
    self->calm = came->one == self->likely ? self->calm + 1 : 1;
    self->likely = came->one;
    if (self->calm >= LOOKOUT_CALM && now_ms >= self->pause_ms) {
        self->who = came->one;
    }
}
