// SPDX-License-Identifier: MIT
// node/work/backlog.h - what waits for the threads of a pool: core/agenda.h under a
// lock.

#ifndef NODE_WORK_BACKLOG_H
#define NODE_WORK_BACKLOG_H

#include "node/work/job.h"

typedef struct backlog backlog_t;

// backlog_new creates an empty, open one.  backlog_destroy frees it when it is
// empty and no thread uses it any more.
backlog_t *backlog_new(void);
void backlog_destroy(backlog_t **self_p);

// backlog_put adds jobs, linked by 'next', which are taken over, and wakes a thread
// for them.  Never blocks.
void backlog_put(backlog_t *self, job_t *jobs);

// A shift is a group of threads that take jobs.  backlog_begin_shift begins one, which
// takes nothing before backlog_open_shift; then it is woken for what comes.
// backlog_end_shift lets its threads go, while
// the one before it, if it has not ended, goes on; then backlog_free_shift, when none
// of them is in a call any more.
typedef struct shift shift_t;
shift_t *backlog_begin_shift(backlog_t *self);
void backlog_open_shift(backlog_t *self, shift_t *shift);
void backlog_end_shift(backlog_t *self, shift_t *shift);
void backlog_free_shift(backlog_t *self, shift_t **shift_p);

// backlog_take waits for the next job and returns it; NULL once it is closed or the
// shift has ended, when it is nudged, or at a time of clock_ms (INT64_MAX: never).
// The job is the caller's; it must be told what became of it:
// backlog_done: it has ended; the next of its key may go on (frees nothing).
// backlog_again: it could not be begun: it keeps its place.
// backlog_delay: it is tried again at due_ms (clock_ms); its key waits.
// The taker may say so of its last one as it takes the next: 'done' is that one's
// entry, or NULL; it may be a copy.
job_t *backlog_take(backlog_t *self, shift_t *shift, const agenda_entry_t *done,
    int64_t until_ms);
void backlog_done(backlog_t *self, const agenda_entry_t *done);
void backlog_again(backlog_t *self, job_t *job);
void backlog_delay(backlog_t *self, job_t *job, int64_t due_ms);

// backlog_open is how many jobs were put and have not ended.
size_t backlog_open(backlog_t *self);

// backlog_each calls 'visit' for each job in it, ready or not, under its lock.
void backlog_each(
    backlog_t *self, void (*visit)(job_t *job, void *arg), void *arg);

// backlog_nudge lets one taker go, now or the next time, without a job: there is
// something else to see to.  For a backlog with one taker.
void backlog_nudge(backlog_t *self);

// backlog_linger waits until it is closed.
void backlog_linger(backlog_t *self);

// backlog_close lets all takers go; what is left is for backlog_drop, which
// returns one job after the other, NULL at the end.
void backlog_close(backlog_t *self);
job_t *backlog_drop(backlog_t *self);

#endif
