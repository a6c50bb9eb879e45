// SPDX-License-Identifier: MIT
// tunnels.c - the open tunnels of a node, as its router knows them.

#include "node/tunnels.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "node/link_words.h"

// A tool is told of so many.
#define ROWS_MAX ((size_t)1000)

// row_t is one end here.
typedef struct row {
    uint64_t id;
    uint16_t port;
    uint16_t target; // the manager whose worker has accepted it; 0: none
    uint64_t life;   // of the other end, perhaps this one, and its id
    uint64_t peer;
    uint64_t type;
    bool opener;
    bool finished; // this end
    bool ended;    // the other end
    uint64_t sent; // bytes, as they count for the window
    uint64_t received;
    uint64_t limit;    // of 'sent'
    uint64_t granted;  // of 'received'
    int64_t opened_us; // wall clock
    int64_t used_ms;
} row_t;

size_t
tunnels_window(edri_node_t *node)
{
    size_t open =
        atomic_load_explicit(&node->tunnels_open, memory_order_relaxed);
    size_t share = node->limits.tunnel_memory / (open > 0 ? open : 1);
    size_t most = node->limits.tunnel_window;
    size_t size = share < most ? share : most;
    return size > TUNNEL_WINDOW_MIN ? size : TUNNEL_WINDOW_MIN;
}

// ----- rows

static row_t *
add(router_t *router, uint64_t id, uint16_t port, uint64_t life, uint64_t peer,
    uint64_t type, bool opener)
{
    row_t *row = mem_new(sizeof *row);
    *row = (row_t){.id = id,
        .port = port,
        .life = life,
        .peer = peer,
        .type = type,
        .opener = opener,
        .opened_us = clock_unix_us(),
        .used_ms = router->now_ms};
    free(map_put(router->tunnels, id, row));
    counter_add(&router->node->counters, COUNTER_TUNNELS, 1);
    return row;
}

// manager_of finds the manager that a port works for.
static slot_t *
manager_of(const router_t *router, uint16_t port)
{
    const slot_t *slot = map_get(router->slots, port);
    uint16_t target =
        slot != NULL && slot->port != NULL ? slot->port->target : 0;
    return target != 0 ? map_get(router->slots, target) : NULL;
}

static void
drop(router_t *router, row_t **row_p)
{
    slot_t *manager = map_get(router->slots, (*row_p)->target);
    if ((*row_p)->target != 0 && manager != NULL && manager->tunnels > 0) {
        manager->tunnels--;
    }
    free(map_take(router->tunnels, (*row_p)->id));
    *row_p = NULL;
}

// find returns the row of an end, if it is that of the other end, too.
static row_t *
find(const router_t *router, uint64_t id, uint64_t life, uint64_t peer)
{
    row_t *row = map_get(router->tunnels, id);
    return row != NULL && row->life == life && row->peer == peer ? row : NULL;
}

// ----- words of the router

static void
close_word(envelope_t *env, uint64_t type, uint64_t id, uint64_t peer,
    uint64_t life, edri_err_t reason, const char *text)
{
    *env = (envelope_t){.type = type,
        .id = id,
        .flags = envelope_flags(EDRI_TUNNEL, EDRI_ONE, 3) | WIRE_CLOSE,
        .request = peer,
        .to = life,
        .error = (uint32_t)reason,
        .text = {(const uint8_t *)text, strlen(text)}};
}

// tell_here lets an end here know that the tunnel is closed.
static void
tell_here(
    router_t *router, const row_t *row, edri_err_t reason, const char *text)
{
    slot_t *slot = map_get(router->slots, row->port);
    envelope_t env;
    size_t size = 0;
    if (slot == NULL) {
        return;
    }
    close_word(
        &env, row->type, row->peer, row->id, router->node->life, reason, text);
    uint8_t *item = envelope_copy(&env, &size);
    slots_flush(router);
    slot_give(
        slot, (slice_t){item, size}, &env, &(run_t){.life = row->life}, NULL);
    slots_flush(router);
    free(item);
}

