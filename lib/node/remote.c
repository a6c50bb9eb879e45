// SPDX-License-Identifier: MIT
// remote.c - other nodes: a queue and a credit for each of their managers.

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "edri/log.h"
#include "node/remote.h"
#include "node/tunnels.h"

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
        self->due_ms = INT64_MAX;
        reach_init(&self->reach, router->node->life, life);
        lease_init(&self->lease, router->node->limits.fence_ms);
        fence_init(&self->fence, router->node->limits.fence_ms);
        uint64_t seq = (uint64_t)clock_unix_us() * 1000;
        for (int lane = 1; lane < LANES; lane++) {
            flow_out_init(&self->out[lane], seq, part_drop, NULL);
            flow_in_init(&self->in[lane]);
        }
        (void)map_put(router->remotes, life, self);
        names_set(&router->node->names, life, name);
    } else if (name != NULL && self->name[0] == '\0') {
        free(self->name);
        self->name = str_dup(name);
        names_set(&router->node->names, life, name);
    }
    return self;
}

uint64_t
initial_credit(void)
{
    return CREDIT_MAX;
}

// note_dropped is the overflow_dropped_fn of what waits here for a manager there.
static void
note_dropped(uint64_t type, void *arg)
{
    dest_t *self = arg;
    edri_node_t *node = self->remote->router->node;
    self->missed++;
    counter_add(&node->counters, COUNTER_LOSSY, 1);
    drops_note(&node->drops, type, self->remote->name, self->manager,
        EDRI_OVERLOADED, 1);
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
    dest->overflow =
        (overflow_t){.limit = self->router->node->limits.link_queue,
            .dropped = note_dropped,
            .arg = dest};
    credit_out_init(&dest->credit, initial_credit());
    self->dests =
        mem_resize(self->dests, (self->dest_count + 1) * sizeof *self->dests);
    self->dests[self->dest_count++] = dest;
    return dest;
}

void
remote_free(remote_t *self)
{
    bodies_drop(self);
    names_set(&self->router->node->names, self->life, NULL);
    map_destroy(&self->bodies);
    for (size_t i = 0; i < self->dest_count; i++) {
        dest_t *dest = self->dests[i];
        outq_clear(&dest->queue);
        overflow_clear(&dest->overflow);
        list_clear(&dest->routes);
        free(dest->manager);
        free(dest);
    }
    for (int lane = 1; lane < LANES; lane++) {
        flow_out_clear(&self->out[lane]);
        flow_in_clear(&self->in[lane]);
    }
    free(self->dests);
    free(self->cancels);
    outq_clear(&self->replies);
    outq_clear(&self->streams);
    tunnels_forget(self);
    free(self->name);
    free(self);
}

// ----- links and paths

// begin_path: whatever has not arrived goes again, over this session.
static void
begin_path(remote_t *self)
{
    router_t *router = self->router;
    uint64_t now = (uint64_t)clock_unix_us();
    self->path = now > router->last_path ? now : router->last_path + 1;
    router->last_path = self->path;
    for (int lane = 1; lane < LANES; lane++) {
        flow_out_begin(&self->out[lane], self->path, router->now_ms);
    }
    for (size_t i = 0; i < self->dest_count; i++) {
        credit_out_init(&self->dests[i]->credit, initial_credit());
    }
    words_retell(self, router->now_ms + TELL_MS);
}

link_t *
remote_link(remote_t *self, bool stray)
{
    router_t *router = self->router;
    reach_link_t links[LINKS_MAX];
    bool moved = false;
    links_reach(router, links);
    int found =
        reach_pick(&self->reach, links, router->link_count, stray, &moved);
    if (moved) {
        remote_leave(self);
        begin_path(self);
        remote_resume(self);
    }
    return found < 0 ? NULL : &router->links[found];
}

