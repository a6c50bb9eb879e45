// SPDX-License-Identifier: MIT
// remote.c - other nodes: a queue and a credit for each of their managers.

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "edri/log.h"
#include "node/remote.h"

remote_t *
remote_find(router_t *router, uint64_t life, const char *name)
{
    remote_t *self = map_get(router->remotes, life);
    if (self == NULL) {
        self = mem_new(sizeof *self);
        self->router = router;
        self->life = life;
        self->name = str_dup(name != NULL ? name : "");
        self->bodies = map_new();
        (void)map_put(router->remotes, life, self);
    } else if (name != NULL && self->name[0] == '\0') {
        free(self->name);
        self->name = str_dup(name);
    }
    return self;
}

// initial_credit is what a source may send to a manager before it was told.
uint64_t
initial_credit(void)
{
    return CREDIT_MAX;
}

dest_t *
remote_dest(remote_t *self, uint32_t target, const char *manager)
{
    for (size_t i = 0; i < self->dest_count; i++) {
        if (self->dests[i]->target == target) {
            return self->dests[i];
        }
    }
    dest_t *dest = mem_new(sizeof *dest);
    dest->remote = self;
    dest->target = target;
    dest->manager = str_dup(manager);
    credit_out_init(&dest->credit, initial_credit());
    self->dests =
        mem_resize(self->dests, (self->dest_count + 1) * sizeof *self->dests);
    self->dests[self->dest_count++] = dest;
    return dest;
}

// ----- queues

// begin_path: what was on its way on the path before counts no more.
static void
begin_path(remote_t *self, const link_t *link)
{
    router_t *router = self->router;
    uint64_t now = (uint64_t)clock_unix_us();
    self->via = link->opened;
    self->path = now > router->last_path ? now : router->last_path + 1;
    router->last_path = self->path;
    for (size_t i = 0; i < self->dest_count; i++) {
        dest_t *dest = self->dests[i];
        credit_out_init(&dest->credit, initial_credit());
        dest->bulk_wait = 0;
        outq_restart(&dest->queue);
    }
    outq_restart(&self->replies);
}

// link_among returns a link of 'bits' that is up: the one in use as long as it
// is among them, because frames that are still on their way there would be
// overtaken by a new path and be ignored.
static link_t *
link_among(remote_t *self, unsigned bits)
{
    link_t *found = NULL;
    for (unsigned i = 0; i < self->router->link_count; i++) {
        link_t *link = &self->router->links[i];
        if ((bits & 1u << i) == 0 || link->session.state != SESSION_UP) {
            continue;
        }
        if (link->opened == self->via) {
            return link;
        }
        found = found != NULL ? found : link;
    }
    if (found != NULL) {
        begin_path(self, found);
    }
    return found;
}

link_t *
remote_link(remote_t *self)
{
    return link_among(self, self->links);
}

// reply_link is the link for replies.  A node that demands nothing is in no
// table: any switch may know it, once all have had the time to come back.
static link_t *
reply_link(remote_t *self)
{
    unsigned bits = self->links;
    for (unsigned i = 0; self->links == 0 && i < self->router->link_count;
         i++) {
        bits |= self->router->links[i].settled ? 1u << i : 0;
    }
    return link_among(self, bits);
}

static void
set_full(dest_t *self, bool full)
{
    if (self->full == full) {
        return;
    }
    self->full = full;
    for (size_t i = 0; i < self->routes.count; i++) {
        route_gate(self->remote->router, self->routes.items[i]);
    }
}

void
dest_check(dest_t *self)
{
    size_t limit = self->remote->router->node->limits.link_queue;
    if (self->queue.bytes > limit && self->solid) {
        set_full(self, true);
    } else if (self->queue.bytes <= limit / 2) {
        set_full(self, false);
    }
}

void
dest_wake(dest_t *self)
{
    // Per event: the link is looked for only when there is a turn to take.
    link_t *link = self->active || self->queue.first == NULL
                       ? NULL
                       : remote_link(self->remote);
    if (link != NULL) {
        self->active = true;
        list_add(&link->senders, self);
    }
}

// shed drops the oldest of what waits, for a receiver that may lose.  A body
// that is half sent stays, and so does the newest.
static void
shed(dest_t *self, size_t limit)
{
    counters_t *counters = &self->remote->router->node->counters;
    while (self->queue.bytes > limit && self->queue.first != self->queue.last &&
           self->queue.first->blob_sent == 0) {
        chunk_t *chunk = outq_take(&self->queue);
        counter_add(counters, COUNTER_LOSSY, chunk->events);
        chunk_destroy(&chunk);
    }
}

void
dest_send(dest_t *self, slice_t item, const envelope_t *env, int64_t base_ms,
    blob_t *blob, bool lossy)
{
    router_t *router = self->remote->router;
    size_t limit = router->node->limits.link_queue;
    self->solid = self->solid || !lossy;
    if (lossy && self->solid && self->queue.bytes > limit) {
        counter_add(&router->node->counters, COUNTER_LOSSY, 1);
        blob_drop(&blob);
        return;
    }
    outq_append(&self->queue, item, env, 0, base_ms, blob);
    if (!self->solid) {
        shed(self, limit);
    }
    dest_wake(self);
    dest_check(self);
}

