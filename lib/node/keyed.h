// SPDX-License-Identifier: MIT
// node/keyed.h - types with a key: where the events of each key go.
//
// DESIGN
// The rule is core/keys.h: a key has one member of its group, and moves to
// another only when nothing of it is unsettled where it was.  What other nodes
// have not settled stands in the flows to them, by epoch.  For managers here the
// router gives each batch of keyed events a token, as it does for frames: it
// comes back when the handlers have been entered.  Events of a key that must
// wait are held here, in order.  Requests go to their key's member at once.

#ifndef NODE_KEYED_H
#define NODE_KEYED_H

#include "node/router.h"

// keyed_is says whether such an event goes by its key.
bool keyed_is(const route_t *route, const envelope_t *env);

// keyed_set takes the group's members, as they are now.
void keyed_set(
    router_t *router, route_t *route, const char *name, const group_t *group);

// keyed_pick picks the key's member of the group, which has members.  Returns
// false when the event must wait for it: keyed_hold keeps it.
bool keyed_pick(router_t *router, route_t *route, const char *name,
    const group_t *group, const envelope_t *env, member_t *member);
void keyed_hold(router_t *router, route_t *route, const char *name,
    slice_t item, const envelope_t *env, const run_t *run, blob_t *blob);

// keyed_member picks it without waiting.
member_t keyed_member(router_t *router, route_t *route, const char *name,
    const group_t *group, const envelope_t *env);

// keyed_token returns the token for a keyed event that is given to a manager
// here, and counts it.  keyed_flush ends the tokens of this pass; keyed_done:
// one has come back.
token_t *keyed_token(slot_t *slot);
void keyed_flush(router_t *router);
void keyed_done(router_t *router, const token_t *token);

// keyed_go_on lets go what has waited long enough.
void keyed_go_on(router_t *router);

// keyed_waiting is how many bytes of the type are held.
size_t keyed_waiting(const route_t *route);

void keyed_clear(route_t *route);

#endif