void
remote_leave(remote_t *self)
{
    for (unsigned i = 0; i < self->router->link_count; i++) {
        link_t *link = &self->router->links[i];
        (void)list_remove(&link->repliers, self);
        (void)list_remove(&link->streamers, self);
        (void)list_remove(&link->resenders, self);
        for (size_t j = 0; j < self->dest_count; j++) {
            (void)list_remove(&link->senders, self->dests[j]);
        }
    }
    self->active = self->streaming = self->resending = false;
    for (size_t j = 0; j < self->dest_count; j++) {
        self->dests[j]->active = false;
    }
}

bool
remote_resends(const remote_t *self)
{
    bool any = false;
    for (int lane = 1; lane < LANES; lane++) {
        any = any || flow_out_resending(&self->out[lane]);
    }
    return any;
}

void
remote_again(remote_t *self)
{
    link_t *link = self->resending || !remote_resends(self)
                       ? NULL
                       : remote_link(self, true);
    if (link != NULL && !self->resending) {
        self->resending = true;
        list_add(&link->resenders, self);
    }
}

void
remote_resume(remote_t *self)
{
    bool kept = false;
    for (int lane = 1; lane < LANES; lane++) {
        kept = kept || self->out[lane].weight > 0 || self->in[lane].begun;
    }
    if (kept) {
        (void)remote_link(self, true); // the path begins anew where it must
        remote_due(self, self->router->now_ms + FLOW_PROBE_MS);
    }
    if (self->movable > 0) {
        remote_due(self, self->router->now_ms); // for a lease
    }
    remote_again(self);
    remote_wake(self);
    remote_wake_streams(self);
    for (size_t i = 0; i < self->dest_count; i++) {
        dest_wake(self->dests[i]);
    }
}

void
remote_restart(remote_t *self)
{
    self->reach.via = 0;
    remote_leave(self);
    remote_resume(self);
}

void
remote_unreached(remote_t *self, unsigned link)
{
    (void)reach_known(&self->reach, link, false);
    remote_leave(self);
    remote_resume(self);
}

void
remote_reached(remote_t *self, unsigned link)
{
    if (!self->ended && reach_known(&self->reach, link, true)) {
        if (self->gone_ms != 0) {
            remote_returned(self);
        }
        self->end_ms = 0;
        for (int lane = 1; lane < LANES; lane++) {
            self->out[lane].pause_ms = 0;
        }
        remote_leave(self);
        remote_resume(self);
    }
}

// ----- queues

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
        overflow_join(&self->overflow, &self->queue);
    }
}

// is_open is the outq_keep_fn: whether somebody waits for the request.
static bool
is_open(const envelope_t *env, void *arg)
{
    const dest_t *self = arg;
    return envelope_kind(env->flags) != EDRI_REQUEST ||
           asked_open(
               self->remote->router, env->id, self->remote->life, self->target);
}

void
dest_sift(dest_t *self)
{
    size_t dropped = outq_sift(&self->queue, is_open, self);
    counter_add(
        &self->remote->router->node->counters, COUNTER_NOT_BEGUN, dropped);
    self->stale = self->queue.first != NULL;
    if (dropped > 0) {
        dest_check(self);
    }
}

void
dest_wake(dest_t *self)
{
    // Per event: the link is looked for only when there is a turn to take.
    link_t *link = self->active || self->queue.first == NULL
                       ? NULL
                       : remote_link(self->remote, false);
    if (link != NULL && !self->active) {
        self->active = true;
        list_add(&link->senders, self);
    }
}

void
dest_send(dest_t *self, slice_t item, const envelope_t *env,
    const run_t *origin, blob_t *blob, edri_overflow_t policy)
{
    size_t limit = self->remote->router->node->limits.link_queue;
    bool full =
        self->queue.bytes > limit || overflow_weight(&self->overflow) > 0;
    run_t mine = {
        .base_ms = origin->base_ms, .redelivered = origin->redelivered};
    self->solid = self->solid || policy == EDRI_BLOCK;
    self->queue.epoch = self->remote->router->epoch;
    overflow_put(
        &self->overflow, &self->queue, full, policy, item, env, &mine, blob);
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
    link_t *link = self->active || self->replies.first == NULL
                       ? NULL
                       : remote_link(self, true);
    if (link != NULL && !self->active) {
        self->active = true;
        list_add(&link->repliers, self);
    }
}

