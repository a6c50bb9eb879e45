// SPDX-License-Identifier: MIT
// work.h - handlers that work as a request says (work.proto), and what they saw.

#ifndef SUPPORT_WORK_H
#define SUPPORT_WORK_H

#include <criterion/criterion.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "edri/edri.h"
#include "work.edri.h"

// UNTIL waits for a condition, for at most 10 s.
#define UNTIL(condition)                              \
    do {                                              \
        int64_t end_ms = clock_ms() + 10000;          \
        while (!(condition) && clock_ms() < end_ms) { \
            (void)sched_yield();                      \
        }                                             \
        cr_assert(condition);                         \
    } while (0)

// work_t is what the handlers of one manager saw.
typedef struct work {
    atomic_uint begun;
    atomic_uint ended;
    atomic_uint unwanted;     // saw that they were cancelled
    atomic_uint below[64];    // results of the requests below, by error
    _Atomic(int64_t) left_ms; // of the newest
    _Atomic(int64_t) note_left_ms;
    atomic_uint notes;
    atomic_bool go; // HELD ones may end
    char text[256]; // of the newest error below
} work_t;

// work_spin works until nobody wants the result any more, or for 10 s.
static inline void
work_spin(edri_task_t *task, work_t *self, bool held)
{
    int64_t end_ms = clock_ms() + 10000;
    while (clock_ms() < end_ms &&
           (held ? !self->go : !edri_task_cancelled(task))) {
        (void)sched_yield();
    }
    self->unwanted += edri_task_cancelled(task);
}

static inline void
work_below(edri_port_t *port, work_t *self, Work__How how, Work__Result *result)
{
    Work__Below below = WORK__BELOW__INIT;
    Work__Result *got = NULL;
    below.how = how;
    edri_err_t err = work_below_request(port, &below, 0, &got);
    snprintf(self->text, sizeof self->text, "%s", edri_port_error(port));
    self->below[err]++;
    result->left_ms = got != NULL ? got->left_ms : -1;
    work_below_reply_free(&got);
}

typedef struct work_later {
    edri_port_t *port;
    work_t *work;
    Work__How how;
    Work__Result *result;
    bool done;
} work_later_t;

static inline void
work_answered(const edri_answer_t *answer, const Work__Result *got, void *arg)
{
    work_later_t *later = arg;
    later->work->below[answer->err]++;
    if (got != NULL) {
        work_below(later->port, later->work, later->how, later->result);
    }
    later->done = true;
}

static inline edri_err_t
work_do(edri_task_t *task, Work__How how, Work__How next, Work__Result *result)
{
    work_t *self = edri_task_state(task);
    edri_port_t *port = edri_task_port(task);
    edri_err_t err = EDRI_OK;
    self->left_ms = result->left_ms = edri_task_remaining_ms(task);
    self->begun++;
    if (how == WORK__HOW__UNTIL_WANTED || how == WORK__HOW__HELD) {
        work_spin(task, self, how == WORK__HOW__HELD);
    } else if (how == WORK__HOW__ASK) {
        work_below(port, self, next, result);
    } else if (how == WORK__HOW__TOO_LATE) {
        work_spin(task, self, false);
        work_below(port, self, next, result);
    } else if (how == WORK__HOW__ASK_LATER) {
        Work__Below below = WORK__BELOW__INIT;
        work_later_t later = {port, self, next, result, false};
        err = work_below_request_async(port, &below, 0, work_answered, &later);
        while (err == EDRI_OK && !later.done) {
            (void)edri_port_poll(port, 1000);
        }
    } else if (how == WORK__HOW__FAIL) {
        err = edri_task_fail(task, EDRI_FAILED, "as it was told");
    }
    self->ended++;
    return err;
}

static inline edri_err_t
work_on_job(edri_task_t *task, const Work__Job *job, Work__Result *result)
{
    return work_do(task, job->how, job->below, result);
}

static inline edri_err_t
work_on_below(edri_task_t *task, const Work__Below *job, Work__Result *result)
{
    return work_do(task, job->how, WORK__HOW__AT_ONCE, result);
}

// work_count counts answers of Job in an unsigned.
static inline void
work_count(const edri_answer_t *answer, const Work__Result *got, void *arg)
{
    (void)answer;
    (void)got;
    ++*(unsigned *)arg;
}

static inline edri_err_t
work_on_note(edri_task_t *task, const Work__Note *note)
{
    work_t *self = edri_task_state(task);
    (void)note;
    self->note_left_ms = edri_task_remaining_ms(task);
    self->notes++;
    return EDRI_OK;
}

#endif
