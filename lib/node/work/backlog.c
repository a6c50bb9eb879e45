// SPDX-License-Identifier: MIT
// backlog.c - what waits for the threads of a pool.
//
// DESIGN
// Each shift sleeps by itself, so that who has to go is not passed over by others.
// Threads sleep on a semaphore, not on a condition: glibc up to 2.40 can lose a
// signal when several threads wait for one condition (bug 25847).  Whoever makes
// something ready takes one sleeper off the count and posts.  Only one is
// on its way up at a time: it wakes the next when it has looked, if there is more
// (D. Vyukov, "Scalable Go Scheduler Design Doc", 2012).  So a wake-up costs as
// often as threads change, not for every job.
// What comes at some time is looked after by one sleeper with a timer, the keeper, who
// is woken for a job last: else each job would take a timer down, and another have to
// be woken to put it up.

#include "node/work/backlog.h"

#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"

struct shift {
    struct shift *before; // began before it; or the next free one
    sem_t more;           // something is ready, or it has to go
    size_t sleepers;      // takers that wait there and have no post
    sem_t clock;          // the same, for the keeper
    size_t keepers;       // one, or none; more for a moment
    int64_t timer_ms;     // until when it waits; INT64_MAX: there is none
    bool waking;          // one has a post and has not looked yet
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
    pthread_mutexattr_t spins;
    (void)pthread_mutexattr_init(&spins);
    (void)pthread_mutexattr_settype(&spins, PTHREAD_MUTEX_ADAPTIVE_NP);
    (void)pthread_mutex_init(&self->lock, &spins);
    (void)pthread_mutexattr_destroy(&spins);
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
            (void)sem_destroy(&self->free_shifts->clock);
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

// relieve takes one sleeper off the count and returns where it waits for a post; NULL:
// nobody sleeps.
static sem_t *
relieve(shift_t *shift, bool keeper_first)
{
    if (shift->keepers > 0 && (keeper_first || shift->sleepers == 0)) {
        shift->keepers--;
        return &shift->clock;
    }
    if (shift->sleepers > 0) {
        shift->sleepers--;
        return &shift->more;
    }
    return NULL;
}

// leave gives the lock back and wakes one thread if there is work for it, or
// something is due before the keeper looks.
static void
leave(backlog_t *self)
{
    shift_t *shift = on_duty(self);
    sem_t *sem = NULL;
    int64_t next_ms = agenda_next(self->agenda);
    if (shift != NULL && !shift->waking && next_ms < shift->timer_ms) {
        sem = relieve(shift, next_ms > 0);
        shift->waking = sem != NULL;
    }
    pthread_mutex_unlock(&self->lock);
    if (sem != NULL) {
        (void)sem_post(sem);
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
        (void)sem_init(&shift->clock, 0, 0);
    }
    shift->timer_ms = INT64_MAX;
    shift->waking = shift->open = shift->ended = false;
    shift->before = self->shift;
    self->shift = shift;
    pthread_mutex_unlock(&self->lock);
    return shift;
}

// wake_all lets every sleeper look again; under the lock.
static void
wake_all(shift_t *shift)
{
    sem_t *sem = NULL;
    while ((sem = relieve(shift, false)) != NULL) {
        (void)sem_post(sem);
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
backlog_put(backlog_t *self, job_t *jobs)
{
    int64_t now_ms = clock_ms();
    pthread_mutex_lock(&self->lock);
    while (jobs != NULL) {
        job_t *job = jobs;
        jobs = job->next;
        agenda_put(self->agenda, &job->entry, job->priority, now_ms);
        self->open++;
    }
    leave(self);
}

// sleep_until waits for a post; INT64_MAX: for ever.  Returns false when the time
// is over.
static bool
sleep_until(sem_t *sem, int64_t due_ms, int64_t now_ms)
{
    struct timespec until;
    if (due_ms == INT64_MAX) {
        return sem_wait(sem) == 0;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (due_ms - now_ms) * INT64_C(1000000);
    until.tv_sec += ns / INT64_C(1000000000);
    until.tv_nsec = ns % INT64_C(1000000000);
    return sem_clockwait(sem, CLOCK_MONOTONIC, &until) == 0;
}

// take_post takes the post of who was relieved just when its time was over: it is there
// or about to be, and would be taken for another one's.
static void
take_post(sem_t *sem)
{
    while (sem_wait(sem) != 0) {
    }
}

// await waits, without the lock, until something is put, done or due; until
// until_ms at the latest.
static void
await(backlog_t *self, shift_t *shift, int64_t now_ms, int64_t until_ms)
{
    int64_t due_ms = shift->open ? agenda_next(self->agenda) : INT64_MAX;
    bool keeps = due_ms < shift->timer_ms;
    if (keeps) {
        shift->timer_ms = due_ms;
        until_ms = due_ms < until_ms ? due_ms : until_ms;
    }
    size_t *count = keeps ? &shift->keepers : &shift->sleepers;
    (*count)++;
    pthread_mutex_unlock(&self->lock);
    bool posted =
        sleep_until(keeps ? &shift->clock : &shift->more, until_ms, now_ms);
    pthread_mutex_lock(&self->lock);
    shift->waking = false;
    if (!posted && *count > 0) {
        (*count)--;
    } else if (!posted) {
        take_post(keeps ? &shift->clock : &shift->more);
    }
    if (keeps) {
        shift->timer_ms = INT64_MAX; // whoever is next sees to what is left
    }
}

// end ends a job; under the lock.
static void
end(backlog_t *self, const agenda_entry_t *done)
{
    agenda_done(self->agenda, done);
    self->open--;
}

job_t *
backlog_take(backlog_t *self, shift_t *shift, const agenda_entry_t *done,
    int64_t until_ms)
{
    agenda_entry_t *entry = NULL;
    int64_t now_ms = 0;
    pthread_mutex_lock(&self->lock);
    if (done != NULL) {
        end(self, done);
    }
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
backlog_done(backlog_t *self, const agenda_entry_t *done)
{
    pthread_mutex_lock(&self->lock);
    end(self, done);
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
    sem_t *sem = shift != NULL ? relieve(shift, false) : NULL;
    if (sem != NULL) {
        (void)sem_post(sem);
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
