// SPDX-License-Identifier: MIT
// outq.c - what waits at the source for one receiver: chunks of batch.

#include "core/outq.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "core/flow_out.h"

// First room of a chunk: a lone small event, or as much as the one before it; doubled
// until a frame is full.
#define CHUNK_MIN 256

bool
chunk_has_type(const chunk_t *self, uint64_t type)
{
    // The newest first: streams of one type are the rule.
    for (uint32_t i = self->type_count; i > 0; i--) {
        if (self->types[i - 1] == type) {
            return true;
        }
    }
    return false;
}

// fits says whether an item may join the chunk.
static bool
fits(const outq_t *self, const chunk_t *chunk, edri_overflow_t policy,
    slice_t item, const envelope_t *env, const run_t *origin, int64_t base_ms)
{
    const run_t *mine = &chunk->origin;
    return chunk->blob == NULL && chunk->policy == policy &&
           chunk->epoch == self->epoch &&
           chunk->priority == envelope_priority(env->flags) &&
           mine->life == origin->life && mine->token == origin->token &&
           mine->redelivered == origin->redelivered &&
           chunk->start + chunk->size + item.len <= WIRE_BATCH_MAX &&
           (env->ttl_ms == 0 || mine->base_ms == base_ms) &&
           (chunk->type_count < WIRE_TYPES_MAX ||
               chunk_has_type(chunk, env->type));
}

static void
link_chunk(outq_t *self, chunk_t *chunk)
{
    if (self->last != NULL) {
        self->last->next = chunk;
    } else {
        self->first = chunk;
    }
    self->last = chunk;
}

// new_chunk makes one and puts it behind 'before'; NULL: to the front.
static chunk_t *
new_chunk(outq_t *self, chunk_t *before, size_t capacity, const run_t *origin,
    int64_t base_ms)
{
    chunk_t *chunk = mem_new(sizeof *chunk);
    atomic_init(&chunk->references, 1);
    chunk->origin = *origin;
    chunk->origin.base_ms = base_ms;
    chunk->epoch = self->epoch;
    chunk->patience = OUTQ_PATIENCE;
    chunk->capacity = capacity < CHUNK_MIN ? CHUNK_MIN : capacity;
    chunk->data = mem_resize(NULL, chunk->capacity);
    chunk_t **place = before != NULL ? &before->next : &self->first;
    chunk->next = *place;
    *place = chunk;
    if (chunk->next == NULL) {
        self->last = chunk;
    }
    return chunk;
}

// first_room is the room of a chunk that begins behind another (NULL: to the front): as
// much as is in that, or in an empty queue was in the last one taken.
static size_t
first_room(
    const outq_t *self, const chunk_t *before, size_t size, const blob_t *blob)
{
    size_t like = blob != NULL          ? 0
                  : self->first == NULL ? self->usual
                  : before != NULL      ? before->size
                                        : 0;
    return like > size ? like : size;
}

// find_place returns the chunk behind which an event goes that is more urgent
// than the last one (NULL: to the front), and lets it overtake those behind.
// 'large' is one with an attachment: of two bodies only one is half sent.
static chunk_t *
find_place(outq_t *self, uint8_t priority, size_t size, bool large)
{
    chunk_t *before = NULL;
    for (chunk_t *at = self->first; at != NULL; at = at->next) {
        if (at->priority >= priority || at->patience < size ||
            (large && at->blob_sent > 0)) {
            before = at;
        }
    }
    chunk_t *behind = before != NULL ? before->next : self->first;
    for (; behind != NULL; behind = behind->next) {
        behind->patience -= size;
    }
    return before;
}

void
outq_put(outq_t *self, chunk_t *chunk)
{
    link_chunk(self, chunk);
    self->bytes += chunk_weight(chunk);
    self->events += chunk->events;
}

void
outq_join(outq_t *self, outq_t *other)
{
    if (other->first != NULL) {
        chunk_t *last = other->last;
        link_chunk(self, other->first);
        self->last = last;
        self->bytes += other->bytes;
        self->events += other->events;
        *other = (outq_t){.epoch = other->epoch};
    }
}

void
outq_append(outq_t *self, slice_t item, const envelope_t *env,
    const run_t *origin, blob_t *blob)
{
    outq_append_as(self, EDRI_BLOCK, item, env, origin, blob);
}

void
outq_append_as(outq_t *self, edri_overflow_t policy, slice_t item,
    const envelope_t *env, const run_t *origin, blob_t *blob)
{
    uint8_t priority = envelope_priority(env->flags);
    size_t weight = item.len + (blob != NULL ? blob_size(blob) : 0);
    chunk_t *chunk = self->last;
    int64_t base = env->ttl_ms == 0 ? 0 : origin->base_ms;
    if (chunk != NULL && chunk->priority < priority) {
        chunk = find_place(self, priority, weight, blob != NULL);
    }
    if (chunk == NULL || blob != NULL ||
        !fits(self, chunk, policy, item, env, origin, base)) {
        chunk = new_chunk(
            self, chunk, first_room(self, chunk, item.len, blob), origin, base);
        chunk->policy = policy;
        chunk->priority = priority;
    }
    size_t used = chunk->start + chunk->size;
    if (chunk->capacity - used < item.len) {
        while (chunk->capacity - used < item.len) {
            chunk->capacity *= 2;
        }
        chunk->data = mem_resize(chunk->data, chunk->capacity);
    }
    memcpy(chunk->data + used, item.data, item.len);
    chunk->size += item.len;
    chunk->events++;
    chunk->sum = flow_sum(chunk->sum, env->type, env->id, item.len);
    chunk->keep = chunk->keep || envelope_movable(env->flags);
    if (!chunk_has_type(chunk, env->type)) {
        chunk->types[chunk->type_count++] = env->type;
    }
    if (blob != NULL) {
        chunk->blob = blob;
        chunk->blob_id = env->id;
    }
    self->bytes += weight;
    self->events++;
}

