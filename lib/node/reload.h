// SPDX-License-Identifier: MIT
// node/reload.h - tools that want managers to go over to new processes.
//
// DESIGN
// The router passes the wish on to the managers' threads, as it does for
// draining, and answers when all have said how it went.

#ifndef NODE_RELOAD_H
#define NODE_RELOAD_H

#include "node/router.h"

// reload_begin takes a wish.
void reload_begin(link_t *link, const Edri__Link__Ask *ask);

// reload_look answers those that are done; in each pass.
void reload_look(router_t *router);
void reload_clear(router_t *router);

#endif
