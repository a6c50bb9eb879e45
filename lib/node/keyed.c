// SPDX-License-Identifier: MIT
// keyed.c - types with a key: where the events of each key go.

#include "node/keyed.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "core/keys.h"
#include "node/frames.h"

// keyed_t is one group of a type with a key ("": everybody, for ONE).
struct keyed {
    keyed_t *next;
    char *name;
    keys_t keys;
    // Events of keys that wait for their move, each list older than the next:
    outq_t sent; // that another member was sent and has returned, or left open,
    outq_t queued; // that waited for it here,
    outq_t held;   // and what came later
    bool letting;  // they are being let go
};

bool
keyed_is(const route_t *route, const envelope_t *env)
{
    return (env->flags & WIRE_KEYED) != 0 && route->ref != NULL &&
           route->ref->type->key != NULL;
}

static keyed_t *
find(const route_t *route, const char *name)
{
    keyed_t *self = route->keyed;
    while (self != NULL && !streq(self->name, name)) {
        self = self->next;
    }
    return self;
}

// ----- what is settled

static bool
is_older(const packet_t *packet, void *arg)
{
    const part_t *part = packet->cargo;
    return part->chunk->epoch < *(const uint64_t *)arg;
}

static bool
dest_drained(const dest_t *dest, uint64_t epoch)
{
    const remote_t *remote = dest->remote;
    if (outq_older(&dest->queue, epoch) ||
        overflow_weight(&dest->overflow) > 0) {
        return false;
    }
    for (int lane = EDRI__WIRE__LANE__EVENT; lane < LANES; lane++) {
        if (flow_out_any(&remote->out[lane], dest->target, is_older, &epoch)) {
            return false;
        }
    }
    return true;
}

static bool
slot_drained(const slot_t *slot, uint64_t epoch)
{
    for (size_t i = 0; i < slot->epoch_count; i++) {
        if (slot->epochs[i].epoch < epoch) {
            return false;
        }
    }
    return true;
}

// is_drained is the keys_drained_fn.
static bool
is_drained(const keys_member_t *member, uint64_t epoch, void *arg)
{
    router_t *router = arg;
    if (member->life == router->node->life) {
        const slot_t *slot = map_get(router->slots, member->target);
        return slot == NULL || slot_drained(slot, epoch);
    }
    const remote_t *remote = map_get(router->remotes, member->life);
    if (remote == NULL || remote->gone_ms != 0) {
        return true; // others have got what it had
    }
    for (size_t i = 0; i < remote->dest_count; i++) {
        if (remote->dests[i]->target == member->target) {
            return dest_drained(remote->dests[i], epoch);
        }
    }
    return true;
}

// ----- members

void
keyed_set(
    router_t *router, route_t *route, const char *name, const group_t *group)
{
    keyed_t *self = find(route, name);
    if (self == NULL) {
        self = mem_new(sizeof *self);
        self->name = str_dup(name);
        self->next = route->keyed;
        route->keyed = self;
    }
    keys_member_t *members = mem_new((group->dest_count + 1) * sizeof *members);
    size_t count = 0;
    if (group->local != NULL) {
        members[count++] =
            (keys_member_t){router->node->life, group->local->number};
    }
    for (size_t i = 0; i < group->dest_count; i++) {
        const dest_t *dest = group->dests[i];
        members[count++] = (keys_member_t){dest->remote->life, dest->target};
    }
    if (keys_set(&self->keys, members, count, router->epoch + 1)) {
        router->epoch++;
        (void)list_remove(&router->moving, route);
        list_add(&router->moving, route);
        router->settled = true;
    }
    free(members);
}

// member_of finds the member of the group that the rule has picked.
static member_t
member_of(
    const router_t *router, const group_t *group, const keys_member_t *picked)
{
    if (picked->life == router->node->life) {
        return (member_t){.slot = group->local};
    }
    size_t at = 0;
    while (at < group->dest_count &&
           (group->dests[at]->remote->life != picked->life ||
               group->dests[at]->target != picked->target)) {
        at++;
    }
    edri_assert(at < group->dest_count);
    return (member_t){.dest = group->dests[at]};
}

// natural is the key's member.
static member_t
natural(const router_t *router, const keyed_t *self, const group_t *group,
    uint64_t key)
{
    return member_of(
        router, group, &self->keys.now.members[keys_pick(&self->keys, key)]);
}

// known returns the group's keys, made when its first event comes.
static keyed_t *
known(router_t *router, route_t *route, const char *name, const group_t *group)
{
    keyed_t *self = find(route, name);
    if (self == NULL) {
        keyed_set(router, route, name, group);
        self = find(route, name);
    }
    return self;
}

member_t
keyed_member(router_t *router, route_t *route, const char *name,
    const group_t *group, const envelope_t *env)
{
    return natural(router, known(router, route, name, group), group, env->key);
}

// ----- waiting

// give_all directs what waits in a queue; what must wait on is held again.
static void
give_all(router_t *router, route_t *route, const keyed_t *self, outq_t *queue)
{
    outq_t waiting = *queue;
    chunk_t *chunk = NULL;
    *queue = (outq_t){0};
    while ((chunk = outq_take(&waiting)) != NULL) {
        slice_t rest = chunk_batch(chunk);
        slice_t item;
        slice_t content;
        envelope_t env;
        while (batch_next(&rest, &item, &content) &&
               envelope_route(content, &env) == EDRI_OK) {
            (void)route_again(router, route, self->name, item, &env,
                &chunk->origin, chunk->blob, true); // somebody is there
        }
        slots_flush(router); // spans point into the chunk
        chunk_drop(&chunk);
    }
}

