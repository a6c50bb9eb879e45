// SPDX-License-Identifier: MIT
// node/work/roster.h - what the processes of one pool share: how to start one, and
// which events have ended some.

#ifndef NODE_WORK_ROSTER_H
#define NODE_WORK_ROSTER_H

#include "core/backoff.h"
#include "core/kills.h"
#include "node/work/carrier.h"
#include "node/work/process.h"
#include "node/work/task.h"

struct house;

// roster_plan_t says what a pool is for.
typedef struct roster_plan {
    const char *manager;
    const char *what; // it handles, for texts: a type's name, or the manager's
    handler_t *const *handlers; // borrowed, as the texts
    size_t handler_count;
    const char *program; // NULL: this one
    bool fresh;          // a process for each task
    struct house *house; // the one process for all, or NULL
    unsigned first_seat; // there
} roster_plan_t;

typedef struct roster {
    roster_plan_t plan;
    edri_node_t *node;
    const atomic_bool *stop; // the pool ends
    atomic_uint seats;       // of the house that proxies have taken
    char **args;             // what is started
    backoff_t backoff;
    int64_t start_ms; // worker.start and so on
    int64_t grace_ms;
    uint32_t kills_max;
    int wake_fd;          // rung when all have been renewed; -1: by nobody
    atomic_uint ready;    // processes that have been ready
    atomic_uint renewal;  // how often they were to be renewed
    atomic_bool anew;     // the program is started from its file
    pthread_mutex_t lock; // guards
    kills_t kills;
    unsigned renewing;  // proxies that have to renew theirs
    bool was_anew;      // before
    edri_err_t renewed; // the first error of these,
    char *why;          // and its text
} roster_t;

// roster_new makes what a pool needs for its processes.
roster_t *roster_new(const roster_plan_t *plan, edri_node_t *node,
    const atomic_bool *stop, int wake_fd);
void roster_destroy(roster_t **self_p);

// hand_t is one process.  Begins as zeros but for lifeline, -1.
typedef struct hand {
    process_t process;
    int lifeline;    // standard input of a foreign program; -1: it is ours
    char *directory; // where its endpoint stands
} hand_t;

// roster_hire starts a process with so many carriers to it, which become the
// caller's; a foreign program has one.  Returns EDRI_OK, or EDRI_SYSTEM and a
// static text in *why_p.
edri_err_t roster_hire(const roster_t *self, hand_t *hand, carrier_t **carriers,
    unsigned count, const char **why_p) EDRI_MUST_CHECK;

// roster_dismiss waits for the end of a process whose carriers have been closed,
// for at most grace_ms; then kills it.  Returns how it ended; the caller frees
// it.
char *roster_dismiss(hand_t *hand, int64_t grace_ms);

// roster_renew wants 'count' proxies to start the program anew, as it stands in its
// file now, and to go over to the new process (proxy.h).  roster_renewed returns
// EDRI_AGAIN while they are at it; EDRI_OK; or an error and *why_p, borrowed until
// the next.  Any thread.
void roster_renew(roster_t *self, unsigned count);
edri_err_t roster_renewed(roster_t *self, const char **why_p) EDRI_MUST_CHECK;

// roster_note_renewed says how it went with one of them.
void roster_note_renewed(roster_t *self, edri_err_t err, const char *why);

// roster_blame counts a process that an event has ended; roster_barred says whether
// it has ended too many.
void roster_blame(roster_t *self, uint64_t life, uint64_t id);
bool roster_barred(roster_t *self, uint64_t life, uint64_t id);

#endif
