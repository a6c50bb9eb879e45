// SPDX-License-Identifier: MIT
// bench_crowd.h - many nodes at one switch, for edri bench scale and memory.
//
// DESIGN
// The nodes are real: each has its router, its manager, its connection, its heartbeats.
// They live in processes of at most CROWD_NODES nodes, which do what this one orders,
// each over a socket of its own, and answer when it is done or has failed.  They end
// with this one.
//
// Every node demands Duty00 and Duty01, as all nodes of a system demand some types, and
// of the other duties as many as are left, by its number: so each of these has as many
// replicas as nodes allow.  One node of each process also emits Duty00: it holds the
// table of that type, and nobody's demands are in force before it has seen them.

#ifndef TOOLS_BENCH_CROWD_H
#define TOOLS_BENCH_CROWD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CROWD_NODES     50 // of one process
#define CROWD_TYPES_MAX 32

typedef struct crowd crowd_t;

typedef struct crowd_plan {
    unsigned nodes;
    unsigned types;        // that each demands
    const char *heartbeat; // setting link.heartbeat; NULL: as usual
} crowd_plan_t;

// crowd_begin starts the processes; nodes start later.  Call it before this process has
// threads.  Fails when descriptors will not suffice.
crowd_t *crowd_begin(const crowd_plan_t *plan);
void crowd_end(crowd_t **self_p);

// crowd_start starts all nodes, and returns when the demands of each are in force.
void crowd_start(crowd_t *self, const char *endpoint, unsigned seconds);

// crowd_await returns when the counter of every node is at least that, and fails after
// so many seconds.
void crowd_await(
    crowd_t *self, const char *counter, uint64_t least, unsigned seconds);

// crowd_call lets the emitters emit an event each, and returns when every node has had
// all of these.
void crowd_call(crowd_t *self, unsigned seconds);

// crowd_pids gives the processes; borrowed.
size_t crowd_pids(const crowd_t *self, const pid_t **pids_p);

#endif
