// SPDX-License-Identifier: MIT
// box.c - the buffer between two threads: bytes in, whole buffers out.

#include "base/box.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"

// A consumer's buffer that has grown over this is freed when it comes back.
#define KEEP_MAX ((size_t)1 << 20)

struct box {
    pthread_mutex_t lock;       // guards 'load' and 'armed'
    load_t load;                // what has gathered
    bool armed;                 // the consumer may sleep: ring it
    size_t limit;               // bytes
    atomic_size_t used;         // gathered, or taken and not released
    _Atomic(uint64_t) released; // bytes so far
    _Atomic(int64_t) watch;     // ring the producer at this level; -1: no
};

box_t *
box_new(size_t limit)
{
    box_t *self = mem_new(sizeof *self);
    pthread_mutex_init(&self->lock, NULL);
    self->limit = limit;
    self->armed = true; // nobody has looked yet: the first one rings
    atomic_init(&self->used, 0);
    atomic_init(&self->watch, -1);
    return self;
}

void
box_destroy(box_t **self_p)
{
    box_t *self = *self_p;
    *self_p = NULL;
    if (self != NULL) {
        load_clear(&self->load);
        pthread_mutex_destroy(&self->lock);
        free(self);
    }
}

// ----- loads

void
load_reset(load_t *self)
{
    for (size_t i = 0; i < self->blob_count; i++) {
        blob_drop(&self->blobs[i]);
    }
    self->size = self->run_count = self->blob_count = self->weight = 0;
    if (self->capacity > KEEP_MAX) {
        free(self->data);
        self->data = NULL;
        self->capacity = 0;
    }
}

void
load_clear(load_t *self)
{
    load_reset(self);
    free(self->data);
    free(self->runs);
    free(self->blobs);
    *self = (load_t){0};
}

static void
load_reserve(load_t *self, size_t size)
{
    if (self->capacity - self->size < size) {
        size_t capacity = self->capacity < 1024 ? 1024 : self->capacity;
        while (capacity - self->size < size) {
            capacity *= 2;
        }
        self->data = mem_resize(self->data, capacity);
        self->capacity = capacity;
    }
}

static bool
same_origin(const run_t *a, const run_t *b)
{
    return a->life == b->life && a->base_ms == b->base_ms &&
           a->token == b->token && a->redelivered == b->redelivered;
}

// load_extend accounts for 'size' more bytes of that origin.
static void
load_extend(load_t *self, size_t size, const run_t *origin)
{
    run_t *last = self->run_count > 0 ? &self->runs[self->run_count - 1] : NULL;
    if (last == NULL || !same_origin(last, origin)) {
        if (self->run_count == self->run_capacity) {
            self->run_capacity = self->run_capacity * 2 + 4;
            self->runs =
                mem_resize(self->runs, self->run_capacity * sizeof *self->runs);
        }
        last = &self->runs[self->run_count++];
        *last = *origin;
        last->size = 0;
    }
    last->size += size;
    self->size += size;
    self->weight += size;
}

static void
load_attach(load_t *self, blob_t *blob)
{
    if (self->blob_count == self->blob_capacity) {
        self->blob_capacity = self->blob_capacity * 2 + 4;
        self->blobs =
            mem_resize(self->blobs, self->blob_capacity * sizeof(blob_t *));
    }
    self->blobs[self->blob_count++] = blob;
    self->weight += blob_size(blob);
}

// ----- producer

uint8_t *
box_open(box_t *self, size_t size, const run_t *origin, blob_t *blob)
{
    size_t weight = size + (blob != NULL ? blob_size(blob) : 0);
    atomic_fetch_add_explicit(&self->used, weight, memory_order_relaxed);
    pthread_mutex_lock(&self->lock);
    load_reserve(&self->load, size);
    uint8_t *room = self->load.data + self->load.size;
    load_extend(&self->load, size, origin);
    if (blob != NULL) {
        load_attach(&self->load, blob);
    }
    return room;
}

bool
box_close(box_t *self)
{
    bool ring = self->armed;
    self->armed = false;
    pthread_mutex_unlock(&self->lock);
    return ring;
}

bool
box_put(box_t *self, const void *data, size_t size, const run_t *origin,
    blob_t **blobs, size_t blob_count)
{
    size_t weight = size;
    for (size_t i = 0; i < blob_count; i++) {
        weight += blob_size(blobs[i]);
    }
    atomic_fetch_add_explicit(&self->used, weight, memory_order_relaxed);
    pthread_mutex_lock(&self->lock);
    load_reserve(&self->load, size);
    memcpy(self->load.data + self->load.size, data, size);
    load_extend(&self->load, size, origin);
    for (size_t i = 0; i < blob_count; i++) {
        load_attach(&self->load, blobs[i]);
    }
    return box_close(self);
}

bool
box_watch(box_t *self, size_t level)
{
    // Store first, look second: a release between the two rings.
    atomic_store(&self->watch, (int64_t)level);
    if (atomic_load(&self->used) > level) {
        return true;
    }
    return atomic_exchange(&self->watch, -1) == -1;
}

// ----- consumer

bool
box_take(box_t *self, load_t *load)
{
    pthread_mutex_lock(&self->lock);
    bool any = self->load.size > 0;
    if (any) {
        load_t taken = self->load;
        self->load = *load;
        *load = taken;
    }
    self->armed = !any;
    pthread_mutex_unlock(&self->lock);
    return any;
}

bool
box_any(box_t *self)
{
    pthread_mutex_lock(&self->lock);
    bool any = self->load.size > 0;
    pthread_mutex_unlock(&self->lock);
    return any;
}

bool
box_release(box_t *self, size_t size)
{
    size_t used = atomic_fetch_sub(&self->used, size) - size;
    atomic_fetch_add_explicit(&self->released, size, memory_order_relaxed);
    int64_t watch = atomic_load(&self->watch);
    return watch >= 0 && used <= (size_t)watch &&
           atomic_exchange(&self->watch, -1) >= 0;
}

uint64_t
box_released(const box_t *self)
{
    return atomic_load_explicit(&self->released, memory_order_relaxed);
}

size_t
box_used(const box_t *self)
{
    return atomic_load_explicit(&self->used, memory_order_relaxed);
}

size_t
box_limit(const box_t *self)
{
    return self->limit;
}
