// SPDX-License-Identifier: MIT
// node/learned.h - event types that others described: a switch, a worker.

#ifndef NODE_LEARNED_H
#define NODE_LEARNED_H

#include <pthread.h>

#include "schema/schema.h"

// learned_t keeps what they were built from as long as the node lives.
typedef struct learned {
    pthread_mutex_t lock;
    schema_t **schemas;
    size_t count;
} learned_t;

void learned_init(learned_t *self);
void learned_clear(learned_t *self);

// learned_keep takes a schema over.  Any thread.
void learned_keep(learned_t *self, schema_t *schema);

#endif
