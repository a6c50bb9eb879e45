// SPDX-License-Identifier: MIT
// direct.c - whom the next event goes to: the choice, and the giving.

#include "base/alloc.h"
#include "core/choice.h"
#include "node/keyed.h"
#include "node/replay.h"
#include "node/route.h"
#include "node/tunnels.h"

// ----- choosing

static size_t
load_of(size_t member, const void *arg)
{
    const group_t *group = arg;
    return dest_load(group->dests[member]);
}

// choose picks the member of a group that gets the next event.
static member_t
choose(router_t *router, const group_t *group)
{
    slot_t *slot = group->local;
    choice_local_t local = {0};
    if (slot != NULL) {
        local = (choice_local_t){slot_used(slot), slot_limit(slot)};
    }
    size_t picked = choice_pick(slot != NULL ? &local : NULL, group->dest_count,
        load_of, group, router_random(router));
    return picked == CHOICE_LOCAL ? (member_t){.slot = slot}
                                  : (member_t){.dest = group->dests[picked]};
}

// ----- directing

typedef struct item {
    slice_t bytes;
    const envelope_t *env;
    const run_t *run;
    blob_t *blob; // shared by those who get it
    const route_t *route;
} item_t;

// policy_of says what happens to the event when the member is full.
static edri_overflow_t
policy_of(const route_t *route, const member_t *member, const envelope_t *env)
{
    if (envelope_kind(env->flags) == EDRI_REQUEST) {
        return EDRI_BLOCK; // somebody waits for the answer
    }
    edri_overflow_t policy =
        route->ref != NULL ? route->ref->type->overflow : EDRI_BLOCK;
    return policy == EDRI_BLOCK && member->lossy ? EDRI_DROP_OLDEST : policy;
}

static void
give(const member_t *member, const item_t *item)
{
    edri_overflow_t policy = policy_of(item->route, member, item->env);
    if (member->slot != NULL && member->slot->wish_count > 0 &&
        !item->run->redelivered &&
        !replay_is_new(member->slot, item->route, 0, item->bytes)) {
        return;
    }
    blob_t *blob = blob_share(item->blob);
    if (member->slot != NULL) {
        run_t run;
        const run_t *origin = item->run;
        // What may be dropped is not waited for.
        if (policy == EDRI_BLOCK && keyed_is(item->route, item->env) &&
            envelope_movable(item->env->flags)) {
            run = *origin;
            run.token = keyed_token(member->slot);
            origin = &run;
        }
        slot_offer(member->slot, item->bytes, item->env, origin, blob, policy);
    } else {
        dest_send(
            member->dest, item->bytes, item->env, item->run, blob, policy);
    }
}

void
route_give(const route_t *route, const member_t *member, slice_t bytes,
    const envelope_t *env, const run_t *run, blob_t *blob)
{
    item_t item = {bytes, env, run, blob, route};
    give(member, &item);
}

static void
give_one(router_t *router, route_t *self, const char *name,
    const group_t *group, const item_t *item)
{
    member_t member = {0};
    bool seen = (item->env->flags & WIRE_NODE_ONLY) == 0;
    if (!seen || !keyed_is(self, item->env)) {
        member = choose(router, group);
    } else if (!keyed_pick(router, self, name, group, item->env, &member)) {
        keyed_hold(
            router, self, name, item->bytes, item->env, item->run, item->blob);
        return;
    }
    give(&member, item);
}

void
direct_one(router_t *router, route_t *self, const char *name,
    const group_t *group, slice_t bytes, const envelope_t *env,
    const run_t *run, blob_t *blob)
{
    item_t item = {bytes, env, run, blob, self};
    give_one(router, self, name, group, &item);
}

// may_reach says whether the event may go to that member; may_ask whether a
// request may.
static bool
may_reach(const member_t *member, uint32_t flags)
{
    return member->slot != NULL || (flags & WIRE_NODE_ONLY) == 0;
}

static bool
may_ask(const member_t *member, uint32_t flags)
{
    return !member_is_guest(member) && may_reach(member, flags);
}

