// SPDX-License-Identifier: MIT
// names.c - the names of other nodes, by life.

#include "node/names.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"

void
names_init(names_t *self)
{
    (void)pthread_mutex_init(&self->lock, NULL);
    self->by_life = map_new();
}

void
names_end(names_t *self)
{
    size_t cursor = 0;
    void *name = NULL;
    while (map_next(self->by_life, &cursor, NULL, &name)) {
        free(name);
    }
    map_destroy(&self->by_life);
    (void)pthread_mutex_destroy(&self->lock);
}

void
names_set(names_t *self, uint64_t life, const char *name)
{
    pthread_mutex_lock(&self->lock);
    free(name != NULL && name[0] != '\0'
             ? map_put(self->by_life, life, str_dup(name))
             : map_take(self->by_life, life));
    pthread_mutex_unlock(&self->lock);
}

void
names_get(names_t *self, uint64_t life, char out[NAME_MAX_SIZE])
{
    pthread_mutex_lock(&self->lock);
    const char *name = map_get(self->by_life, life);
    (void)snprintf(out, NAME_MAX_SIZE, "%s", name != NULL ? name : "");
    pthread_mutex_unlock(&self->lock);
}
