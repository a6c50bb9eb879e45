// SPDX-License-Identifier: MIT
// runner.c - a thread of a pool that calls the handler itself.

#include "node/runner.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "node/ask.h"

typedef struct thread_runner {
    runner_t base; // first
    const handler_t *handler;
    void *state;
    edri_port_t *port;
    arena_t *arena;
} thread_runner_t;

static int64_t
tend(runner_t *base)
{
    (void)base;
    return -1;
}

static void
run(runner_t *base, job_t *job)
{
    thread_runner_t *self = (thread_runner_t *)base;
    edri_task_t task = {.port = self->port,
        .state = self->state,
        .handler = self->handler,
        .arena = self->arena,
        .missed = job->missed};
    task_run(&task, (slice_t){job->content, job->size}, job->blob, &job->origin,
        clock_ms());
    ask_settle(self->port);
}

static void
destroy(runner_t *base)
{
    thread_runner_t *self = (thread_runner_t *)base;
    arena_destroy(&self->arena);
    free(self);
}

runner_t *
runner_of_thread(const handler_t *handler, void *state, edri_port_t *port)
{
    thread_runner_t *self = mem_new(sizeof *self);
    *self = (thread_runner_t){.base = {tend, run, destroy},
        .handler = handler,
        .state = state,
        .port = port,
        .arena = arena_new()};
    return &self->base;
}
