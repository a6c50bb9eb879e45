// SPDX-License-Identifier: MIT
// node/remote.h - what remote.c and the files of frames share.

#ifndef NODE_REMOTE_H
#define NODE_REMOTE_H

#include "node/router.h"

// initial_credit is what a source may send to a manager before it was told.
uint64_t initial_credit(void);

// remote_link is the link that reaches the node now, or NULL.  When that is
// another one than before, or a new session, a new path begins: credit starts
// anew, and a body that was half sent starts again.
link_t *remote_link(remote_t *self);

// remote_reached: the link's switch knows the node; what waited for it goes on.
// remote_unreached: it does not, or not any more; what waited for this link
// takes another that reaches the node, if there is one.
void remote_reached(remote_t *self, unsigned link);
void remote_unreached(remote_t *self, unsigned link);

// remote_resume puts everything into the turns of the link that reaches the
// node now; without one, bodies that were half sent will start again.
void remote_resume(remote_t *self);

// remote_restart begins a new path: the node has lost what was on the old one.
void remote_restart(remote_t *self);

// remote_leave takes everything of the node out of the links' turns.
void remote_leave(remote_t *self);

// remote_dropped takes back what the switch did not pass on.
void remote_dropped(router_t *router, const Edri__Link__Dropped *word);

// dest_wake and remote_wake put it into the turn of its link if it has
// something to send; dest_check updates its fullness.
void dest_wake(dest_t *self);
void dest_check(dest_t *self);
void remote_wake(remote_t *self);

// remote_arrived: BULK frames below that seq have arrived there.
void remote_arrived(router_t *router, uint64_t life, uint64_t arrived);

// forget_credit takes back what a source was granted: it ended, or begins anew.
void forget_credit(router_t *router, uint64_t life);

// bodies_drop forgets bodies that came in part.
void bodies_drop(remote_t *self);

#endif
