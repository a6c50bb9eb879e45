// SPDX-License-Identifier: MIT
// backlog.c - what waits for the threads of a pool.
//
// DESIGN
// Each shift sleeps by itself, so that who has to go is not passed over by others.
// Threads sleep on a semaphore, not on a condition: glibc up to 2.40 can lose a
// signal when several threads wait for one condition (bug 25847).  Whoever makes
// something ready takes one sleeper off the count and posts; a post for a sleeper
// that has just woken by itself only makes the next one look in vain.

#include "node/work/backlog.h"

#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"

struct shift {
    struct shift *before; // began before it; or the next free one
    sem_t more;           // something is ready, or it has to go
    size_t sleepers;      // takers that wait and have no post
    int64_t timer_ms;     // until when one of them does; INT64_MAX: none
    bool open;            // it may take jobs
    bool ended;
};

struct backlog {
    pthread_mutex_t lock; // guards everything below, and shifts
    sem_t end;            // it was closed
    agenda_t *agenda;
    shift_t *shift;       // the newest that has not ended
    shift_t *free_shifts; // somebody may still post to one
    size_t open;          // put and not done
    size_t lingering;     // takers that wait for the end
    bool closed;
    bool nudged;
};

backlog_t *
backlog_new(void)
{
    backlog_t *self = mem_new(sizeof *self);
    (void)pthread_mutex_init(&self->lock, NULL);
    (void)sem_init(&self->end, 0, 0);
    self->agenda = agenda_new();
    return self;
}

void
backlog_destroy(backlog_t **self_p)
{
    backlog_t *self = *self_p;
    *self_p = NULL;
    if (self != NULL) {
        agenda_destroy(&self->agenda);
        while (self->free_shifts != NULL) {
            shift_t *next = self->free_shifts->before;
            (void)sem_destroy(&self->free_shifts->more);
            free(self->free_shifts);
            self->free_shifts = next;
        }
        (void)sem_destroy(&self->end);
        (void)pthread_mutex_destroy(&self->lock);
        free(self);
    }
}

// on_duty is the newest shift that takes jobs, or NULL.
static shift_t *
on_duty(const backlog_t *self)
{
    shift_t *shift = self->shift;
    while (shift != NULL && !shift->open) {
        shift = shift->before;
    }
    return shift;
}

// leave gives the lock back and wakes one thread if there is work for it, or
// something is due before the time that one waits for.
static void
leave(backlog_t *self)
{
    shift_t *shift = on_duty(self);
    bool wake = shift != NULL && shift->sleepers > 0 &&
                agenda_next(self->agenda) < shift->timer_ms;
    if (wake) {
        shift->sleepers--;
    }
    pthread_mutex_unlock(&self->lock);
    if (wake) {
        (void)sem_post(&shift->more);
    }
}

// ----- shifts

shift_t *
backlog_begin_shift(backlog_t *self)
{
    pthread_mutex_lock(&self->lock);
    shift_t *shift = self->free_shifts;
    if (shift != NULL) {
        self->free_shifts = shift->before;
    } else {
        shift = mem_new(sizeof *shift);
        (void)sem_init(&shift->more, 0, 0);
    }
    shift->timer_ms = INT64_MAX;
    shift->open = shift->ended = false;
    shift->before = self->shift;
    self->shift = shift;
    pthread_mutex_unlock(&self->lock);
    return shift;
}

// wake_all lets every sleeper look again; under the lock.
static void
wake_all(shift_t *shift)
{
    for (; shift->sleepers > 0; shift->sleepers--) {
        (void)sem_post(&shift->more);
    }
}

void
backlog_open_shift(backlog_t *self, shift_t *shift)
{
    pthread_mutex_lock(&self->lock);
    shift->open = true;
    wake_all(shift); // it sleeps for ever
    leave(self);
}

void
backlog_end_shift(backlog_t *self, shift_t *shift)
{
    pthread_mutex_lock(&self->lock);
    shift_t **at = &self->shift;
    while (*at != NULL && *at != shift) {
        at = &(*at)->before;
    }
    if (*at != NULL) {
        *at = shift->before;
    }
    shift->ended = true;
    wake_all(shift);
    leave(self); // what waits is another's now
}

void
backlog_free_shift(backlog_t *self, shift_t **shift_p)
{
    shift_t *shift = *shift_p;
    *shift_p = NULL;
    pthread_mutex_lock(&self->lock);
    shift->before = self->free_shifts;
    self->free_shifts = shift;
    pthread_mutex_unlock(&self->lock);
}

// ----- jobs

void
backlog_put(backlog_t *self, job_t *job)
{
    int64_t now_ms = clock_ms();
    pthread_mutex_lock(&self->lock);
    agenda_put(self->agenda, &job->entry, job->priority, now_ms);
    self->open++;
    leave(self);
}

