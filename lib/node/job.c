// SPDX-License-Identifier: MIT
// job.c - an event that waits for a thread, or for the fence of its source.

#include "node/job.h"

#include <stdlib.h>

#include "base/alloc.h"

job_t *
job_new(const handler_t *handler, slice_t content, blob_t *blob,
    const run_t *origin, size_t weight, bool movable)
{
    job_t *self = mem_resize(NULL, sizeof *self + content.len);
    *self = (job_t){.handler = handler,
        .origin = *origin,
        .weight = weight,
        .blob = blob,
        .movable = movable,
        .size = content.len};
    memcpy(self->content, content.data, content.len);
    return self;
}

void
job_free(job_t *self)
{
    blob_drop(&self->blob);
    free(self);
}

void
job_leave(job_t *self, edri_port_t *port, box_t *box)
{
    port_release(port, box, self->weight);
    job_free(self);
}

void
job_drop(job_t *self, edri_port_t *port, box_t *box)
{
    if (self->origin.token != NULL) {
        port_begun(port, self->origin.token, 1);
    }
    job_leave(self, port, box);
}

static void
add(jobs_t *self, job_t *job)
{
    job->next = NULL;
    *(self->last != NULL ? &self->last->next : &self->first) = job;
    self->last = job;
    self->count++;
}

token_may_t
jobs_hold(jobs_t *self, job_t *job, clock_tick_t *clock)
{
    // Under the lock: who takes all after the fence has opened finds the job,
    // or the job finds the fence open.
    pthread_mutex_lock(&self->lock);
    token_may_t may = token_may(job->origin.token, clock);
    if (may == TOKEN_HOLD) {
        add(self, job);
    }
    pthread_mutex_unlock(&self->lock);
    return may;
}

void
jobs_put(jobs_t *self, job_t *job)
{
    pthread_mutex_lock(&self->lock);
    add(self, job);
    pthread_mutex_unlock(&self->lock);
}

job_t *
jobs_take(jobs_t *self)
{
    pthread_mutex_lock(&self->lock);
    job_t *first = self->first;
    self->first = self->last = NULL;
    self->count = 0;
    pthread_mutex_unlock(&self->lock);
    return first;
}
