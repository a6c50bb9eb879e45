// SPDX-License-Identifier: MIT
// test_backlog.c - what waits for the threads of a pool: no wake-up is lost.

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include <criterion/criterion.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "node/work/backlog.h"

#define JOBS    4000
#define TAKERS  3
#define WAIT_MS 10000

TestSuite(backlog, .timeout = 60);

typedef struct place {
    backlog_t *jobs;
    shift_t *shift;
    atomic_uint ended;
    atomic_uint tries;
    _Atomic(int64_t) timer_ns; // when a taker that sleeps now would wake up
} place_t;

static void
pause_ns(long ns)
{
    struct timespec pause = {.tv_nsec = ns};
    (void)nanosleep(&pause, NULL);
}

// take works jobs off; every third one is tried again a moment later.
static void *
take(void *arg)
{
    place_t *self = arg;
    agenda_entry_t ended;
    const agenda_entry_t *done = NULL;
    job_t *job = NULL;
    while ((job = backlog_take(self->jobs, self->shift, done, INT64_MAX)) !=
           NULL) {
        unsigned number = atomic_fetch_add(&self->tries, 1);
        if (number % 2 == 0) {
            pause_ns(50000); // what comes meanwhile finds it at work
        }
        done = NULL;
        if (job->tries++ == 0 && number % 3 == 0) {
            int64_t pause_ms = number % 2 + 1;
            atomic_store(
                &self->timer_ns, clock_ns() + pause_ms * INT64_C(1000000));
            backlog_delay(self->jobs, job, clock_ms() + pause_ms);
            continue;
        }
        ended = job->entry;
        done = &ended;
        free(job);
        atomic_fetch_add(&self->ended, 1);
    }
    return NULL;
}

// play puts jobs one by one, at such times that timers end meanwhile.
static void
play(unsigned takers)
{
    place_t place = {.jobs = backlog_new()};
    pthread_t threads[TAKERS];
    unsigned seed = 20261126;
    place.shift = backlog_begin_shift(place.jobs);
    backlog_open_shift(place.jobs, place.shift);
    for (unsigned i = 0; i < takers; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, take, &place), 0);
    }
    for (unsigned i = 0; i < JOBS; i++) {
        job_t *job = mem_new(sizeof *job);
        job->entry = (agenda_entry_t){.keyed = i % 2 == 0, .key = i % 7};
        backlog_put(place.jobs, job);
        // The next one comes just when a timer is over, before who had it has looked.
        int64_t at_ns = atomic_load(&place.timer_ns) + rand_r(&seed) % 30000;
        while (clock_ns() < at_ns) {
        }
        // Each job ends before the next is put, now and then: all sleep.
        int64_t end_ms = clock_ms() + WAIT_MS;
        while (i % 16 == 0 && atomic_load(&place.ended) <= i) {
            cr_assert_lt(clock_ms(), end_ms, "%u of %u have ended",
                atomic_load(&place.ended), i + 1);
            pause_ns(50000);
        }
    }
    int64_t end_ms = clock_ms() + WAIT_MS;
    while (atomic_load(&place.ended) < JOBS) {
        cr_assert_lt(clock_ms(), end_ms, "%u of %u have ended",
            atomic_load(&place.ended), JOBS);
        pause_ns(50000);
    }
    backlog_close(place.jobs);
    for (unsigned i = 0; i < takers; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    }
    backlog_end_shift(place.jobs, place.shift);
    backlog_free_shift(place.jobs, &place.shift);
    backlog_destroy(&place.jobs);
}

Test(backlog, one_thread_hears_of_every_job)
{
    play(1);
}

Test(backlog, several_threads_hear_of_every_job)
{
    play(TAKERS);
}
