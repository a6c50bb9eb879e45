// SPDX-License-Identifier: MIT
// node/drops.h - what was dropped: by type, peer and reason.
//
// DESIGN
// Counters say how much (counters.h), this table says of what, for whom and
// why.  It is written where something goes wrong, by any thread, so a lock does
// no harm; the router tells what is new as an event, once a second (books.c).

#ifndef NODE_DROPS_H
#define NODE_DROPS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "edri/err.h"

// Rows at most; what comes beyond is counted in the last one, which has no type.
#define DROPS_MAX 1024

typedef struct drop {
    uint64_t type;     // 0: any
    char *peer;        // "node/manager", or a manager here
    edri_err_t reason; // EDRI_OVERLOADED, NODE_DIED, DEADLINE, DENIED, ...
    uint64_t events;
    uint64_t told; // of these, with an event
} drop_t;

typedef struct drops {
    pthread_mutex_t lock;
    drop_t *rows;
    size_t count;
} drops_t;

void drops_init(drops_t *self);
void drops_clear(drops_t *self);

// drops_note counts so many events.  'node' may be "" or NULL: this one.  Any
// thread.
void drops_note(drops_t *self, uint64_t type, const char *node,
    const char *manager, edri_err_t reason, uint64_t events);

// drops_visit_fn sees one row, under the lock; what it does to 'told' stays.
typedef void drops_visit_fn(drop_t *row, void *arg);
void drops_each(drops_t *self, drops_visit_fn *visit, void *arg);

#endif
