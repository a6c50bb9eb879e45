// SPDX-License-Identifier: MIT
// node/work/job.h - an event that waits: for its turn, for the fence of its source,
// or for its next try.

#ifndef NODE_WORK_JOB_H
#define NODE_WORK_JOB_H

#include "core/agenda.h"
#include "node/work/task.h"

// spares_t is memory of jobs that have ended, for the next ones: threads of pools give
// it back, the manager's takes it.  Through malloc each job would go from one
// thread's heap to another's, under its lock.  What was not needed is given up again.
typedef struct spares {
    _Atomic(struct job *) back; // given back
    atomic_size_t back_count;   // of these, or a few more
    // the manager's
    struct job *first;
    size_t count;    // of these, about
    size_t least;    // so many were there all the time since
    int64_t tend_ms; // when to give some up
} spares_t;

void spares_clear(spares_t *self);

// spares_tend gives up half of those that were not needed, once a second; called
// now and then by the manager's thread.
void spares_tend(spares_t *self, int64_t now_ms);

// job_t is one event that waits.
typedef struct job {
    agenda_entry_t entry; // first: its place among what waits for a turn
    struct job *next;     // among what waits for a fence
    const handler_t *handler;
    uint8_t priority;
    uint32_t tries; // begun so far
    run_t origin;
    size_t weight; // to be released
    blob_t *blob;
    uint64_t missed;  // events that were dropped before it
    bool movable;     // its source may give it to another
    bool returns;     // its frame goes back to its source (retire.c)
    spares_t *spares; // where its memory goes; NULL: it is freed
    size_t room;      // of 'content'
    size_t size;
    uint8_t content[]; // the envelope
} job_t;

// job_new copies an event; 'env' is its routing fields, 'blob' (or NULL) is
// taken over.  'spares' may be NULL.
job_t *job_new(spares_t *spares, const handler_t *handler,
    const envelope_t *env, slice_t content, blob_t *blob, const run_t *origin,
    size_t weight);

// job_run lets its handler do it, as 'task', which has its port, crew, worker,
// handler and arena.  Returns true when it must be tried again, at *due_ms; else
// it has ended, and what has failed for good stands among the dead letters.
bool job_run(job_t *self, edri_task_t *task, int64_t *due_ms);

// job_again decides that for a task that has just run: it ended with 'err'.
bool job_again(
    job_t *self, const edri_task_t *task, edri_err_t err, int64_t *due_ms);

// job_end frees a job that has ended, and releases its bytes.  job_drop does so
// for one that was not begun and need not be.  job_leave is for those that are
// left when the manager ends: what was not begun goes back to its source, what
// waits for its next try is lost.
void job_end(job_t *self, edri_port_t *port, box_t *box);
void job_drop(job_t *self, edri_port_t *port, box_t *box);
void job_leave(job_t *self, edri_port_t *port, box_t *box);

// jobs_t is what is held back until a fence opens, in order.  Threads of pools
// add to it.
typedef struct jobs {
    pthread_mutex_t lock;
    job_t *first;
    job_t *last;
    map_t *lives; // of the sources that have some in it
} jobs_t;

void jobs_init(jobs_t *self);
void jobs_clear(jobs_t *self); // when it is empty

// jobs_add adds a job.
void jobs_add(jobs_t *self, job_t *job);

// jobs_hold adds a job whose fence is closed, or that would overtake an older one
// of its source.  Returns what else may be done with it; the job is then the
// caller's.
token_may_t jobs_hold(jobs_t *self, job_t *job, clock_tick_t *clock);

// jobs_each calls 'visit' for each job in it, which stays.
void jobs_each(jobs_t *self, void (*visit)(job_t *job, void *arg), void *arg);

// jobs_take takes all, linked by 'next'.
job_t *jobs_take(jobs_t *self);

#endif
