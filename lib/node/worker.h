// SPDX-License-Identifier: MIT
// node/worker.h - this process runs handlers of another one, which is the node.

#ifndef NODE_WORKER_H
#define NODE_WORKER_H

#include "node/node.h"

// worker_run does the tasks that the node at 'where' gives ("fd:3", or an ipc
// endpoint: EDRI_WORKER) until the node has enough of it, and ends the process.
void worker_run(edri_node_t *node, const char *where) __attribute__((noreturn));

#endif
