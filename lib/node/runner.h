// SPDX-License-Identifier: MIT
// node/runner.h - how a thread of a pool does its jobs.

#ifndef NODE_RUNNER_H
#define NODE_RUNNER_H

#include "node/job.h"

// runner_t belongs to one thread.
typedef struct runner runner_t;

struct runner {
    // tend keeps it able to work; returns when to call it again if no job has
    // come (clock_ms; -1: never).  May block until the pool stops.
    int64_t (*tend)(runner_t *self);
    // run does a job, whose event counts as begun; the job stays the caller's.
    void (*run)(runner_t *self, job_t *job);
    void (*destroy)(runner_t *self);
};

// runner_of_thread calls the handler in the thread itself.  Never fails; the
// port is the thread's.
runner_t *runner_of_thread(
    const handler_t *handler, void *state, edri_port_t *port);

#endif
