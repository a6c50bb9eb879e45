// SPDX-License-Identifier: MIT
// pool.c - a handler's threads, or processes.

#include "node/work/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/queue.h"
#include "edri/log.h"
#include "node/system.h"
#include "node/work/backlog.h"
#include "node/work/proxy.h"
#include "node/work/workers.h"

// Threads that are stuck and were replaced, at most: more than this is a
// handler that never ends, and no number of threads helps.
#define STUCK_MAX ((size_t)64)

// worker_t is one thread.
typedef struct worker {
    pool_t *pool;
    pthread_t thread;
    edri_port_t *port;
    runner_t *runner;
    edri_task_t task; // stays there for pool_watch
    edri_err_t err;   // of its start
    bool stuck;       // pool_watch has said so
    agenda_entry_t
        ended; // the job that has just ended: what is behind it waits
    bool has_ended;
    atomic_bool leaves; // another has taken its place
    atomic_bool left;   // may be joined
} worker_t;

struct pool {
    pool_plan_t plan;
    handler_t *handler; // of a pool that has one
    edri_port_t *manager;
    backlog_t *jobs;
    shift_t *shift;    // its threads
    bool open;         // they take jobs
    roster_t *roster;  // of its processes; NULL: threads call the handler
    queue_t *attached; // each worker says so once: itself
    worker_t **workers;
    size_t wanted; // so many
    size_t count;  // started, with those that are stuck
    atomic_bool stop;
    atomic_bool leaving; // another has its jobs
};

void
pool_open(pool_t *self)
{
    if (!self->open) {
        self->open = true;
        backlog_open_shift(self->jobs, self->shift);
    }
}

pool_t *
pool_new(const pool_plan_t *plan)
{
    pool_t *self = mem_new(sizeof *self);
    self->plan = *plan;
    if (plan->roster.house == NULL) {
        self->handler = plan->roster.handlers[0];
        self->plan.roster.handlers = &self->handler;
    }
    self->manager = plan->manager;
    self->jobs = plan->jobs != NULL ? plan->jobs : backlog_new();
    self->shift = backlog_begin_shift(self->jobs);
    if (plan->jobs == NULL) {
        pool_open(self);
    }
    self->attached = queue_new();
    self->wanted = workers_count(plan->workers);
    self->workers = mem_new((self->wanted + STUCK_MAX) * sizeof *self->workers);
    if (plan->roster.house != NULL || plan->workers.kind != WORKERS_THREADS) {
        self->roster = roster_new(&self->plan.roster, plan->manager->node,
            &self->stop, plan->wake_fd);
    }
    return self;
}

bool
pool_renew(pool_t *self)
{
    const roster_plan_t *plan = &self->plan.roster;
    // In a house the first seat does it for all.
    bool renews =
        self->roster != NULL && (plan->house == NULL || plan->first_seat == 0);
    if (renews) {
        roster_renew(self->roster, plan->fresh ? 0 : (unsigned)self->count);
        backlog_nudge(self->jobs);
    }
    return renews;
}

edri_err_t
pool_renewed(pool_t *self, const char **why_p)
{
    *why_p = NULL;
    return self->roster != NULL ? roster_renewed(self->roster, why_p) : EDRI_OK;
}

backlog_t *
pool_jobs(pool_t *self)
{
    return self->jobs;
}

// ----- threads

// first_handler is the pool's, as a rule; a shared one has it from each job.
static const handler_t *
first_handler(const pool_t *self)
{
    return self->plan.roster.handler_count > 0 ? self->plan.roster.handlers[0]
                                               : NULL;
}

// may_begin says whether a job may be begun; else it is held back, or done with.
static bool
may_begin(worker_t *self, job_t *job, clock_tick_t *clock)
{
    pool_t *pool = self->pool;
    // What came from another node needs its source's lease, the first time.
    token_may_t may = job->origin.token != NULL && job->tries == 0
                          ? jobs_hold(pool->plan.held, job, clock)
                          : TOKEN_BEGIN;
    if (may == TOKEN_HOLD) {
        return false; // others may have it already
    }
    if (may == TOKEN_GONE) {
        counter_add(&self->port->node->counters, COUNTER_WITHDRAWN, 1);
        backlog_done(pool->jobs, &job->entry);
        job_drop(job, self->port, pool->manager->in);
        return false;
    }
    job->origin.redelivered = job->origin.redelivered || may == TOKEN_MARKED;
    return true;
}

