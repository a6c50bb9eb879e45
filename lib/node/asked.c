// SPDX-License-Identifier: MIT
// asked.c - requests on their way: who was asked, who answers to whom.
//
// DESIGN
// Every request of this node's ports that found a responder stands here until
// the last answer has come, its time is over, or whom it went to has ended.
// So a reply is accepted only from a life that was asked, once for each
// manager there, and an ended responder is an error at once.  The deadline
// itself is the asking port's: here it only bounds the memory.
//
// A request to ONE whose type says 'retry' is kept as it was emitted.  When its
// responder ended or failed it goes to whoever is chosen then, marked
// 'redelivered', after a pause that doubles; the asker gets the last error.

#include <stdlib.h>

#include "base/alloc.h"
#include "core/retry.h"
#include "node/router.h"

// Entries stay a little longer than their deadline: late replies are counted.
#define LINGER_MS 1000

// attempt_t is what the next try of a request needs.
typedef struct attempt {
    uint8_t *item; // as emitted
    size_t size;
    blob_t *blob;
    int64_t base_ms; // when its time to live began
    int64_t at_ms;   // when it is due; 0: one is under way
    uint32_t tries;  // begun so far
    const edri_type_t *type;
} attempt_t;

typedef struct responder {
    uint64_t life;
    uint32_t target;
    bool done;
    dest_t *dest;  // NULL: here
    size_t weight; // bytes that count as unsettled there
} responder_t;

struct asked {
    struct asked *before; // by deadline
    struct asked *after;
    uint64_t id;
    int64_t until_ms;
    route_t *route;
    uint16_t port; // who asked
    bool all;
    uint32_t flags;
    size_t open; // responders that have not answered
    size_t count;
    size_t capacity;
    responder_t *responders; // 'one', or memory of its own
    responder_t one;
    attempt_t *attempt; // NULL: not tried again
};

// ----- the books

asked_t *
asked_add(router_t *router, const envelope_t *env, const run_t *run,
    route_t *route, slot_t *from, bool all, size_t members)
{
    asked_t *self = router->free_asked;
    if (self != NULL) {
        router->free_asked = self->after;
    } else {
        self = mem_resize(NULL, sizeof *self);
    }
    int64_t base_ms = run->base_ms > 0 ? run->base_ms : router->now_ms;
    *self = (asked_t){.id = env->id,
        .until_ms = base_ms + env->ttl_ms + LINGER_MS,
        .route = route,
        .port = from->number,
        .all = all,
        .flags = env->flags,
        .capacity = members};
    self->responders =
        members == 1 ? &self->one : mem_new(members * sizeof(responder_t));
    (void)map_put(router->asked, self->id, self);
    asked_t *before = router->last_asked;
    while (before != NULL && before->until_ms > self->until_ms) {
        before = before->before;
    }
    self->before = before;
    self->after = before != NULL ? before->after : router->first_asked;
    *(before != NULL ? &before->after : &router->first_asked) = self;
    *(self->after != NULL ? &self->after->before : &router->last_asked) = self;
    return self;
}

void
asked_member(
    asked_t *self, uint64_t life, uint32_t target, dest_t *dest, size_t weight)
{
    edri_assert(self->count < self->capacity);
    self->responders[self->count++] = (responder_t){
        .life = life, .target = target, .dest = dest, .weight = weight};
    self->open++;
    if (dest != NULL) {
        dest->asked_bytes += weight;
    }
}

void
asked_keep(asked_t *self, slice_t item, int64_t base_ms, blob_t *blob)
{
    uint8_t *copy = mem_resize(NULL, item.len);
    memcpy(copy, item.data, item.len);
    self->attempt = mem_new(sizeof *self->attempt);
    *self->attempt = (attempt_t){.item = copy,
        .size = item.len,
        .blob = blob_share(blob),
        .base_ms = base_ms,
        .tries = 1,
        .type = self->route->ref->type};
}

static void
drop_attempt(router_t *router, asked_t *self)
{
    if (self->attempt != NULL) {
        (void)list_remove(&router->retries, self);
        free(self->attempt->item);
        blob_drop(&self->attempt->blob);
        free(self->attempt);
        self->attempt = NULL;
    }
}

static void
settle(asked_t *self, responder_t *responder)
{
    responder->done = true;
    self->open--;
    if (responder->dest != NULL) {
        responder->dest->asked_bytes -= responder->weight;
    }
}

