// SPDX-License-Identifier: MIT
// node/names.h - the names of other nodes, by life, for the threads of handlers.

#ifndef NODE_NAMES_H
#define NODE_NAMES_H

#include <pthread.h>
#include <stdint.h>

#include "base/map.h"

// A node's name with its end.
#define NAME_MAX_SIZE 65

typedef struct names {
    pthread_mutex_t lock;
    map_t *by_life; // strings
} names_t;

void names_init(names_t *self);
void names_end(names_t *self);

// names_set enters the name of a life, which is copied; NULL or "": forgets it.
// Any thread.
void names_set(names_t *self, uint64_t life, const char *name);

// names_get copies the name of a life; "" when it is not known.  Any thread.
void names_get(names_t *self, uint64_t life, char out[NAME_MAX_SIZE]);

#endif
