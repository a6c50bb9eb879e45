// SPDX-License-Identifier: MIT
// node/task.h - the inside of a task: unpack, call the handler, reply.

#ifndef NODE_TASK_H
#define NODE_TASK_H

#include "base/arena.h"
#include "edri/manager.h"
#include "node/port.h"

// handler_t is what a manager does with one type.
typedef struct handler {
    const edri_type_t *type;
    const char *manager;  // whose it is
    edri_handle_fn *call; // NULL: an observer
    edri_observe_fn *observe;
    edri_fn_t fn; // the user's function
    edri_workers_t workers;
    const char *program;    // runs it in processes; NULL: this one
    struct pool *pool;      // of threads or processes
    bool replay;            // wants what is retained,
    uint32_t replay_age_ms; // none older; 0: all
} handler_t;

struct edri_task {
    edri_port_t *port; // of the thread that runs it
    void *state;       // the manager's
    const handler_t *handler;
    arena_t *arena;      // of the thread
    envelope_t env;      // read whole; borrows from the load
    uint64_t life;       // of the emitter
    int64_t deadline_ms; // on clock_ms; -1: none
    char *text;          // of the failure, in the arena
    uint64_t missed;     // events that were dropped before it
    bool far;            // the node waits for a reply to any event, and counts
};

// task_run unpacks the event, calls the handler and sends the reply or error.
// 'content' is the envelope, 'blob' its attachment or NULL (borrowed), 'now_ms'
// the time for judging its deadline.
void task_run(edri_task_t *self, slice_t content, blob_t *blob,
    const run_t *origin, int64_t now_ms);

#endif
