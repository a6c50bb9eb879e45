// SPDX-License-Identifier: MIT
// overflow.c - what happens to events whose receiver is full.

#include "core/overflow.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"

// newest_t is the newest event of one type and key.
typedef struct newest {
    struct newest *next; // in the order of the first events
    uint64_t name;       // of type and key
    run_t origin;
    envelope_t env; // routing fields only
    blob_t *blob;
    size_t size;
    uint8_t *item;
} newest_t;

struct latest {
    map_t *by_name; // hash of type and key → newest_t
    newest_t *first;
    newest_t *last;
    size_t weight;
};

// ----- the newest only

static uint64_t
name_of(const envelope_t *env)
{
    uint64_t key = (env->flags & WIRE_KEYED) != 0 ? env->key : 0;
    return env->type ^ (key + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

static size_t
weight_of(const newest_t *newest)
{
    return sizeof *newest + newest->size +
           (newest->blob != NULL ? blob_size(newest->blob) : 0);
}

static void
fill(newest_t *self, slice_t item, const envelope_t *env, const run_t *origin,
    blob_t *blob)
{
    self->origin = *origin;
    self->env = *env;
    self->blob = blob;
    self->size = item.len;
    self->item = mem_resize(self->item, item.len);
    memcpy(self->item, item.data, item.len);
}

static void
put_latest(overflow_t *self, slice_t item, const envelope_t *env,
    const run_t *origin, blob_t *blob)
{
    latest_t *latest = self->latest;
    if (latest == NULL) {
        latest = self->latest = mem_new(sizeof *latest);
        latest->by_name = map_new();
    }
    newest_t *newest = map_get(latest->by_name, name_of(env));
    if (newest != NULL) {
        self->dropped(env->type, self->arg);
        latest->weight -= weight_of(newest);
        blob_drop(&newest->blob);
    } else {
        newest = mem_new(sizeof *newest);
        newest->name = name_of(env);
        (void)map_put(latest->by_name, newest->name, newest);
        *(latest->last != NULL ? &latest->last->next : &latest->first) = newest;
        latest->last = newest;
    }
    fill(newest, item, env, origin, blob);
    latest->weight += weight_of(newest);
}

// take_first takes the one that has waited longest, or NULL.
static newest_t *
take_first(latest_t *self)
{
    newest_t *newest = self->first;
    if (newest != NULL) {
        self->first = newest->next;
        self->last = self->first == NULL ? NULL : self->last;
        self->weight -= weight_of(newest);
        (void)map_take(self->by_name, newest->name);
    }
    return newest;
}

static void
free_newest(newest_t *newest)
{
    blob_drop(&newest->blob);
    free(newest->item);
    free(newest);
}

void
overflow_join(overflow_t *self, outq_t *queue)
{
    newest_t *newest = NULL;
    while (self->latest != NULL && queue->bytes <= self->limit &&
           (newest = take_first(self->latest)) != NULL) {
        outq_append_as(queue, EDRI_LATEST,
            (slice_t){newest->item, newest->size}, &newest->env,
            &newest->origin, newest->blob);
        newest->blob = NULL;
        free_newest(newest);
    }
}

size_t
overflow_weight(const overflow_t *self)
{
    return self->latest != NULL ? self->latest->weight : 0;
}

void
overflow_clear(overflow_t *self)
{
    newest_t *newest = NULL;
    while (
        self->latest != NULL && (newest = take_first(self->latest)) != NULL) {
        free_newest(newest);
    }
    if (self->latest != NULL) {
        map_destroy(&self->latest->by_name);
        free(self->latest);
        self->latest = NULL;
    }
}

// ----- the oldest

// make_room drops the oldest events that may be dropped, until the queue is
// within its limit or there are none.
static void
make_room(overflow_t *self, outq_t *queue)
{
    uint64_t type = 0;
    while (queue->bytes > self->limit &&
           outq_drop_oldest(queue, EDRI_DROP_OLDEST, &type)) {
        self->dropped(type, self->arg);
    }
}

void
overflow_put(overflow_t *self, outq_t *queue, bool full, edri_overflow_t policy,
    slice_t item, const envelope_t *env, const run_t *origin, blob_t *blob)
{
    if (policy == EDRI_DROP_NEWEST && full) {
        self->dropped(env->type, self->arg);
        blob_drop(&blob);
        return;
    }
    if (policy == EDRI_LATEST && full) {
        put_latest(self, item, env, origin, blob);
        return;
    }
    outq_append_as(queue, policy, item, env, origin, blob);
    if (policy == EDRI_DROP_OLDEST && queue->bytes > self->limit) {
        make_room(self, queue);
    }
}
