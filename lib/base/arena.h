// SPDX-License-Identifier: MIT
// base/arena.h - memory that is freed all at once: one task's worth.

#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

typedef struct arena arena_t;

// arena_new creates an arena; arena_destroy frees it with all it gave out.
arena_t *arena_new(void);
void arena_destroy(arena_t **self_p);

// arena_alloc returns 'size' bytes, aligned for any type, not cleared.  They
// live until arena_reset, which keeps one block for the next task.
void *arena_alloc(arena_t *self, size_t size);
void arena_reset(arena_t *self);

#endif
