// SPDX-License-Identifier: MIT
// route.c - types: who demands them, whom the next event goes to.

#include <stdlib.h>

#include "base/alloc.h"
#include "core/choice.h"
#include "node/remote.h"
#include "node/replay.h"

route_t *
route_find(router_t *router, uint64_t type)
{
    route_t *self = map_get(router->routes, type);
    if (self == NULL) {
        self = mem_new(sizeof *self);
        self->type = type;
        (void)map_put(router->routes, type, self);
    }
    if (self->ref == NULL) {
        self->ref = shared_map_get(router->node->types, type);
    }
    return self;
}

// ----- members and groups

// absent_t is a group (name "": everybody, for ONE) that has lost members which
// did not withdraw: when nobody else is in it, events wait for a while, for the
// same node or another to come.
typedef struct absent {
    struct absent *next;
    char *name;
    size_t members; // expected back
    outq_t queue;
    int64_t until_ms;
} absent_t;

static void adopt(router_t *router, route_t *self);
static void note_back(route_t *self, const member_t *member);
static void await_group(router_t *router, route_t *self, const char *manager);

static void
clear_groups(route_t *self)
{
    for (size_t i = 0; i < self->group_count; i++) {
        free(self->groups[i].name);
        free(self->groups[i].dests);
    }
    free(self->groups);
    free(self->everybody.dests);
    self->groups = NULL;
    self->group_count = 0;
    self->everybody = (group_t){0};
}

static void
join(group_t *group, const member_t *member)
{
    if (member->slot != NULL) {
        group->local = member->slot;
        return;
    }
    group->dests =
        mem_resize(group->dests, (group->dest_count + 1) * sizeof(dest_t *));
    group->dests[group->dest_count++] = member->dest;
}

static group_t *
find_group(route_t *self, const char *name)
{
    for (size_t i = 0; i < self->group_count; i++) {
        if (streq(self->groups[i].name, name)) {
            return &self->groups[i];
        }
    }
    self->groups =
        mem_resize(self->groups, (self->group_count + 1) * sizeof(group_t));
    group_t *group = &self->groups[self->group_count++];
    *group = (group_t){.name = str_dup(name)};
    return group;
}

// is_guest says whether the member is a manager of another node without a name.
static bool
is_guest(const member_t *member)
{
    return member->dest != NULL && member->dest->remote->name[0] == '\0';
}

static void
rebuild(router_t *router, route_t *self)
{
    clear_groups(self);
    for (size_t i = 0; i < self->handler_count; i++) {
        member_t *member = &self->handlers[i];
        if (is_guest(member)) {
            continue;
        }
        const char *name = member->slot != NULL ? member->slot->manager
                                                : member->dest->manager;
        join(find_group(self, name), member);
        join(&self->everybody, member);
    }
    if (self->absent != NULL) {
        adopt(router, self);
    }
    route_gate(router, self);
}

static member_t *
find_member(
    member_t *members, size_t count, const slot_t *slot, const dest_t *dest)
{
    for (size_t i = 0; i < count; i++) {
        if (members[i].slot == slot && members[i].dest == dest) {
            return &members[i];
        }
    }
    return NULL;
}

void
route_add(router_t *router, route_t *self, bool observer, member_t member,
    unsigned link)
{
    member_t **list = observer ? &self->observers : &self->handlers;
    size_t *count = observer ? &self->observer_count : &self->handler_count;
    member_t *known = find_member(*list, *count, member.slot, member.dest);
    if (known != NULL) {
        known->links |= (uint8_t)(1u << link);
        known->lossy = member.lossy;
        return;
    }
    member.links = (uint8_t)(1u << link);
    *list = mem_resize(*list, (*count + 1) * sizeof **list);
    (*list)[(*count)++] = member;
    if (member.dest != NULL) {
        list_add(&member.dest->routes, self);
    }
    if (!observer) {
        note_back(self, &member);
        rebuild(router, self);
        replay_member(router, self, &member);
    }
}

void
route_remove(router_t *router, route_t *self, bool observer, const slot_t *slot,
    const dest_t *dest, unsigned link)
{
    member_t *list = observer ? self->observers : self->handlers;
    size_t *count = observer ? &self->observer_count : &self->handler_count;
    member_t *member = find_member(list, *count, slot, dest);
    if (member == NULL) {
        return;
    }
    member->links &= (uint8_t) ~(1u << link);
    if (member->links != 0 && slot == NULL) {
        return; // another switch still has it
    }
    dest_t *member_dest = member->dest;
    if (dest != NULL) {
        (void)list_remove(&member_dest->routes, self);
        if (!observer && remote_expected(dest->remote)) {
            await_group(router, self, dest->manager);
        }
    }
    *member = list[--*count];
    if (!observer) {
        rebuild(router, self);
    }
    if (dest != NULL && !observer) {
        dest_withdrawn(member_dest, self->type);
    }
}

// ----- gates

