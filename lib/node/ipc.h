// SPDX-License-Identifier: MIT
// node/ipc.h - ports of other processes.
//
// DESIGN
// A foreign process is a port like any other: it says HELLO with its name (the
// manager's, or empty), gets WELCOME with the node's life and its number in
// 'session', sends Demand, and then frames go both ways, with the same heads,
// batches and window as between nodes, until it says BYE or cannot be reached.
// A guest's HELLO is a question: is the node ready?  Its own socket: garbage from outside
// never meets the bells of the threads.

#ifndef NODE_IPC_H
#define NODE_IPC_H

#include "node/router.h"

// ipc_bind binds node.ipc when it is set.  EDRI_SYSTEM when it cannot (errno).
edri_err_t ipc_bind(router_t *router);
void ipc_close(router_t *router);

// ipc_read handles what foreign processes sent, some messages at most.
void ipc_read(router_t *router);

// ipc_flush sends what waits for them, and heartbeats; ipc_next says when the
// next heartbeat is due (INT64_MAX: never).
void ipc_flush(router_t *router);
int64_t ipc_next(const router_t *router);

// ipc_cancel tells the processes that handle something that nobody waits for
// these requests of that life (0: this node) any more.
void ipc_cancel(
    router_t *router, uint64_t life, const uint64_t *ids, size_t count);

#endif
