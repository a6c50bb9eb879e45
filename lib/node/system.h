// SPDX-License-Identifier: MIT
// node/system.h - what a node tells of itself and of others, as events
// (edri/system.proto).

#ifndef NODE_SYSTEM_H
#define NODE_SYSTEM_H

#include "node/router.h"
#include "node/work/task.h"

// system_wanted says whether anybody may demand the type.
bool system_wanted(router_t *router, const edri_type_t *type);

// system_emit emits an event of the router's own; 'here' keeps it in the node.
void system_emit(router_t *router, const edri_type_t *type,
    const ProtobufCMessage *message, bool here);

// system_node_up tells everybody that this node is there; system_node_back tells
// the managers here that a life is there again which had been given up,
// system_node_down that one has ended, or was given up.
void system_node_up(router_t *router);
void system_node_back(router_t *router, const char *node, uint64_t life);
void system_node_down(router_t *router, const char *node, uint64_t life,
    edri_err_t reason, const char *text);

// system_manager tells everybody that a manager here has come into a state, and
// why (NULL: it is well again).
void system_manager(
    router_t *router, const char *manager, const char *state, const char *why);

// system_worker_down tells everybody that a worker of a manager here is stuck, or
// has ended in the middle of its work; 'what' it handles: a type's name, or the
// manager's.  Through a port of the calling thread.
void system_worker_down(edri_port_t *port, const char *manager,
    const char *what, const char *reason);

#endif
