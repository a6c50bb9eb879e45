// SPDX-License-Identifier: MIT
// bench.h - edri bench: what its files share.

#ifndef TOOLS_BENCH_H
#define TOOLS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <edri/edri.h>

#include "bench.edri.h"
#include "load.h"

// percentiles_t is a distribution of round trips, in microseconds.
typedef struct percentiles {
    double p50;
    double p99;
    double p999;
} percentiles_t;

// result_t is what one scenario gave.
typedef struct result {
    const char *scenario;
    const char *against; // what the baseline is
    size_t size;
    uint64_t count;
    double events_per_s;
    double baseline_per_s;
    double ratio;
    long peak_kib; // of any process; 0: not measured
    bool request;  // the rest counts
    percentiles_t mine;
    percentiles_t baseline;
    unsigned outstanding;    // requests at a time
    double wakeups;          // threads woken for a round trip; 0: not counted
    double baseline_wakeups; // of the baseline
} result_t;

double bench_now(void);

// bench_fail prints one line and ends the program: a bench has no other way.
void bench_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));

percentiles_t bench_percentiles(double *us, size_t count);

// bench_fork runs 'work' in a child; the child ends with its result.
// bench_join waits for it and fails when it failed.
pid_t bench_fork(int (*work)(void *arg), void *arg);
void bench_join(pid_t pid);

// bench_pin lets this process and its children use so many processors, so that both
// sides of a comparison have the same ones.
void bench_pin(int count);

// bench_beside_us is the path of a program beside this one.
void bench_beside_us(char *path, size_t size, const char *name);

// bench_wakeups is how often threads of these processes have slept so far, and were
// woken (man 5 proc: voluntary_ctxt_switches).
uint64_t bench_wakeups(const pid_t *pids, size_t count);

// bench_switch starts the edri-switch beside this program and gives its
// endpoint; bench_switch_at starts it there again.  It ends with this process.
// bench_node makes a started node; NULL endpoint: alone.
pid_t bench_switch(char *endpoint, size_t size);
pid_t bench_switch_at(const char *endpoint);
edri_node_t *bench_node(const char *name, const char *endpoint);

// raw_inproc, raw_switch: messages a second through PUSH/PULL in a process, or
// DEALER → ROUTER → DEALER in three.
double raw_inproc(size_t size, uint64_t count);
double raw_switch(size_t size, uint64_t count);

// raw_round_trips measures 'count' round trips DEALER → ROUTER → DEALER in
// three processes into us[], so many at a time, and returns the seconds of all;
// raw_begin starts the two others, whose ids it gives, raw_end stops.
typedef struct raw raw_t;
raw_t *raw_begin(size_t size, unsigned outstanding, pid_t pids[2]);
double raw_round_trips(raw_t *self, double *us, size_t count);
void raw_end(raw_t **self_p);

// The same between two threads, over inproc, one at a time.
typedef struct raw_pair raw_pair_t;
raw_pair_t *raw_pair_begin(size_t size);
double raw_pair_round_trips(raw_pair_t *self, double *us, size_t count);
void raw_pair_end(raw_pair_t **self_p);

// The same through a nats-server, and what it gives as publish and subscribe: messages
// a second that come to all subscribers together.
typedef struct nats nats_t;
nats_t *nats_begin(size_t size, unsigned outstanding);
double nats_round_trips(nats_t *self, double *us, size_t count);
void nats_end(nats_t **self_p);
double nats_events(size_t size, uint64_t count, unsigned subscribers);

// bench_local, bench_through_switch and bench_fanout are events a second: in one node,
// from one to another, and from one to several, all together.
double bench_local(size_t size, uint64_t count);
double bench_through_switch(size_t size, uint64_t count);
double bench_fanout(size_t size, uint64_t count, unsigned nodes);

// bench_sink starts a node with a manager that handles Ping with such a state;
// *node_p is set before.  'name' and 'endpoint' are NULL where it is alone.
// bench_ping_init makes a Ping that is so large; its padding is the caller's.
void bench_sink(edri_node_t **node_p, edri_bench_ping_handler_fn *handler,
    void *state, const char *name, const char *endpoint);
void bench_ping_init(Edri__Bench__Ping *ping, size_t size);

// bench_stall_t lets a handler stand once, at one event; bench_stall does that (NULL:
// never).
typedef struct bench_stall {
    uint64_t at; // the event's number
    unsigned ms;
} bench_stall_t;
void bench_stall(const bench_stall_t *self, uint64_t number);

// bench_responder forks a node that answers Echo, and returns when it is there.
pid_t bench_responder(const char *endpoint, bench_stall_t *stall);

// paced_t is load that is offered by a schedule, and what came of it.
typedef struct paced {
    size_t size;
    unsigned nodes; // that the events go to; 0: the emitter's own
    pace_t pace;    // its start counts from when it has run
    bench_stall_t stall;
    track_t offered;
    track_t handled; // at all nodes; of requests: their replies
} paced_t;

// bench_paced_events and bench_paced_requests offer it to EDRI and fail when not every
// event has come once; nats_paced offers it to NATS, which may lose some.
void bench_paced_events(paced_t *self);
void bench_paced_requests(paced_t *self);
void nats_paced(bool requests, paced_t *self);

// bench_latency is 'edri bench latency'; the arguments stand behind that and end with
// NULL.  Returns false when they are wrong, and has said which.
bool bench_latency(char **arguments);

// bench_read_count reads a number, at least 1.
bool bench_read_count(const char *text, uint64_t *number);
// bench_between is the second of these at a switch that runs already.
double bench_between(const char *endpoint, size_t size, uint64_t count);

// bench_scale and bench_memory measure the scenarios of these names, and print them.
// 'count' are the events between two of the nodes, which are 2 or more.
void bench_scale(unsigned nodes, unsigned types, uint64_t count, bool json);
void bench_memory(unsigned nodes, uint64_t heartbeats, bool json);

// bench_all runs the scenarios that docs/performance.md shows, several times each, and
// prints their medians as a table; the arguments end with NULL.  Returns false when
// they are wrong.
bool bench_all(char **arguments);

// bench_keys measures the scenario 'keys': result->baseline_per_s is without
// poisoned keys.
void bench_keys(uint64_t count, result_t *result);

// bench_tunnel measures the scenario 'tunnel': messages a second through one.
// bench_tunnels opens so many at once and prints what each takes.  bench_beside
// measures one for so many seconds beside another whose reader stands; the baseline is
// the same one alone.
void bench_tunnel(size_t size, uint64_t count, result_t *result);
void bench_tunnels(uint64_t count, bool json);
void bench_beside(size_t size, uint64_t seconds, result_t *result);

// bench_request measures the scenario 'request': between two nodes, or in one.
typedef struct ask {
    size_t size;
    uint64_t count;       // 0: as usual
    unsigned outstanding; // at a time
    bool local;           // in one node; beside raw inproc
    bool nats;            // beside NATS, not raw ZeroMQ
} ask_t;
void bench_request(const ask_t *ask, result_t *result);

// bench_pairs measures as many nodes that ask as many others, one request at a time each;
// the baseline are the same whose threads may not huddle.
void bench_pairs(unsigned pairs, size_t size, uint64_t count, result_t *result);

// bench_mode_read reads "method", "threads:N", "processes:N" or "fresh[:N]".
bool bench_mode_read(const char *text, edri_workers_t *workers);

// bench_mode measures requests in one node, answered by workers of that kind;
// the baseline are threads, as many.
void bench_mode(
    edri_workers_t workers, size_t size, uint64_t count, result_t *result);

#endif