// sleep_until waits for a post; INT64_MAX: for ever.  Returns false when the time
// is over.
static bool
sleep_until(shift_t *shift, int64_t due_ms, int64_t now_ms)
{
    struct timespec until;
    if (due_ms == INT64_MAX) {
        return sem_wait(&shift->more) == 0;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (due_ms - now_ms) * INT64_C(1000000);
    until.tv_sec += ns / INT64_C(1000000000);
    until.tv_nsec = ns % INT64_C(1000000000);
    return sem_clockwait(&shift->more, CLOCK_MONOTONIC, &until) == 0;
}

// await waits, without the lock, until something is put, done or due; until
// until_ms at the latest.
static void
await(backlog_t *self, shift_t *shift, int64_t now_ms, int64_t until_ms)
{
    int64_t due_ms = shift->open ? agenda_next(self->agenda) : INT64_MAX;
    bool timer = due_ms < shift->timer_ms;
    if (timer) {
        shift->timer_ms = due_ms;
    }
    if (timer && due_ms < until_ms) {
        until_ms = due_ms;
    }
    shift->sleepers++;
    pthread_mutex_unlock(&self->lock);
    bool posted = sleep_until(shift, until_ms, now_ms);
    pthread_mutex_lock(&self->lock);
    if (!posted && shift->sleepers > 0) {
        shift->sleepers--;
    }
    if (timer) {
        shift->timer_ms = INT64_MAX; // whoever is next sees to what is left
    }
}

job_t *
backlog_take(backlog_t *self, shift_t *shift, int64_t until_ms)
{
    agenda_entry_t *entry = NULL;
    int64_t now_ms = 0;
    pthread_mutex_lock(&self->lock);
    while (entry == NULL && !self->closed && !shift->ended && !self->nudged &&
           now_ms < until_ms) {
        now_ms = clock_ms();
        entry = shift->open ? agenda_take(self->agenda, now_ms) : NULL;
        if (entry == NULL && now_ms < until_ms) {
            await(self, shift, now_ms, until_ms);
        }
    }
    self->nudged = false;
    leave(self); // there may be more than one
    return (job_t *)(void *)entry;
}

void
backlog_done(backlog_t *self, const job_t *job)
{
    pthread_mutex_lock(&self->lock);
    agenda_done(self->agenda, &job->entry);
    self->open--;
    leave(self);
}

void
backlog_again(backlog_t *self, job_t *job)
{
    pthread_mutex_lock(&self->lock);
    agenda_again(self->agenda, &job->entry);
    leave(self);
}

void
backlog_delay(backlog_t *self, job_t *job, int64_t due_ms)
{
    pthread_mutex_lock(&self->lock);
    agenda_delay(self->agenda, &job->entry, due_ms);
    leave(self);
}

size_t
backlog_open(backlog_t *self)
{
    pthread_mutex_lock(&self->lock);
    size_t open = self->open;
    pthread_mutex_unlock(&self->lock);
    return open;
}

void
backlog_nudge(backlog_t *self)
{
    pthread_mutex_lock(&self->lock);
    self->nudged = true;
    shift_t *shift = on_duty(self);
    if (shift != NULL && shift->sleepers > 0) {
        shift->sleepers--;
        (void)sem_post(&shift->more);
    }
    pthread_mutex_unlock(&self->lock);
}

typedef struct visit {
    void (*visit)(job_t *job, void *arg);
    void *arg;
} visit_t;

static void
visit_entry(agenda_entry_t *entry, void *arg)
{
    const visit_t *visit = arg;
    visit->visit((job_t *)(void *)entry, visit->arg);
}

void
backlog_each(backlog_t *self, void (*visit)(job_t *job, void *arg), void *arg)
{
    visit_t each = {visit, arg};
    pthread_mutex_lock(&self->lock);
    agenda_each(self->agenda, visit_entry, &each);
    pthread_mutex_unlock(&self->lock);
}

void
backlog_linger(backlog_t *self)
{
    pthread_mutex_lock(&self->lock);
    bool waits = !self->closed;
    self->lingering += waits;
    pthread_mutex_unlock(&self->lock);
    while (waits && sem_wait(&self->end) != 0) {
    }
}

void
backlog_close(backlog_t *self)
{
    pthread_mutex_lock(&self->lock);
    self->closed = true;
    for (; self->lingering > 0; self->lingering--) {
        (void)sem_post(&self->end);
    }
    for (shift_t *shift = self->shift; shift != NULL; shift = shift->before) {
        wake_all(shift);
    }
    pthread_mutex_unlock(&self->lock);
}

job_t *
backlog_drop(backlog_t *self)
{
    return (job_t *)(void *)agenda_drop(self->agenda);
}
