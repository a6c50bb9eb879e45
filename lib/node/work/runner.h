// SPDX-License-Identifier: MIT
// node/work/runner.h - how a thread of a pool does its jobs.

#ifndef NODE_WORK_RUNNER_H
#define NODE_WORK_RUNNER_H

#include "node/work/job.h"

// runner_t belongs to one thread.
typedef struct runner runner_t;

struct runner {
    // tend keeps it able to work; returns when to call it again if no job has
    // come (clock_ms; INT64_MAX: never).  May block until the pool stops.
    int64_t (*tend)(runner_t *self);
    // run does a job, whose event counts as begun; the job stays the caller's.
    // Returns true when it must be tried again, at *due_ms.
    bool (*run)(runner_t *self, job_t *job, int64_t *due_ms);
    // leaves says whether it takes no more jobs: what is left goes elsewhere.
    bool (*leaves)(const runner_t *self);
    void (*destroy)(runner_t *self);
};

// runner_of_thread calls the handler in the thread itself, as 'task', which has
// the thread's port, arena and worker.  Never fails.
runner_t *runner_of_thread(edri_task_t *task);

#endif