// tell_there closes the other end of a tunnel, wherever it is.
static void
tell_there(router_t *router, uint64_t life, uint64_t type, uint64_t id,
    uint64_t peer, edri_err_t reason, const char *text)
{
    envelope_t env;
    size_t size = 0;
    if (life == router->node->life) {
        row_t *other = find(router, peer, life, id);
        if (other != NULL) {
            tell_here(router, other, reason, text);
            drop(router, &other);
        }
        return;
    }
    close_word(&env, type, id, peer, life, reason, text);
    uint8_t *item = envelope_copy(&env, &size);
    remote_stream(router, life, (slice_t){item, size}, &env, NULL);
    free(item);
}

// end closes both ends of a tunnel.
static void
end(router_t *router, row_t *row, edri_err_t reason, const char *text)
{
    tell_here(router, row, reason, text);
    tell_there(router, row->life, row->type, row->id, row->peer, reason, text);
    drop(router, &row);
}

// ----- passing on

static size_t
weight_of(const envelope_t *env, blob_t **blob_p)
{
    return TUNNEL_OVERHEAD +
           (blob_p != NULL ? blob_size(*blob_p) : env->body.len);
}

static bool
is_data(const envelope_t *env)
{
    return (env->flags & (WIRE_OPENED | WIRE_CREDIT | WIRE_END | WIRE_CLOSE)) ==
           0;
}

// note books a word that goes from an end (out) or to it.
static void
note(router_t *router, row_t *row, const envelope_t *env, blob_t **blob_p,
    bool out)
{
    row->used_ms = router->now_ms;
    if (is_data(env)) {
        *(out ? &row->sent : &row->received) += weight_of(env, blob_p);
    } else if ((env->flags & WIRE_CREDIT) != 0) {
        *(out ? &row->granted : &row->limit) = env->position;
    } else if ((env->flags & WIRE_END) != 0) {
        *(out ? &row->finished : &row->ended) = true;
    }
}

// over says whether a row has seen the last word.
static bool
over(const row_t *row, const envelope_t *env)
{
    return (env->flags & WIRE_CLOSE) != 0 || (row->finished && row->ended);
}

// too_much ends a tunnel through which more went than tunnel.bytes allows.
static bool
too_much(router_t *router, row_t *row)
{
    uint64_t most = router->node->limits.tunnel_bytes;
    if (most == 0 || row->sent + row->received <= most) {
        return false;
    }
    char text[120];
    (void)snprintf(text, sizeof text,
        "more than the %llu bytes of tunnel.bytes went through it",
        (unsigned long long)most);
    end(router, row, EDRI_TOO_BIG, text);
    return true;
}

// give hands a word to the end that it is for.
static void
give(router_t *router, row_t *row, slice_t item, const envelope_t *env,
    blob_t **blob_p)
{
    slot_t *slot = map_get(router->slots, row->port);
    if (is_data(env) && row->granted != 0 && row->received >= row->granted) {
        counter_add(&router->node->counters, COUNTER_DENIED, 1);
        end(router, row, EDRI_PROTO, "an end has sent more than it may");
        return;
    }
    note(router, row, env, blob_p, false);
    if (slot != NULL) {
        slot_give(slot, item, env, &(run_t){.life = row->life},
            blob_p != NULL ? blob_share(*blob_p) : NULL);
    }
    if (over(row, env)) {
        drop(router, &row);
    } else {
        (void)too_much(router, row);
    }
}

// pass takes a word to the other end's node, or to the other end here.
static void
pass(router_t *router, uint64_t life, slice_t item, slice_t content,
    const envelope_t *env, blob_t **blob_p)
{
    if (life == router->node->life) {
        tunnels_in(router, life, item, content, blob_p);
    } else if ((env->flags & WIRE_CREDIT) != 0) {
        remote_reply(router, life, item, env, 0, NULL);
    } else {
        remote_stream(router, life, item, env,
            blob_p != NULL ? blob_share(*blob_p) : NULL);
    }
}