static void
forget(router_t *router, asked_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        if (!self->responders[i].done) {
            settle(self, &self->responders[i]);
        }
    }
    drop_attempt(router, self);
    (void)map_take(router->asked, self->id);
    *(self->before != NULL ? &self->before->after : &router->first_asked) =
        self->after;
    *(self->after != NULL ? &self->after->before : &router->last_asked) =
        self->before;
    if (self->responders != &self->one) {
        free(self->responders);
    }
    self->after = router->free_asked;
    router->free_asked = self;
}

// ----- cancels

static void
cancel(router_t *router, asked_t *self)
{
    bool here = false;
    for (size_t i = 0; i < self->count; i++) {
        const responder_t *responder = &self->responders[i];
        if (!responder->done && responder->dest != NULL) {
            cancel_there(responder->dest, self->id);
        }
        here = here || (!responder->done && responder->dest == NULL);
    }
    if (here) {
        cancel_here(router, 0, &self->id, 1);
    }
    counter_add(&router->node->counters, COUNTER_CANCELLED, 1);
    forget(router, self);
}

bool
asked_cancel(router_t *router, uint64_t id)
{
    asked_t *self = map_get(router->asked, id);
    if (self != NULL) {
        cancel(router, self);
    }
    return self != NULL;
}

void
asked_cancel_all(router_t *router, uint16_t port)
{
    for (asked_t *self = router->first_asked; self != NULL;) {
        asked_t *after = self->after;
        if (self->port == port) {
            cancel(router, self);
        }
        self = after;
    }
}

static responder_t *
find_member(asked_t *self, uint64_t life, uint32_t target)
{
    for (size_t i = 0; self != NULL && i < self->count; i++) {
        responder_t *at = &self->responders[i];
        if (!at->done && at->life == life && at->target == target) {
            return at;
        }
    }
    return NULL;
}

bool
asked_open(const router_t *router, uint64_t id, uint64_t life, uint32_t target)
{
    return find_member(map_get(router->asked, id), life, target) != NULL;
}

// ----- words of the router itself

// tell gives a port an envelope that the router made, as if it came from 'life'.
static void
tell(router_t *router, slot_t *to, envelope_t *env, uint64_t life)
{
    blob_t *blob = NULL;
    size_t size = 0;
    if (env->body.len > WIRE_INLINE_MAX) {
        blob = blob_new(env->body.len);
        memcpy(blob_data(blob), env->body.data, env->body.len);
        env->body = (slice_t){NULL, 0};
        env->flags |= WIRE_ATTACHED;
    }
    uint8_t *item = envelope_copy(env, &size);
    slots_flush(router);
    slot_give(to, (slice_t){item, size}, env, &(run_t){.life = life}, blob);
    slots_flush(router);
    free(item);
}

// tell_error ends a request, or (responder) what one of those was asked who got
// it.
static void
tell_error(router_t *router, slot_t *to, uint64_t type, uint64_t request,
    const responder_t *responder, edri_err_t err, const char *text)
{
    envelope_t env = {.type = type,
        .flags = envelope_flags(EDRI_REPLY, EDRI_ONE, 3) | WIRE_LAST,
        .request = request,
        .error = (uint32_t)err,
        .position = responder != NULL ? responder->target : 0,
        .text = {(const uint8_t *)text, strlen(text)}};
    tell(router, to, &env, responder != NULL ? responder->life : 0);
}

// describe writes down whom a request went to, for its asker.
static void
describe(const router_t *router, const responder_t *responder,
    Edri__Wire__Responder *out)
{
    const dest_t *dest = responder->dest;
    edri__wire__responder__init(out);
    out->life = responder->life;
    out->target = responder->target;
    if (dest == NULL) {
        const slot_t *slot = map_get(router->slots, responder->target);
        out->node = (char *)(uintptr_t)router->node->name;
        out->manager = slot->manager;
    } else {
        out->node = dest->remote->name;
        out->manager = dest->manager;
    }
}

void
asked_announce(router_t *router, const asked_t *self)
{
    slot_t *port = map_get(router->slots, self->port);
    Edri__Wire__Asked message = EDRI__WIRE__ASKED__INIT;
    Edri__Wire__Responder *rows = mem_new(self->count * sizeof *rows);
    message.responders = mem_new(self->count * sizeof *message.responders);
    message.n_responders = self->count;
    for (size_t i = 0; i < self->count; i++) {
        describe(router, &self->responders[i], &rows[i]);
        message.responders[i] = &rows[i];
    }
    size_t size = edri__wire__asked__get_packed_size(&message);
    uint8_t *body = mem_new(size + 1);
    envelope_t env = {.type = self->route->type,
        .flags = envelope_flags(EDRI_REPLY, EDRI_ONE, 3) | WIRE_ASKED,
        .request = self->id,
        .position = self->count,
        .body = {body, edri__wire__asked__pack(&message, body)}};
    tell(router, port, &env, 0);
    free(body);
    free(message.responders);
    free(rows);
}

