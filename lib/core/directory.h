// SPDX-License-Identifier: MIT
// core/directory.h - a switch's knowledge of who demands what.
//
// DESIGN
// A type has members (demands) and holders (sessions that asked who they are).
// Every change gives the type the next version and goes to each holder as a
// Change; the holder says TableSeen.  A Demand is in force when every other
// holder has seen the versions it made, or after late_ms, naming those that
// have not.  Sessions are numbers; members carry the life, so that a node that
// comes back in a new session keeps its demands.  Pure: words go out through a
// callback, time comes in.

#ifndef CORE_DIRECTORY_H
#define CORE_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/frame.h"

typedef struct directory directory_t;

// directory_send_fn takes a word for a session; borrowed for the call.
typedef void directory_send_fn(
    uint64_t session, const control_t *word, void *arg);

// directory_new creates an empty directory; caller owns it.
directory_t *directory_new(directory_send_fn *send, void *arg, int64_t late_ms);
void directory_destroy(directory_t **self_p);

// directory_settled: from now on "nobody" is an answer.
void directory_settled(directory_t *self);

// directory_open makes a session known.  directory_move gives its demands to a
// new session of the same life.  directory_close ends it: its demands are
// withdrawn, what waited for it goes on.
void directory_open(
    directory_t *self, uint64_t session, uint64_t life, const char *node);
void directory_move(directory_t *self, uint64_t from, uint64_t to);
void directory_close(directory_t *self, uint64_t session);

// directory_demand applies a Demand, leaving out the types in 'refused', which
// go back with InForce.  Generation 1 is whole: what it does not add of what
// the session has (see directory_move) is withdrawn.
void directory_demand(directory_t *self, uint64_t session,
    const Edri__Link__Demand *demand, Edri__Link__Refusal **refused,
    size_t refused_count, int64_t now_ms);

// directory_resolve answers with a Table per type and makes the session their
// holder; directory_release ends that; directory_seen acknowledges.
void directory_resolve(
    directory_t *self, uint64_t session, const uint64_t *types, size_t count);
void directory_release(
    directory_t *self, uint64_t session, const uint64_t *types, size_t count);
void directory_seen(
    directory_t *self, uint64_t session, uint64_t type, uint64_t version);

// directory_tick confirms what has waited long enough; directory_next says
// when that is due (INT64_MAX: never).
void directory_tick(directory_t *self, int64_t now_ms);
int64_t directory_next(const directory_t *self);

// directory_each calls 'visit' for each member of every type.
typedef void directory_visit_fn(
    uint64_t type, const Edri__Link__Member *member, void *arg);
void directory_each(
    const directory_t *self, directory_visit_fn *visit, void *arg);

#endif
