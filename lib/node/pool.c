// SPDX-License-Identifier: MIT
// pool.c - a handler's threads.

#include "node/pool.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/queue.h"
#include "edri/log.h"
#include "node/ask.h"

struct pool {
    const handler_t *handler;
    void *state;
    edri_port_t *manager; // whose box the jobs weigh on
    jobs_t *held;         // the manager's
    queue_t *jobs;
    queue_t *attached; // each thread says so once: itself, or self
    pthread_t *threads;
    size_t count; // started
    atomic_bool stop;
};

pool_t *
pool_new(
    const handler_t *handler, void *state, edri_port_t *manager, jobs_t *held)
{
    pool_t *self = mem_new(sizeof *self);
    self->handler = handler;
    self->state = state;
    self->manager = manager;
    self->held = held;
    self->jobs = queue_new();
    self->attached = queue_new();
    self->threads = mem_new(handler->workers.count * sizeof(pthread_t));
    return self;
}

// ----- threads

// settle waits for the callbacks of the requests that the handler began.
static void
settle(edri_port_t *port)
{
    while (port_asking(port)) {
        if (port_pump(port) > 0) {
            continue;
        }
        edri_err_t err = port_sleep(port, port_deadline(port));
        if (err == EDRI_DEADLINE) {
            (void)port_expire(port, clock_ms());
        } else if (err != EDRI_OK) {
            ask_end_all(port, err);
        }
    }
}

// run_job does one job, unless its source has given it to another; it may be
// held back.
static void
run_job(pool_t *self, job_t *job, edri_port_t *port, arena_t *arena,
    clock_tick_t *clock)
{
    token_may_t may =
        job->movable ? jobs_hold(self->held, job, clock) : TOKEN_BEGIN;
    if (may == TOKEN_HOLD) {
        return;
    }
    if (may == TOKEN_GONE) {
        counter_add(&port->node->counters, COUNTER_WITHDRAWN, 1);
        job_drop(job, port, self->manager->in);
        return;
    }
    if (atomic_load(&self->stop)) {
        job_leave(job, port, self->manager->in);
        return;
    }
    if (job->origin.token != NULL) {
        port_begun(port, job->origin.token, 1);
    }
    job->origin.redelivered = job->origin.redelivered || may == TOKEN_MARKED;
    edri_task_t task = {.port = port,
        .state = self->state,
        .handler = self->handler,
        .arena = arena,
        .missed = job->missed};
    task_run(&task, (slice_t){job->content, job->size}, job->blob, &job->origin,
        clock_ms());
    settle(port);
    port_release(port, self->manager->in, job->weight);
    job_free(job);
}

static void *
run_worker(void *arg)
{
    pool_t *self = arg;
    edri_port_t like = {.worker = true};
    thread_name(self->handler->type->name);
    edri_port_t *port = port_new(self->manager->node, &like);
    queue_put(self->attached, port != NULL ? (void *)port : (void *)self);
    arena_t *arena = arena_new();
    job_t *job = NULL;
    clock_tick_t clock = {0};
    while (port != NULL && (job = queue_take(self->jobs)) != NULL) {
        run_job(self, job, port, arena, &clock);
    }
    arena_destroy(&arena);
    edri_port_destroy(&port);
    return NULL;
}

edri_err_t
pool_start(pool_t *self)
{
    edri_err_t err = EDRI_OK;
    while (self->count < self->handler->workers.count && err == EDRI_OK) {
        if (pthread_create(
                &self->threads[self->count], NULL, run_worker, self) != 0) {
            edri_log_error("POOL-THREAD", "type=%s threads=%zu wanted=%u",
                self->handler->type->name, self->count,
                self->handler->workers.count);
            return EDRI_SYSTEM;
        }
        self->count++;
        if (queue_take(self->attached) == self) {
            err = EDRI_SYSTEM;
        }
    }
    return err;
}

void
pool_put(pool_t *self, job_t *job)
{
    queue_put(self->jobs, job);
}

void
pool_destroy(pool_t **self_p)
{
    pool_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    atomic_store(&self->stop, true);
    queue_close(self->jobs);
    for (size_t i = 0; i < self->count; i++) {
        (void)pthread_join(self->threads[i], NULL);
    }
    job_t *job = NULL;
    while ((job = queue_take(self->jobs)) != NULL) {
        job_free(job); // only when no thread could be started
    }
    queue_destroy(&self->jobs);
    queue_destroy(&self->attached);
    free(self->threads);
    free(self);
}
