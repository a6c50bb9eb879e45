// SPDX-License-Identifier: MIT
// node/crew.h - what the processes of one pool share: how to start one, and
// which events have ended some.

#ifndef NODE_CREW_H
#define NODE_CREW_H

#include "core/backoff.h"
#include "core/kills.h"
#include "node/carrier.h"
#include "node/process.h"
#include "node/task.h"

typedef struct crew {
    const handler_t *handler;
    edri_node_t *node;
    const atomic_bool *stop; // the pool ends
    bool fresh;              // a process for each task
    char **args;             // what is started
    backoff_t backoff;
    int64_t start_ms; // worker.start and so on
    int64_t grace_ms;
    uint32_t kills_max;
    atomic_uint ready;    // processes that have been ready
    pthread_mutex_t lock; // guards
    kills_t kills;
} crew_t;

// crew_new makes what a pool needs for the processes of a handler.
crew_t *crew_new(
    const handler_t *handler, edri_node_t *node, const atomic_bool *stop);
void crew_destroy(crew_t **self_p);

// hand_t is one process, and the carrier to it.  Begins as zeros.
typedef struct hand {
    process_t process;
    carrier_t *carrier;
    int lifeline;    // standard input of a foreign program
    char *directory; // where its endpoint stands
} hand_t;

// crew_hire starts a process.  Returns EDRI_OK, or EDRI_SYSTEM and a static text
// in *why_p.
edri_err_t crew_hire(
    const crew_t *self, hand_t *hand, const char **why_p) EDRI_MUST_CHECK;

// crew_dismiss closes the connection to a process (its carrier may have moved
// elsewhere and be closed) and waits for its end, for at most grace_ms; then
// kills it.  Returns how it ended; the caller frees it.
char *crew_dismiss(hand_t *hand, int64_t grace_ms);

// crew_blame counts a process that an event has ended; crew_barred says whether
// it has ended too many.
void crew_blame(crew_t *self, uint64_t life, uint64_t id);
bool crew_barred(crew_t *self, uint64_t life, uint64_t id);

#endif
