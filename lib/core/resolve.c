// SPDX-License-Identifier: MIT
// resolve.c - what the switches have said of one type.

#include "core/resolve.h"

static uint8_t
bit(unsigned link)
{
    return (uint8_t)(1u << link);
}

bool
resolve_ask(resolve_t *self, bool returned)
{
    if (self->asked) {
        return false;
    }
    self->asked = true;
    self->early = returned;
    return true;
}

static void
answer(resolve_t *self, unsigned link, uint64_t version, bool settled)
{
    self->version[link] = version;
    self->answered |= bit(link);
    self->known = true;
    if (settled) {
        self->settled |= bit(link);
        self->early = false;
    }
}

void
resolve_table(resolve_t *self, unsigned link, uint64_t version, bool settled)
{
    answer(self, link, version, settled);
}

bool
resolve_change(resolve_t *self, unsigned link, uint64_t version, bool settled)
{
    if (version != self->version[link] + 1) {
        return false;
    }
    answer(self, link, version, settled);
    return true;
}

bool
resolve_settled(resolve_t *self, unsigned link)
{
    if ((self->answered & bit(link)) == 0) {
        return false; // its answer will say so itself
    }
    self->settled |= bit(link);
    self->early = false;
    return true;
}

void
resolve_lost(resolve_t *self, unsigned link)
{
    self->answered &= (uint8_t)~bit(link);
    self->settled &= (uint8_t)~bit(link);
    self->version[link] = 0;
    self->early = self->early || (self->asked && !self->known);
}

resolve_may_t
resolve_may(
    const resolve_t *self, uint8_t up, uint8_t all, bool takers, bool one)
{
    if (all == 0) {
        return RESOLVE_GO; // this node stands alone
    }
    if ((up & ~self->answered) != 0) {
        return RESOLVE_ASKED;
    }
    if (!self->known) {
        return takers && one ? RESOLVE_GO : RESOLVE_OPEN;
    }
    // With nobody there it is too early to say so; and what a node that has
    // lost its switch did not ask before may have more takers than are back.
    bool early = self->settled == 0 && (!takers || self->early);
    return early ? RESOLVE_OPEN : RESOLVE_GO;
}
