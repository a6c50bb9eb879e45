// SPDX-License-Identifier: MIT
// absent.c - groups whose members are expected back: events wait for them.

#include <stdlib.h>

#include "base/alloc.h"
#include "node/route.h"

// absent_t is a group (name "": everybody, for ONE) that has lost members which
// did not withdraw: when nobody else is in it, events wait for a while, for the
// same node or another to come.
typedef struct absent {
    struct absent *next;
    char *name;
    size_t members; // expected back
    outq_t sent;    // events that a member had been sent, and then the others
    outq_t queue;
    int64_t until_ms;
} absent_t;

static absent_t *
find_absent(const route_t *self, const char *name)
{
    absent_t *absent = self->absent;
    while (absent != NULL && !streq(absent->name, name)) {
        absent = absent->next;
    }
    return absent;
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

void
absent_await(router_t *router, route_t *self, const char *manager)
{
    if (self->ref != NULL && self->ref->type->kind == EDRI_NOTIFICATION &&
        self->ref->type->deliver != EDRI_ALL) {
        make_absent(
            router, self, route_group_name(self->ref->type->deliver, manager))
            ->members++;
    }
}

static void
free_absent(absent_t *absent)
{
    outq_clear(&absent->sent);
    outq_clear(&absent->queue);
    free(absent->name);
    free(absent);
}

// give_back directs what has waited for a group that is there again.
static void
give_back(router_t *router, route_t *self, const char *name, outq_t *queue,
    const group_t *group)
{
    chunk_t *chunk = NULL;
    while ((chunk = outq_take(queue)) != NULL) {
        slice_t rest = chunk_batch(chunk);
        slice_t bytes;
        slice_t content;
        envelope_t env;
        while (batch_next(&rest, &bytes, &content) &&
               envelope_route(content, &env) == EDRI_OK) {
            direct_one(router, self, name, group, bytes, &env, &chunk->origin,
                chunk->blob);
        }
        slots_flush(router); // spans point into the chunk
        chunk_drop(&chunk);
    }
}

void
absent_back(route_t *self, const member_t *member)
{
    const char *name =
        member->slot != NULL ? member->slot->manager : member->dest->manager;
    absent_t *at = member_is_guest(member) ? NULL : self->absent;
    for (; at != NULL; at = at->next) {
        if (at->members > 0 && (at->name[0] == '\0' || streq(at->name, name))) {
            at->members--;
        }
    }
}

void
absent_adopt(router_t *router, route_t *self)
{
    for (absent_t **at = &self->absent; *at != NULL;) {
        absent_t *absent = *at;
        if (route_has(self, absent->name)) {
            const group_t *group = route_group(self, absent->name);
            give_back(router, self, absent->name, &absent->sent, group);
            give_back(router, self, absent->name, &absent->queue, group);
        }
        if (route_has(self, absent->name) && absent->members == 0) {
            *at = absent->next;
            free_absent(absent);
        } else {
            at = &absent->next;
        }
    }
}

size_t
absent_keep(route_t *self, slice_t bytes, const envelope_t *env,
    const run_t *run, blob_t *blob)
{
    size_t count = 0;
    for (absent_t *at = self->absent; at != NULL; at = at->next) {
        if (!route_has(self, at->name)) {
            outq_append(&at->queue, bytes, env, run, blob_share(blob));
            count++;
        }
    }
    return count;
}

bool
absent_put(router_t *router, route_t *self, const char *name, slice_t bytes,
    const envelope_t *env, const run_t *run, blob_t *blob, bool wait)
{
    absent_t *absent = wait ? make_absent(router, self, name)
                            : find_absent(self, name); // for somebody else
    if (absent != NULL) {
        outq_append(
            router->handing == HAND_SENT ? &absent->sent : &absent->queue,
            bytes, env, run, blob_share(blob));
        route_gate(router, self);
    }
    return absent != NULL;
}

size_t
absent_waiting(const route_t *self)
{
    size_t waiting = 0;
    for (const absent_t *at = self->absent; at != NULL; at = at->next) {
        waiting += at->sent.bytes + at->queue.bytes;
    }
    return waiting;
}

void
absent_tick(router_t *router, route_t *self)
{
    bool any = self->absent != NULL;
    for (absent_t **at = &self->absent; *at != NULL;) {
        absent_t *absent = *at;
        if (router->now_ms < absent->until_ms) {
            at = &absent->next;
            continue;
        }
        uint64_t events = absent->sent.events + absent->queue.events;
        counter_add(&router->node->counters, COUNTER_LOST, events);
        drops_note(&router->node->drops, self->type, NULL, absent->name,
            EDRI_NODE_DIED, events);
        *at = absent->next;
        free_absent(absent);
    }
    if (any) {
        route_gate(router, self);
    }
}

void
absent_clear(route_t *self)
{
    while (self->absent != NULL) {
        absent_t *next = self->absent->next;
        free_absent(self->absent);
        self->absent = next;
    }
}
