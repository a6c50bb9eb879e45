// SPDX-License-Identifier: MIT
// node/work/relay.h - what is said between a node and a worker's process.
//
// DESIGN
// A relay has the node's end of a channel and a port.  It hands a task to the
// process, passes on what its handler emits, takes replies to its requests to it,
// and at last the end of the task.  What comes from a process is never believed:
// the ids, kinds and flags of all that it emits are looked at; the first wrong
// word ends the process, not the node.

#ifndef NODE_WORK_RELAY_H
#define NODE_WORK_RELAY_H

#include "node/work/channel.h"
#include "node/work/gates.h"
#include "node/work/job.h"
#include "node/work/roster.h"

// Requests of one task that are remembered, to be cancelled with its process.
#define ASKED_MAX 64

// relay_t belongs to one thread, its port's.
typedef struct relay {
    const roster_t *roster;
    edri_port_t *port;
    edri_task_t *task; // that runs there
    channel_t channel;
    int end_fd;       // readable once the process has ended; -1: not watched
    bool ended;       // the kernel says so
    bool welcomed;    // it has said HELLO
    bool ready;       // it waits for a task
    bool own;         // it is the manager's own: its hooks emit without a task
    bool drained;     // its hook of that name has returned
    char reason[256]; // why we end it; "": it ended by itself
    uint32_t error;   // that it gave for not working; 0: none
    // the message that is being passed on
    message_t message;
    bool held;
    bool says_ready; // when it has been passed on
    slice_t rest;    // of its batch
    bool flushing;   // it waits for port->flushed
    gates_t gates;
    // the task
    const job_t *job;          // NULL: none
    bool given;                // the process has it
    bool answered;             // and has ended it,
    edri_err_t result;         // so
    uint64_t asked[ASKED_MAX]; // the newest of its requests
    size_t asked_count;
    uint64_t last_tunnel; // its newest end of one; 0: it has none
    uint64_t last_id;     // of what the processes sent
} relay_t;

// relay_begin makes it ready for a process, without a look at what it has of one.
void relay_begin(relay_t *self);

// relay_reset forgets the process: what was held, and its channel.
void relay_reset(relay_t *self);

// relay_drain lets the process call its hook 'draining'.
void relay_drain(relay_t *self);

// relay_give hands the task's event to the process.
void relay_give(relay_t *self, const job_t *job);

// relay_advance does what there is to do.  Returns EDRI_OK, EDRI_AGAIN: nothing
// now, EDRI_CLOSED: the node stops, or EDRI_WORKER_DIED: the process has ended, or
// must be ended ('reason').
edri_err_t relay_advance(relay_t *self);

// relay_step is relay_advance that waits for something to do; or EDRI_DEADLINE.
edri_err_t relay_step(relay_t *self, int64_t deadline_ms);

// relay_broke notes why a process has to be ended; NULL: it has ended by itself.
// Returns EDRI_WORKER_DIED.
edri_err_t relay_broke(relay_t *self, const char *reason);

// relay_stopping says whether the node, or the pool, stops.
bool relay_stopping(const relay_t *self);

#endif
