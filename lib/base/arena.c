// SPDX-License-Identifier: MIT
// arena.c - memory that is freed all at once: one task's worth.

#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#include "base/alloc.h"

#define BLOCK_SIZE ((size_t)16 * 1024)

typedef struct block {
    struct block *next;
    size_t capacity;
    alignas(max_align_t) unsigned char data[];
} block_t;

struct arena {
    block_t *first; // the one in use
    size_t used;    // of the first block
};

static block_t *
new_block(size_t capacity, block_t *next)
{
    block_t *block = mem_resize(NULL, sizeof *block + capacity);
    block->next = next;
    block->capacity = capacity;
    return block;
}

arena_t *
arena_new(void)
{
    arena_t *self = mem_new(sizeof *self);
    self->first = new_block(BLOCK_SIZE, NULL);
    return self;
}

void
arena_destroy(arena_t **self_p)
{
    arena_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    for (block_t *block = self->first; block != NULL;) {
        block_t *next = block->next;
        free(block);
        block = next;
    }
    free(self);
}

void *
arena_alloc(arena_t *self, size_t size)
{
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (self->first->capacity - self->used < size) {
        size_t capacity = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        self->first = new_block(capacity, self->first);
        self->used = 0;
    }
    void *result = self->first->data + self->used;
    self->used += size;
    return result;
}

void
arena_reset(arena_t *self)
{
    // The oldest block is the one of ordinary size: keep that.
    while (self->first->next != NULL) {
        block_t *next = self->first->next;
        free(self->first);
        self->first = next;
    }
    self->used = 0;
}