// local_only is the group as an event that must not leave the node sees it.
static group_t
visible(const group_t *group, uint32_t flags)
{
    group_t seen = *group;
    if ((flags & WIRE_NODE_ONLY) != 0) {
        seen.dest_count = 0;
    }
    return seen;
}

bool
route_again(router_t *router, route_t *self, const char *manager, slice_t bytes,
    const envelope_t *env, const run_t *origin, blob_t *blob, bool wait)
{
    const char *name = route_group_name(envelope_deliver(env->flags), manager);
    const group_t *group = route_group(self, name);
    run_t run = {
        .base_ms = origin->base_ms, .redelivered = origin->redelivered};
    item_t item = {bytes, env, &run, blob, self};
    if (group != NULL && !group_is_empty(group)) {
        give_one(router, self, name, group, &item);
        return true;
    }
    return absent_put(router, self, name, bytes, env, &run, blob, wait);
}

static bool
is_retained(const route_t *self)
{
    return self->ref != NULL && self->ref->type->retained;
}

// distribute gives a notification to all who get it.  Returns how many.
static size_t
distribute(router_t *router, route_t *self, const item_t *item)
{
    size_t reached = 0;
    uint32_t flags = item->env->flags;
    edri_deliver_t deliver = envelope_deliver(flags);
    if (deliver == EDRI_ALL) {
        for (size_t i = 0; i < self->handler_count; i++) {
            if (may_reach(&self->handlers[i], flags)) {
                give(&self->handlers[i], item);
                reached++;
            }
        }
    } else {
        size_t count = deliver == EDRI_ONE ? 1 : self->group_count;
        const group_t *groups =
            deliver == EDRI_ONE ? &self->everybody : self->groups;
        for (size_t i = 0; i < count; i++) {
            group_t group = visible(&groups[i], flags);
            if (!group_is_empty(&group)) {
                const char *name = deliver == EDRI_ONE ? "" : group.name;
                give_one(router, self, name, &group, item);
                reached++;
                if (self->retain != NULL) {
                    replay_given(self, name);
                }
            }
        }
        for (size_t i = 0; i < self->handler_count; i++) {
            if (member_is_guest(&self->handlers[i]) &&
                may_reach(&self->handlers[i], flags)) {
                give(&self->handlers[i], item);
                reached++;
            }
        }
    }
    if (self->absent != NULL && (flags & WIRE_NODE_ONLY) == 0) {
        reached +=
            absent_keep(self, item->bytes, item->env, item->run, item->blob);
        route_gate(router, self);
    }
    return reached;
}

static void
direct_notification(router_t *router, route_t *self, const item_t *item)
{
    if (is_retained(self)) {
        retained_t *kept =
            replay_keep(router, self, &item->bytes, item->run, item->blob);
        if (kept != NULL) {
            item_t copy = {{kept->item, kept->size}, &kept->env, item->run,
                item->blob, self};
            kept->given = distribute(router, self, &copy) > 0;
        }
        return;
    }
    // What the router tells of itself (system.h) is for whoever wants it.
    bool own = item->env->id >> 48 == 0;
    if (distribute(router, self, item) == 0 && !own) {
        counter_add(&router->node->counters, COUNTER_UNCLAIMED, 1);
    }
}

// choose_responder picks who is asked, by the request's key or by load.
static member_t
choose_responder(
    router_t *router, route_t *self, const group_t *group, const item_t *item)
{
    bool keyed =
        keyed_is(self, item->env) && (item->env->flags & WIRE_NODE_ONLY) == 0;
    return keyed ? keyed_member(router, self, "", group, item->env)
                 : choose(router, group);
}

static void
ask_member(router_t *router, asked_t *asked, const member_t *member,
    const item_t *item)
{
    if (member->slot != NULL) {
        asked_member(asked, router->node->life, member->slot->number, NULL, 0);
    } else {
        asked_member(asked, member->dest->remote->life, member->dest->target,
            member->dest, item->bytes.len);
    }
    give(member, item);
}