size_t
dest_load(const dest_t *self)
{
    return self->queue.bytes + self->asked_bytes +
           (size_t)(self->credit.sent - self->credit.consumed);
}

void
remote_wake(remote_t *self)
{
    link_t *link =
        self->active || self->replies.first == NULL ? NULL : reply_link(self);
    if (link != NULL) {
        self->active = true;
        list_add(&link->repliers, self);
    }
}

void
remote_resume(remote_t *self)
{
    bool down = remote_link(self) == NULL;
    if (down) {
        outq_restart(&self->replies);
    }
    remote_wake(self);
    for (size_t i = 0; i < self->dest_count; i++) {
        if (down) {
            outq_restart(&self->dests[i]->queue);
        }
        dest_wake(self->dests[i]);
    }
}

void
remote_restart(remote_t *self)
{
    self->via = 0;
    remote_leave(self);
    remote_resume(self);
}

void
remote_unreached(remote_t *self, unsigned link)
{
    self->links &= (uint8_t) ~(1u << link);
    remote_leave(self);
    remote_resume(self);
}

void
remote_reached(remote_t *self, unsigned link)
{
    if ((self->links & 1u << link) == 0) {
        self->links |= (uint8_t)(1u << link);
        remote_leave(self);
        remote_resume(self);
    }
}

void
remote_reply(router_t *router, uint64_t life, slice_t item,
    const envelope_t *env, int64_t base_ms, blob_t *blob)
{
    remote_t *self = map_get(router->remotes, life);
    if (self == NULL) {
        counter_add(&router->node->counters, COUNTER_LATE, 1);
        blob_drop(&blob);
        return;
    }
    outq_append(&self->replies, item, env, 0, base_ms, blob);
    remote_wake(self);
}

void
remote_granted(router_t *router, uint64_t life, uint32_t target, uint64_t limit,
    uint64_t consumed)
{
    remote_t *self = map_get(router->remotes, life);
    for (size_t i = 0; self != NULL && i < self->dest_count; i++) {
        if (self->dests[i]->target == target) {
            credit_out_granted(&self->dests[i]->credit, limit, consumed);
            dest_wake(self->dests[i]);
        }
    }
}

void
remote_dropped(router_t *router, const Edri__Link__Dropped *word)
{
    remote_t *self = map_get(router->remotes, word->life);
    if (self == NULL || word->path != self->path || word->n_targets == 0) {
        return;
    }
    for (size_t i = 0; i < self->dest_count; i++) {
        dest_t *dest = self->dests[i];
        if (dest->target != word->targets[0]) {
            continue;
        }
        if (word->lane != EDRI__WIRE__LANE__BULK) {
            credit_out_dropped(&dest->credit, word->bytes);
        } else if (dest->bulk_wait == word->first + 1) {
            // Its last part: nobody will say that it arrived.
            credit_out_dropped(&dest->credit, dest->bulk_weight);
            dest->bulk_wait = 0;
        }
        dest_wake(dest);
    }
}

void
remote_arrived(router_t *router, uint64_t life, uint64_t arrived)
{
    remote_t *self = map_get(router->remotes, life);
    for (size_t i = 0; self != NULL && i < self->dest_count; i++) {
        dest_t *dest = self->dests[i];
        if (dest->bulk_wait != 0 && arrived >= dest->bulk_wait) {
            dest->bulk_wait = 0;
            dest_wake(dest);
        }
    }
}

// ----- ends

void
remote_leave(remote_t *self)
{
    for (unsigned i = 0; i < self->router->link_count; i++) {
        link_t *link = &self->router->links[i];
        (void)list_remove(&link->repliers, self);
        for (size_t j = 0; j < self->dest_count; j++) {
            (void)list_remove(&link->senders, self->dests[j]);
        }
    }
    self->active = false;
    for (size_t j = 0; j < self->dest_count; j++) {
        self->dests[j]->active = false;
    }
}

void
forget_credit(router_t *router, uint64_t life)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->slots, &cursor, NULL, &value)) {
        slot_t *slot = value;
        credit_in_t *credit = map_take(slot->sources, life);
        if (credit != NULL) {
            slot->open -= credit_in_open(credit);
            free(credit);
        }
    }
}

static void
free_remote(remote_t *self)
{
    bodies_drop(self);
    map_destroy(&self->bodies);
    for (size_t i = 0; i < self->dest_count; i++) {
        dest_t *dest = self->dests[i];
        outq_clear(&dest->queue);
        list_clear(&dest->routes);
        free(dest->manager);
        free(dest);
    }
    free(self->dests);
    outq_clear(&self->replies);
    free(self->name);
    free(self);
}

