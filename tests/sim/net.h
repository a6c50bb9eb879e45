// SPDX-License-Identifier: MIT
// net.h - the simulated network: a libzmq of our own, without threads.
//
// DESIGN
// net.c defines the zmq_ functions that nodes and switches use.  inproc is
// immediate.  tcp is a connection between two hosts with a pipe each way: in
// order, each message later than the one before by what the seed says.  As
// with TCP, what is under way while a direction is cut arrives after it is
// mended, if neither end has closed meanwhile; who closes takes with it what has
// not left yet.  As with libzmq, a DEALER whose connection has ended takes
// nothing more, a ROUTER does not know the peer any more, pipes have high-water
// marks, and messages of several parts arrive whole.
//
// zmq_poll never waits: it notes until when its caller would have slept.

#ifndef SIM_NET_H
#define SIM_NET_H

#include <stdbool.h>
#include <stdint.h>

// Hosts: nodes and switches are numbered apart.
#define NET_SWITCHES 100 // host of the first switch
#define NET_HOSTS    128

// net_init begins anew, everything random from this seed.
void net_init(uint64_t seed);

// net_host says on which host the next zmq_ctx_new stands.
void net_host(int host);

// net_cut cuts or mends one direction between two hosts.
void net_cut(int from, int to, bool cut);

// net_slow makes every message from that host later by up to so many us.
void net_slow(int host, int64_t us);

// net_crash ends all connections of a context at once, as when its process is
// killed; what it does from then on reaches nobody.
void net_crash(void *context);

// net_due returns when the next message from another host reaches a context
// (us; INT64_MAX: none).  net_inside says whether one from its own threads has.
int64_t net_due(const void *context);
bool net_inside(const void *context);

// net_polled returns until when the last zmq_poll would have slept (us; at most
// INT64_MAX), 0 when it found something.
int64_t net_polled(void);

// net_pump is called while somebody waits for another thread of its process:
// it lets that go on.
typedef void net_pump_fn(void *context);
void net_on_wait(net_pump_fn *pump);

// ----- time (clock.c)

extern int64_t sim_now_us; // virtual, since 1970

uint64_t sim_random(uint64_t *state);

// sim_random_seed begins the numbers that nodes and switches draw.
void sim_random_seed(uint64_t seed);

#endif