void
asked_refuse(router_t *router, slot_t *from, const envelope_t *env,
    edri_err_t err, const char *text)
{
    if (envelope_deliver(env->flags) == EDRI_ALL) {
        envelope_t announce = {.type = env->type,
            .flags = envelope_flags(EDRI_REPLY, EDRI_ONE, 3) | WIRE_ASKED,
            .request = env->id,
            .position = 1};
        tell(router, from, &announce, 0);
    }
    tell_error(router, from, env->type, env->id, NULL, err, text);
}

// ----- replies

// copy_to_observers gives the route's observers a copy marked OBSERVED.
static void
copy_to_observers(router_t *router, const route_t *route, slice_t content,
    uint64_t life, blob_t *blob)
{
    envelope_t env;
    if (envelope_read(content, &env) != EDRI_OK) {
        return;
    }
    env.flags |= WIRE_OBSERVED;
    env.to = 0;
    size_t size = 0;
    uint8_t *room = envelope_copy(&env, &size);
    slice_t copy = {room, size};
    slots_flush(router);
    for (size_t i = 0; i < route->observer_count; i++) {
        const member_t *member = &route->observers[i];
        if (member->slot != NULL) {
            slot_give(member->slot, copy, &env, &(run_t){.life = life},
                blob_share(blob));
        } else {
            dest_send(member->dest, copy, &env, &(run_t){0}, blob_share(blob),
                EDRI_DROP_OLDEST);
        }
    }
    slots_flush(router);
    free(room);
}

// ----- trying again

// try_later says whether the request that has just failed is tried again.
static bool
try_later(router_t *router, asked_t *self, edri_err_t err)
{
    attempt_t *attempt = self->attempt;
    if (attempt == NULL || !retry_may(attempt->type, attempt->tries, err)) {
        return false;
    }
    int64_t at_ms = router->now_ms + retry_pause_ms(attempt->type,
                                         attempt->tries, router_random(router));
    if (at_ms >= self->until_ms - LINGER_MS) {
        return false; // its time will be over
    }
    attempt->at_ms = at_ms;
    list_add(&router->retries, self);
    counter_add(&router->node->counters, COUNTER_RETRIED, 1);
    return true;
}

static void
try_again(router_t *router, asked_t *self)
{
    attempt_t *attempt = self->attempt;
    slice_t rest = {attempt->item, attempt->size};
    slice_t item;
    slice_t content;
    envelope_t env;
    attempt->at_ms = 0;
    self->count = 0; // all of them have ended
    bool fine = batch_next(&rest, &item, &content) &&
                envelope_read(content, &env) == EDRI_OK;
    env.attempt = attempt->tries++;
    size_t size = 0;
    uint8_t *room = fine ? envelope_copy(&env, &size) : NULL;
    run_t run = {.base_ms = attempt->base_ms, .redelivered = true};
    bool asked = fine && route_ask(router, self->route, self,
                             (slice_t){room, size}, &env, &run, attempt->blob);
    slots_flush(router);
    free(room);
    if (!asked && !try_later(router, self, EDRI_NO_RESPONDER)) {
        slot_t *port = map_get(router->slots, self->port);
        if (port != NULL) {
            tell_error(router, port, self->route->type, self->id, NULL,
                EDRI_NO_RESPONDER, "");
        }
        forget(router, self);
    }
}

void
asked_retry(router_t *router)
{
    for (size_t i = router->retries.count; i > 0; i--) {
        // What is tried may fail at once and stand at the end again.
        asked_t *self =
            i <= router->retries.count ? router->retries.items[i - 1] : NULL;
        if (self != NULL && self->attempt->at_ms <= router->now_ms) {
            (void)list_remove(&router->retries, self);
            try_again(router, self);
        }
    }
}

int64_t
asked_next(const router_t *router)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < router->retries.count; i++) {
        const asked_t *self = router->retries.items[i];
        next = self->attempt->at_ms < next ? self->attempt->at_ms : next;
    }
    return next;
}

// find_responder finds who of a life answers: of several, the reply says which.
static responder_t *
find_responder(asked_t *self, uint64_t life, slice_t content)
{
    envelope_t env;
    if (self->count > 1 && envelope_read(content, &env) == EDRI_OK &&
        env.position != 0) {
        return find_member(self, life, (uint32_t)env.position);
    }
    for (size_t i = 0; i < self->count; i++) {
        if (!self->responders[i].done && self->responders[i].life == life) {
            return &self->responders[i];
        }
    }
    return NULL;
}