static void
run_job(worker_t *self, job_t *job)
{
    pool_t *pool = self->pool;
    int64_t due_ms = 0;
    if (job->origin.token != NULL && job->tries == 0) {
        port_begun(self->port, job->origin.token, 1);
    }
    self->task.job = job;
    self->task.box = pool->manager->in;
    if (self->runner->run(self->runner, job, &due_ms)) {
        backlog_delay(pool->jobs, job, due_ms);
        return;
    }
    self->ended = job->entry;
    self->has_ended = true;
    job_end(job, self->port, pool->manager->in);
}

// end_job tells the backlog of a job that has ended.
static void
end_job(worker_t *self)
{
    if (self->has_ended) {
        self->has_ended = false;
        backlog_done(self->pool->jobs, &self->ended);
    }
}

// next_job waits for one; NULL when the pool ends.
static job_t *
next_job(worker_t *self)
{
    job_t *job = NULL;
    pool_t *pool = self->pool;
    if (pool->roster != NULL) {
        end_job(self); // to tend a process may take long
    }
    do {
        int64_t until_ms = self->runner->tend(self->runner);
        const agenda_entry_t *ended = self->has_ended ? &self->ended : NULL;
        self->has_ended = false;
        job = backlog_take(pool->jobs, pool->shift, ended, until_ms);
    } while (job == NULL && !atomic_load(&pool->stop) &&
             !atomic_load(&pool->leaving));
    if (job != NULL && pool->plan.roster.house == NULL) {
        job->handler = first_handler(pool); // it may have been another's
    }
    return job;
}

static void
work(worker_t *self)
{
    job_t *job = NULL;
    clock_tick_t clock = {0};
    while (!atomic_load(&self->leaves) && (job = next_job(self)) != NULL) {
        if (self->runner->leaves(self->runner)) {
            backlog_again(self->pool->jobs, job); // goes back to its source
            break;
        }
        if (may_begin(self, job, &clock)) {
            run_job(self, job);
        }
    }
    end_job(self);
}

// begin makes the runner, and what a thread that calls handlers has for itself.
static edri_err_t
begin(worker_t *self)
{
    pool_t *pool = self->pool;
    if (pool->roster != NULL) {
        self->runner = runner_of_processes(pool->roster, &self->task);
        return EDRI_OK;
    }
    edri_err_t err = crew_begin(pool->plan.crew, &self->task.worker);
    if (err == EDRI_OK) {
        self->runner = runner_of_thread(&self->task);
    }
    return err;
}

static void *
run_worker(void *arg)
{
    worker_t *self = arg;
    pool_t *pool = self->pool;
    edri_port_t like = {.worker = true, .target = pool->manager->number};
    thread_name(pool->plan.roster.what);
    self->port = port_new(pool->manager->node, &like);
    self->task = (edri_task_t){.port = self->port,
        .crew = pool->plan.crew,
        .handler = first_handler(pool),
        .arena = arena_new()};
    self->err = self->port != NULL ? begin(self) : EDRI_SYSTEM;
    bool fine = self->err == EDRI_OK;
    queue_put(pool->attached, self);
    if (fine) {
        work(self);
        self->runner->destroy(self->runner);
        crew_end(pool->plan.crew, &self->task.worker);
    }
    arena_destroy(&self->task.arena);
    if (pool->roster != NULL) {
        backlog_linger(pool->jobs); // the manager looks at the port
    }
    edri_port_destroy(&self->port);
    atomic_store(&self->left, true);
    if (atomic_load(&pool->leaving) && pool->plan.wake_fd >= 0) {
        (void)!write(pool->plan.wake_fd, &(uint64_t){1}, sizeof(uint64_t));
    }
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
            "manager=%s type=%s threads=%zu wanted=%zu error=%s",
            self->plan.roster.manager, self->plan.roster.what, self->count,
            self->wanted, edri_err_name(err));
    }
    return err;
}

edri_err_t
pool_start(pool_t *self)
{
    edri_err_t err = EDRI_OK;
    while (self->count < self->wanted && err == EDRI_OK) {
        err = add_worker(self);
    }
    return err;
}

void
pool_put(pool_t *self, job_t *jobs)
{
    backlog_put(self->jobs, jobs);
}