// redirect gives one item that had not left yet to whoever else may have it: a
// request to another responder, a notification to another of the manager's own
// group.  What a guest or an observer would have got was a copy.
static void
redirect(dest_t *self, const chunk_t *chunk, slice_t item, slice_t content,
    const envelope_t *env, blob_t **blob_p)
{
    router_t *router = self->remote->router;
    counters_t *counters = &router->node->counters;
    if (self->remote->name[0] == '\0' || (env->flags & WIRE_OBSERVED) != 0) {
        counter_add(counters, COUNTER_LOSSY, 1);
    } else if (envelope_kind(env->flags) == EDRI_REQUEST) {
        slot_t *from = map_get(router->slots, env->id >> 48);
        run_t run = {.base_ms = chunk->base_ms};
        if (asked_unsent(router, env->id, self->remote->life, self->target)) {
            route_event(router, from, item, content, env, &run, blob_p);
        }
    } else if (envelope_deliver(env->flags) == EDRI_ALL ||
               !route_again(router, route_find(router, env->type),
                   self->manager, item, env, chunk->base_ms,
                   blob_p != NULL ? *blob_p : NULL)) {
        counter_add(counters, COUNTER_LOST, 1);
    }
}

// redirect_type takes the items of a type (0: of all) out of a chunk; the
// others go back into the queue.
static void
redirect_type(dest_t *self, chunk_t *chunk, uint64_t type)
{
    slice_t rest = {chunk->data, chunk->size};
    slice_t item;
    slice_t content;
    envelope_t env;
    while (batch_next(&rest, &item, &content) &&
           envelope_route(content, &env) == EDRI_OK) {
        bool attached = (env.flags & WIRE_ATTACHED) != 0;
        if (type == 0 || env.type == type) {
            redirect(self, chunk, item, content, &env,
                attached ? &chunk->blob : NULL);
        } else {
            outq_append(&self->queue, item, &env, chunk->life, chunk->base_ms,
                attached ? blob_share(chunk->blob) : NULL);
        }
    }
    slots_flush(self->remote->router);
}

void
dest_withdrawn(dest_t *self, uint64_t type)
{
    outq_t old = self->queue;
    chunk_t *chunk = NULL;
    self->queue = (outq_t){0};
    while ((chunk = outq_take(&old)) != NULL) {
        // A body that is half sent is sent whole: the manager has not gone.
        if (chunk->blob_sent > 0 || !chunk_has_type(chunk, type)) {
            outq_put(&self->queue, chunk);
        } else {
            redirect_type(self, chunk, type);
            chunk_destroy(&chunk);
        }
    }
    dest_check(self);
    dest_wake(self);
}

void
remote_gone(router_t *router, uint64_t life, const char *why)
{
    remote_t *self = map_take(router->remotes, life);
    forget_credit(router, life);
    if (self == NULL) {
        asked_life_gone(router, life);
        return;
    }
    edri_log_info("NODE-GONE", "node=%s life=%016llx reason=\"%s\"", self->name,
        (unsigned long long)life, why);
    remote_leave(self);
    self->links = 0; // and into none again
    // First out of all routes, then its events: they must not come back.
    for (size_t i = 0; i < self->dest_count; i++) {
        dest_t *dest = self->dests[i];
        while (dest->routes.count > 0) {
            route_t *route = dest->routes.items[dest->routes.count - 1];
            for (unsigned link = 0; link < LINKS_MAX; link++) {
                route_remove(router, route, false, NULL, dest, link);
                route_remove(router, route, true, NULL, dest, link);
            }
        }
    }
    for (size_t i = 0; i < self->dest_count; i++) {
        chunk_t *chunk = NULL;
        while ((chunk = outq_take(&self->dests[i]->queue)) != NULL) {
            redirect_type(self->dests[i], chunk, 0);
            chunk_destroy(&chunk);
        }
    }
    // What never left was asked elsewhere; the others end here.
    asked_life_gone(router, life);
    counter_add(&router->node->counters, COUNTER_LATE, self->replies.events);
    free_remote(self);
}

bool
frames_idle(const router_t *router)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->routes, &cursor, NULL, &value)) {
        if (((const route_t *)value)->pending.first != NULL) {
            return false; // waits for the switch to say who demands it
        }
    }
    cursor = 0;
    while (map_next(router->remotes, &cursor, NULL, &value)) {
        const remote_t *remote = value;
        if (remote->replies.first != NULL) {
            return false;
        }
        for (size_t i = 0; i < remote->dest_count; i++) {
            if (remote->dests[i]->queue.first != NULL) {
                return false;
            }
        }
    }
    for (unsigned i = 0; i < router->link_count; i++) {
        const link_t *link = &router->links[i];
        if (link->session.state == SESSION_UP && link->sent != link->taken) {
            return false;
        }
    }
    return true;
}

void
remotes_destroy(router_t *router)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->remotes, &cursor, NULL, &value)) {
        free_remote(value);
    }
    map_destroy(&router->remotes);
}
