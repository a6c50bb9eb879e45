// SPDX-License-Identifier: MIT
// node/health.h - how the managers of this node are: probes, and what tools ask.

#ifndef NODE_HEALTH_H
#define NODE_HEALTH_H

#include "node/router.h"

// health_tick probes each manager and judges it; called once a second.
void health_tick(router_t *router);

// health_closed notes that a manager was closed before its node stopped, and why.
void health_closed(router_t *router, const char *manager, const char *why);
void health_clear(router_t *router);

// health_closed_why returns why a manager of that name was closed, borrowed; NULL:
// none was.
const char *health_closed_why(const router_t *router, const char *manager);

// health_answer answers a tool that asks how they are.
void health_answer(link_t *link, uint64_t number);

#endif
