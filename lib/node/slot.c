// SPDX-License-Identifier: MIT
// slot.c - ports as the router sees them: delivery into their boxes.

#include <stdlib.h>

#include "base/alloc.h"
#include "node/health.h"
#include "node/keyed.h"
#include "node/replay.h"
#include "node/tunnels.h"

// Beside a full box waits at most this part of its limit.
#define BESIDE 4

// ----- lists

void
list_add(list_t *self, void *item)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity * 2 + 4;
        self->items = mem_resize(self->items, self->capacity * sizeof(void *));
    }
    self->items[self->count++] = item;
}

bool
list_remove(list_t *self, const void *item)
{
    for (size_t i = 0; i < self->count; i++) {
        if (self->items[i] == item) {
            self->items[i] = self->items[--self->count];
            return true;
        }
    }
    return false;
}

void
list_clear(list_t *self)
{
    free(self->items);
    *self = (list_t){0};
}

// ----- coming and going

slot_t *
slot_attach(router_t *router, edri_port_t *port, const uint8_t *routing,
    size_t routing_size)
{
    slot_t *self = mem_new(sizeof *self);
    self->port = port;
    slot_init(self, router);
    self->number = port->number;
    self->lossy = port->lossy;
    self->manager = str_dup(port->manager);
    self->routing_size = routing_size;
    memcpy(self->routing, routing, routing_size);
    (void)map_put(router->slots, self->number, self);
    for (size_t i = 0; i < port->demand_count; i++) {
        const demand_t *demand = &port->demands[i];
        route_t *route = route_find(router, demand->ref->type->id);
        (void)map_put(demand->observer ? self->observes : self->handles,
            route->type, route);
        if (demand->replay) {
            replay_wish(self, route, demand->replay_age_ms);
        }
        route_add(router, route, demand->observer,
            (member_t){.slot = self, .lossy = self->lossy}, 0);
    }
    return self;
}

// leave_routes takes it out of all groups.
static void
leave_routes(slot_t *self)
{
    router_t *router = self->router;
    slots_flush(router);
    for (int observer = 0; observer < 2; observer++) {
        const map_t *demands = observer ? self->observes : self->handles;
        size_t cursor = 0;
        void *route = NULL;
        while (map_next(demands, &cursor, NULL, &route)) {
            route_remove(router, route, observer, self, NULL, 0);
        }
    }
}

void
slot_detach(slot_t *self)
{
    router_t *router = self->router;
    leave_routes(self);
    size_t cursor = 0;
    void *item = NULL;
    while (map_next(router->routes, &cursor, NULL, &item)) {
        (void)list_remove(&((route_t *)item)->waiters, self);
    }
    waiting_detach(self);
    (void)list_remove(&router->ready, self);
    (void)list_remove(&router->full, self);
    (void)list_remove(&router->flushing, self);
    (void)map_take(router->slots, self->number);
    router->settled = true;
    asked_slot_gone(router, self->number);
    asked_cancel_all(router, self->number);
    tunnels_port_gone(router, self->number, UINT64_MAX, EDRI_RESPONDER_DIED,
        "the worker at the other end has ended");
    if (!self->ipc) {
        // From here on the port may be freed: the slot itself is not touched
        // by its owner.
        atomic_store(&self->port->attached, false);
        slot_ring(self, 0);
    }
    slot_free(self);
}

void
slot_free(slot_t *self)
{
    size_t cursor = 0;
    void *item = NULL;
    while (map_next(self->sources, &cursor, NULL, &item)) {
        free(item);
    }
    map_destroy(&self->sources);
    map_destroy(&self->handles);
    map_destroy(&self->observes);
    free(self->wishes);
    free(self->epochs);
    chunk_t *chunk = NULL;
    while ((chunk = outq_take(&self->flying)) != NULL ||
           (chunk = outq_take(&self->queue)) != NULL) {
        // What came from another node goes back to it when this one ends.
        const token_t *token = chunk->origin.token;
        bool back = !self->ipc && token != NULL && token->remote != NULL;
        counter_add(&self->router->node->counters, COUNTER_LOST,
            back ? 0 : chunk->events);
        if (back) {
            chunk_drop(&chunk);
        } else {
            slot_chunk_done(self, &chunk);
        }
    }
    overflow_clear(&self->overflow);
    free(self->manager);
    free(self);
}

void
slot_missed(slot_t *self, uint64_t events)
{
    if (!self->ipc) {
        atomic_fetch_add(&self->port->missed, events);
    }
}