void
asked_reply(router_t *router, slice_t item, slice_t content,
    const envelope_t *env, uint64_t life, blob_t **blob_p)
{
    asked_t *self = map_get(router->asked, env->request);
    uint64_t from = life != 0 ? life : router->node->life;
    responder_t *responder =
        self != NULL ? find_responder(self, from, content) : NULL;
    if (responder == NULL || self->route->type != env->type) {
        counter_add(&router->node->counters, COUNTER_LATE, 1);
        return;
    }
    if ((env->flags & WIRE_PROGRESS) != 0 && blob_p != NULL) {
        counter_add(&router->node->counters, COUNTER_MALFORMED, 1);
        return;
    }
    if ((env->flags & WIRE_PROGRESS) != 0) {
        slot_t *asker = map_get(router->slots, self->port);
        if (asker != NULL) {
            slot_give(asker, item, env, &(run_t){.life = from}, NULL);
        }
        return;
    }
    settle(self, responder);
    if (env->error != 0 && try_later(router, self, (edri_err_t)env->error)) {
        return;
    }
    blob_t *blob = blob_p != NULL ? *blob_p : NULL;
    if (self->route->observer_count > 0) {
        copy_to_observers(router, self->route, content, from, blob);
    }
    slot_t *port = map_get(router->slots, self->port);
    if (port != NULL) {
        counter_add(&router->node->counters, COUNTER_ANSWERED, 1);
        slot_give(port, item, env, &(run_t){.life = from}, blob_share(blob));
    }
    if (self->open == 0) {
        forget(router, self);
    }
}

bool
asked_opened(router_t *router, uint64_t request, uint64_t life, uint64_t type,
    uint16_t *port_p)
{
    asked_t *self = map_get(router->asked, request);
    responder_t *responder = NULL;
    for (size_t i = 0; self != NULL && i < self->count; i++) {
        responder_t *at = &self->responders[i];
        responder = !at->done && at->life == life ? at : responder;
    }
    if (responder == NULL || self->all || self->route->type != type ||
        map_get(router->slots, self->port) == NULL) {
        return false;
    }
    *port_p = self->port;
    counter_add(&router->node->counters, COUNTER_ANSWERED, 1);
    forget(router, self);
    return true;
}

// ----- ends

bool
asked_unsent(router_t *router, uint64_t id, uint64_t life, uint32_t target)
{
    asked_t *self = map_get(router->asked, id);
    responder_t *responder = find_member(self, life, target);
    if (responder == NULL) {
        return false;
    }
    bool again = !self->all;
    settle(self, responder);
    slot_t *port = map_get(router->slots, self->port);
    if (!again && port != NULL) {
        tell_error(
            router, port, self->route->type, id, responder, EDRI_DRAINING, "");
    }
    if (self->open == 0) {
        forget(router, self);
    }
    return again && port != NULL;
}

// is_waiting says whether the next try of a request is to come.
static bool
is_waiting(const asked_t *self)
{
    return self->attempt != NULL && self->attempt->at_ms != 0;
}

// end_responders ends those that 'life' and 'target' (0: any) had to answer.
static void
end_responders(router_t *router, uint64_t life, uint32_t target)
{
    for (asked_t *self = router->first_asked; self != NULL;) {
        asked_t *after = self->after;
        slot_t *port = map_get(router->slots, self->port);
        for (size_t i = 0; i < self->count; i++) {
            responder_t *responder = &self->responders[i];
            if (responder->done || responder->life != life ||
                (target != 0 && responder->target != target)) {
                continue;
            }
            settle(self, responder);
            counter_add(&router->node->counters, COUNTER_DIED, 1);
            if (port == NULL) {
                continue;
            }
            if (!try_later(router, self, EDRI_RESPONDER_DIED)) {
                tell_error(router, port, self->route->type, self->id, responder,
                    EDRI_RESPONDER_DIED, "");
            }
        }
        if (self->open == 0 && !is_waiting(self)) {
            forget(router, self);
        }
        self = after;
    }
}

void
asked_life_gone(router_t *router, uint64_t life)
{
    end_responders(router, life, 0);
}

void
asked_slot_gone(router_t *router, uint16_t target)
{
    end_responders(router, router->node->life, target);
}

void
asked_expire(router_t *router)
{
    while (router->first_asked != NULL &&
           router->first_asked->until_ms <= router->now_ms) {
        forget(router, router->first_asked);
    }
}

void
asked_destroy(router_t *router)
{
    while (router->first_asked != NULL) {
        forget(router, router->first_asked);
    }
    while (router->free_asked != NULL) {
        asked_t *next = router->free_asked->after;
        free(router->free_asked);
        router->free_asked = next;
    }
    map_destroy(&router->asked);
}