bool
route_ask(router_t *router, route_t *self, asked_t *asked, slice_t bytes,
    const envelope_t *env, const run_t *run, blob_t *blob)
{
    item_t item = {bytes, env, run, blob, self};
    group_t group = visible(&self->everybody, env->flags);
    if (group_is_empty(&group)) {
        return false;
    }
    member_t member = choose_responder(router, self, &group, &item);
    ask_member(router, asked, &member, &item);
    return true;
}

static void
direct_request(
    router_t *router, route_t *self, slot_t *from, const item_t *item)
{
    uint32_t flags = item->env->flags;
    group_t group = visible(&self->everybody, flags);
    if (cancels_has(&router->cancels, 0, item->env->id, router->now_ms)) {
        counter_add(&router->node->counters, COUNTER_CANCELLED, 1);
        return;
    }
    if (group_is_empty(&group)) {
        counter_add(&router->node->counters, COUNTER_NOBODY, 1);
        asked_refuse(router, from, item->env, EDRI_NO_RESPONDER, "");
        return;
    }
    counter_add(&router->node->counters, COUNTER_ASKED, 1);
    if (envelope_deliver(flags) != EDRI_ALL) {
        asked_t *asked =
            asked_add(router, item->env, item->run, self, from, false, 1);
        if (self->ref != NULL && self->ref->type->attempts > 1) {
            int64_t base_ms = item->run->base_ms;
            asked_keep(asked, item->bytes,
                base_ms > 0 ? base_ms : router->now_ms, item->blob);
        }
        member_t member = choose_responder(router, self, &group, item);
        ask_member(router, asked, &member, item);
        return;
    }
    size_t members = 0;
    for (size_t i = 0; i < self->handler_count; i++) {
        members += may_ask(&self->handlers[i], flags);
    }
    asked_t *asked =
        asked_add(router, item->env, item->run, self, from, true, members);
    for (size_t i = 0; i < self->handler_count; i++) {
        if (may_ask(&self->handlers[i], flags)) {
            ask_member(router, asked, &self->handlers[i], item);
        }
    }
    asked_announce(router, asked);
}

bool
route_taken(const route_t *self, uint32_t flags)
{
    return envelope_kind(flags) == EDRI_REQUEST
               ? !group_is_empty(&self->everybody)
               : self->handler_count > 0;
}

void
route_direct(router_t *router, slot_t *from, route_t *self, slice_t bytes,
    const envelope_t *env, const run_t *run, blob_t *blob)
{
    item_t item = {bytes, env, run, blob, self};
    if (envelope_kind(env->flags) != EDRI_REQUEST) {
        direct_notification(router, self, &item);
    } else if (from != NULL) {
        direct_request(router, self, from, &item);
    }
}

void
route_event(router_t *router, slot_t *from, slice_t bytes, slice_t content,
    const envelope_t *env, const run_t *run, blob_t **blob_p)
{
    edri_kind_t kind = envelope_kind(env->flags);
    if (kind == EDRI_REPLY) {
        if (env->to != 0 && env->to != router->node->life) {
            blob_t *blob = blob_p != NULL ? *blob_p : NULL;
            if (blob_p != NULL) {
                *blob_p = NULL;
            }
            remote_reply(router, env->to, bytes, env, run->base_ms, blob);
        } else {
            asked_reply(router, bytes, content, env, 0, blob_p);
        }
        return;
    }
    if (kind == EDRI_TUNNEL) {
        if (from != NULL) {
            tunnels_out(router, from, bytes, content, blob_p);
        }
        return;
    }
    route_t *route = map_get(router->routes, env->type);
    if (route == NULL || route->ref == NULL) {
        route = route_find(router, env->type);
    }
    blob_t *blob = blob_p != NULL ? *blob_p : NULL;
    if (!waiting_put(router, from, route, bytes, env, run, blob)) {
        route_direct(router, from, route, bytes, env, run, blob);
    }
}
