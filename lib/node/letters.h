// SPDX-License-Identifier: MIT
// node/letters.h - dead letters: events whose handlers failed for good.
//
// DESIGN
// A notification whose handler returned an error, in its last try, is kept as it
// came, with the reason, until somebody has looked at it (edri dead).  It stands
// beside the way of events: written by the thread of the worker that failed,
// read by the router for tools, so a lock does no harm.  Bounded in bytes: the
// oldest makes room, counted.  In memory: it ends with the node.

#ifndef NODE_LETTERS_H
#define NODE_LETTERS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "edri/err.h"

struct job;

typedef struct letter {
    struct letter *next;
    uint64_t number; // in this node, from 1
    uint64_t type;
    char *type_name;
    const char *manager; // lives as long as the node
    uint64_t life;       // of the emitter; 0: this node
    edri_err_t err;
    char *text; // of the error
    uint32_t tries;
    int64_t at_us; // when it failed, wall clock
    blob_t *blob;  // its attachment, or NULL
    size_t size;
    uint8_t *content; // the envelope
} letter_t;

typedef struct letters {
    pthread_mutex_t lock;
    letter_t *first; // the oldest
    letter_t *last;
    size_t count;
    size_t bytes;
    size_t limit;
    uint64_t number; // of the newest
} letters_t;

void letters_init(letters_t *self);
void letters_clear(letters_t *self);

// letters_add keeps a job's event, which stays the caller's; 'text' may be NULL.
// Returns how many older ones made room.  Any thread.
size_t letters_add(
    letters_t *self, const struct job *job, edri_err_t err, const char *text);

// letters_take takes one out; the caller frees it.  NULL: it is not there.
letter_t *letters_take(letters_t *self, uint64_t number);
void letter_free(letter_t **self_p);

// letters_put_back puts back what was taken, and nulls it.
void letters_put_back(letters_t *self, letter_t **letter_p);

// letters_each visits all, the oldest first, under the lock.
typedef void letters_visit_fn(const letter_t *letter, void *arg);
void letters_each(letters_t *self, letters_visit_fn *visit, void *arg);

#endif
