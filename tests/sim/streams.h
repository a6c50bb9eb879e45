// SPDX-License-Identifier: MIT
// streams.h - tunnels of the simulation: messages each way, whole, once, in order.
//
// The writer of a node opens some; methods accept them.  Each message has its number;
// the last one of an acceptor says how many have come to it.  A tunnel that ends in
// peace must have brought all; one that does not must have a reason.

#ifndef SIM_STREAMS_H
#define SIM_STREAMS_H

#include <edri/edri.h>

typedef struct streams_totals {
    uint64_t opened;
    uint64_t messages;
    uint64_t whole;  // brought all
    uint64_t broken; // ended with an error
} streams_totals_t;

// streams_begin begins a world with those random numbers; streams_clear frees all.
void streams_begin(uint64_t *random);
streams_totals_t streams_clear(void);

void streams_accept(edri_manager_t *manager);

// streams_open opens one from a node's port; streams_step goes on with those of the
// node; streams_gone: its port has been destroyed, and they with it.
void streams_open(int node, edri_port_t *port);
void streams_step(int node);
void streams_gone(int node);

#endif
