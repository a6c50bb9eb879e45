// SPDX-License-Identifier: MIT
// core/keys.h - which member of a group gets the events of a key.
//
// DESIGN
// Each key has one member, picked by rendezvous hashing (D. Thaler,
// C. Ravishankar, 1998): a member that comes or goes moves only the keys that
// are its own.  Events of a key that has to move wait at the source until
// nothing of it is unsettled at the member that it had.  To know that without a
// book of every key, each change of the members begins a new epoch: what a
// member got in older ones must be settled.  The lists of members before the
// changes are kept until then.  Pure.

#ifndef CORE_KEYS_H
#define CORE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct keys_member {
    uint64_t life;
    uint32_t target;
} keys_member_t;

// keys_view_t is the members of a time.
typedef struct keys_view {
    keys_member_t *members;
    size_t count;
    uint64_t end; // the epoch that came after it
} keys_view_t;

typedef struct keys {
    keys_view_t now;
    keys_view_t *before; // the oldest first
    size_t before_count;
} keys_t;

// keys_drained_fn says whether all that the member got before that epoch is
// settled, or has been given back.
typedef bool keys_drained_fn(
    const keys_member_t *member, uint64_t epoch, void *arg);

// keys_set takes the members of the group; from now on it is that epoch.
// Returns false when they are as before: nothing has changed then.
bool keys_set(
    keys_t *self, const keys_member_t *members, size_t count, uint64_t epoch);

// keys_clear frees it.
void keys_clear(keys_t *self);

// keys_pick returns the index of the key's member among those of now; there is
// at least one.
size_t keys_pick(const keys_t *self, uint64_t key);

typedef enum keys_may {
    KEYS_STAY, // the key has not moved
    KEYS_MAY,  // it has, and nothing of it is unsettled where it was
    KEYS_WAIT  // something is
} keys_may_t;

// keys_may says whether events of the key may go there yet.
keys_may_t keys_may(
    const keys_t *self, uint64_t key, keys_drained_fn *drained, void *arg);

// keys_tidy forgets lists whose members are all drained.  Returns true when some
// are left: keys may be on the move.
bool keys_tidy(keys_t *self, keys_drained_fn *drained, void *arg);

#endif
