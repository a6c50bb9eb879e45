// SPDX-License-Identifier: MIT
// gone.c - what becomes of events whose receiver has left or ended.
//
// DESIGN
// What never left goes to others, as if nothing had happened.  What was sent
// and is not settled may have been begun there: it goes elsewhere with the mark
// 'redelivered', when its type is for one member of a group, and only when the
// life has ended or is given up.  A guess is acted upon when the lease that the
// life has from us is over (core/fence.h): from then on it begins nothing of
// what we give away.  A life that was given up is remembered for a while, so
// that nothing of it is taken for new when it comes back.

#include <stdlib.h>

#include "base/alloc.h"
#include "edri/log.h"
#include "node/remote.h"
#include "node/replay.h"
#include "node/system.h"
#include "node/tunnels.h"

// ----- giving events to others

// note_lost counts an event that nobody else may have.
static void
note_lost(const remote_t *self, const char *manager, const envelope_t *env)
{
    edri_node_t *node = self->router->node;
    counter_add(&node->counters, COUNTER_LOST, 1);
    drops_note(&node->drops, env->type, self->name, manager,
        self->closed ? EDRI_CLOSED : EDRI_NODE_DIED, 1);
}

// redirect gives one item that had not left yet to whoever else may have it: a
// request to another responder, a notification to another of the manager's own
// group.  What a guest or an observer would have got was a copy.
static void
redirect(dest_t *self, const chunk_t *chunk, slice_t item, slice_t content,
    const envelope_t *env, blob_t **blob_p)
{
    router_t *router = self->remote->router;
    if (self->remote->name[0] == '\0' || (env->flags & WIRE_OBSERVED) != 0) {
        counter_add(&router->node->counters, COUNTER_LOSSY, 1);
    } else if (envelope_kind(env->flags) == EDRI_REQUEST) {
        slot_t *from = map_get(router->slots, env->id >> 48);
        run_t run = {.base_ms = chunk->origin.base_ms,
            .redelivered = chunk->origin.redelivered};
        if (asked_unsent(router, env->id, self->remote->life, self->target)) {
            route_event(router, from, item, content, env, &run, blob_p);
        }
    } else if (envelope_deliver(env->flags) == EDRI_ALL ||
               !route_again(router, route_find(router, env->type),
                   self->manager, item, env, &chunk->origin,
                   blob_p != NULL ? *blob_p : NULL,
                   remote_expected(self->remote))) {
        note_lost(self->remote, self->manager, env);
    }
}

// redirect_type redirects the items of a type (0: of all) in a chunk.
static void
redirect_type(dest_t *self, chunk_t *chunk, uint64_t type)
{
    slice_t rest = chunk_batch(chunk);
    slice_t item;
    slice_t content;
    envelope_t env;
    while (batch_next(&rest, &item, &content) &&
           envelope_route(content, &env) == EDRI_OK) {
        if (type == 0 || env.type == type) {
            redirect(self, chunk, item, content, &env,
                (env.flags & WIRE_ATTACHED) != 0 ? &chunk->blob : NULL);
        }
    }
    slots_flush(self->remote->router);
}

// keep_others puts the items of other types than that back into the queue.
static void
keep_others(dest_t *self, const chunk_t *chunk, uint64_t type)
{
    slice_t rest = chunk_batch(chunk);
    slice_t item;
    slice_t content;
    envelope_t env;
    self->queue.epoch = chunk->epoch;
    while (batch_next(&rest, &item, &content) &&
           envelope_route(content, &env) == EDRI_OK) {
        if (env.type != type) {
            bool attached = (env.flags & WIRE_ATTACHED) != 0;
            outq_append(&self->queue, item, &env, &chunk->origin,
                attached ? blob_share(chunk->blob) : NULL);
        }
    }
}

static const dest_t *
dest_of(const remote_t *self, uint32_t target)
{
    for (size_t i = 0; i < self->dest_count; i++) {
        if (self->dests[i]->target == target) {
            return self->dests[i];
        }
    }
    return NULL;
}

// hand_over_item gives one event that was sent to another, marked unless it was
// returned: then it may wait for somebody to come.  Returns true when it is
// accounted for.
static bool
hand_over_item(remote_t *self, const dest_t *dest, const chunk_t *chunk,
    slice_t item, const envelope_t *env, bool marked)
{
    router_t *router = self->router;
    run_t origin = {.base_ms = chunk->origin.base_ms,
        .redelivered = marked || chunk->origin.redelivered};
    bool attached = (env->flags & WIRE_ATTACHED) != 0;
    bool given =
        envelope_movable(env->flags) && dest != NULL &&
        route_again(router, route_find(router, env->type), dest->manager, item,
            env, &origin, attached ? chunk->blob : NULL,
            !marked || remote_expected(self));
    if (given) {
        counter_add(&router->node->counters,
            marked ? COUNTER_REDELIVERED : COUNTER_RETURNED, 1);
    }
    // A request ends with an error, at its asker.
    return given || envelope_kind(env->flags) != EDRI_NOTIFICATION;
}

