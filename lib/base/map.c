// SPDX-License-Identifier: MIT
// map.c - hash map from 64-bit numbers to pointers.
//
// DESIGN
// Open addressing with linear probing over a power of two, at most three
// quarters full.  Removal moves later entries of the run back (D. Knuth, TAOCP
// volume 3, 6.4, algorithm R), so there are no tombstones and a look-up ends
// at the first empty place.

#include "base/map.h"

#include <stdlib.h>

#include "base/alloc.h"

typedef struct entry {
    uint64_t key;
    void *value; // NULL: empty
} entry_t;

struct map {
    entry_t *entries;
    size_t mask; // capacity - 1
    size_t count;
};

// place mixes the key (finalizer of MurmurHash3, A. Appleby).
static size_t
place(const map_t *self, uint64_t key)
{
    key ^= key >> 33;
    key *= UINT64_C(0xff51afd7ed558ccd);
    key ^= key >> 33;
    return (size_t)key & self->mask;
}

map_t *
map_new(void)
{
    map_t *self = mem_new(sizeof *self);
    self->mask = 7;
    self->entries = mem_new((self->mask + 1) * sizeof(entry_t));
    return self;
}

void
map_destroy(map_t **self_p)
{
    map_t *self = *self_p;
    *self_p = NULL;
    if (self != NULL) {
        free(self->entries);
        free(self);
    }
}

// find returns the key's entry, or the empty one where it belongs.
static entry_t *
find(const map_t *self, uint64_t key)
{
    size_t at = place(self, key);
    while (self->entries[at].value != NULL && self->entries[at].key != key) {
        at = (at + 1) & self->mask;
    }
    return &self->entries[at];
}

void *
map_get(const map_t *self, uint64_t key)
{
    return find(self, key)->value;
}

static void
grow(map_t *self)
{
    map_t bigger = {.mask = self->mask * 2 + 1};
    edri_assert(bigger.mask < UINT32_MAX); // see map_next
    bigger.entries = mem_new((bigger.mask + 1) * sizeof(entry_t));
    for (size_t i = 0; i <= self->mask; i++) {
        if (self->entries[i].value != NULL) {
            *find(&bigger, self->entries[i].key) = self->entries[i];
        }
    }
    free(self->entries);
    self->entries = bigger.entries;
    self->mask = bigger.mask;
}

void *
map_put(map_t *self, uint64_t key, void *value)
{
    edri_assert(value != NULL);
    if ((self->count + 1) * 4 > (self->mask + 1) * 3) {
        grow(self);
    }
    entry_t *entry = find(self, key);
    void *before = entry->value;
    *entry = (entry_t){key, value};
    self->count += before == NULL;
    return before;
}

void *
map_take(map_t *self, uint64_t key)
{
    entry_t *entry = find(self, key);
    void *value = entry->value;
    if (value == NULL) {
        return NULL;
    }
    size_t hole = (size_t)(entry - self->entries);
    size_t at = hole;
    for (;;) {
        at = (at + 1) & self->mask;
        if (self->entries[at].value == NULL) {
            break;
        }
        // An entry may fill the hole unless its own place lies between.
        size_t home = place(self, self->entries[at].key);
        if (((at - home) & self->mask) >= ((at - hole) & self->mask)) {
            self->entries[hole] = self->entries[at];
            hole = at;
        }
    }
    self->entries[hole] = (entry_t){0};
    self->count--;
    return value;
}

size_t
map_size(const map_t *self)
{
    return self->count;
}

// The walk goes downwards, around the end of the table, from an empty place to
// that same place.  No run crosses it, so what map_take moves back has always
// been seen already.  The cursor holds that place and the last one seen, each
// plus one, in its halves.
bool
map_next(const map_t *self, size_t *cursor, uint64_t *key_p, void **value_p)
{
    size_t end = *cursor >> 32;
    size_t at = *cursor & UINT32_MAX;
    if (*cursor == 0) {
        while (self->entries[end].value != NULL) {
            end++;
        }
        at = ++end;
    }
    for (;;) {
        at = at > 1 ? at - 1 : self->mask + 1;
        if (at == end) {
            return false;
        }
        const entry_t *entry = &self->entries[at - 1];
        if (entry->value != NULL) {
            *cursor = end << 32 | at;
            if (key_p != NULL) {
                *key_p = entry->key;
            }
            *value_p = entry->value;
            return true;
        }
    }
}
