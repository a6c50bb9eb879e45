// SPDX-License-Identifier: MIT
// reach.c - which switch the frames to another life take.

#include "core/reach.h"

#include "base/hash.h"

void
reach_init(reach_t *self, uint64_t life, uint64_t other)
{
    *self = (reach_t){.pair = hash_mix(life) ^ hash_mix(other)};
}

int
reach_pick(reach_t *self, const reach_link_t *links, unsigned count, bool stray,
    bool *moved)
{
    int found = -1;
    uint64_t best = 0;
    for (unsigned i = 0; i < count; i++) {
        bool known = (self->links & 1u << i) != 0;
        bool may = known || (stray && self->links == 0 && links[i].settled);
        if (links[i].session == 0 || !may) {
            continue;
        }
        if (links[i].session == self->via) {
            *moved = false;
            return (int)i;
        }
        uint64_t weight = hash_mix(self->pair ^ links[i].life);
        if (found < 0 || weight > best) {
            found = (int)i;
            best = weight;
        }
    }
    *moved = found >= 0;
    if (found >= 0) {
        self->via = links[found].session;
    }
    return found;
}

bool
reach_known(reach_t *self, unsigned link, bool known)
{
    uint8_t bit = (uint8_t)(1u << link);
    if (((self->links & bit) != 0) == known) {
        return false;
    }
    self->links = (uint8_t)(known ? self->links | bit : self->links & ~bit);
    if (known) {
        self->missing_ms = 0;
    }
    return true;
}

int64_t
reach_missing(
    reach_t *self, const reach_link_t *links, unsigned count, int64_t now_ms)
{
    bool asked = false;
    for (unsigned i = 0; i < count; i++) {
        asked = asked || (links[i].session != 0 && links[i].settled);
    }
    if (self->links != 0 || !asked) {
        self->missing_ms = 0;
    } else if (self->missing_ms == 0) {
        self->missing_ms = now_ms;
    }
    return self->missing_ms;
}