// hand_over is the flow_visit_fn: one frame that the life has not settled.
static void
hand_over(const packet_t *packet, void *arg)
{
    remote_t *self = arg;
    part_t *part = packet->cargo;
    bool here = packet->target != 0 && part->last;
    if (packet->target == 0 && part->last && !packet->arrived) {
        tunnels_unsaid(self, chunk_batch(part->chunk));
    }
    slice_t rest = here ? chunk_batch(part->chunk) : (slice_t){0};
    slice_t item;
    slice_t content;
    envelope_t env;
    const dest_t *dest = dest_of(self, packet->target);
    while (batch_next(&rest, &item, &content) &&
           envelope_route(content, &env) == EDRI_OK) {
        bool done = hand_over_item(
            self, dest, part->chunk, item, &env, !packet->returned);
        // What has arrived and is for all is no longer ours to count.
        if (!done && (!packet->arrived || envelope_movable(env.flags))) {
            note_lost(self, dest != NULL ? dest->manager : "", &env);
        }
    }
    slots_flush(self->router);
    part_drop(part, NULL);
}

void
remote_takes_back(remote_t *self, uint32_t target)
{
    router_t *router = self->router;
    const dest_t *dest = dest_of(self, target);
    // As long as it is in some group it might be chosen again, behind what is
    // younger and waits for it here; and of one key nothing goes before what is
    // older and still there.
    bool all = dest != NULL && dest->routes.count == 0;
    for (int lane = EDRI__WIRE__LANE__EVENT; lane < LANES; lane++) {
        all = all && flow_out_all_returned(&self->out[lane], target);
    }
    handing_t before = router->handing;
    router->handing = HAND_SENT;
    for (int lane = EDRI__WIRE__LANE__EVENT; lane < LANES && all; lane++) {
        flow_out_take_returned(&self->out[lane], target, hand_over, self);
    }
    router->handing = before;
}

void
dest_withdrawn(dest_t *self, uint64_t type)
{
    chunk_t *chunk = NULL;
    router_t *router = self->remote->router;
    handing_t before = router->handing;
    bool all = self->routes.count == 0; // it wants nothing any more
    if (all) {
        overflow_join(&self->overflow, &self->queue);
    }
    outq_t old = self->queue;
    outq_t leaving = {0};
    self->queue = (outq_t){0};
    // First all that stays: whether events of a key may go on hangs on it, and one of
    // them must not, when an older one may not.
    while ((chunk = outq_take(&old)) != NULL) {
        // A body that is half sent is sent whole: the manager has not gone.
        if (chunk->blob_sent > 0 || (!all && !chunk_has_type(chunk, type))) {
            outq_put(&self->queue, chunk);
            continue;
        }
        if (!all) {
            keep_others(self, chunk, type);
        }
        outq_put(&leaving, chunk);
    }
    remote_takes_back(self->remote, self->target);
    router->handing = HAND_QUEUED;
    while ((chunk = outq_take(&leaving)) != NULL) {
        redirect_type(self, chunk, all ? 0 : type);
        chunk_drop(&chunk);
    }
    router->handing = before;
    dest_check(self);
    dest_wake(self);
}

// ----- the end of a life

bool
remote_expected(const remote_t *self)
{
    return self->name[0] != '\0' && !self->closed &&
           (self->reach.links == 0 || self->end_ms != 0);
}

// leave_routes takes the life's managers out of all routes.
static void
leave_routes(remote_t *self)
{
    for (size_t i = 0; i < self->dest_count; i++) {
        dest_t *dest = self->dests[i];
        while (dest->routes.count > 0) {
            route_t *route = dest->routes.items[dest->routes.count - 1];
            for (unsigned link = 0; link < LINKS_MAX; link++) {
                route_remove(self->router, route, false, NULL, dest, link);
                route_remove(self->router, route, true, NULL, dest, link);
            }
        }
    }
}

