// SPDX-License-Identifier: MIT
// cancels.c - cancels that are remembered: their requests may still come.

#include "core/cancels.h"

static cancel_t *
at(cancels_t *self, size_t place)
{
    return &self->ring[(self->first + place) % CANCELS_MAX];
}

static void
drop_oldest(cancels_t *self)
{
    self->first = (self->first + 1) % CANCELS_MAX;
    self->count--;
}

void
cancels_add(cancels_t *self, uint64_t life, uint64_t id, int64_t now_ms)
{
    while (self->count > 0 &&
           (self->count == CANCELS_MAX || at(self, 0)->until_ms <= now_ms)) {
        drop_oldest(self);
    }
    *at(self, self->count++) = (cancel_t){life, id, now_ms + CANCELS_KEEP_MS};
}

bool
cancels_has(const cancels_t *self, uint64_t life, uint64_t id, int64_t now_ms)
{
    for (size_t i = 0; i < self->count; i++) {
        const cancel_t *cancel = &self->ring[(self->first + i) % CANCELS_MAX];
        if (cancel->life == life && cancel->until_ms > now_ms &&
            (cancel->id == id || cancel->id == CANCELS_ALL)) {
            return true;
        }
    }
    return false;
}

void
cancels_forget(cancels_t *self, uint64_t life)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (at(self, i)->life != life) {
            *at(self, kept++) = *at(self, i);
        }
    }
    self->count = kept;
}
