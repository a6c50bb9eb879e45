// SPDX-License-Identifier: MIT
// pool.c - a handler's threads, or processes.

#include "node/pool.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/queue.h"
#include "edri/log.h"
#include "node/proxy.h"
#include "node/workers.h"

struct pool {
    const handler_t *handler;
    void *state;
    edri_port_t *manager; // whose box the jobs weigh on
    jobs_t *held;         // the manager's
    queue_t *jobs;
    queue_t *attached; // each thread says so once: itself, or self
    pthread_t *threads;
    unsigned wanted; // so many threads
    size_t count;    // started
    crew_t *crew;    // what their processes share; NULL: they run it themselves
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
    self->wanted = workers_count(handler->workers);
    self->threads = mem_new(self->wanted * sizeof(pthread_t));
    if (handler->workers.kind != WORKERS_THREADS) {
        self->crew = crew_new(handler, manager->node, &self->stop);
    }
    return self;
}

// ----- threads

// run_job does one job, unless its source has given it to another; it may be
// held back.
static void
run_job(pool_t *self, job_t *job, edri_port_t *port, runner_t *runner,
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
    runner->run(runner, job);
    port_release(port, self->manager->in, job->weight);
    job_free(job);
}

// next_job waits for one; NULL when the pool ends.
static job_t *
next_job(pool_t *self, runner_t *runner)
{
    job_t *job = NULL;
    do {
        job = queue_take_until(self->jobs, runner->tend(runner));
    } while (job == NULL && !atomic_load(&self->stop));
    return job;
}

static void *
run_worker(void *arg)
{
    pool_t *self = arg;
    edri_port_t like = {.worker = true};
    thread_name(self->handler->type->name);
    edri_port_t *port = port_new(self->manager->node, &like);
    queue_put(self->attached, port != NULL ? (void *)port : (void *)self);
    if (port == NULL) {
        return NULL;
    }
    runner_t *runner = self->crew != NULL
                           ? runner_of_processes(self->crew, port)
                           : runner_of_thread(self->handler, self->state, port);
    job_t *job = NULL;
    clock_tick_t clock = {0};
    while ((job = next_job(self, runner)) != NULL) {
        run_job(self, job, port, runner, &clock);
    }
    runner->destroy(runner);
    edri_port_destroy(&port);
    return NULL;
}

edri_err_t
pool_start(pool_t *self)
{
    edri_err_t err = EDRI_OK;
    while (self->count < self->wanted && err == EDRI_OK) {
        if (pthread_create(
                &self->threads[self->count], NULL, run_worker, self) != 0) {
            edri_log_error("POOL-THREAD", "type=%s threads=%zu wanted=%u",
                self->handler->type->name, self->count, self->wanted);
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
    crew_destroy(&self->crew);
    free(self->threads);
    free(self);
}