void
remote_end(remote_t *self)
{
    router_t *router = self->router;
    self->end_ms = 0;
    self->gone_ms = router->now_ms;
    router->settled = true;
    remote_leave(self);
    forget_credit(router, self->life);
    self->reach.links = 0;
    self->reach.via = 0;
    self->cancel_count = 0;
    cancel_life(router, self->life);
    // The frames that were sent are older than what waits in the queues, and
    // first of all out of the routes: nothing must come back.
    outq_t *queues = mem_new((self->dest_count + 1) * sizeof *queues);
    for (size_t i = 0; i < self->dest_count; i++) {
        overflow_join(&self->dests[i]->overflow, &self->dests[i]->queue);
        queues[i] = self->dests[i]->queue;
        self->dests[i]->queue = (outq_t){0};
    }
    leave_routes(self);
    router->handing = HAND_SENT;
    for (int lane = 1; lane < LANES; lane++) {
        flow_out_give_up(&self->out[lane], hand_over, self);
    }
    router->handing = HAND_QUEUED;
    for (size_t i = 0; i < self->dest_count; i++) {
        chunk_t *chunk = NULL;
        self->dests[i]->bulk_wait = 0;
        while ((chunk = outq_take(&queues[i])) != NULL) {
            redirect_type(self->dests[i], chunk, 0);
            chunk_drop(&chunk);
        }
        dest_check(self->dests[i]);
    }
    router->handing = HAND_NONE;
    free(queues);
    // What never left was asked elsewhere; the others end here.
    asked_life_gone(router, self->life);
    counter_add(&router->node->counters, COUNTER_LATE, self->replies.events);
    outq_clear(&self->replies);
    for (const chunk_t *chunk = self->streams.first; chunk != NULL;
         chunk = chunk->next) {
        tunnels_unsaid(self, chunk_batch(chunk));
    }
    outq_clear(&self->streams);
    if (self->ended) {
        bodies_drop(self); // else the rest of them may still come
    }
}

void
remote_gone(router_t *router, uint64_t life, edri_err_t reason, const char *why)
{
    remote_t *self = map_get(router->remotes, life);
    // Whoever has lost its name to another may only be frozen.
    bool guess = reason != EDRI_CLOSED;
    if (self != NULL && reason != EDRI_NODE_DIED) {
        self->ended = true; // no switch lets it in again
        if (self->gone_ms != 0) {
            bodies_drop(self);
        }
    }
    tunnels_life_gone(router, life,
        reason == EDRI_CLOSED ? EDRI_RESPONDER_DIED : reason,
        "the node at the other end has gone");
    if (self == NULL || self->gone_ms != 0) {
        asked_life_gone(router, life);
        return;
    }
    edri_log_info("NODE-GONE", "node=%s life=%016llx reason=\"%s\"", self->name,
        (unsigned long long)life, why);
    if (!self->told_down) {
        self->told_down = true;
        system_node_down(router, self->name, life, reason, why);
    }
    self->closed = reason == EDRI_CLOSED;
    // What it sent us is nobody else's when it ended and had not given us up
    // before; else it may have given it to others: it is begun with the mark.
    bool ours = atomic_load(&self->gate.until_ms) == GATE_FREE ||
                (!guess && !self->fence.free &&
                    fence_open(&self->fence, router->now_ms));
    self->fence.free = true;
    gate_open(self, ours ? GATE_FREE : GATE_MARKED);
    if (!guess) {
        replays_forget(router, life);
    }
    int64_t end_ms = guess ? lease_end(&self->lease) : 0;
    if (router->now_ms < end_ms) {
        self->end_ms = end_ms;
        remote_due(self, end_ms);
    } else {
        remote_end(self);
    }
}

void
remote_returned(remote_t *self)
{
    edri_log_info("NODE-RETURNED", "node=%s life=%016llx", self->name,
        (unsigned long long)self->life);
    self->told_down = false;
    system_node_back(self->router, self->name, self->life);
    self->gone_ms = 0;
    self->end_ms = 0;
    requests_life_back(&self->router->node->requests, self->life);
    fence_init(&self->fence, self->router->node->limits.fence_ms);
    atomic_store(&self->gate.until_ms, GATE_CLOSED);
    // It was taken out of the tables here, and nobody says so again unasked.
    links_resolve_again(self->router);
    tunnels_returned(self);
    // It knows nothing of that: a new path makes both ends agree again.
    for (int lane = 1; lane < LANES; lane++) {
        flow_in_missed(&self->in[lane]);
    }
    self->tell_ms = self->router->now_ms;
    remote_due(self, self->tell_ms);
}

// ----- once a second

// is_over says whether a life that went long ago may be forgotten.
static bool
is_over(const remote_t *self)
{
    size_t open = 0;
    for (int lane = 1; lane < LANES; lane++) {
        open += self->in[lane].open;
    }
    return self->gone_ms != 0 && open == 0 &&
           self->router->now_ms - self->gone_ms >
               self->router->node->limits.retention_ms;
}

void
remotes_tick(router_t *router)
{
    reach_link_t links[LINKS_MAX];
    links_reach(router, links);
    size_t cursor = 0;
    void *value = NULL;
    uint64_t life = 0;
    while (map_next(router->remotes, &cursor, &life, &value)) {
        remote_t *remote = value;
        if (is_over(remote)) {
            (void)map_take(router->remotes, life);
            (void)list_remove(&router->due, remote);
            remote_free(remote);
        } else if (remote->gone_ms == 0 && remote->end_ms == 0) {
            int64_t since = reach_missing(
                &remote->reach, links, router->link_count, router->now_ms);
            if (since != 0 &&
                router->now_ms - since >= router->node->limits.closed_ms) {
                remote_gone(router, life, EDRI_NODE_DIED,
                    "no switch knows it any more");
            }
        }
    }
}
