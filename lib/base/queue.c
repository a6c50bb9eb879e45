// SPDX-License-Identifier: MIT
// queue.c - first in, first out, between threads: pointers to work.

#include "base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"

struct queue {
    pthread_mutex_t lock; // guards everything below
    pthread_cond_t more;  // an item came, or the queue was closed
    void **items;         // ring
    size_t capacity;      // a power of two
    size_t head;          // position of the first item
    size_t length;
    size_t sleepers; // takers that wait
    bool closed;
};

queue_t *
queue_new(void)
{
    queue_t *self = mem_new(sizeof *self);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->more, &monotonic);
    pthread_condattr_destroy(&monotonic);
    self->capacity = 64;
    self->items = mem_new(self->capacity * sizeof(void *));
    return self;
}

void
queue_destroy(queue_t **self_p)
{
    queue_t *self = *self_p;
    *self_p = NULL;
    if (self != NULL) {
        edri_assert(self->length == 0);
        pthread_cond_destroy(&self->more);
        pthread_mutex_destroy(&self->lock);
        free(self->items);
        free(self);
    }
}

static void
grow(queue_t *self)
{
    void **items = mem_new(2 * self->capacity * sizeof(void *));
    for (size_t i = 0; i < self->length; i++) {
        items[i] = self->items[(self->head + i) & (self->capacity - 1)];
    }
    free(self->items);
    self->items = items;
    self->head = 0;
    self->capacity *= 2;
}

void
queue_put(queue_t *self, void *item)
{
    pthread_mutex_lock(&self->lock);
    if (self->length == self->capacity) {
        grow(self);
    }
    size_t tail = (self->head + self->length++) & (self->capacity - 1);
    self->items[tail] = item;
    bool wake = self->sleepers > 0;
    pthread_mutex_unlock(&self->lock);
    if (wake) {
        pthread_cond_signal(&self->more);
    }
}

// wait_more waits for more.  Returns false at the deadline.
static bool
wait_more(queue_t *self, const struct timespec *deadline)
{
    self->sleepers++;
    int err = deadline != NULL
                  ? pthread_cond_timedwait(&self->more, &self->lock, deadline)
                  : pthread_cond_wait(&self->more, &self->lock);
    self->sleepers--;
    return err != ETIMEDOUT;
}

void *
queue_take(queue_t *self)
{
    return queue_take_until(self, -1);
}

void *
queue_take_until(queue_t *self, int64_t deadline_ms)
{
    void *item = NULL;
    struct timespec deadline = {0};
    if (deadline_ms >= 0) {
        deadline = clock_until(deadline_ms);
    }
    pthread_mutex_lock(&self->lock);
    while (self->length == 0 && !self->closed &&
           wait_more(self, deadline_ms >= 0 ? &deadline : NULL)) {
    }
    if (self->length > 0) {
        item = self->items[self->head];
        self->head = (self->head + 1) & (self->capacity - 1);
        self->length--;
    }
    pthread_mutex_unlock(&self->lock);
    return item;
}

void
queue_close(queue_t *self)
{
    pthread_mutex_lock(&self->lock);
    self->closed = true;
    pthread_mutex_unlock(&self->lock);
    pthread_cond_broadcast(&self->more);
}

size_t
queue_length(queue_t *self)
{
    pthread_mutex_lock(&self->lock);
    size_t length = self->length;
    pthread_mutex_unlock(&self->lock);
    return length;
}