// too_many says whether an end that a worker has accepted is one too many.
static bool
too_many(router_t *router, const row_t *row, char *text, size_t text_size)
{
    size_t limit = router->node->limits.tunnel_limit;
    slot_t *manager = manager_of(router, row->port);
    if (map_size(router->tunnels) > limit) {
        (void)snprintf(text, text_size,
            "%zu ends of tunnels are open at the node, as many as tunnel.limit "
            "allows",
            limit);
        return true;
    }
    if (manager != NULL && manager->port->tunnel_limit > 0 &&
        manager->tunnels >= manager->port->tunnel_limit) {
        (void)snprintf(text, text_size,
            "manager %.60s has %zu tunnels open, as many as its setting "
            "'tunnels' allows",
            manager->manager, manager->tunnels);
        return true;
    }
    return false;
}

// refused ends a tunnel that is one too many.  Returns false when it is not.
static bool
refused(router_t *router, const row_t *row)
{
    char text[200];
    if (!too_many(router, row, text, sizeof text)) {
        return false;
    }
    envelope_t env = {.type = row->type,
        .flags = envelope_flags(EDRI_REPLY, EDRI_ONE, 3) | WIRE_LAST,
        .request = row->peer,
        .to = row->life,
        .error = EDRI_OVERLOADED,
        .text = {(const uint8_t *)text, strlen(text)}};
    size_t size = 0;
    uint8_t *item = envelope_copy(&env, &size);
    slice_t rest = {item, size};
    slice_t bytes;
    slice_t content;
    (void)batch_next(&rest, &bytes, &content);
    slots_flush(router);
    route_event(router, NULL, bytes, content, &env, &(run_t){0}, NULL);
    slots_flush(router);
    free(item);
    tell_here(router, row, EDRI_OVERLOADED, text);
    return true;
}

// is_gone says whether a life has ended, or was given up: it hears nothing.
static bool
is_gone(const router_t *router, uint64_t life)
{
    const remote_t *remote = map_get(router->remotes, life);
    return life != router->node->life &&
           (remote == NULL || remote->gone_ms != 0 || remote->ended);
}

// open makes the row of an acceptor's end.  NULL: it was refused, or is too late.
static row_t *
open(router_t *router, const slot_t *from, uint64_t life, const envelope_t *env)
{
    row_t *row = add(
        router, env->id, from->number, life, env->request, env->type, false);
    if (is_gone(router, life)) {
        tell_here(router, row, EDRI_RESPONDER_DIED,
            "the node at the other end has gone");
        drop(router, &row);
        return NULL;
    }
    row->granted = env->position;
    if (refused(router, row)) {
        drop(router, &row);
        return NULL;
    }
    slot_t *manager = manager_of(router, from->number);
    if (manager != NULL) {
        row->target = manager->number;
        manager->tunnels++;
    }
    return row;
}

// read_word reads what is said in a tunnel.  Returns false when it is malformed.
static bool
read_word(router_t *router, slice_t content, blob_t **blob_p, envelope_t *env)
{
    // Only data has an attachment.
    bool fine = envelope_read(content, env) == EDRI_OK &&
                (blob_p == NULL || is_data(env));
    if (!fine) {
        counter_add(&router->node->counters, COUNTER_MALFORMED, 1);
    }
    return fine;
}