void
remote_wake_streams(remote_t *self)
{
    link_t *link = self->streaming || self->streams.first == NULL
                       ? NULL
                       : remote_link(self, true);
    if (link != NULL && !self->streaming) {
        self->streaming = true;
        list_add(&link->streamers, self);
    }
}

void
remote_stream(router_t *router, uint64_t life, slice_t item,
    const envelope_t *env, blob_t *blob)
{
    remote_t *self = map_get(router->remotes, life);
    if (self == NULL || self->gone_ms != 0) {
        counter_add(&router->node->counters, COUNTER_LATE, 1);
        blob_drop(&blob);
        return;
    }
    // Bounded by the windows of all tunnels to that node.
    outq_append(&self->streams, item, env, &(run_t){0}, blob);
    remote_wake_streams(self);
}

size_t
replies_max(const router_t *router)
{
    return 4 * router->node->limits.link_queue;
}

// refuse_reply queues an error in place of a reply that would be too much.
static void
refuse_reply(remote_t *self, const envelope_t *env, int64_t base_ms)
{
    static const char text[] = "too many bytes of replies wait for this node";
    edri_node_t *node = self->router->node;
    envelope_t error = {.type = env->type,
        .flags = env->flags & ~(uint32_t)WIRE_ATTACHED,
        .request = env->request,
        .to = env->to,
        .error = EDRI_OVERLOADED,
        .text = {(const uint8_t *)text, sizeof text - 1}};
    size_t size = envelope_size(&error, 0);
    uint8_t *room = mem_resize(NULL, size);
    (void)envelope_write(&error, 0, room, size);
    outq_append(&self->replies, (slice_t){room, size}, &error,
        &(run_t){.base_ms = base_ms}, NULL);
    free(room);
    counter_add(&node->counters, COUNTER_LOSSY, 1);
    drops_note(
        &node->drops, env->type, self->name, "asker", EDRI_OVERLOADED, 1);
}

void
remote_reply(router_t *router, uint64_t life, slice_t item,
    const envelope_t *env, int64_t base_ms, blob_t *blob)
{
    remote_t *self = map_get(router->remotes, life);
    if (self == NULL || self->gone_ms != 0) {
        counter_add(&router->node->counters, COUNTER_LATE, 1);
        blob_drop(&blob);
        return;
    }
    bool refused = self->replies.bytes > replies_max(router) &&
                   envelope_kind(env->flags) == EDRI_REPLY;
    if (refused) {
        refuse_reply(self, env, base_ms);
        blob_drop(&blob);
    } else {
        outq_append(
            &self->replies, item, env, &(run_t){.base_ms = base_ms}, blob);
    }
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

// ----- all of them

// is_idle says whether nothing waits for the node and all has arrived there.
static bool
is_idle(const remote_t *self)
{
    for (int lane = 1; lane < LANES; lane++) {
        if (self->out[lane].first != NULL) {
            return false;
        }
    }
    for (size_t i = 0; i < self->dest_count; i++) {
        if (self->dests[i]->queue.first != NULL) {
            return false;
        }
    }
    return self->replies.first == NULL && self->streams.first == NULL;
}

bool
frames_idle(const router_t *router)
{
    size_t cursor = 0;
    void *value = NULL;
    if (waiting_any(router)) {
        return false;
    }
    while (map_next(router->remotes, &cursor, NULL, &value)) {
        if (!is_idle(value)) {
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
        remote_free(value);
    }
    map_destroy(&router->remotes);
    list_clear(&router->due);
    while (router->tokens->open != NULL) {
        token_free(router->tokens, router->tokens->open);
    }
}
