// SPDX-License-Identifier: MIT
// runner.c - a thread of a pool that calls the handler itself.

#include "node/work/runner.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "node/ask.h"
#include "node/tunnel.h"

typedef struct thread_runner {
    runner_t base; // first
    edri_task_t *task;
} thread_runner_t;

static int64_t
tend(runner_t *base)
{
    (void)base;
    return INT64_MAX;
}

static bool
run(runner_t *base, job_t *job, int64_t *due_ms)
{
    thread_runner_t *self = (thread_runner_t *)base;
    bool again = job_run(job, self->task, due_ms);
    ask_settle(self->task->port);
    tunnels_settle(self->task->port);
    return again;
}

static bool
leaves(const runner_t *base)
{
    (void)base;
    return false; // with its port, until the pool ends: pool_waits_for
}

static void
destroy(runner_t *base)
{
    free(base);
}

runner_t *
runner_of_thread(edri_task_t *task)
{
    thread_runner_t *self = mem_new(sizeof *self);
    *self = (thread_runner_t){{tend, run, leaves, destroy}, task};
    return &self->base;
}