bool
outq_older(const outq_t *self, uint64_t epoch)
{
    const chunk_t *chunk = self->first;
    while (chunk != NULL && chunk->epoch >= epoch) {
        chunk = chunk->next;
    }
    return chunk != NULL;
}

chunk_t *
outq_take(outq_t *self)
{
    chunk_t *chunk = self->first;
    if (chunk == NULL) {
        return NULL;
    }
    self->first = chunk->next;
    if (self->first == NULL) {
        self->last = NULL;
    }
    chunk->next = NULL;
    self->bytes -= chunk_weight(chunk);
    self->events -= chunk->events;
    self->usual = chunk->size;
    return chunk;
}

// unlink takes a chunk out of the middle.
static void
unlink_chunk(outq_t *self, chunk_t *before, chunk_t *chunk)
{
    *(before != NULL ? &before->next : &self->first) = chunk->next;
    if (self->last == chunk) {
        self->last = before;
    }
    self->bytes -= chunk_weight(chunk);
    self->events -= chunk->events;
    chunk_drop(&chunk);
}

bool
outq_drop_oldest(outq_t *self, edri_overflow_t policy, uint64_t *type_p)
{
    chunk_t *before = NULL; // of 'chunk'
    chunk_t *chunk = NULL;
    chunk_t *last = NULL;
    for (chunk_t *at = self->first; at != NULL; last = at, at = at->next) {
        if (at->policy == policy && at->blob_sent == 0 &&
            (chunk == NULL || at->priority < chunk->priority)) {
            before = last;
            chunk = at;
        }
    }
    if (chunk == NULL) {
        return false;
    }
    slice_t rest = chunk_batch(chunk);
    slice_t item;
    slice_t content;
    envelope_t env;
    bool fine = batch_next(&rest, &item, &content) &&
                envelope_route(content, &env) == EDRI_OK;
    *type_p = fine ? env.type : 0;
    if (!fine || chunk->events == 1) {
        unlink_chunk(self, before, chunk);
        return true;
    }
    chunk->start += item.len;
    chunk->size -= item.len;
    chunk->events--;
    self->bytes -= item.len;
    self->events--;
    return true;
}

// sift moves what is kept of a chunk to its front.
static void
sift(chunk_t *chunk, outq_keep_fn *keep, void *arg)
{
    slice_t rest = chunk_batch(chunk);
    uint8_t *to = chunk->data + chunk->start;
    slice_t item;
    slice_t content;
    envelope_t env;
    while (batch_next(&rest, &item, &content)) {
        if (envelope_route(content, &env) != EDRI_OK || keep(&env, arg)) {
            memmove(to, item.data, item.len);
            to += item.len;
        } else {
            chunk->events--;
        }
    }
    chunk->size = (size_t)(to - chunk->data) - chunk->start;
    chunk->sum = flow_sum_batch(chunk_batch(chunk));
}

size_t
outq_sift(outq_t *self, outq_keep_fn *keep, void *arg)
{
    chunk_t *chunk = self->first;
    if (chunk == NULL || chunk->blob_sent > 0) {
        return 0;
    }
    uint32_t events = chunk->events;
    size_t size = chunk->size;
    sift(chunk, keep, arg);
    self->bytes -= size - chunk->size;
    self->events -= events - chunk->events;
    size_t dropped = events - chunk->events;
    if (chunk->events == 0) {
        unlink_chunk(self, NULL, chunk);
    }
    return dropped;
}

bool
chunk_same(const chunk_t *self, const chunk_t *other)
{
    return self != NULL && other != NULL && self->sum == other->sum &&
           self->size == other->size && self->events == other->events &&
           self->start == 0 && other->start == 0 && self->blob == other->blob &&
           self->origin.base_ms == other->origin.base_ms &&
           self->origin.redelivered == other->origin.redelivered &&
           memcmp(self->data, other->data, self->size) == 0;
}

slice_t
chunk_batch(const chunk_t *self)
{
    return (slice_t){self->data + self->start, self->size};
}

uint64_t
chunk_sum(const chunk_t *self)
{
    return self->start == 0 ? self->sum : flow_sum_batch(chunk_batch(self));
}

void
outq_clear(outq_t *self)
{
    chunk_t *chunk = NULL;
    while ((chunk = outq_take(self)) != NULL) {
        chunk_drop(&chunk);
    }
}

size_t
chunk_weight(const chunk_t *self)
{
    return self->size + (self->blob != NULL ? blob_size(self->blob) : 0);
}

chunk_t *
chunk_share(chunk_t *self)
{
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
    return self;
}

void
chunk_drop(chunk_t **self_p)
{
    chunk_t *self = *self_p;
    *self_p = NULL;
    if (self != NULL && atomic_fetch_sub_explicit(
                            &self->references, 1, memory_order_acq_rel) == 1) {
        free(self->data);
        blob_drop(&self->blob);
        free(self);
    }
}
