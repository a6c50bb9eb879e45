// SPDX-License-Identifier: MIT
// world.h - nodes, switches and a network in one thread, on virtual time.
//
// DESIGN
// The real router, switch, manager and port code runs; only libzmq (net.c) and
// the clock (clock.c) are ours.  Every actor is stepped when something has
// reached it or its own timeout is due, and time jumps to whatever is next.  All
// that happens follows from the seed: number of nodes and switches, who handles
// what, loads, faults.

#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

// world_run plays one seed with at most so many faults; 'steps' bounds the work
// (0: no bound).  'tell'
// prints what happens.  Returns true when every check held; else *why_p is the
// first breach, to be freed by the caller.
typedef struct result {
    uint64_t events;
    uint64_t begun;
    uint64_t marked;
    uint64_t missing;
    uint64_t requests;
    uint64_t cancelled; // of these
    uint64_t tunnels;   // that were opened
    uint64_t messages;  // that came through them
    uint64_t whole;     // ends in peace
    uint64_t faults;
    uint64_t hash; // of all that was begun, in order
    uint64_t steps;
} result_t;

bool world_run(uint64_t seed, uint64_t faults, uint64_t steps, bool tell,
    result_t *result, char **why_p);

#endif
