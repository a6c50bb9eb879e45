// SPDX-License-Identifier: MIT
// replay.c - types that are retained: what late subscribers get, once.

#include "node/replay.h"

#include <stdlib.h>

#include "base/alloc.h"

// Positions that a manager says and remembers, at most: of the sources that it
// heard last.
#define POSITIONS_MAX 4096

// place_t is how far a manager is with one type of one life.
typedef struct place {
    struct place *next; // as they began to be heard
    uint64_t life;
    uint64_t type;
    uint64_t position;
} place_t;

// seat_t is a manager's name with its places; it outlives its slots.
struct seat {
    char *manager;
    map_t *places; // hash of life and type → place_t
    place_t *first;
    place_t *last;
};

// ----- the subscriber

static seat_t *
seat_of(slot_t *slot)
{
    router_t *router = slot->router;
    for (size_t i = 0; i < router->seats.count && slot->seat == NULL; i++) {
        seat_t *seat = router->seats.items[i];
        if (streq(seat->manager, slot->manager)) {
            slot->seat = seat;
        }
    }
    if (slot->seat == NULL) {
        slot->seat = mem_new(sizeof *slot->seat);
        slot->seat->manager = str_dup(slot->manager);
        slot->seat->places = map_new();
        list_add(&router->seats, slot->seat);
    }
    return slot->seat;
}

static uint64_t
place_key(uint64_t life, uint64_t type)
{
    return (life ^ type) * UINT64_C(0x9E3779B97F4A7C15) ^ life;
}

static void
drop_first(seat_t *self)
{
    place_t *place = self->first;
    self->first = place->next;
    self->last = self->first == NULL ? NULL : self->last;
    (void)map_take(self->places, place_key(place->life, place->type));
    free(place);
}

static place_t *
place_of(seat_t *self, uint64_t life, uint64_t type)
{
    place_t *place = map_get(self->places, place_key(life, type));
    if (place == NULL) {
        if (map_size(self->places) >= POSITIONS_MAX) {
            drop_first(self);
        }
        place = mem_new(sizeof *place);
        place->life = life;
        place->type = type;
        (void)map_put(self->places, place_key(life, type), place);
        *(self->last != NULL ? &self->last->next : &self->first) = place;
        self->last = place;
    }
    return place;
}

void
replay_wish(slot_t *slot, const route_t *route, uint32_t age_ms)
{
    slot->wishes =
        mem_resize(slot->wishes, (slot->wish_count + 1) * sizeof *slot->wishes);
    slot->wishes[slot->wish_count++] = (wish_t){route, age_ms};
}

static const wish_t *
wish_of(const slot_t *slot, const route_t *route)
{
    for (size_t i = 0; i < slot->wish_count; i++) {
        if (slot->wishes[i].route == route) {
            return &slot->wishes[i];
        }
    }
    return NULL;
}

bool
replay_is_new(slot_t *slot, const route_t *route, uint64_t life, slice_t item)
{
    slice_t rest = item;
    slice_t content;
    envelope_t env;
    if (wish_of(slot, route) == NULL || !batch_next(&rest, &item, &content) ||
        envelope_read(content, &env) != EDRI_OK || env.position == 0) {
        return true; // not kept, or not replayed to this manager
    }
    uint64_t from = life != 0 ? life : slot->router->node->life;
    place_t *place = place_of(seat_of(slot), from, route->type);
    if (env.position <= place->position) {
        counter_add(&slot->router->node->counters, COUNTER_REPLAYED_TWICE, 1);
        return false;
    }
    place->position = env.position;
    return true;
}

void
replay_asks(
    const slot_t *slot, const route_t *route, Edri__Link__Wanted *wanted)
{
    const wish_t *wish = wish_of(slot, route);
    if (wish == NULL) {
        return;
    }
    Edri__Link__Replay replay = EDRI__LINK__REPLAY__INIT;
    Edri__Link__Position *rows = NULL;
    replay.asked = true;
    replay.age_ms = wish->age_ms;
    const place_t *place = slot->seat != NULL ? slot->seat->first : NULL;
    size_t count = 0;
    for (const place_t *at = place; at != NULL; at = at->next) {
        count += at->type == route->type;
    }
    rows = mem_new((count + 1) * sizeof *rows);
    replay.positions = mem_new((count + 1) * sizeof(void *));
    for (const place_t *at = place; at != NULL; at = at->next) {
        if (at->type == route->type) {
            Edri__Link__Position *row = &rows[replay.n_positions];
            edri__link__position__init(row);
            row->life = at->life;
            row->position = at->position;
            replay.positions[replay.n_positions++] = row;
        }
    }
    wanted->replay.len = edri__link__replay__get_packed_size(&replay);
    wanted->replay.data = mem_new(wanted->replay.len + 1);
    (void)edri__link__replay__pack(&replay, wanted->replay.data);
    free(replay.positions);
    free(rows);
}

