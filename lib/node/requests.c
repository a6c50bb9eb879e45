// SPDX-License-Identifier: MIT
// requests.c - the requests that handlers of this node work on.

#include "node/requests.h"

#include "node/work/task.h"

static size_t
part_of(uint64_t id)
{
    return (size_t)(id % REQUESTS_PARTS);
}

void
requests_init(requests_t *self)
{
    for (size_t i = 0; i < REQUESTS_PARTS; i++) {
        (void)pthread_mutex_init(&self->parts[i].lock, NULL);
    }
}

void
requests_end(requests_t *self)
{
    for (size_t i = 0; i < REQUESTS_PARTS; i++) {
        (void)pthread_mutex_destroy(&self->parts[i].lock);
    }
}

bool
requests_enter(requests_t *self, edri_task_t *task, int64_t now_ms)
{
    size_t i = part_of(task->env.id);
    pthread_mutex_lock(&self->parts[i].lock);
    bool begins =
        !cancels_has(&self->parts[i].cancels, task->life, task->env.id, now_ms);
    if (begins) {
        task->before = NULL;
        task->next = self->parts[i].first;
        if (task->next != NULL) {
            task->next->before = task;
        }
        self->parts[i].first = task;
    }
    pthread_mutex_unlock(&self->parts[i].lock);
    return begins;
}

void
requests_leave(requests_t *self, edri_task_t *task)
{
    size_t i = part_of(task->env.id);
    pthread_mutex_lock(&self->parts[i].lock);
    *(task->before != NULL ? &task->before->next : &self->parts[i].first) =
        task->next;
    if (task->next != NULL) {
        task->next->before = task->before;
    }
    pthread_mutex_unlock(&self->parts[i].lock);
}

// cancel_in marks what runs in one part, and remembers the cancel there.
static void
cancel_in(requests_t *self, size_t i, uint64_t life, uint64_t id,
    int64_t now_ms, requests_found_fn *found, void *arg)
{
    pthread_mutex_lock(&self->parts[i].lock);
    for (edri_task_t *at = self->parts[i].first; at != NULL; at = at->next) {
        bool meant =
            at->life == life && (id == CANCELS_ALL || at->env.id == id);
        if (meant && atomic_load(&at->cancelled_ms) == 0) {
            atomic_store(&at->cancelled_ms, now_ms);
            found(at->port->number, arg);
        }
    }
    // Also when one runs: another manager may have it in its queue.
    cancels_add(&self->parts[i].cancels, life, id, now_ms);
    pthread_mutex_unlock(&self->parts[i].lock);
}

void
requests_cancel(requests_t *self, uint64_t life, uint64_t id, int64_t now_ms,
    requests_found_fn *found, void *arg)
{
    cancel_in(self, part_of(id), life, id, now_ms, found, arg);
}

void
requests_life_gone(requests_t *self, uint64_t life, int64_t now_ms,
    requests_found_fn *found, void *arg)
{
    for (size_t i = 0; i < REQUESTS_PARTS; i++) {
        cancel_in(self, i, life, CANCELS_ALL, now_ms, found, arg);
    }
}

void
requests_life_back(requests_t *self, uint64_t life)
{
    for (size_t i = 0; i < REQUESTS_PARTS; i++) {
        pthread_mutex_lock(&self->parts[i].lock);
        cancels_forget(&self->parts[i].cancels, life);
        pthread_mutex_unlock(&self->parts[i].lock);
    }
}

size_t
requests_count(requests_t *self)
{
    size_t count = 0;
    for (size_t i = 0; i < REQUESTS_PARTS; i++) {
        pthread_mutex_lock(&self->parts[i].lock);
        for (const edri_task_t *at = self->parts[i].first; at != NULL;
             at = at->next) {
            count++;
        }
        pthread_mutex_unlock(&self->parts[i].lock);
    }
    return count;
}

bool
requests_asker(
    requests_t *self, uint64_t request, uint64_t *id_p, uint64_t *life_p)
{
    bool found = false;
    for (size_t i = 0; i < REQUESTS_PARTS && !found; i++) {
        pthread_mutex_lock(&self->parts[i].lock);
        for (const edri_task_t *at = self->parts[i].first; at != NULL && !found;
             at = at->next) {
            found = atomic_load(&at->port->waits_for) == request;
            *id_p = found ? at->env.id : *id_p;
            *life_p = found ? at->life : *life_p;
        }
        pthread_mutex_unlock(&self->parts[i].lock);
    }
    return found;
}
