// SPDX-License-Identifier: MIT
// choice.c - which member of a group gets the next event.

#include "core/choice.h"

size_t
choice_pick(const choice_local_t *local, size_t count, choice_load_fn *load,
    const void *arg, uint64_t random)
{
    if (local != NULL && (count == 0 || local->used < local->limit / 2)) {
        return CHOICE_LOCAL;
    }
    size_t first = random % count;
    if (count > 1) {
        size_t step = 1 + (random >> 32) % (count - 1);
        size_t second = (first + step) % count;
        if (load(second, arg) < load(first, arg)) {
            first = second;
        }
    }
    return local != NULL && local->used < load(first, arg) ? CHOICE_LOCAL
                                                           : first;
}
