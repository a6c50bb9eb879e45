// SPDX-License-Identifier: MIT
// base/queue.h - first in, first out, between threads: pointers to work.

#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct queue queue_t;

// queue_new creates an empty, open queue.  queue_destroy frees it; whatever is
// still in it must have been taken out before.
queue_t *queue_new(void);
void queue_destroy(queue_t **self_p);

// queue_put appends an item (never NULL) and wakes one taker.  Never blocks.
void queue_put(queue_t *self, void *item);

// queue_take waits for an item and returns it; NULL once the queue is closed
// and empty.  Any number of threads.
void *queue_take(queue_t *self);

// queue_take_until is queue_take that gives up at a time of clock_ms (-1:
// never) and then returns NULL, too.
void *queue_take_until(queue_t *self, int64_t deadline_ms);

// queue_close wakes all takers; what is in the queue is still taken.
void queue_close(queue_t *self);

size_t queue_length(queue_t *self);

#endif