void
tunnels_out(router_t *router, slot_t *from, slice_t item, slice_t content,
    blob_t **blob_p)
{
    envelope_t env;
    if (!read_word(router, content, blob_p, &env)) {
        return;
    }
    uint64_t life = env.to != 0 ? env.to : router->node->life;
    row_t *row = find(router, env.id, life, env.request);
    bool opens = (env.flags & WIRE_OPENED) != 0;
    if (opens && map_get(router->tunnels, env.id) == NULL) {
        row = open(router, from, life, &env);
        if (row == NULL) {
            return;
        }
    } else if (row == NULL || row->port != from->number || opens) {
        counter_add(&router->node->counters, COUNTER_LATE, 1);
        return; // it was closed meanwhile
    }
    note(router, row, &env, blob_p, true);
    bool last = over(row, &env);
    pass(router, life, item, content, &env, blob_p);
    // The other end here may have ended it.
    row = map_get(router->tunnels, env.id);
    if (row != NULL && last) {
        drop(router, &row);
    } else if (row != NULL) {
        (void)too_much(router, row);
    }
}

// opened_in lets a request find its tunnel.
static void
opened_in(router_t *router, uint64_t life, slice_t item, const envelope_t *env)
{
    uint16_t port = 0;
    if (!asked_opened(router, env->request, life, env->type, &port) ||
        map_get(router->tunnels, env->request) != NULL) {
        tell_there(router, life, env->type, env->request, env->id,
            EDRI_CANCELLED, "nobody waits for the tunnel any more");
        counter_add(&router->node->counters, COUNTER_LATE, 1);
        return;
    }
    row_t *row =
        add(router, env->request, port, life, env->id, env->type, true);
    row->limit = env->position;
    slot_t *slot = map_get(router->slots, port);
    if (slot != NULL) {
        slot_give(slot, item, env, &(run_t){.life = life}, NULL);
    }
}

void
tunnels_in(router_t *router, uint64_t life, slice_t item, slice_t content,
    blob_t **blob_p)
{
    envelope_t env;
    if (!read_word(router, content, blob_p, &env)) {
        return;
    }
    if ((env.flags & WIRE_OPENED) != 0) {
        opened_in(router, life, item, &env);
        return;
    }
    row_t *row = find(router, env.request, life, env.id);
    if (row == NULL) {
        counter_add(&router->node->counters, COUNTER_LATE, 1);
        if (is_data(&env) || (env.flags & WIRE_END) != 0) {
            tell_there(router, life, env.type, env.request, env.id,
                EDRI_CANCELLED, "this end has been closed");
        }
        return;
    }
    give(router, row, item, &env, blob_p);
}

// ----- ends

void
tunnels_port_gone(router_t *router, uint16_t port, uint64_t last,
    edri_err_t reason, const char *text)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->tunnels, &cursor, NULL, &value)) {
        row_t *row = value;
        if (row->port == port && row->id <= last) {
            bool here = row->life == router->node->life;
            tell_there(
                router, row->life, row->type, row->id, row->peer, reason, text);
            drop(router, &row);
            cursor = here ? 0 : cursor; // another has been taken out, too
        }
    }
}

// note_cut keeps an end of a life that may come back: it knows nothing of that.
static void
note_cut(remote_t *remote, uint64_t type, uint64_t id, uint64_t peer,
    edri_err_t reason)
{
    if (remote != NULL && !remote->ended) {
        tunnel_cut_t *cut = mem_new(sizeof *cut);
        *cut = (tunnel_cut_t){remote->cuts, type, id, peer, reason};
        remote->cuts = cut;
    }
}

void
tunnels_unsaid(remote_t *remote, slice_t batch)
{
    slice_t item;
    slice_t content;
    envelope_t env;
    while (batch_next(&batch, &item, &content) &&
           envelope_route(content, &env) == EDRI_OK) {
        if (envelope_kind(env.flags) == EDRI_TUNNEL &&
            (env.flags & (WIRE_END | WIRE_CLOSE)) != 0) {
            note_cut(
                remote, env.type, env.id, env.request, EDRI_RESPONDER_DIED);
        }
    }
}

