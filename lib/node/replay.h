// SPDX-License-Identifier: MIT
// node/replay.h - types that are retained: what late subscribers get, once.
//
// DESIGN
// The router of the emitter keeps the events (core/retain.h).  A manager that
// wants to have them says so in its demand (edri.link.Replay): how old they may
// be and, for each life that it has had some of, its position there.  So the
// source knows, when the manager appears in its tables, what to queue for it
// before any live event.  At the subscriber's router every event of such a type
// moves the position of (manager, life, type); one that is not above it has
// been there before and is dropped.  That holds however often, by whatever way
// the manager comes and goes: nothing is replayed twice.  A redelivered event
// may be older: it carries its mark and is let through.

#ifndef NODE_REPLAY_H
#define NODE_REPLAY_H

#include "node/router.h"

// replay_keep keeps an event that is about to be directed.  Returns what is to
// be directed instead: it has its position; NULL when it is malformed.
retained_t *replay_keep(router_t *router, route_t *route, const slice_t *bytes,
    const run_t *run, blob_t *blob);

// replay_given notes that a group of that name was given the newest event.
void replay_given(route_t *route, const char *group);

// replay_member gives a member that has just come what it asked for.
void replay_member(router_t *router, route_t *route, const member_t *member);

// replay_wish notes that a manager here wants to be given what is not older
// than age_ms (0: all) of the type.  replay_asks says so in its demand;
// whatever wanted->replay points at the caller frees.
void replay_wish(slot_t *slot, const route_t *route, uint32_t age_ms);
void replay_asks(
    const slot_t *slot, const route_t *route, Edri__Link__Wanted *wanted);

// replay_is_new says whether an event (an item of a batch) from that life (0:
// here) is new to the manager, and notes it.
bool replay_is_new(
    slot_t *slot, const route_t *route, uint64_t life, slice_t item);

// replays_tick drops what is too old; replays_forget forgets positions of a life
// that has ended for sure.
void replays_tick(router_t *router);
void replays_forget(router_t *router, uint64_t life);
void replays_destroy(router_t *router);

#endif
