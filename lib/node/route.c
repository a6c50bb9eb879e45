// SPDX-License-Identifier: MIT
// route.c - types: who demands them, in groups, and the gates of emitters.

#include <stdlib.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "node/keyed.h"
#include "node/replay.h"
#include "node/route.h"

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

static void
clear_groups(route_t *self)
{
    for (size_t i = 0; i < self->group_count; i++) {
        free(self->groups[i].name);
        free(self->groups[i].dests);
    }
    free(self->groups);
    map_destroy(&self->numbers);
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
find_group(const route_t *self, const char *name)
{
    for (size_t i = 0; i < self->group_count; i++) {
        if (streq(self->groups[i].name, name)) {
            return &self->groups[i];
        }
    }
    return NULL;
}

// need_group finds a group or makes it: by the hash of its name, so that with a thousand
// of them each is not compared with all.
static group_t *
need_group(route_t *self, const char *name)
{
    uint64_t hash = hash_text(name);
    if (self->numbers == NULL) {
        self->numbers = map_new();
    }
    size_t number = (size_t)(uintptr_t)map_get(self->numbers, hash);
    if (number > 0) {
        group_t *same = &self->groups[number - 1];
        same = streq(same->name, name) ? same : find_group(self, name);
        if (same != NULL) {
            return same;
        }
    }
    self->groups =
        mem_resize(self->groups, (self->group_count + 1) * sizeof(group_t));
    group_t *group = &self->groups[self->group_count++];
    *group = (group_t){.name = str_dup(name)};
    (void)map_put(self->numbers, hash, (void *)(uintptr_t)self->group_count);
    return group;
}

bool
member_is_guest(const member_t *member)
{
    return member->dest != NULL && member->dest->remote->name[0] == '\0';
}

// set_keys tells those groups whose keys have a place who is there now.
static void
set_keys(router_t *router, route_t *self)
{
    keyed_set(router, self, "", &self->everybody);
    for (size_t i = 0; i < self->group_count; i++) {
        keyed_set(router, self, self->groups[i].name, &self->groups[i]);
    }
}

// enter puts a member into its group; guests are in none.
static void
enter(route_t *self, const member_t *member)
{
    if (member_is_guest(member)) {
        return;
    }
    const char *name =
        member->slot != NULL ? member->slot->manager : member->dest->manager;
    join(need_group(self, name), member);
    join(&self->everybody, member);
}

// groups_changed tells those who look at the groups.
static void
groups_changed(router_t *router, route_t *self)
{
    if (self->keyed != NULL) {
        set_keys(router, self);
    }
    if (self->absent != NULL) {
        absent_adopt(router, self);
    }
    route_gate(router, self);
}

static void
rebuild(router_t *router, route_t *self)
{
    clear_groups(self);
    for (size_t i = 0; i < self->handler_count; i++) {
        enter(self, &self->handlers[i]);
    }
    groups_changed(router, self);
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
        absent_back(self, &member);
        enter(self, &member); // not anew: a table may have a thousand
        groups_changed(router, self);
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
            absent_await(router, self, dest->manager);
        }
    }
    *member = list[--*count];
    if (!observer) {
        rebuild(router, self);
    }
    if (dest != NULL && (!observer || member_dest->routes.count == 0)) {
        dest_withdrawn(member_dest, self->type);
    }
}

// ----- groups as others see them

bool
group_is_empty(const group_t *group)
{
    return group->local == NULL && group->dest_count == 0;
}

const char *
route_group_name(edri_deliver_t deliver, const char *manager)
{
    return deliver == EDRI_ONE ? "" : manager;
}

const group_t *
route_group(const route_t *self, const char *name)
{
    if (name[0] == '\0') {
        return &self->everybody;
    }
    return find_group(self, name);
}

bool
route_has(const route_t *route, const char *name)
{
    const group_t *group = route_group(route, name);
    return group != NULL && !group_is_empty(group);
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
    return self->pending.bytes + self->held_bytes + keyed_waiting(self) +
           absent_waiting(self);
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

// ----- once a second, and the end

void
routes_tick(router_t *router)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->routes, &cursor, NULL, &value)) {
        absent_tick(router, value);
    }
    replays_tick(router);
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
        keyed_clear(route);
        absent_clear(route);
        list_clear(&route->waiters);
        if (route->retain != NULL) {
            retain_clear(route->retain);
            free(route->retain);
        }
        free(route);
    }
    map_destroy(&router->routes);
}