// let_go gives the events that may go now, in order; the others wait on.
static void
let_go(router_t *router, route_t *route, keyed_t *self)
{
    self->letting = true;
    router->handing = HAND_SENT;
    give_all(router, route, self, &self->sent);
    router->handing = HAND_QUEUED;
    give_all(router, route, self, &self->queued);
    router->handing = HAND_NONE;
    give_all(router, route, self, &self->held);
    self->letting = false;
}

static bool
has_waiting(const keyed_t *self)
{
    return self->sent.first != NULL || self->queued.first != NULL ||
           self->held.first != NULL;
}

bool
keyed_pick(router_t *router, route_t *route, const char *name,
    const group_t *group, const envelope_t *env, member_t *member)
{
    keyed_t *self = known(router, route, name, group);
    keys_may_t may = keys_may(&self->keys, env->key, is_drained, router);
    if (may == KEYS_WAIT) {
        return false;
    }
    // Older ones of the key first; what another member had is older still.
    if (may == KEYS_MAY && has_waiting(self) && !self->letting &&
        router->handing == HAND_NONE) {
        let_go(router, route, self);
    }
    *member = natural(router, self, group, env->key);
    return true;
}

void
keyed_hold(router_t *router, route_t *route, const char *name, slice_t item,
    const envelope_t *env, const run_t *run, blob_t *blob)
{
    keyed_t *self = find(route, name);
    outq_t *queue = router->handing == HAND_SENT     ? &self->sent
                    : router->handing == HAND_QUEUED ? &self->queued
                                                     : &self->held;
    outq_append(queue, item, env, run, blob_share(blob));
    route_gate(router, route);
}

size_t
keyed_waiting(const route_t *route)
{
    size_t waiting = 0;
    for (const keyed_t *at = route->keyed; at != NULL; at = at->next) {
        waiting += at->sent.bytes + at->queued.bytes + at->held.bytes;
    }
    return waiting;
}

// go_on returns whether keys of the route may still be on the move.
static bool
go_on(router_t *router, route_t *route)
{
    bool moving = false;
    for (keyed_t *at = route->keyed; at != NULL; at = at->next) {
        if (has_waiting(at) && route_has(route, at->name)) {
            let_go(router, route, at);
        }
        bool left = keys_tidy(&at->keys, is_drained, router);
        moving = moving || left || has_waiting(at);
    }
    route_gate(router, route);
    return moving;
}

void
keyed_go_on(router_t *router)
{
    if (router->moving.count == 0 || !router->settled) {
        return;
    }
    router->settled = false;
    for (size_t i = router->moving.count; i > 0; i--) {
        route_t *route = router->moving.items[i - 1];
        if (!go_on(router, route)) {
            (void)list_remove(&router->moving, route);
        }
    }
    if (router->moving.count > 0) {
        atomic_store(&router->tokens->bell, true);
    }
}

void
keyed_clear(route_t *route)
{
    while (route->keyed != NULL) {
        keyed_t *self = route->keyed;
        route->keyed = self->next;
        outq_clear(&self->sent);
        outq_clear(&self->queued);
        outq_clear(&self->held);
        keys_clear(&self->keys);
        free(self->name);
        free(self);
    }
}

// ----- tokens of events for managers here

// count_epoch counts one more token of the slot in this epoch, or (more -1) less.
static void
count_epoch(slot_t *slot, uint64_t epoch, int more)
{
    size_t at = 0;
    while (at < slot->epoch_count && slot->epochs[at].epoch != epoch) {
        at++;
    }
    if (at == slot->epoch_count && more < 0) {
        return; // of a port that had this number before
    }
    if (at == slot->epoch_count) {
        slot->epochs =
            mem_resize(slot->epochs, (at + 1) * sizeof *slot->epochs);
        slot->epochs[slot->epoch_count++] = (epoch_t){.epoch = epoch};
    }
    slot->epochs[at].open += (size_t)more;
    if (slot->epochs[at].open == 0) {
        slot->epochs[at] = slot->epochs[--slot->epoch_count];
    }
}

token_t *
keyed_token(slot_t *slot)
{
    router_t *router = slot->router;
    if (slot->token == NULL) {
        // One for the router itself, until keyed_flush.
        slot->token = token_new(router->tokens, 1);
        slot->token->gate = &router->open_gate;
        slot->token->lane = EDRI__WIRE__LANE__EVENT;
        slot->token->target = slot->number;
        slot->token->first = UINT64_MAX;
        slot->token->epoch = router->epoch;
        count_epoch(slot, router->epoch, 1);
        list_add(&router->tokened, slot);
    }
    atomic_fetch_add(&slot->token->left, 1);
    return slot->token;
}

void
keyed_flush(router_t *router)
{
    for (size_t i = 0; i < router->tokened.count; i++) {
        slot_t *slot = router->tokened.items[i];
        token_t *token = slot->token;
        slot->token = NULL;
        (void)token_begun(router->tokens, token, 1);
    }
    router->tokened.count = 0;
}

void
keyed_done(router_t *router, const token_t *token)
{
    slot_t *slot = map_get(router->slots, token->target);
    if (slot != NULL) {
        count_epoch(slot, token->epoch, -1);
    }
}
