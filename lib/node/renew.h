// SPDX-License-Identifier: MIT
// node/renew.h - a manager goes over to new code while it runs (edri/reload.h).
//
// DESIGN
// What runs in processes is started anew (proxy.h).  A plugin that runs in the node
// itself is loaded beside the one in force and sets up another edition of its
// manager (edition.h), which must want the same events.  Its hook is called, its
// threads start; then, between two events, the manager's thread exchanges the
// editions.  What waits stays where it is: the new threads take from the same
// backlogs as the old ones, so that order, also of each key, is kept.  The old edition
// ends when its threads have finished what they had begun, and its requests have been
// answered; then the node has nothing of it any more: types are the node's own
// copies (types.h).

#ifndef NODE_RENEW_H
#define NODE_RENEW_H

#include "node/manager_impl.h"

// renew_tend renews the manager when somebody wants it, says how that went, and
// ends editions of which nothing runs any more.  Between two events.
void renew_tend(edri_manager_t *self);

// renew_close ends it at once, and what has not ended of past editions.
void renew_close(edri_manager_t *self);

#endif
