// SPDX-License-Identifier: MIT
// waiting.c - events that wait until a switch has said who demands them.
//
// DESIGN
// While an answer is on its way (core/resolve.h), the port's later events wait
// behind the first one, whatever their type: so their order holds.  Where it is
// not known when there will be one (no switch is there, or nobody has come back
// yet), only events of that type wait.  What waits is counted against the limit
// of its type, whose gate closes then.

#include <stdlib.h>

#include "base/alloc.h"
#include "node/keyed.h"

// line_t is what waits of one port, in its order.
struct line {
    slot_t *from; // NULL: the port has gone
    outq_t queue;
};

// judge says whether an event of the type may go now, and asks for its table
// when it is the first.
static resolve_may_t
judge(router_t *router, route_t *route, uint32_t flags)
{
    if ((flags & WIRE_NODE_ONLY) != 0 || router->link_count == 0) {
        return RESOLVE_GO;
    }
    if (resolve_ask(&route->resolve, router->returned)) {
        link_resolve(router, route->type);
    }
    bool one = envelope_deliver(flags) == EDRI_ONE;
    uint8_t up = 0;
    for (unsigned i = 0; i < router->link_count; i++) {
        up |= (uint8_t)((router->links[i].session.state == SESSION_UP) << i);
    }
    resolve_may_t may = resolve_may(&route->resolve, up,
        (uint8_t)((1u << router->link_count) - 1), route_taken(route, flags),
        one);
    // Before the first session the answer is as good as on its way.
    return may == RESOLVE_OPEN && !router->told_ready ? RESOLVE_ASKED : may;
}

// ----- behind the port's older events

static void
hold(router_t *router, line_t *self, route_t *route, slice_t item,
    const envelope_t *env, const run_t *run, blob_t *blob)
{
    outq_append(&self->queue, item, env, run, blob_share(blob));
    route->held_bytes += item.len;
    route_gate(router, route);
}

static line_t *
line_of(router_t *router, slot_t *from)
{
    if (from->line == NULL) {
        from->line = mem_new(sizeof *from->line);
        from->line->from = from;
        list_add(&router->lines, from->line);
    }
    return from->line;
}

void
waiting_detach(slot_t *slot)
{
    if (slot->line != NULL) {
        slot->line->from = NULL;
        slot->line = NULL;
    }
}

// ----- events of a type that nobody is known for

static void
keep(router_t *router, route_t *route, slice_t item, const envelope_t *env,
    const run_t *run, blob_t *blob)
{
    outq_append(&route->pending, item, env, run, blob_share(blob));
    route_gate(router, route);
}

bool
waiting_put(router_t *router, slot_t *from, route_t *route, slice_t item,
    const envelope_t *env, const run_t *run, blob_t *blob)
{
    resolve_may_t may = judge(router, route, env->flags);
    if (from != NULL && (from->line != NULL || may == RESOLVE_ASKED)) {
        hold(router, line_of(router, from), route, item, env, run, blob);
        return true;
    }
    // Earlier events of the type may still wait.
    if (may != RESOLVE_GO || route->pending.first != NULL) {
        keep(router, route, item, env, run, blob);
        return true;
    }
    return false;
}

// ----- going on

// let_go directs what waited for one type, if it may go now.
static void
let_go(router_t *router, route_t *route)
{
    outq_t waiting = route->pending;
    route->pending = (outq_t){0};
    chunk_t *chunk = NULL;
    while ((chunk = outq_take(&waiting)) != NULL) {
        slice_t rest = chunk_batch(chunk);
        slice_t item;
        slice_t content;
        envelope_t env;
        while (batch_next(&rest, &item, &content) &&
               envelope_route(content, &env) == EDRI_OK) {
            slot_t *from = map_get(router->slots, env.id >> 48);
            if (judge(router, route, env.flags) != RESOLVE_GO) {
                outq_append(&route->pending, item, &env, &chunk->origin,
                    blob_share(chunk->blob));
            } else {
                route_direct(router, from, route, item, &env, &chunk->origin,
                    chunk->blob);
            }
        }
        slots_flush(router); // spans point into the chunk
        chunk_drop(&chunk);
    }
    route_gate(router, route);
}

// go_on directs one event that its port held back, or lets it wait again.
static void
go_on(router_t *router, line_t *self, slice_t item, const envelope_t *env,
    const chunk_t *chunk)
{
    route_t *route = route_find(router, env->type);
    resolve_may_t may = judge(router, route, env->flags);
    route->held_bytes -= item.len;
    if (self->queue.first != NULL || may == RESOLVE_ASKED) {
        hold(router, self, route, item, env, &chunk->origin, chunk->blob);
    } else if (may != RESOLVE_GO || route->pending.first != NULL) {
        keep(router, route, item, env, &chunk->origin, chunk->blob);
    } else {
        route_direct(
            router, self->from, route, item, env, &chunk->origin, chunk->blob);
        route_gate(router, route);
    }
}

// is_stuck says whether the oldest event must still wait.
static bool
is_stuck(router_t *router, const line_t *self)
{
    slice_t rest = chunk_batch(self->queue.first);
    slice_t item;
    slice_t content;
    envelope_t env;
    return batch_next(&rest, &item, &content) &&
           envelope_route(content, &env) == EDRI_OK &&
           judge(router, route_find(router, env.type), env.flags) ==
               RESOLVE_ASKED;
}

// release directs what may go by now.  Behind an event that must still wait the chunks
// are left as they are: a burst of first events of n types is released n times.
static void
release(router_t *router, line_t *self)
{
    outq_t waiting = self->queue;
    self->queue = (outq_t){0};
    chunk_t *chunk = NULL;
    while (self->queue.first == NULL && (chunk = outq_take(&waiting)) != NULL) {
        slice_t rest = chunk_batch(chunk);
        slice_t item;
        slice_t content;
        envelope_t env;
        while (batch_next(&rest, &item, &content) &&
               envelope_route(content, &env) == EDRI_OK) {
            go_on(router, self, item, &env, chunk);
        }
        slots_flush(router);
        chunk_drop(&chunk);
    }
    outq_join(&self->queue, &waiting);
}

void
waiting_reconsider(router_t *router, route_t *route)
{
    if (route->pending.first != NULL) {
        let_go(router, route);
    }
    for (size_t i = router->lines.count; i > 0; i--) {
        line_t *line = router->lines.items[i - 1];
        if (is_stuck(router, line)) {
            continue;
        }
        release(router, line);
        if (line->queue.first == NULL) {
            (void)list_remove(&router->lines, line);
            if (line->from != NULL) {
                line->from->line = NULL;
            }
            free(line);
        }
    }
}

bool
waiting_any(const router_t *router)
{
    size_t cursor = 0;
    void *value = NULL;
    bool any = router->lines.count > 0;
    while (!any && map_next(router->routes, &cursor, NULL, &value)) {
        const route_t *route = value;
        any = (route->pending.first != NULL && !route->own) ||
              keyed_waiting(route) > 0;
    }
    return any;
}

void
waiting_clear(router_t *router)
{
    for (size_t i = 0; i < router->lines.count; i++) {
        line_t *line = router->lines.items[i];
        outq_clear(&line->queue);
        free(line);
    }
    list_clear(&router->lines);
}