static bool
group_full(const group_t *group)
{
    if (group->local != NULL && (!group->local->full || group->local->lossy)) {
        return false;
    }
    for (size_t i = 0; i < group->dest_count; i++) {
        if (!group->dests[i]->full) {
            return false;
        }
    }
    return true;
}

size_t
route_waiting(const route_t *self)
{
    size_t waiting = self->pending.bytes + self->held_bytes;
    for (const absent_t *at = self->absent; at != NULL; at = at->next) {
        waiting += at->queue.bytes;
    }
    return waiting;
}

// is_full says whether the next event of the type would have to wait.
static bool
is_full(const router_t *router, const route_t *self)
{
    if (route_waiting(self) > router->node->limits.link_queue) {
        return true;
    }
    bool drops = self->ref != NULL && self->ref->type->overflow != EDRI_BLOCK &&
                 self->ref->type->kind == EDRI_NOTIFICATION;
    if (self->handler_count == 0 || drops) {
        return false;
    }
    edri_deliver_t deliver =
        self->ref != NULL ? self->ref->type->deliver : EDRI_ALL;
    if (deliver == EDRI_ONE) {
        return group_full(&self->everybody);
    }
    for (size_t i = 0; deliver == EDRI_GROUP && i < self->group_count; i++) {
        if (group_full(&self->groups[i])) {
            return true;
        }
    }
    for (size_t i = 0; deliver == EDRI_ALL && i < self->handler_count; i++) {
        const member_t *member = &self->handlers[i];
        bool full =
            member->slot != NULL ? member->slot->full : member->dest->full;
        if (full && !member->lossy) {
            return true;
        }
    }
    return false;
}

void
route_gate(router_t *router, route_t *self)
{
    bool full = is_full(router, self);
    if (full == self->closed) {
        return;
    }
    self->closed = full;
    if (self->ref != NULL) {
        atomic_store(&self->ref->closed, full);
    }
    if (!full) {
        for (size_t i = 0; i < self->waiters.count; i++) {
            slot_ring(self->waiters.items[i], 0);
        }
        self->waiters.count = 0;
    }
}

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
        slot_offer(
            member->slot, item->bytes, item->env, item->run, blob, policy);
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
    return !is_guest(member) && may_reach(member, flags);
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

static bool
is_empty(const group_t *group)
{
    return group->local == NULL && group->dest_count == 0;
}

// ----- groups that are expected back

static const group_t *
group_of(const route_t *self, const char *name)
{
    if (name[0] == '\0') {
        return &self->everybody;
    }
    for (size_t i = 0; i < self->group_count; i++) {
        if (streq(self->groups[i].name, name)) {
            return &self->groups[i];
        }
    }
    return NULL;
}

static absent_t *
find_absent(const route_t *self, const char *name)
{
    absent_t *absent = self->absent;
    while (absent != NULL && !streq(absent->name, name)) {
        absent = absent->next;
    }
    return absent;
}

// group_name is what a notification's group is called: "" is everybody.
static const char *
group_name(edri_deliver_t deliver, const char *manager)
{
    return deliver == EDRI_ONE ? "" : manager;
}

static absent_t *
make_absent(router_t *router, route_t *self, const char *name)
{
    absent_t *absent = find_absent(self, name);
    if (absent == NULL) {
        absent = mem_new(sizeof *absent);
        absent->name = str_dup(name);
        absent->next = self->absent;
        self->absent = absent;
    }
    absent->until_ms = router->now_ms + router->node->limits.silent_ms;
    return absent;
}

// await_group: the group has lost a member that did not withdraw; events for it
// wait for a while.
static void
await_group(router_t *router, route_t *self, const char *manager)
{
    if (self->ref != NULL && self->ref->type->kind == EDRI_NOTIFICATION &&
        self->ref->type->deliver != EDRI_ALL) {
        make_absent(router, self, group_name(self->ref->type->deliver, manager))
            ->members++;
    }
}

static void
free_absent(absent_t *absent)
{
    outq_clear(&absent->queue);
    free(absent->name);
    free(absent);
}

// give_back directs what has waited for a group that is there again.
static void
give_back(router_t *router, const route_t *self, absent_t *absent,
    const group_t *group)
{
    chunk_t *chunk = NULL;
    while ((chunk = outq_take(&absent->queue)) != NULL) {
        slice_t rest = chunk_batch(chunk);
        slice_t bytes;
        slice_t content;
        envelope_t env;
        while (batch_next(&rest, &bytes, &content) &&
               envelope_route(content, &env) == EDRI_OK) {
            item_t item = {bytes, &env, &chunk->origin, chunk->blob, self};
            member_t member = choose(router, group);
            give(&member, &item);
        }
        slots_flush(router); // spans point into the chunk
        chunk_drop(&chunk);
    }
}

