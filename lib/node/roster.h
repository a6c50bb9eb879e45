// SPDX-License-Identifier: MIT
// node/roster.h - what the processes of one pool share: how to start one, and
// which events have ended some.

#ifndef NODE_ROSTER_H
#define NODE_ROSTER_H

#include "core/backoff.h"
#include "core/kills.h"
#include "node/carrier.h"
#include "node/process.h"
#include "node/task.h"

typedef struct roster {
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
} roster_t;

// roster_new makes what a pool needs for the processes of a handler.
roster_t *roster_new(
    const handler_t *handler, edri_node_t *node, const atomic_bool *stop);
void roster_destroy(roster_t **self_p);

// hand_t is one process, and the carrier to it.  Begins as zeros.
typedef struct hand {
    process_t process;
    carrier_t *carrier;
    int lifeline;    // standard input of a foreign program
    char *directory; // where its endpoint stands
} hand_t;

// roster_hire starts a process.  Returns EDRI_OK, or EDRI_SYSTEM and a static text
// in *why_p.
edri_err_t roster_hire(
    const roster_t *self, hand_t *hand, const char **why_p) EDRI_MUST_CHECK;

// roster_dismiss closes the connection to a process (its carrier may have moved
// elsewhere and be closed) and waits for its end, for at most grace_ms; then
// kills it.  Returns how it ended; the caller frees it.
char *roster_dismiss(hand_t *hand, int64_t grace_ms);

// roster_blame counts a process that an event has ended; roster_barred says whether
// it has ended too many.
void roster_blame(roster_t *self, uint64_t life, uint64_t id);
bool roster_barred(roster_t *self, uint64_t life, uint64_t id);

#endif
