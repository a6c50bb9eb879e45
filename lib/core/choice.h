// SPDX-License-Identifier: MIT
// core/choice.h - which member of a group gets the next event.
//
// DESIGN
// A member of this node comes first while its queue is below half: an event
// that need not travel is cheaper than any balance.  Else, of two members
// picked at random, the one where fewer bytes of this node are unsettled:
// nearly as even as asking all, and no herd runs to the one that was empty a
// moment ago (M. Mitzenmacher, "The power of two choices", 2001).  Pure.

#ifndef CORE_CHOICE_H
#define CORE_CHOICE_H

#include <stddef.h>
#include <stdint.h>

// choice_local_t is the queue of the member that stands on this node.
typedef struct choice_local {
    size_t used;  // bytes
    size_t limit; // bytes
} choice_local_t;

// choice_load_fn returns how many bytes of ours are unsettled at a member of
// another node.
typedef size_t choice_load_fn(size_t member, const void *arg);

#define CHOICE_LOCAL SIZE_MAX

// choice_pick picks the local member (NULL: there is none) or one of 'count'
// others, by index; at least one of both must be there.  'random' is a fresh
// random number.
size_t choice_pick(const choice_local_t *local, size_t count,
    choice_load_fn *load, const void *arg, uint64_t random);

#endif
