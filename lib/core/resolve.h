// SPDX-License-Identifier: MIT
// core/resolve.h - what the switches have said of one type, and whether an
// event of it may go now.
//
// DESIGN
// On first use of a type a node asks all its switches "who demands it?".  The
// answer is a numbered table; every change follows, with the next number: a gap
// means that one was missed, and the table is asked for again.  Events wait for
// the answers of the switches that are connected; of those that are not, what
// they said last is still believed.  That nobody demands a type counts only
// when a settled switch says so: one that has just begun does not know yet who
// will come back.  Pure.

#ifndef CORE_RESOLVE_H
#define CORE_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/reach.h"

typedef struct resolve {
    bool asked;       // its tables are followed
    bool known;       // some switch has answered, ever
    bool early;       // first asked of a switch that may not know all yet
    uint8_t answered; // bit per link that gave its table
    uint8_t settled;  // bit per link whose answer counts as 'no'
    uint64_t version[LINKS_MAX];
} resolve_t;

// resolve_ask is called with each use; returns true when the switches must be
// asked.  'returned' says that the node has lost a session since its start.
bool resolve_ask(resolve_t *self, bool returned);

// resolve_table takes a link's whole table.
void resolve_table(
    resolve_t *self, unsigned link, uint64_t version, bool settled);

// resolve_change takes a change of it.  Returns false when it is not the next:
// the table must be asked for, and the change be ignored.
bool resolve_change(
    resolve_t *self, unsigned link, uint64_t version, bool settled);

// resolve_settled: the link's switch now knows all there is.  Returns true when
// its table must be asked for again: who has not come back has gone.
bool resolve_settled(resolve_t *self, unsigned link);

// resolve_lost: the session has ended.
void resolve_lost(resolve_t *self, unsigned link);

typedef enum resolve_may {
    RESOLVE_GO,
    RESOLVE_ASKED, // an answer is on its way
    RESOLVE_OPEN   // nobody knows when there will be one
} resolve_may_t;

// resolve_may says whether an event may go now.  'up' has a bit for each link
// with a session, 'all' for each that there is; 'takers' says whether anybody is
// known who would get this event, 'one' that nobody else would then.
resolve_may_t resolve_may(
    const resolve_t *self, uint8_t up, uint8_t all, bool takers, bool one);

#endif
