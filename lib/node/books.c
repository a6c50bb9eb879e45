// SPDX-License-Identifier: MIT
// books.c - what a node holds and has dropped: for edri audit, and as events.

#include "node/books.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "edri/system.edri.h"
#include "node/remote.h"
#include "node/system.h"
#include "node/tunnels.h"
#include "node/types.h"

// Rows of a kind in one answer, at most: it must fit into a message.
#define ROWS_MAX 4000

// ----- rows

typedef struct rows {
    Edri__Link__Books books;
    size_t queue_room;
    size_t flow_room;
    size_t drop_room;
    router_t *router;
} rows_t;

static void *
add_row(void ***list, size_t *count, size_t *room, size_t size)
{
    if (*count == ROWS_MAX) {
        return NULL;
    }
    if (*count == *room) {
        *room = 2 * *room + 16;
        *list = mem_resize(*list, *room * sizeof **list);
    }
    void *row = mem_new(size);
    (*list)[(*count)++] = row;
    return row;
}

static void
add_queue(rows_t *self, char *name, uint64_t bytes, uint64_t limit)
{
    Edri__Link__QueueInfo *row = add_row((void ***)&self->books.queues,
        &self->books.n_queues, &self->queue_room, sizeof *row);
    if (row == NULL) {
        free(name);
        return;
    }
    edri__link__queue_info__init(row);
    row->name = name;
    row->bytes = bytes;
    row->limit = limit;
}

static Edri__Link__FlowInfo *
add_flow(rows_t *self, const remote_t *remote, int lane)
{
    Edri__Link__FlowInfo *row = add_row((void ***)&self->books.flows,
        &self->books.n_flows, &self->flow_room, sizeof *row);
    if (row != NULL) {
        edri__link__flow_info__init(row);
        row->life = remote->life;
        row->name = str_dup(remote->name);
        row->lane = (uint32_t)lane;
    }
    return row;
}

static const char *
type_name(router_t *router, uint64_t type)
{
    const typeref_t *ref = shared_map_get(router->node->types, type);
    return ref != NULL ? ref->type->name : "";
}

static void
add_drop(drop_t *drop, void *arg)
{
    rows_t *self = arg;
    Edri__Link__DropInfo *row = add_row((void ***)&self->books.drops,
        &self->books.n_drops, &self->drop_room, sizeof *row);
    if (row != NULL) {
        edri__link__drop_info__init(row);
        row->type = str_dup(type_name(self->router, drop->type));
        row->peer = str_dup(drop->peer);
        row->reason = drop->reason;
        row->events = drop->events;
    }
}

// ----- what there is

static void
add_slots(rows_t *self)
{
    router_t *router = self->router;
    const limits_t *limits = &router->node->limits;
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->slots, &cursor, NULL, &value)) {
        slot_t *slot = value;
        if (slot->manager != NULL) {
            // Beside a box that is full waits a quarter of it.
            add_queue(self, str_printf("manager %s", slot->manager),
                slot_used(slot), slot_limit(slot) + slot_limit(slot) / 4);
        }
        if (!slot->ipc) {
            add_queue(self, str_printf("port %u", slot->number),
                box_used(slot->port->out), limits->port_queue);
        }
    }
}

static void
add_routes(rows_t *self)
{
    router_t *router = self->router;
    const limits_t *limits = &router->node->limits;
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->routes, &cursor, NULL, &value)) {
        route_t *route = value;
        size_t bytes = route_waiting(route);
        const char *name = type_name(router, route->type);
        if (bytes > 0) {
            add_queue(self, str_printf("for a receiver of %s", name), bytes,
                limits->link_queue);
        }
        if (route->retain != NULL) {
            add_queue(self, str_printf("retained %s", name),
                route->retain->bytes, limits->retain);
        }
    }
}

static void
add_dests(rows_t *self, const remote_t *remote)
{
    size_t limit = self->router->node->limits.link_queue;
    for (size_t i = 0; i < remote->dest_count; i++) {
        const dest_t *dest = remote->dests[i];
        size_t held = 0;
        for (int lane = EDRI__WIRE__LANE__EVENT; lane < LANES; lane++) {
            held += flow_out_held(&remote->out[lane], dest->target);
        }
        add_queue(self, str_printf("to %s/%s", remote->name, dest->manager),
            dest->queue.bytes + overflow_weight(&dest->overflow), 2 * limit);
        add_queue(self,
            str_printf("unsettled at %s/%s", remote->name, dest->manager), held,
            2 * limit);
    }
}