// note_back: one member fewer is expected back.
static void
note_back(route_t *self, const member_t *member)
{
    const char *name =
        member->slot != NULL ? member->slot->manager : member->dest->manager;
    absent_t *at = is_guest(member) ? NULL : self->absent;
    for (; at != NULL; at = at->next) {
        if (at->members > 0 && (at->name[0] == '\0' || streq(at->name, name))) {
            at->members--;
        }
    }
}

// has_members says whether somebody is there of the group.
static bool
has_members(const route_t *self, const absent_t *absent)
{
    const group_t *group = group_of(self, absent->name);
    return group != NULL && !is_empty(group);
}

// adopt looks for groups that have come back.
static void
adopt(router_t *router, route_t *self)
{
    for (absent_t **at = &self->absent; *at != NULL;) {
        absent_t *absent = *at;
        if (has_members(self, absent)) {
            give_back(router, self, absent, group_of(self, absent->name));
        }
        if (has_members(self, absent) && absent->members == 0) {
            *at = absent->next;
            free_absent(absent);
        } else {
            at = &absent->next;
        }
    }
}

void
routes_tick(router_t *router)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->routes, &cursor, NULL, &value)) {
        route_t *route = value;
        bool any = route->absent != NULL;
        for (absent_t **at = &route->absent; *at != NULL;) {
            absent_t *absent = *at;
            if (router->now_ms < absent->until_ms) {
                at = &absent->next;
                continue;
            }
            counter_add(
                &router->node->counters, COUNTER_LOST, absent->queue.events);
            drops_note(&router->node->drops, route->type, NULL, absent->name,
                EDRI_NODE_DIED, absent->queue.events);
            *at = absent->next;
            free_absent(absent);
        }
        if (any) {
            route_gate(router, route);
        }
    }
    replays_tick(router);
}

// wait_for keeps one item for the groups of its type that are expected back.
// Returns how many.
static size_t
wait_for(route_t *self, const item_t *item)
{
    size_t count = 0;
    for (absent_t *at = self->absent; at != NULL; at = at->next) {
        if (!has_members(self, at)) {
            outq_append(&at->queue, item->bytes, item->env, item->run,
                blob_share(item->blob));
            count++;
        }
    }
    return count;
}

bool
route_again(router_t *router, route_t *self, const char *manager, slice_t bytes,
    const envelope_t *env, const run_t *origin, blob_t *blob, bool wait)
{
    const char *name = group_name(envelope_deliver(env->flags), manager);
    const group_t *group = group_of(self, name);
    run_t run = {
        .base_ms = origin->base_ms, .redelivered = origin->redelivered};
    item_t item = {bytes, env, &run, blob, self};
    if (group != NULL && !is_empty(group)) {
        member_t member = choose(router, group);
        give(&member, &item);
        return true;
    }
    absent_t *absent = wait ? make_absent(router, self, name)
                            : find_absent(self, name); // for somebody else
    if (absent != NULL) {
        outq_append(&absent->queue, bytes, env, &run, blob_share(blob));
        route_gate(router, self);
    }
    return absent != NULL;
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
            if (!is_empty(&group)) {
                member_t member = choose(router, &group);
                give(&member, item);
                reached++;
                if (self->retain != NULL) {
                    replay_given(self, deliver == EDRI_ONE ? "" : group.name);
                }
            }
        }
        for (size_t i = 0; i < self->handler_count; i++) {
            if (is_guest(&self->handlers[i]) &&
                may_reach(&self->handlers[i], flags)) {
                give(&self->handlers[i], item);
                reached++;
            }
        }
    }
    if (self->absent != NULL && (flags & WIRE_NODE_ONLY) == 0) {
        reached += wait_for(self, item);
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
    if (distribute(router, self, item) == 0) {
        counter_add(&router->node->counters, COUNTER_UNCLAIMED, 1);
    }
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
    if (is_empty(&group)) {
        return false;
    }
    member_t member = choose(router, &group);
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
    if (is_empty(&group)) {
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
        member_t member = choose(router, &group);
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
    return envelope_kind(flags) == EDRI_REQUEST ? !is_empty(&self->everybody)
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
    route_t *route = map_get(router->routes, env->type);
    if (route == NULL || route->ref == NULL) {
        route = route_find(router, env->type);
    }
    blob_t *blob = blob_p != NULL ? *blob_p : NULL;
    if (!waiting_put(router, from, route, bytes, env, run, blob)) {
        route_direct(router, from, route, bytes, env, run, blob);
    }
}

void
routes_destroy(router_t *router)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->routes, &cursor, NULL, &value)) {
        route_t *route = value;
        clear_groups(route);
        free(route->handlers);
        free(route->observers);
        outq_clear(&route->pending);
        while (route->absent != NULL) {
            absent_t *next = route->absent->next;
            free_absent(route->absent);
            route->absent = next;
        }
        list_clear(&route->waiters);
        if (route->retain != NULL) {
            retain_clear(route->retain);
            free(route->retain);
        }
        free(route);
    }
    map_destroy(&router->routes);
}
