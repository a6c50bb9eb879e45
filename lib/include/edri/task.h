// SPDX-License-Identifier: MIT
// edri/task.h - a task: one event in the hands of one handler.

#ifndef EDRI_TASK_H
#define EDRI_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edri/err.h"
#include "edri/type.h"

typedef struct edri_task edri_task_t;
typedef struct edri_port edri_port_t;

// edri_trace_t is what W3C Trace Context calls trace-id and parent-id.
typedef struct edri_trace {
    uint8_t id[16];
    uint8_t parent[8];
} edri_trace_t;

// A task belongs to the thread that runs the handler and ends when the handler
// returns.  A pool's thread then waits until the callbacks of the requests that
// the handler began have run, before it takes its next task.

// edri_task_port returns the port through which the handler emits and
// requests.  Borrowed until the task ends.
edri_port_t *edri_task_port(const edri_task_t *self);

// edri_task_state returns what edri_manager_set_state set, or NULL.
void *edri_task_state(const edri_task_t *self);

// edri_task_worker_state returns what edri_manager_worker_state's 'begin' made
// for the thread that runs the handler, or NULL.
void *edri_task_worker_state(const edri_task_t *self);

// edri_task_alloc returns 'size' zeroed bytes that live until the task has
// ended and its reply is sent: for what the fields of a reply point at.
// Never fails; aborts when out of memory.
void *edri_task_alloc(edri_task_t *self, size_t size);

// edri_task_strdup copies a string as edri_task_alloc would.
char *edri_task_strdup(edri_task_t *self, const char *string);

// edri_task_printf makes a string as edri_task_alloc would.
char *edri_task_printf(edri_task_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// edri_task_fail sets the text that the requester gets with the error, and
// returns 'err' (EDRI_FAILED when it is EDRI_OK):
//     return edri_task_fail(task, EDRI_NOT_FOUND, "no symbol %s", symbol);
edri_err_t edri_task_fail(edri_task_t *self, edri_err_t err, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

// edri_task_type, _id, _life: the event's type, its id and the life of the
// node that emitted it; the two numbers together are unique in the system.
const edri_type_t *edri_task_type(const edri_task_t *self);
uint64_t edri_task_id(const edri_task_t *self);
uint64_t edri_task_life(const edri_task_t *self);

// edri_task_sender returns the name of the node that emitted the event, or "":
// it has none, or nothing is known of it here because it handles nothing that
// this node emits.  Borrowed until the task ends.
const char *edri_task_sender(edri_task_t *self);

// edri_task_trace gives the trace that the event belongs to: it goes on into
// all that the handler emits and asks.  Returns false when there is none.
bool edri_task_trace(const edri_task_t *self, edri_trace_t *out);

// edri_task_remaining_ms returns what is left until the event's deadline,
// 0 when it has passed, -1 when there is none.
int64_t edri_task_remaining_ms(const edri_task_t *self);

// edri_task_progress tells who asked how far the handler is: 'done' of 'total' (0:
// not known), and what it does ('text', NULL: nothing to say).  It costs nothing
// when the asker does not want to know (edri_port_on_progress) or the event is
// no request.  At most one in 50 ms goes out, and always one with 'done' equal to
// 'total'; it never waits: when there is no room it is left out.  In the
// handler's thread.
void edri_task_progress(
    edri_task_t *self, uint64_t done, uint64_t total, const char *text);

// edri_task_cancelled returns true when nobody waits for the result any more:
// the request was cancelled, its asker has ended, or the deadline has passed.  A
// handler that works for long looks at it now and then and returns what it
// likes, as a rule EDRI_CANCELLED; one that waits in edri_request is woken.
// About 1 ns, or 40 where there is a deadline.  Any thread while the task lasts.
bool edri_task_cancelled(const edri_task_t *self);

// edri_task_redelivered returns true when the event may have been begun before:
// at a member that ended, or in a try that failed (option retry).
bool edri_task_redelivered(const edri_task_t *self);

// edri_task_attempt returns how many tries there were before this one, of a type
// that says retry.
uint32_t edri_task_attempt(const edri_task_t *self);

// edri_task_missed returns how many events for this manager were dropped, since
// the one that it got before, because it was full: it is lossy, or the types'
// overflow says so.
uint64_t edri_task_missed(const edri_task_t *self);

// edri_task_error, _error_text: in an observer, how the request ended: EDRI_OK
// with a reply, or an error with its text ("" if none).  Borrowed.
edri_err_t edri_task_error(const edri_task_t *self);
const char *edri_task_error_text(const edri_task_t *self);

#endif