// note_dropped is the overflow_dropped_fn of what waits for a port here.
static void
note_dropped(uint64_t type, void *arg)
{
    slot_t *self = arg;
    edri_node_t *node = self->router->node;
    slot_missed(self, 1);
    counter_add(&node->counters, COUNTER_LOSSY, 1);
    drops_note(&node->drops, type, NULL,
        self->manager != NULL ? self->manager : "", EDRI_OVERLOADED, 1);
}

void
slot_init(slot_t *self, router_t *router)
{
    self->router = router;
    self->handles = map_new();
    self->observes = map_new();
    self->sources = map_new();
    health_init(&self->health, router->now_ms);
    self->overflow =
        (overflow_t){.limit = slot_limit(self) / (self->ipc ? 1 : BESIDE),
            .dropped = note_dropped,
            .arg = self};
}

void
slot_chunk_done(slot_t *self, chunk_t **chunk_p)
{
    const chunk_t *chunk = *chunk_p;
    if (chunk->origin.token != NULL) {
        (void)token_begun(
            self->router->tokens, chunk->origin.token, chunk->events);
    }
    chunk_drop(chunk_p);
}

// ----- delivery

void
slot_ring(slot_t *self, char word)
{
    if (word == 0 && self->port != NULL && self->port == self->router->near) {
        return; // its owner is here, and looks into its box
    }
    ear_touch(&self->router->ports_ear);
    // An unknown peer is one that has just gone: nothing to ring.
    if (zmq_send(self->router->ports, self->routing, self->routing_size,
            ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0) {
        (void)zmq_send(
            self->router->ports, &word, word != 0 ? 1 : 0, ZMQ_DONTWAIT);
    }
}

// taken is what the port has not done yet.
static size_t
taken(const slot_t *self)
{
    return self->ipc ? self->queue.bytes : box_used(self->port->in);
}

size_t
slot_used(const slot_t *self)
{
    size_t beside = overflow_weight(&self->overflow);
    return taken(self) + beside + (self->ipc ? 0 : self->queue.bytes);
}

size_t
slot_limit(const slot_t *self)
{
    return self->ipc ? self->router->node->limits.manager_queue
                     : self->port->queue;
}

// set_full notes that a port has come over its limit, or back.
static void
set_full(slot_t *self, bool full)
{
    if (self->full == full) {
        return;
    }
    self->full = full;
    size_t cursor = 0;
    void *route = NULL;
    while (map_next(self->handles, &cursor, NULL, &route)) {
        route_gate(self->router, route);
    }
}

// level is how far the queue must have run down to be looked at again.
static size_t
level(const slot_t *self)
{
    size_t half = slot_limit(self) / 2;
    size_t used = taken(self);
    return self->starved && used / 2 < half ? used / 2 : half;
}

// watch asks to be rung when the port has caught up; the slot stays in 'full'.
static void
watch(slot_t *self)
{
    list_t *full = &self->router->full;
    for (size_t i = 0; i < full->count; i++) {
        if (full->items[i] == self) {
            return;
        }
    }
    list_add(full, self);
    if (!self->ipc) {
        (void)box_watch(self->port->in, level(self));
    }
}

// filled looks at the port's fullness after something was put.
static void
filled(slot_t *self)
{
    if (taken(self) <= slot_limit(self)) {
        return;
    }
    set_full(self, true);
    watch(self);
}

static void
put(slot_t *self, slice_t bytes, size_t events, const run_t *origin,
    blob_t *blob)
{
    self->router->lately += events;
    lookout_for_one(&self->router->came, self->port, events);
    counter_add(&self->router->node->counters, COUNTER_DELIVERED, events);
    if (box_put(self->port->in, bytes.data, bytes.len, origin, &blob,
            blob != NULL)) {
        slot_ring(self, 0);
    }
    filled(self);
}

static void
flush_span(slot_t *self)
{
    if (self->span_size > 0) {
        slice_t bytes = {self->span, self->span_size};
        self->span_size = 0;
        put(self, bytes, self->span_events, &self->span_origin, NULL);
    }
}

// find_rank looks whether the event is for the manager's thread, whose events
// then have several priorities.
static void
find_rank(const slot_t *self, const envelope_t *env)
{
    bool observed = (env->flags & WIRE_OBSERVED) != 0;
    for (size_t i = 0; i < self->port->demand_count; i++) {
        const demand_t *demand = &self->port->demands[i];
        if (demand->ref->type->id == env->type && !demand->pooled &&
            demand->observer == observed) {
            atomic_store(&self->port->ranked, true);
        }
    }
}

// note_rank is find_rank where there may be something to find.
static inline void
note_rank(const slot_t *self, const envelope_t *env)
{
    if (envelope_priority(env->flags) != self->port->priority &&
        !atomic_load_explicit(&self->port->ranked, memory_order_relaxed)) {
        find_rank(self, env);
    }
}

void
slot_give(slot_t *self, slice_t item, const envelope_t *env,
    const run_t *origin, blob_t *blob)
{
    if (self->ipc) {
        self->router->came.others = true;
        outq_append(&self->queue, item, env, origin, blob);
        filled(self);
        return;
    }
    note_rank(self, env);
    bool joins = self->span_size > 0 && blob == NULL &&
                 self->span + self->span_size == item.data &&
                 self->span_origin.life == origin->life &&
                 self->span_origin.base_ms == origin->base_ms &&
                 self->span_origin.token == origin->token &&
                 self->span_origin.redelivered == origin->redelivered;
    if (joins) {
        self->span_size += item.len;
        self->span_events++;
        return;
    }
    flush_span(self);
    if (blob != NULL) {
        put(self, item, 1, origin, blob);
        return;
    }
    self->span = item.data;
    self->span_size = item.len;
    self->span_events = 1;
    self->span_origin = *origin;
    list_add(&self->router->spans, self);
}

void
slot_offer(slot_t *self, slice_t item, const envelope_t *env,
    const run_t *origin, blob_t *blob, edri_overflow_t policy)
{
    bool waits =
        self->queue.first != NULL || overflow_weight(&self->overflow) > 0;
    if (!self->ipc && !waits && (policy == EDRI_BLOCK || !self->full)) {
        slot_give(self, item, env, origin, blob);
        return;
    }
    if (!self->ipc) {
        note_rank(self, env);
    }
    // Behind what waits already, also when it may not be dropped.
    overflow_put(&self->overflow, &self->queue, self->full, policy, item, env,
        origin, blob);
    filled(self);
}

void
slots_flush(router_t *router)
{
    for (size_t i = 0; i < router->spans.count; i++) {
        flush_span(router->spans.items[i]);
    }
    router->spans.count = 0;
    keyed_flush(router);
}

// ----- room again

void
slot_starved(slot_t *self)
{
    self->starved = true;
    watch(self);
}

// grant_all gives the sources of a manager what there is room for.
static void
grant_all(slot_t *self)
{
    size_t cursor = 0;
    uint64_t life = 0;
    void *value = NULL;
    self->starved = false;
    while (map_next(self->sources, &cursor, &life, &value)) {
        slot_grant(self, life, value);
        self->starved = self->starved || credit_in_short(value);
    }
}

// go_on moves what waits beside the box into it.
static void
go_on(slot_t *self)
{
    overflow_join(&self->overflow, &self->queue);
    while (!self->ipc && self->queue.first != NULL &&
           taken(self) <= slot_limit(self)) {
        chunk_t *chunk = outq_take(&self->queue);
        put(self, chunk_batch(chunk), chunk->events, &chunk->origin,
            blob_share(chunk->blob));
        chunk_drop(&chunk);
    }
}

void
slot_leave(slot_t *self)
{
    leave_routes(self);
    links_demand(self->router, self, false);
    overflow_join(&self->overflow, &self->queue);
    while (self->queue.first != NULL) {
        chunk_t *chunk = outq_take(&self->queue);
        put(self, chunk_batch(chunk), chunk->events, &chunk->origin,
            blob_share(chunk->blob));
        chunk_drop(&chunk);
    }
    self->left = true;
    health_closed(self->router, self->manager, atomic_load(&self->port->why));
    atomic_store(&self->port->left, true);
    slot_ring(self, 0);
}

// caught_up does what the queue's state allows.  Returns false while there is
// still something to wait for, and a ring will come.
static bool
caught_up(slot_t *self)
{
    for (;;) {
        if (taken(self) <= slot_limit(self) / 2) {
            go_on(self);
            set_full(self, taken(self) > slot_limit(self) / 2);
        }
        if (self->starved) {
            grant_all(self);
        }
        // With an empty queue every source can be served: see credit_in_grant.
        // The queue may have run down since it was looked at: what still counts
        // as full stays here.
        if (!self->full && (!self->starved || slot_used(self) == 0)) {
            return true;
        }
        if (self->ipc || box_watch(self->port->in, level(self))) {
            return false;
        }
    }
}

void
slots_check(router_t *router)
{
    for (size_t i = router->full.count; i > 0; i--) {
        if (caught_up(router->full.items[i - 1])) {
            router->full.items[i - 1] =
                router->full.items[--router->full.count];
        }
    }
}
