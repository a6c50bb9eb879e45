// SPDX-License-Identifier: MIT
// node/work/task.h - the inside of a task: unpack, call the handler, reply.

#ifndef NODE_WORK_TASK_H
#define NODE_WORK_TASK_H

#include <stdatomic.h>

#include "base/arena.h"
#include "edri/manager.h"
#include "edri/tunnel.h"
#include "node/faults.h"
#include "node/port.h"

// handler_t is what a manager does with one type.
typedef struct handler {
    const edri_type_t *type;
    const char *manager;  // whose it is
    edri_handle_fn *call; // NULL: an observer
    edri_observe_fn *observe;
    edri_fn_t fn; // the user's function
    edri_workers_t workers;
    uint32_t limit_ms;      // of one task; 0: none
    const char *program;    // runs it in processes; NULL: this one
    struct pool *pool;      // of threads or processes
    bool replay;            // wants what is retained,
    uint32_t replay_age_ms; // none older; 0: all
    flat_t *flat;           // how its messages lie in memory, or NULL
    flat_t *flat_reply;     // and their replies
} handler_t;

// crew_t is what all workers of a manager have.
typedef struct crew {
    edri_manager_t *manager;
    faults_t *faults;
    void *state;
    edri_worker_begin_fn *begin; // makes a worker's own, or NULL
    edri_worker_end_fn *end;
} crew_t;

// crew_begin makes what a worker has of its own (NULL: nothing); crew_end ends
// it and sets *worker_p to NULL.  In the worker's thread.
edri_err_t crew_begin(const crew_t *self, void **worker_p) EDRI_MUST_CHECK;
void crew_end(const crew_t *self, void **worker_p);

struct edri_task {
    edri_port_t *port; // of the thread that runs it
    const crew_t *crew;
    void *worker; // the thread's own
    const handler_t *handler;
    arena_t *arena;      // of the thread
    envelope_t env;      // read whole; borrows from the load
    uint64_t life;       // of the emitter
    int64_t deadline_ms; // on clock_ms; -1: none
    // a request's: among those at work (node/requests.h)
    struct edri_task *next;
    struct edri_task *before;
    _Atomic(int64_t) cancelled_ms; // since when; 0: it is not
    // of any that has an end:
    _Atomic(int64_t) over_ms;  // when it is over; -1: never
    _Atomic(uint64_t) running; // its id while the handler runs; or 0
    char *text;                // of the failure, in the arena
    uint64_t missed;           // events that were dropped before it
    uint32_t attempt;          // tries of it here before this one
    int64_t told_ms;           // when its progress was told last
    struct job *job;           // of a pool's, which weighs on this box
    box_t *box;
    edri_tunnel_t *tunnel; // of one that opens it, or NULL
    bool opened;           // it has been accepted
    bool far;  // the node waits for a reply to any event, and counts
    bool last; // its thread has nothing else to do
};

// task_run unpacks the event, calls the handler and sends the reply or error.
// 'content' is the envelope, 'blob' its attachment or NULL (borrowed), 'now_ms'
// the time for judging its deadline.  Returns the error of a notification's
// handler, with its text in self->text; else EDRI_OK: a request's asker has it.
// task_end then frees what the task has allocated.
edri_err_t task_run(edri_task_t *self, slice_t content, blob_t *blob,
    const run_t *origin, int64_t now_ms) EDRI_MUST_CHECK;
void task_end(edri_task_t *self);

// task_opened says that the tunnel which it opens was accepted: its time does not
// end with the request's, and it is no work any more that its manager waits for.
void task_opened(edri_task_t *self);

// task_begins lets the time limit run from now.
void task_begins(edri_task_t *self);

// task_unwanted says since when nobody waits for the task that runs, which is
// *id_p, or its time limit is over; INT64_MAX when neither is, or none runs.  Any
// thread, as long as the task's memory is there.
int64_t task_unwanted(const edri_task_t *self, uint64_t *id_p);

#endif
