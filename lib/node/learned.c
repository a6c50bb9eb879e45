// SPDX-License-Identifier: MIT
// learned.c - event types that others described: a switch, a worker.

#include "node/learned.h"

#include <stdlib.h>

#include "base/alloc.h"

void
learned_init(learned_t *self)
{
    (void)pthread_mutex_init(&self->lock, NULL);
}

void
learned_clear(learned_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        schema_destroy(&self->schemas[i]);
    }
    free(self->schemas);
    (void)pthread_mutex_destroy(&self->lock);
}

void
learned_keep(learned_t *self, schema_t *schema)
{
    pthread_mutex_lock(&self->lock);
    self->schemas =
        mem_resize(self->schemas, (self->count + 1) * sizeof *self->schemas);
    self->schemas[self->count++] = schema;
    pthread_mutex_unlock(&self->lock);
}
