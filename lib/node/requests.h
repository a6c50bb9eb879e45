// SPDX-License-Identifier: MIT
// node/requests.h - the requests that handlers of this node work on, so that a
// cancel finds them.
//
// DESIGN
// The router hears cancels, the threads of managers and pools run handlers.
// They meet here, under a short lock: a handler's request is entered when it
// begins and taken out when it ends, a cancel marks those that have begun and
// is remembered for those that have not (core/cancels.h).  Several locks, by id,
// so that threads seldom meet.  Notifications are not entered.

#ifndef NODE_REQUESTS_H
#define NODE_REQUESTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/cancels.h"
#include "edri/task.h"

#define REQUESTS_PARTS 16

typedef struct requests {
    struct {
        pthread_mutex_t lock;
        edri_task_t *first;
        cancels_t cancels;
    } parts[REQUESTS_PARTS];
} requests_t;

// requests_found_fn is called with the number of the port whose task was
// marked, under the lock: it must not use the requests.
typedef void requests_found_fn(uint16_t port, void *arg);

void requests_init(requests_t *self);
void requests_end(requests_t *self);

// requests_enter enters a task that is about to begin; it stays where it is
// until requests_leave.  Returns false when it was cancelled: it must not begin
// and was not entered.  Any thread.
bool requests_enter(requests_t *self, edri_task_t *task, int64_t now_ms);
void requests_leave(requests_t *self, edri_task_t *task);

// requests_cancel cancels a request of a life (0: this node): the tasks that run
// for it are marked, those that come are not begun.  Any thread.
void requests_cancel(requests_t *self, uint64_t life, uint64_t id,
    int64_t now_ms, requests_found_fn *found, void *arg);

// requests_life_gone does so for all requests of a life, which has ended or was
// given up; requests_life_back: it asks again.
void requests_life_gone(requests_t *self, uint64_t life, int64_t now_ms,
    requests_found_fn *found, void *arg);
void requests_life_back(requests_t *self, uint64_t life);

// requests_asker finds the handler that waits for a request of this node; *id_p
// is then the request that it works on, *life_p whose.  Returns false when none
// does.  Any thread.
bool requests_asker(
    requests_t *self, uint64_t request, uint64_t *id_p, uint64_t *life_p);

// requests_count is how many are at work.
size_t requests_count(requests_t *self);

#endif
