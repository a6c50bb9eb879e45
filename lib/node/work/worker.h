// SPDX-License-Identifier: MIT
// node/work/worker.h - this process runs handlers of another one, which is the node.

#ifndef NODE_WORK_WORKER_H
#define NODE_WORK_WORKER_H

#include "node/node.h"

// worker_run does the tasks that the node at 'where' gives ("fd:3", or an ipc
// endpoint: EDRI_WORKER) until the node has enough of it, and ends the process.
void worker_run(edri_node_t *node, const char *where) __attribute__((noreturn));

// worker_refuse tells that node why this process cannot do its tasks, and ends it.
void worker_refuse(edri_node_t *node, const char *where, edri_err_t err,
    const char *why) __attribute__((noreturn));

#endif
