// SPDX-License-Identifier: MIT
// job.c - an event that waits: for its turn, for the fence of its source, or
// for its next try.

#include "node/work/job.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "core/retry.h"
#include "node/letters.h"

// The largest job whose memory is kept.
#if defined __SANITIZE_ADDRESS__
#define SPARE_ROOM 0 // none: it finds who uses one that has ended
#else
#define SPARE_ROOM 256
#endif

// So many are taken back at once, at least: threads share the list.
#define SPARES_BACK 256

// How often spares that were not needed are given up.
#define SPARES_TEND_MS 1000

// ----- memory

static void
free_list(job_t *job)
{
    while (job != NULL) {
        job_t *next = job->next;
        free(job);
        job = next;
    }
}

void
spares_clear(spares_t *self)
{
    free_list(self->first);
    free_list(atomic_load(&self->back));
    *self = (spares_t){0};
}

// take_back takes what was given back, if it is the next one's turn.
static void
take_back(spares_t *self)
{
    if (self->first == NULL && atomic_load(&self->back_count) >= SPARES_BACK) {
        self->count = atomic_exchange(&self->back_count, 0);
        self->first = atomic_exchange(&self->back, NULL);
    }
}

// take_spare returns one that has the room, or NULL.
static job_t *
take_spare(spares_t *self, size_t size)
{
    take_back(self);
    job_t *job = self->first;
    if (job == NULL) {
        self->least = 0;
        return NULL;
    }
    self->first = job->next;
    self->count -= self->count > 0;
    if (job->room < size) { // a larger one takes its place
        free(job);
        return NULL;
    }
    size_t left = self->count + atomic_load(&self->back_count);
    self->least = left < self->least ? left : self->least;
    return job;
}

void
spares_tend(spares_t *self, int64_t now_ms)
{
    if (now_ms < self->tend_ms) {
        return;
    }
    size_t surplus = self->tend_ms > 0 ? (self->least + 1) / 2 : 0;
    for (; surplus > 0; surplus--) {
        take_back(self);
        job_t *job = self->first;
        if (job == NULL) {
            break;
        }
        self->first = job->next;
        self->count -= self->count > 0;
        free(job);
    }
    self->least = self->count + atomic_load(&self->back_count);
    self->tend_ms = now_ms + SPARES_TEND_MS;
}

// new_memory returns a job of which only 'room' is set.
static job_t *
new_memory(spares_t *spares, size_t size)
{
    job_t *self = spares != NULL ? take_spare(spares, size) : NULL;
    if (self == NULL) {
        size_t room = (size + 63) & ~(size_t)63;
        self = mem_resize(NULL, sizeof *self + room);
        self->room = room;
    }
    return self;
}

static void
free_job(job_t *self)
{
    spares_t *spares = self->spares;
    if (spares == NULL || self->room > SPARE_ROOM) {
        free(self);
        return;
    }
    atomic_fetch_add(&spares->back_count, 1);
    self->next = atomic_load(&spares->back);
    while (!atomic_compare_exchange_weak(&spares->back, &self->next, self)) {
    }
}

// ----- a job

job_t *
job_new(spares_t *spares, const handler_t *handler, const envelope_t *env,
    slice_t content, blob_t *blob, const run_t *origin, size_t weight)
{
    job_t *self = new_memory(spares, content.len);
    *self = (job_t){.handler = handler,
        .entry = {.keyed = (env->flags & WIRE_KEYED) != 0, .key = env->key},
        .priority = envelope_priority(env->flags),
        .origin = *origin,
        .weight = weight,
        .blob = blob,
        .movable = origin->token != NULL && envelope_movable(env->flags),
        .spares = spares,
        .room = self->room,
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
    free_job(self);
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
