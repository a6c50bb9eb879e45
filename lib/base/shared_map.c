// SPDX-License-Identifier: MIT
// shared_map.c - a map that several threads use.

#include "base/shared_map.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"

struct shared_map {
    pthread_mutex_t lock; // guards 'map'
    map_t *map;
};

shared_map_t *
shared_map_new(void)
{
    shared_map_t *self = mem_new(sizeof *self);
    pthread_mutex_init(&self->lock, NULL);
    self->map = map_new();
    return self;
}

void
shared_map_destroy(shared_map_t **self_p, void (*release)(void *value))
{
    shared_map_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    size_t cursor = 0;
    void *value = NULL;
    while (release != NULL && map_next(self->map, &cursor, NULL, &value)) {
        release(value);
    }
    map_destroy(&self->map);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

void *
shared_map_get(shared_map_t *self, uint64_t key)
{
    pthread_mutex_lock(&self->lock);
    void *value = map_get(self->map, key);
    pthread_mutex_unlock(&self->lock);
    return value;
}

void *
shared_map_add(shared_map_t *self, uint64_t key, void *value)
{
    pthread_mutex_lock(&self->lock);
    void *now = map_get(self->map, key);
    if (now == NULL) {
        (void)map_put(self->map, key, value);
        now = value;
    }
    pthread_mutex_unlock(&self->lock);
    return now;
}

void *
shared_map_take(shared_map_t *self, uint64_t key)
{
    pthread_mutex_lock(&self->lock);
    void *value = map_take(self->map, key);
    pthread_mutex_unlock(&self->lock);
    return value;
}

void
shared_map_each(shared_map_t *self,
    void (*visit)(uint64_t key, void *value, void *arg), void *arg)
{
    pthread_mutex_lock(&self->lock);
    size_t cursor = 0;
    uint64_t key = 0;
    void *value = NULL;
    while (map_next(self->map, &cursor, &key, &value)) {
        visit(key, value, arg);
    }
    pthread_mutex_unlock(&self->lock);
}
