// SPDX-License-Identifier: MIT
// base/shared_map.h - a map that several threads use: looked up when something
// is seen for the first time, never per event.

#ifndef BASE_SHARED_MAP_H
#define BASE_SHARED_MAP_H

#include <stddef.h>
#include <stdint.h>

typedef struct shared_map shared_map_t;

// shared_map_new creates an empty map; shared_map_destroy frees it, calling
// 'release' (or NULL) for each value.
shared_map_t *shared_map_new(void);
void shared_map_destroy(shared_map_t **self_p, void (*release)(void *value));

// shared_map_get returns the value of 'key', or NULL.  Any thread.
void *shared_map_get(shared_map_t *self, uint64_t key);

// shared_map_add sets the value unless the key has one; returns the value that
// is there now.  shared_map_take removes and returns it, or NULL.  Any thread.
void *shared_map_add(shared_map_t *self, uint64_t key, void *value);
void *shared_map_take(shared_map_t *self, uint64_t key);

// shared_map_each calls 'visit' for every value, under the lock: it must not
// use the map.  Any thread.
void shared_map_each(shared_map_t *self,
    void (*visit)(uint64_t key, void *value, void *arg), void *arg);

#endif
