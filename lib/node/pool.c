// SPDX-License-Identifier: MIT
// pool.c - a handler's threads.

#include "node/pool.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/queue.h"
#include "edri/log.h"
#include "node/ask.h"
#include "node/backlog.h"

struct pool {
    const handler_t *handler;
    void *state;
    edri_port_t *manager; // whose box the jobs weigh on
    jobs_t *held;         // the manager's
    backlog_t *jobs;
    queue_t *attached; // each thread says so once: itself, or self
    pthread_t *threads;
    size_t count; // started
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
    self->jobs = backlog_new();
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

// may_begin says whether a job may be begun; else it is held back, or done with.
static bool
may_begin(pool_t *self, job_t *job, edri_port_t *port, clock_tick_t *clock)
{
    // What came from another node needs its source's lease, the first time.
    token_may_t may = job->origin.token != NULL && job->tries == 0
                          ? jobs_hold(self->held, job, clock)
                          : TOKEN_BEGIN;
    if (may == TOKEN_GONE) {
        counter_add(&port->node->counters, COUNTER_WITHDRAWN, 1);
        backlog_done(self->jobs, job);
        job_drop(job, port, self->manager->in);
    }
    job->origin.redelivered = job->origin.redelivered || may == TOKEN_MARKED;
    return may == TOKEN_BEGIN || may == TOKEN_MARKED;
}

// run_job does one job, unless its source has given it to another.
static void
run_job(pool_t *self, job_t *job, edri_port_t *port, arena_t *arena)
{
    int64_t due_ms = 0;
    if (job->origin.token != NULL && job->tries == 0) {
        port_begun(port, job->origin.token, 1);
    }
    bool again = job_run(job, port, self->state, arena, &due_ms);
    settle(port);
    if (again) {
        backlog_delay(self->jobs, job, due_ms);
    } else {
        backlog_done(self->jobs, job);
        job_end(job, port, self->manager->in);
    }
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
    while (port != NULL && (job = backlog_take(self->jobs)) != NULL) {
        if (may_begin(self, job, port, &clock)) {
            run_job(self, job, port, arena);
        }
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
    backlog_put(self->jobs, job);
}

void
pool_again(pool_t *self, job_t *job)
{
    backlog_again(self->jobs, job);
}

void
pool_destroy(pool_t **self_p)
{
    pool_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    backlog_close(self->jobs);
    for (size_t i = 0; i < self->count; i++) {
        (void)pthread_join(self->threads[i], NULL);
    }
    job_t *job = NULL;
    while ((job = backlog_drop(self->jobs)) != NULL) {
        job_leave(job, self->manager, self->manager->in);
    }
    backlog_destroy(&self->jobs);
    queue_destroy(&self->attached);
    free(self->threads);
    free(self);
}
