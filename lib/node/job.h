// SPDX-License-Identifier: MIT
// node/job.h - an event that waits: for a thread of a pool, or for the fence of
// its source.

#ifndef NODE_JOB_H
#define NODE_JOB_H

#include "node/task.h"

// job_t is one event that waits for a thread, or for the fence of its source.
typedef struct job {
    struct job *next;
    const handler_t *handler;
    run_t origin;
    size_t weight; // to be released
    blob_t *blob;
    uint64_t missed; // events that were dropped before it
    bool movable;    // its source may give it to another
    size_t size;
    uint8_t content[]; // the envelope
} job_t;

// job_new copies an event; 'blob' (or NULL) is taken over.
job_t *job_new(const handler_t *handler, slice_t content, blob_t *blob,
    const run_t *origin, size_t weight, bool movable);

// job_drop releases the job's bytes and its token's event, and frees it.
// job_leave leaves the event open: the manager ends, and its source gets it
// back.  job_free only frees it.
void job_leave(job_t *self, edri_port_t *port, box_t *box);
void job_drop(job_t *self, edri_port_t *port, box_t *box);
void job_free(job_t *self);

// jobs_t is what is held back until a fence opens.  Threads of pools add to it.
typedef struct jobs {
    pthread_mutex_t lock;
    job_t *first;
    job_t *last;
    size_t count;
} jobs_t;

// jobs_hold adds a job if its fence is still closed.  Returns what else may be
// done with it; the job is then the caller's.
token_may_t jobs_hold(jobs_t *self, job_t *job, clock_tick_t *clock);

// jobs_put adds a job whatever its fence says.
void jobs_put(jobs_t *self, job_t *job);

// jobs_take takes all, linked by 'next'.
job_t *jobs_take(jobs_t *self);

#endif
