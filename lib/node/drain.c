// SPDX-License-Identifier: MIT
// drain.c - a node that is about to stop: until nothing of its own is under way.

#include "node/router.h"

// is_busy says whether a port has something that must be done before the node
// may end.  Ports that are no manager's get replies only: who waits for one has
// it, and those that come late may lie there for ever.
static bool
is_busy(const slot_t *slot)
{
    bool works = slot->ipc || slot->manager != NULL;
    if (works && slot_used(slot) > 0) {
        return true;
    }
    // In this order: what a hook emits is there before it says so.
    return !slot->ipc && (atomic_load(&slot->port->drain) == DRAIN_ASKED ||
                             box_used(slot->port->out) > 0);
}

// is_quiet says whether nothing of this node's own is under way.
static bool
is_quiet(const router_t *self)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->slots, &cursor, NULL, &value)) {
        if (is_busy(value)) {
            return false;
        }
    }
    return self->ready.count == 0 && frames_idle(self);
}

void
drain_check(router_t *self)
{
    if (!self->draining || self->told_drained ||
        self->now_ms < self->drain_ms) {
        return;
    }
    if (is_quiet(self)) {
        self->told_drained = true;
        router_tell(self, "DRAINED", EDRI_OK, "%s", "");
    } else {
        flows_probe(self);
    }
}

// tell_drain tells the managers that have a hook for it.
static void
tell_drain(router_t *self)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->slots, &cursor, NULL, &value)) {
        slot_t *slot = value;
        if (!slot->ipc && slot->port->drains) {
            atomic_store(&slot->port->drain, DRAIN_ASKED);
            slot_ring(slot, 0);
        }
    }
}

void
drain_begin(router_t *self)
{
    self->draining = true;
    tell_drain(self);
    // InForce brings this forward; a switch that does not answer does not
    // hold us longer than it would hold a demand.
    bool linked = false;
    for (unsigned i = 0; i < self->link_count; i++) {
        linked = linked || self->links[i].shake == SHAKE_IN_FORCE;
    }
    self->drain_ms = self->now_ms + (linked ? 1500 : 0);
    links_drain(self);
}
