// SPDX-License-Identifier: MIT
// core/audience.h - who holds a table, how far each has seen it, who waits for that.
//
// DESIGN
// A holder has seen the table up to a version.  A wait is for all other holders to see
// one version, also for those that come later: they have seen nothing.  At a thousand
// nodes many wait while words of many holders come, so nothing is looked through again:
// a wait counts who is missing, the waits stand in the order of their versions, and a
// holder that has seen more lowers the counts of just those between.

#ifndef CORE_AUDIENCE_H
#define CORE_AUDIENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"

// wait_t is one wait.  Several that belong together share 'open'.
typedef struct wait {
    uint64_t session; // whose: it does not wait for itself
    size_t *open;     // how many of them miss somebody
    uint64_t version;
    size_t missing; // holders that have not seen it
} wait_t;

typedef struct audience {
    map_t *holders; // session → how far it has seen
    wait_t **waits; // by version; borrowed
    size_t wait_count;
} audience_t;

void audience_init(audience_t *self);
void audience_clear(audience_t *self);

// audience_add makes a session a holder that has seen nothing; one that is there stays
// as it is.  audience_remove ends that, and returns how many 'open' became 0.
void audience_add(audience_t *self, uint64_t session);
size_t audience_remove(audience_t *self, uint64_t session);

// audience_seen: a holder has seen that version.  Returns how many 'open' became 0.
size_t audience_seen(audience_t *self, uint64_t session, uint64_t version);

// audience_wait begins a wait, whose session and 'open' are set, for the newest version.
// It stays where it is until audience_forget.
void audience_wait(audience_t *self, wait_t *wait, uint64_t newest);
void audience_forget(audience_t *self, const wait_t *wait);

// audience_misses says whether that session is one that a version is waited for.
bool audience_misses(
    const audience_t *self, uint64_t session, uint64_t version);

#endif