void
tunnels_life_gone(
    router_t *router, uint64_t life, edri_err_t reason, const char *text)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->tunnels, &cursor, NULL, &value)) {
        row_t *row = value;
        if (row->life == life) {
            tell_here(router, row, reason, text);
            note_cut(map_get(router->remotes, life), row->type, row->id,
                row->peer, reason);
            drop(router, &row);
        }
    }
}

void
tunnels_returned(remote_t *remote)
{
    tunnel_cut_t *cut = NULL;
    while ((cut = remote->cuts) != NULL) {
        remote->cuts = cut->next;
        tell_there(remote->router, remote->life, cut->type, cut->id, cut->peer,
            cut->reason, "the node at the other end had given this one up");
        free(cut);
    }
}

void
tunnels_forget(remote_t *remote)
{
    while (remote->cuts != NULL) {
        tunnel_cut_t *next = remote->cuts->next;
        free(remote->cuts);
        remote->cuts = next;
    }
}

void
tunnels_lost(router_t *router, uint64_t life, const envelope_t *env,
    edri_err_t reason, const char *text)
{
    row_t *row = find(router, env->request, life, env->id);
    if (row != NULL) {
        end(router, row, reason, text);
    }
}

void
tunnels_tick(router_t *router)
{
    int64_t idle_ms = router->node->limits.tunnel_idle_ms;
    size_t cursor = 0;
    void *value = NULL;
    while (idle_ms > 0 && map_next(router->tunnels, &cursor, NULL, &value)) {
        row_t *row = value;
        if (router->now_ms - row->used_ms > idle_ms) {
            char text[100];
            (void)snprintf(text, sizeof text,
                "nothing went through it for the %lld ms of tunnel.idle",
                (long long)idle_ms);
            end(router, row, EDRI_DEADLINE, text);
            cursor = 0;
        }
    }
}

void
tunnels_destroy(router_t *router)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->tunnels, &cursor, NULL, &value)) {
        free(value);
    }
    map_destroy(&router->tunnels);
}

// ----- for tools

void
tunnels_answer(link_t *link, uint64_t number)
{
    router_t *router = link->router;
    size_t all = map_size(router->tunnels);
    size_t count = all < ROWS_MAX ? all : ROWS_MAX;
    Edri__Link__Answer answer = EDRI__LINK__ANSWER__INIT;
    Edri__Link__TunnelInfo *rows = mem_new((count + 1) * sizeof *rows);
    answer.tunnels = mem_new((count + 1) * sizeof *answer.tunnels);
    size_t cursor = 0;
    void *value = NULL;
    answer.tunnels_more = all - count;
    while (answer.n_tunnels < count &&
           map_next(router->tunnels, &cursor, NULL, &value)) {
        const row_t *row = value;
        Edri__Link__TunnelInfo *info = &rows[answer.n_tunnels];
        const typeref_t *ref = shared_map_get(router->node->types, row->type);
        const slot_t *manager = manager_of(router, row->port);
        edri__link__tunnel_info__init(info);
        info->type = (char *)(uintptr_t)(ref != NULL ? ref->type->name : "");
        info->manager =
            (char *)(uintptr_t)(manager != NULL && manager->manager != NULL
                                    ? manager->manager
                                    : "");
        info->id = row->id;
        info->peer_life = row->life;
        info->opener = row->opener;
        info->sent = row->sent;
        info->received = row->received;
        info->may_send = row->limit > row->sent ? row->limit - row->sent : 0;
        info->may_receive =
            row->granted > row->received ? row->granted - row->received : 0;
        info->opened_us = row->opened_us;
        info->idle_ms = router->now_ms - row->used_ms;
        answer.tunnels[answer.n_tunnels++] = info;
    }
    control_t word = EDRI__LINK__CONTROL__INIT;
    answer.number = number;
    answer.life = router->node->life;
    answer.name = (char *)(uintptr_t)router->node->name;
    word.word_case = EDRI__LINK__CONTROL__WORD_ANSWER;
    word.answer = &answer;
    link_say(link, &word);
    free(answer.tunnels);
    free(rows);
}