uint64_t
pool_waits_for(const pool_t *self)
{
    return self->wanted == 1 && self->count == 1
               ? atomic_load(&self->workers[0]->port->waits_for)
               : 0;
}

void
pool_again(pool_t *self, job_t *job)
{
    backlog_again(self->jobs, job);
}

// ----- threads that are stuck

// end_worker joins a thread that has left, or is about to.
static void
end_worker(worker_t *worker)
{
    (void)pthread_join(worker->thread, NULL);
    free(worker);
}

// replace says that a worker is stuck and starts another in its place, unless
// there are too many already: then it is tried again when one has left.
static void
replace(pool_t *self, worker_t *worker, uint64_t id, int64_t unwanted_ms)
{
    const roster_plan_t *plan = &self->plan.roster;
    if (!worker->stuck) {
        worker->stuck = true;
        counter_add(&self->manager->node->counters, COUNTER_STUCK, 1);
        edri_log_warn("WORKER-STUCK",
            "manager=%s type=%s task=%016llx unwanted_ms=%lld", plan->manager,
            plan->what, (unsigned long long)id, (long long)unwanted_ms);
        char why[160];
        (void)snprintf(why, sizeof why,
            "a thread has been at work for %lld ms after its task %016llx was "
            "cancelled or its time was over",
            (long long)unwanted_ms, (unsigned long long)id);
        system_worker_down(self->manager, plan->manager, plan->what, why);
    }
    if (self->count < self->wanted + STUCK_MAX &&
        !atomic_load(&self->leaving)) {
        atomic_store(&worker->leaves, add_worker(self) == EDRI_OK);
    }
}

void
pool_leave(pool_t *self)
{
    atomic_store(&self->leaving, true);
    for (size_t i = 0; i < self->count; i++) {
        atomic_store(&self->workers[i]->leaves, true);
    }
    backlog_end_shift(self->jobs, self->shift);
}

bool
pool_left(pool_t *self)
{
    for (size_t i = self->count; i > 0; i--) {
        worker_t *worker = self->workers[i - 1];
        if (atomic_load(&worker->left)) {
            self->workers[i - 1] = self->workers[--self->count];
            end_worker(worker);
        }
    }
    return self->count == 0;
}

int64_t
pool_watch(pool_t *self, int64_t now_ms)
{
    int64_t grace_ms = self->manager->node->limits.grace_ms;
    int64_t next_ms = INT64_MAX;
    if (self->roster != NULL) {
        return -1; // the proxies kill their processes
    }
    (void)pool_left(self);
    for (size_t i = self->count; i > 0; i--) {
        worker_t *worker = self->workers[i - 1];
        uint64_t id = 0;
        // One that was told of before leaves, too, when the pool does.
        bool replaced = atomic_load(&worker->leaves) &&
                        (worker->stuck || !atomic_load(&self->leaving));
        int64_t since_ms =
            replaced ? INT64_MAX : task_unwanted(&worker->task, &id);
        worker->stuck = worker->stuck && (replaced || since_ms != INT64_MAX);
        if (since_ms != INT64_MAX && now_ms - since_ms >= grace_ms) {
            replace(self, worker, id, now_ms - since_ms);
        } else if (since_ms < next_ms) {
            next_ms = since_ms;
        }
    }
    // What begins from now on is stuck after the grace at the earliest.
    next_ms = next_ms < now_ms ? next_ms : now_ms;
    return backlog_open(self->jobs) == 0 ? -1 : next_ms + grace_ms;
}

void
pool_destroy(pool_t **self_p, jobs_t *left)
{
    pool_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    bool owns = !atomic_load(&self->leaving);
    atomic_store(&self->stop, true);
    if (owns) {
        backlog_close(self->jobs);
    }
    for (size_t i = 0; i < self->count; i++) {
        end_worker(self->workers[i]);
    }
    job_t *job = NULL;
    while (owns && (job = backlog_drop(self->jobs)) != NULL) {
        if (left != NULL) {
            jobs_add(left, job);
        } else {
            job_leave(job, self->manager, self->manager->in);
        }
    }
    if (owns) {
        backlog_end_shift(self->jobs, self->shift);
    }
    backlog_free_shift(self->jobs, &self->shift);
    if (owns) {
        backlog_destroy(&self->jobs);
    }
    queue_destroy(&self->attached);
    roster_destroy(&self->roster);
    free(self->workers);
    free(self);
}
