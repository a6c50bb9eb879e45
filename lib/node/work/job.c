// SPDX-License-Identifier: MIT
// job.c - an event that waits: for its turn, for the fence of its source, or
// for its next try.

#include "node/work/job.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "core/retry.h"
#include "node/letters.h"

job_t *
job_new(const handler_t *handler, const envelope_t *env, slice_t content,
    blob_t *blob, const run_t *origin, size_t weight)
{
    job_t *self = mem_resize(NULL, sizeof *self + content.len);
    *self = (job_t){.handler = handler,
        .entry = {.keyed = (env->flags & WIRE_KEYED) != 0, .key = env->key},
        .priority = envelope_priority(env->flags),
        .origin = *origin,
        .weight = weight,
        .blob = blob,
        .movable = origin->token != NULL && envelope_movable(env->flags),
        .size = content.len};
    memcpy(self->content, content.data, content.len);
    return self;
}

// note_lost counts an event that nobody will do any more.
static void
note_lost(const job_t *self, edri_port_t *port, edri_err_t reason)
{
    counter_add(&port->node->counters, COUNTER_LOST, 1);
    drops_note(&port->node->drops, self->handler->type->id, NULL,
        self->handler->manager, reason, 1);
}

bool
job_again(job_t *self, const edri_task_t *task, edri_err_t err, int64_t *due_ms)
{
    const edri_type_t *type = self->handler->type;
    edri_node_t *node = task->port->node;
    self->tries++;
    if (err == EDRI_OK) {
        return false;
    }
    if (retry_may(type, self->tries, err)) {
        *due_ms = clock_ms() + retry_pause_ms(type, self->tries, random_u64());
        self->origin.redelivered = true;
        counter_add(&node->counters, COUNTER_TRIED_AGAIN, 1);
        return true;
    }
    size_t dropped = letters_add(&node->letters, self, err, task->text);
    counter_add(&node->counters, COUNTER_LETTERS, 1);
    counter_add(&node->counters, COUNTER_LETTERS_DROPPED, dropped);
    drops_note(&node->drops, 0, NULL, "dead letters", EDRI_OVERLOADED, dropped);
    return false;
}

bool
job_run(job_t *self, edri_task_t *task, int64_t *due_ms)
{
    task->attempt = self->tries;
    task->missed = self->missed;
    edri_err_t err = task_run(task, (slice_t){self->content, self->size},
        self->blob, &self->origin, clock_ms());
    bool again = job_again(self, task, err, due_ms);
    task_end(task);
    return again;
}

void
job_end(job_t *self, edri_port_t *port, box_t *box)
{
    port_release(port, box, self->weight);
    blob_drop(&self->blob);
    free(self);
}

void
job_drop(job_t *self, edri_port_t *port, box_t *box)
{
    if (self->origin.token != NULL && self->tries == 0) {
        port_begun(port, self->origin.token, 1);
    }
    job_end(self, port, box);
}

void
job_leave(job_t *self, edri_port_t *port, box_t *box)
{
    if (self->tries > 0) {
        note_lost(self, port, EDRI_CLOSED);
    }
    job_end(self, port, box);
}

// ----- held back

void
jobs_init(jobs_t *self)
{
    *self = (jobs_t){.lives = map_new()};
    (void)pthread_mutex_init(&self->lock, NULL);
}

void
jobs_clear(jobs_t *self)
{
    map_destroy(&self->lives);
    (void)pthread_mutex_destroy(&self->lock);
}

// append is jobs_add under the lock.
static void
append(jobs_t *self, job_t *job)
{
    job->next = NULL;
    *(self->last != NULL ? &self->last->next : &self->first) = job;
    self->last = job;
}

void
jobs_add(jobs_t *self, job_t *job)
{
    pthread_mutex_lock(&self->lock);
    append(self, job);
    pthread_mutex_unlock(&self->lock);
}

token_may_t
jobs_hold(jobs_t *self, job_t *job, clock_tick_t *clock)
{
    // Under the lock: who takes all after the fence has opened finds the job,
    // or the job finds the fence open.
    uint64_t life = job->origin.life;
    pthread_mutex_lock(&self->lock);
    token_may_t may =
        job->movable ? token_may(job->origin.token, clock) : TOKEN_BEGIN;
    if (may != TOKEN_GONE && map_get(self->lives, life) != NULL) {
        may = TOKEN_HOLD;
    }
    if (may == TOKEN_HOLD) {
        append(self, job);
        (void)map_put(self->lives, life, self);
    }
    pthread_mutex_unlock(&self->lock);
    return may;
}

void
jobs_each(jobs_t *self, void (*visit)(job_t *job, void *arg), void *arg)
{
    pthread_mutex_lock(&self->lock);
    for (job_t *job = self->first; job != NULL; job = job->next) {
        visit(job, arg);
    }
    pthread_mutex_unlock(&self->lock);
}

job_t *
jobs_take(jobs_t *self)
{
    pthread_mutex_lock(&self->lock);
    job_t *first = self->first;
    if (first != NULL) {
        self->first = self->last = NULL;
        map_destroy(&self->lives);
        self->lives = map_new();
    }
    pthread_mutex_unlock(&self->lock);
    return first;
}
