// SPDX-License-Identifier: MIT
// ports.c - what ports say to the router: bells, notes, and the loads of their boxes.

#include "node/ports.h"

#include <string.h>

#include "base/clock.h"
#include "node/orphans.h"
#include "node/tunnels.h"

// Bells read in one wake-up.
#define BELLS_MAX 256

// ----- loads

// route_load directs every envelope of the load just taken.
static void
route_load(router_t *self, slot_t *from)
{
    reader_t at = reader_begin(&self->load);
    envelope_t env;
    uint64_t events = 0;
    while (reader_next(&at, &env)) {
        events++;
        route_event(self, from, at.item, at.content, &env, at.run, at.blob_p);
    }
    slots_flush(self);
    self->lately += events;
    counter_add(&self->node->counters, COUNTER_ROUTED, events);
    if (at.malformed) {
        counter_add(&self->node->counters, COUNTER_MALFORMED, 1);
    }
}

// read_slot takes one load of a port.  Returns false when there was none.
static bool
read_slot(router_t *self, slot_t *slot)
{
    if (!box_take(slot->port->out, &self->load)) {
        return false;
    }
    size_t weight = self->load.weight;
    route_load(self, slot);
    load_reset(&self->load);
    if (box_release(slot->port->out, weight)) {
        slot_ring(slot, 0);
    }
    return true;
}

// drain_slot routes what a port has emitted, all of it.
static void
drain_slot(router_t *self, slot_t *slot)
{
    while (read_slot(self, slot)) {
    }
}

void
ports_take(router_t *self)
{
    for (size_t i = self->ready.count; i > 0; i--) {
        slot_t *slot = self->ready.items[i - 1];
        if (!read_slot(self, slot)) {
            slot->ready = false;
            self->ready.items[i - 1] = self->ready.items[--self->ready.count];
        }
    }
}

// ----- notes

static void
make_ready(router_t *self, slot_t *slot)
{
    if (!slot->ready) {
        slot->ready = true;
        list_add(&self->ready, slot);
    }
}

// noted is the next port that has left a note instead of ringing, or NULL.
static slot_t *
noted(router_t *self)
{
    const edri_port_t *port = helm_noted(&self->node->helm);
    return port != NULL ? map_get(self->slots, port->number) : NULL;
}

void
ports_note(router_t *self)
{
    slot_t *slot = NULL;
    while ((slot = noted(self)) != NULL) {
        make_ready(self, slot);
    }
}

void
ports_serve_noted(router_t *self)
{
    slot_t *slot = NULL;
    while ((slot = noted(self)) != NULL) {
        drain_slot(self, slot);
    }
}

// ----- bells

static void
attach(router_t *self, uint16_t number, const uint8_t *routing, size_t size)
{
    edri_port_t *port = shared_map_get(self->node->ports, number);
    if (port == NULL || map_get(self->slots, number) != NULL) {
        return;
    }
    slot_t *slot = slot_attach(self, port, routing, size);
    atomic_store(&port->attached, true);
    slot_ring(slot, 0);
}

static void
detach(router_t *self, slot_t *slot)
{
    drain_slot(self, slot);
    orphans_place(slot);
    slot_detach(slot);
}

static void
handle_bell(router_t *self, slot_t *slot, const uint8_t *word, size_t size)
{
    switch (size > 0 ? word[0] : 0) {
    case BELL_LEAVE:
        slot_leave(slot);
        return;
    case BELL_DETACH:
        detach(self, slot);
        return;
    case BELL_GATE: {
        uint64_t type = 0;
        memcpy(&type, word + 1, size == 9 ? 8 : 0);
        route_t *route = map_get(self->routes, type);
        if (route != NULL && route->closed) {
            (void)list_remove(&route->waiters, slot);
            list_add(&route->waiters, slot);
        } else {
            slot_ring(slot, 0); // opened meanwhile
        }
        return;
    }
    case BELL_CANCEL: {
        uint64_t id = 0;
        memcpy(&id, word + 1, size == 9 ? 8 : 0);
        drain_slot(self, slot); // the request comes first
        cancel_asked(self, slot, id);
        return;
    }
    case BELL_TUNNEL: {
        uint64_t last = 0;
        memcpy(&last, word + 1, size == 9 ? 8 : 0);
        drain_slot(self, slot);
        tunnels_port_gone(self, slot->number, last, EDRI_WORKER_DIED,
            "the worker's process at the other end has ended");
        break;
    }
    case BELL_FLUSH:
        if (!slot->flush) {
            slot->flush = true;
            list_add(&self->flushing, slot);
        }
        break;
    default:
        break;
    }
    make_ready(self, slot);
}

void
ports_hear(router_t *self)
{
    for (int i = 0; i < BELLS_MAX; i++) {
        uint8_t routing[PORT_ROUTING_SIZE + 1];
        uint8_t word[16];
        int size = zmq_recv(self->ports, routing, sizeof routing, ZMQ_DONTWAIT);
        if (size < 0) {
            ear_empty(&self->ports_ear);
            return;
        }
        int length = zmq_recv(self->ports, word, sizeof word, ZMQ_DONTWAIT);
        if (size != PORT_ROUTING_SIZE || length < 0) {
            continue;
        }
        uint16_t number = 0;
        memcpy(&number, routing + 1, 2);
        slot_t *slot = map_get(self->slots, number);
        bool known = slot != NULL && !slot->ipc &&
                     memcmp(slot->routing, routing, (size_t)size) == 0;
        if (known) {
            handle_bell(self, slot, word, (size_t)length);
        } else if (length > 0 && word[0] == BELL_ATTACH) {
            attach(self, number, routing, (size_t)size);
        }
    }
}

void
ports_detach(router_t *self, const edri_port_t *port)
{
    slot_t *slot = map_get(self->slots, port->number);
    if (slot != NULL && !slot->ipc && slot->port == port) {
        self->now_ms = clock_ms();
        detach(self, slot);
    }
}

void
ports_tell_flushed(router_t *self)
{
    if (self->flushing.count == 0 || self->ready.count > 0) {
        return;
    }
    if (!frames_idle(self)) {
        flows_probe(self);
        return;
    }
    for (size_t i = 0; i < self->flushing.count; i++) {
        slot_t *slot = self->flushing.items[i];
        slot->flush = false;
        slot_ring(slot, BELL_FLUSH);
    }
    self->flushing.count = 0;
}

void
ports_quit(router_t *self)
{
    size_t cursor = 0;
    void *value = NULL;
    // First the word that busy managers look at, for all.
    while (map_next(self->slots, &cursor, NULL, &value)) {
        slot_t *slot = value;
        if (!slot->ipc) {
            atomic_store(&slot->port->stop, true);
        }
    }
    cursor = 0;
    while (map_next(self->slots, &cursor, NULL, &value)) {
        slot_t *slot = value;
        if (!slot->ipc) {
            slot_ring(slot, BELL_QUIT);
        }
    }
}
