// SPDX-License-Identifier: MIT
// node/route.h - what the files about routes share: route.c (who is there),
// direct.c (whom an event goes to), absent.c (groups that are expected back).

#ifndef NODE_ROUTE_H
#define NODE_ROUTE_H

#include "node/remote.h"

// ----- route.c

// member_is_guest says whether it is a manager of another node without a name.
bool member_is_guest(const member_t *member);
bool group_is_empty(const group_t *group);

// route_group returns the group of that name ("": everybody), or NULL.
// route_group_name is what a notification's group is called.
const group_t *route_group(const route_t *self, const char *name);
const char *route_group_name(edri_deliver_t deliver, const char *manager);

// ----- direct.c

// direct_one gives a notification to one member of a group, which has members:
// by its key or by load; that of a key that is on the move waits.
void direct_one(router_t *router, route_t *self, const char *name,
    const group_t *group, slice_t bytes, const envelope_t *env,
    const run_t *run, blob_t *blob);

// ----- absent.c

// absent_await: the group of that manager has lost a member that did not
// withdraw; events for it wait for a while.  absent_back: a member has come, one
// fewer is expected.  absent_adopt looks for groups that have come back.
void absent_await(router_t *router, route_t *self, const char *manager);
void absent_back(route_t *self, const member_t *member);
void absent_adopt(router_t *router, route_t *self);

// absent_keep keeps one event for the groups of its type that are expected back
// and returns for how many.  absent_put keeps one for a group ('wait': that is
// expected back from now on); false: it is not expected.
size_t absent_keep(route_t *self, slice_t bytes, const envelope_t *env,
    const run_t *run, blob_t *blob);
bool absent_put(router_t *router, route_t *self, const char *name,
    slice_t bytes, const envelope_t *env, const run_t *run, blob_t *blob,
    bool wait);

// absent_waiting is how many bytes wait; absent_tick ends what has waited too
// long.
size_t absent_waiting(const route_t *self);
void absent_tick(router_t *router, route_t *self);
void absent_clear(route_t *self);

#endif
