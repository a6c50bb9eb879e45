// SPDX-License-Identifier: MIT
// pool.c - a handler's threads.

#include "node/pool.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/queue.h"
#include "edri/log.h"
#include "node/ask.h"

// Threads that are stuck and were replaced, at most: more than this is a
// handler that never ends, and no number of threads helps.
#define STUCK_MAX ((size_t)64)

// worker_t is one thread.
typedef struct worker {
    pool_t *pool;
    pthread_t thread;
    edri_port_t *port;
    edri_task_t task;       // stays there for pool_watch
    edri_err_t err;         // of its start
    _Atomic(uint64_t) done; // jobs; only the thread writes
    bool stuck;             // pool_watch has said so
    atomic_bool leaves;     // another has taken its place
    atomic_bool left;       // may be joined
} worker_t;

struct pool {
    const handler_t *handler;
    const crew_t *crew;
    edri_port_t *manager; // whose box the jobs weigh on
    jobs_t *held;         // the manager's
    queue_t *jobs;
    queue_t *attached; // each worker says so once: itself
    worker_t **workers;
    size_t count;
    uint64_t put;  // jobs
    uint64_t done; // of these, by workers that have left
    atomic_bool stop;
};

pool_t *
pool_new(const handler_t *handler, const crew_t *crew, edri_port_t *manager,
    jobs_t *held)
{
    pool_t *self = mem_new(sizeof *self);
    self->handler = handler;
    self->crew = crew;
    self->manager = manager;
    self->held = held;
    self->jobs = queue_new();
    self->attached = queue_new();
    self->workers =
        mem_new((handler->workers.count + STUCK_MAX) * sizeof *self->workers);
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
run_job(worker_t *self, job_t *job, clock_tick_t *clock)
{
    pool_t *pool = self->pool;
    edri_port_t *port = self->port;
    token_may_t may =
        job->movable ? jobs_hold(pool->held, job, clock) : TOKEN_BEGIN;
    if (may == TOKEN_HOLD) {
        return;
    }
    if (may == TOKEN_GONE) {
        counter_add(&port->node->counters, COUNTER_WITHDRAWN, 1);
        job_drop(job, port, pool->manager->in);
        return;
    }
    if (atomic_load(&pool->stop)) {
        job_leave(job, port, pool->manager->in);
        return;
    }
    if (job->origin.token != NULL) {
        port_begun(port, job->origin.token, 1);
    }
    job->origin.redelivered = job->origin.redelivered || may == TOKEN_MARKED;
    self->task.missed = job->missed;
    task_run(&self->task, (slice_t){job->content, job->size}, job->blob,
        &job->origin, clock_ms());
    settle(port);
    port_release(port, pool->manager->in, job->weight);
    job_free(job);
}

static void
work(worker_t *self)
{
    job_t *job = NULL;
    clock_tick_t clock = {0};
    while (!atomic_load(&self->leaves) &&
           (job = queue_take(self->pool->jobs)) != NULL) {
        run_job(self, job, &clock);
        atomic_store(&self->done, atomic_load(&self->done) + 1);
    }
}

static void *
run_worker(void *arg)
{
    worker_t *self = arg;
    pool_t *pool = self->pool;
    edri_port_t like = {.worker = true, .target = pool->manager->number};
    thread_name(pool->handler->type->name);
    self->port = port_new(pool->manager->node, &like);
    self->task = (edri_task_t){.port = self->port,
        .crew = pool->crew,
        .handler = pool->handler,
        .arena = arena_new()};
    self->err = self->port != NULL ? crew_begin(pool->crew, &self->task.worker)
                                   : EDRI_SYSTEM;
    bool fine = self->err == EDRI_OK;
    queue_put(pool->attached, self);
    if (fine) {
        work(self);
        crew_end(pool->crew, &self->task.worker);
    }
    arena_destroy(&self->task.arena);
    edri_port_destroy(&self->port);
    atomic_store(&self->left, true);
    return NULL;
}

// add_worker starts one more thread and waits until it is attached.
static edri_err_t
add_worker(pool_t *self)
{
    worker_t *worker = mem_new(sizeof *worker);
    worker->pool = self;
    edri_err_t err = EDRI_SYSTEM;
    if (pthread_create(&worker->thread, NULL, run_worker, worker) == 0) {
        self->workers[self->count++] = worker;
        (void)queue_take(self->attached);
        err = worker->err;
    } else {
        free(worker);
    }
    if (err != EDRI_OK) {
        edri_log_error("POOL-THREAD",
            "manager=%s type=%s threads=%zu wanted=%u error=%s",
            self->handler->manager, self->handler->type->name, self->count,
            self->handler->workers.count, edri_err_name(err));
    }
    return err;
}

edri_err_t
pool_start(pool_t *self)
{
    edri_err_t err = EDRI_OK;
    while (self->count < self->handler->workers.count && err == EDRI_OK) {
        err = add_worker(self);
    }
    return err;
}

void
pool_put(pool_t *self, job_t *job)
{
    self->put++;
    queue_put(self->jobs, job);
}

// ----- threads that are stuck

// end_worker joins a thread that has left, or is about to.
static void
end_worker(pool_t *self, worker_t *worker)
{
    (void)pthread_join(worker->thread, NULL);
    self->done += atomic_load(&worker->done);
    free(worker);
}

// replace says that a worker is stuck and starts another in its place, unless
// there are too many already: then it is tried again when one has left.
static void
replace(pool_t *self, worker_t *worker, uint64_t id, int64_t unwanted_ms)
{
    const handler_t *handler = self->handler;
    if (!worker->stuck) {
        worker->stuck = true;
        counter_add(&self->manager->node->counters, COUNTER_STUCK, 1);
        edri_log_warn("WORKER-STUCK",
            "manager=%s type=%s task=%016llx unwanted_ms=%lld",
            handler->manager, handler->type->name, (unsigned long long)id,
            (long long)unwanted_ms);
    }
    if (self->count < handler->workers.count + STUCK_MAX) {
        atomic_store(&worker->leaves, add_worker(self) == EDRI_OK);
    }
}

int64_t
pool_watch(pool_t *self, int64_t now_ms)
{
    int64_t grace_ms = self->manager->node->limits.grace_ms;
    int64_t next_ms = INT64_MAX;
    uint64_t done = 0;
    for (size_t i = self->count; i > 0; i--) {
        worker_t *worker = self->workers[i - 1];
        uint64_t id = 0;
        if (atomic_load(&worker->left)) {
            self->workers[i - 1] = self->workers[--self->count];
            end_worker(self, worker);
            continue;
        }
        done += atomic_load(&worker->done);
        int64_t since_ms = atomic_load(&worker->leaves)
                               ? INT64_MAX
                               : task_unwanted(&worker->task, &id);
        worker->stuck = worker->stuck && since_ms != INT64_MAX;
        if (since_ms != INT64_MAX && now_ms - since_ms >= grace_ms) {
            replace(self, worker, id, now_ms - since_ms);
        } else if (since_ms < next_ms) {
            next_ms = since_ms;
        }
    }
    // What begins from now on is stuck after the grace at the earliest.
    next_ms = next_ms < now_ms ? next_ms : now_ms;
    return self->put == self->done + done ? -1 : next_ms + grace_ms;
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
        end_worker(self, self->workers[i]);
    }
    job_t *job = NULL;
    while ((job = queue_take(self->jobs)) != NULL) {
        job_free(job); // only when no thread could be started
    }
    queue_destroy(&self->jobs);
    queue_destroy(&self->attached);
    free(self->workers);
    free(self);
}