static void
add_remotes(rows_t *self)
{
    router_t *router = self->router;
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->remotes, &cursor, NULL, &value)) {
        const remote_t *remote = value;
        if (remote->gone_ms != 0) {
            continue;
        }
        // One that handles nothing has told no name, nor has a guest.
        add_dests(self, remote);
        if (remote->name[0] != '\0' || remote->replies.bytes > 0) {
            add_queue(self, str_printf("replies to %s", remote->name),
                remote->replies.bytes, replies_max(router));
        }
        if (remote->streams.bytes > 0) {
            add_queue(self, str_printf("tunnels to %s", remote->name),
                remote->streams.bytes,
                router->node->limits.tunnel_memory +
                    map_size(router->tunnels) * TUNNEL_WINDOW_MIN);
        }
        for (int lane = 1; lane < LANES; lane++) {
            const flow_out_t *out = &remote->out[lane];
            const flow_in_t *in = &remote->in[lane];
            Edri__Link__FlowInfo *row =
                out->events > 0 ? add_flow(self, remote, lane) : NULL;
            if (row != NULL) {
                row->position = out->next;
                row->sum = out->sum;
                row->events = out->events;
                row->arrived = out->arrived;
                row->kept = out->weight;
            }
            row = in->begun ? add_flow(self, remote, lane) : NULL;
            if (row != NULL) {
                row->incoming = true;
                row->position = in->arrived;
                row->sum = in->sum;
                row->events = in->events;
                row->kept = in->open;
                row->differ = in->differs;
                row->differ_at = in->differs_at;
            }
        }
    }
}

void
books_answer(link_t *link, uint64_t number)
{
    router_t *router = link->router;
    rows_t rows = {.books = EDRI__LINK__BOOKS__INIT, .router = router};
    rows.books.life = router->node->life;
    rows.books.name = str_dup(router->node->name);
    add_slots(&rows);
    add_routes(&rows);
    add_remotes(&rows);
    drops_each(&router->node->drops, add_drop, &rows);
    Edri__Link__Books *books = mem_new(sizeof *books);
    Edri__Link__Answer *answer = mem_new(sizeof *answer);
    edri__link__answer__init(answer);
    *books = rows.books;
    answer->books = books;
    answer->number = number;
    answer->life = router->node->life;
    answer->name = str_dup(router->node->name);
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_ANSWER;
    word.answer = answer;
    link_say(link, &word);
    edri__link__answer__free_unpacked(answer, NULL);
}

// ----- drops as events

// news_t is what has been dropped since the last time.
typedef struct news {
    drop_t *rows;
    size_t count;
} news_t;

static void
note_news(drop_t *row, void *arg)
{
    news_t *self = arg;
    // Its own type is not told: it would never end.
    if (row->events > row->told && row->type != edri_dropped_type.id) {
        self->rows =
            mem_resize(self->rows, (self->count + 1) * sizeof *self->rows);
        self->rows[self->count] = *row;
        self->rows[self->count++].peer = str_dup(row->peer);
        row->told = row->events;
    }
}

static void
tell(router_t *router, const drop_t *row)
{
    Edri__Dropped event = EDRI__DROPPED__INIT;
    event.node = str_dup(router->node->name);
    event.type = str_dup(type_name(router, row->type));
    event.peer = row->peer;
    event.reason = str_dup(edri_err_name(row->reason));
    event.events = row->events - row->told;
    event.total = row->events;
    system_emit(router, &edri_dropped_type, &event.base, false);
    free(event.node);
    free(event.type);
    free(event.reason);
}

void
books_tell(router_t *router)
{
    news_t news = {0};
    drops_each(&router->node->drops, note_news, &news);
    bool wanted = news.count > 0 && system_wanted(router, &edri_dropped_type);
    for (size_t i = 0; i < news.count; i++) {
        if (wanted) {
            tell(router, &news.rows[i]);
        }
        free(news.rows[i].peer);
    }
    free(news.rows);
}