void
replays_forget(router_t *router, uint64_t life)
{
    for (size_t i = 0; i < router->seats.count; i++) {
        seat_t *seat = router->seats.items[i];
        place_t **at = &seat->first;
        seat->last = NULL;
        while (*at != NULL) {
            place_t *place = *at;
            if (place->life == life) {
                *at = place->next;
                (void)map_take(seat->places, place_key(life, place->type));
                free(place);
            } else {
                seat->last = place;
                at = &place->next;
            }
        }
    }
}

// ----- the emitter

static retain_t *
retain_of(router_t *router, route_t *route)
{
    if (route->retain == NULL && route->ref != NULL) {
        const edri_type_t *type = route->ref->type;
        route->retain = mem_new(sizeof *route->retain);
        retain_init(route->retain, type->retain_count, type->retain_ms,
            router->node->limits.retain);
    }
    return route->retain;
}

static void
trim(router_t *router, retain_t *retain)
{
    slots_flush(router); // spans may point into what is dropped
    counter_add(&router->node->counters, COUNTER_UNCLAIMED,
        retain_trim(retain, router->now_ms));
}

retained_t *
replay_keep(router_t *router, route_t *route, const slice_t *bytes,
    const run_t *run, blob_t *blob)
{
    retain_t *retain = retain_of(router, route);
    slice_t rest = *bytes;
    slice_t item;
    slice_t content;
    if (!batch_next(&rest, &item, &content)) {
        return NULL;
    }
    trim(router, retain);
    return retain_add(retain, content, run, blob, router->now_ms);
}

void
replay_given(route_t *route, const char *group)
{
    *retain_group(route->retain, group) = route->retain->last;
}

// start_of says behind which position a member's replay begins, by its wish.
static uint64_t
start_of(router_t *router, const retain_t *retain, uint32_t age_ms,
    const Edri__Link__Replay *replay)
{
    for (size_t i = 0; replay != NULL && i < replay->n_positions; i++) {
        if (replay->positions[i]->life == router->node->life) {
            return replay->positions[i]->position;
        }
    }
    return age_ms == 0 ? 0 : retain_since(retain, age_ms, router->now_ms);
}

// group_of returns how far the member's group has been given the type; NULL:
// everybody gets its own.
static uint64_t *
group_of(const route_t *route, const member_t *member, retain_t *retain)
{
    edri_deliver_t deliver = route->ref->type->deliver;
    bool guest = member->dest != NULL && member->dest->remote->name[0] == '\0';
    if (guest || deliver == EDRI_ALL) {
        return NULL;
    }
    const char *name =
        member->slot != NULL ? member->slot->manager : member->dest->manager;
    return retain_group(retain, deliver == EDRI_ONE ? "" : name);
}

static void
play(router_t *router, route_t *route, const member_t *member, uint64_t from)
{
    retain_t *retain = route->retain;
    trim(router, retain);
    uint64_t *group = group_of(route, member, retain);
    uint64_t position = group != NULL && *group > from ? *group : from;
    retained_t *kept = NULL;
    size_t count = 0;
    while ((kept = retain_behind(retain, position)) != NULL) {
        slice_t bytes = {kept->item, kept->size};
        route_give(route, member, bytes, &kept->env, &kept->run, kept->blob);
        kept->given = true;
        position = kept->position;
        count++;
    }
    if (group != NULL) {
        *group = position > *group ? position : *group;
    }
    slots_flush(router);
    counter_add(&router->node->counters, COUNTER_REPLAYED, count);
}

void
replay_member(router_t *router, route_t *route, const member_t *member)
{
    if (route->retain == NULL) {
        return;
    }
    if (member->slot != NULL) {
        const wish_t *wish = wish_of(member->slot, route);
        if (wish != NULL) {
            uint64_t from = start_of(router, route->retain, wish->age_ms, NULL);
            place_t *place = place_of(
                seat_of(member->slot), router->node->life, route->type);
            from = place->position > 0 ? place->position : from;
            play(router, route, member, from);
        }
    } else if (member->wish != NULL && member->wish->len > 0) {
        Edri__Link__Replay *replay = edri__link__replay__unpack(
            NULL, member->wish->len, member->wish->data);
        if (replay == NULL) {
            counter_add(&router->node->counters, COUNTER_MALFORMED, 1);
            return;
        }
        play(router, route, member,
            start_of(router, route->retain, replay->age_ms, replay));
        edri__link__replay__free_unpacked(replay, NULL);
    }
}

void
replays_tick(router_t *router)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->routes, &cursor, NULL, &value)) {
        route_t *route = value;
        if (route->retain != NULL) {
            trim(router, route->retain);
        }
    }
}

void
replays_destroy(router_t *router)
{
    for (size_t i = 0; i < router->seats.count; i++) {
        seat_t *seat = router->seats.items[i];
        while (seat->first != NULL) {
            drop_first(seat);
        }
        map_destroy(&seat->places);
        free(seat->manager);
        free(seat);
    }
    list_clear(&router->seats);
}
