// SPDX-License-Identifier: MIT
// kills.c - which events have ended the workers that handled them.

#include "core/kills.h"

// find returns the place of an event, or 'count'.
static size_t
find(const kills_t *self, uint64_t life, uint64_t id)
{
    size_t at = 0;
    while (at < self->count &&
           (self->events[at].life != life || self->events[at].id != id)) {
        at++;
    }
    return at;
}

uint32_t
kills_note(kills_t *self, uint64_t life, uint64_t id)
{
    size_t at = find(self, life, id);
    if (at == self->count) {
        at = self->next;
        self->next = (self->next + 1) % KILLS_MAX;
        self->count += self->count < KILLS_MAX;
        self->events[at] = (kill_t){.life = life, .id = id};
    }
    return ++self->events[at].count;
}

uint32_t
kills_of(const kills_t *self, uint64_t life, uint64_t id)
{
    size_t at = find(self, life, id);
    return at < self->count ? self->events[at].count : 0;
}
