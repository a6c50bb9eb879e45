// SPDX-License-Identifier: MIT
// bench_events.c - edri bench local, switch and fanout: how many events a second.

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

typedef struct counted {
    uint64_t count;
    uint64_t sum;
    double first;
    double last;
    uint64_t wanted;
    edri_node_t *node;
} counted_t;

static edri_err_t
on_ping(edri_task_t *task, const Edri__Bench__Ping *ping)
{
    counted_t *counted = edri_task_state(task);
    counted->sum += ping->number;
    if (counted->count++ == 0) {
        counted->first = bench_now();
    }
    if (counted->count == counted->wanted) {
        counted->last = bench_now();
        edri_node_quit(counted->node);
    }
    return EDRI_OK;
}

void
bench_ping_init(Edri__Bench__Ping *ping, size_t size)
{
    edri__bench__ping__init(ping);
    ping->padding.len = size > 12 ? size - 12 : 0; // number and tags: 64 in all
    ping->padding.data = calloc(1, size + 1);
}

static void
emit_all(edri_port_t *port, size_t size, uint64_t count)
{
    Edri__Bench__Ping ping;
    bench_ping_init(&ping, size);
    for (uint64_t i = 1; i <= count; i++) {
        ping.number = i;
        if (edri_bench_ping_emit(port, &ping) != EDRI_OK) {
            bench_fail("%s", edri_port_error(port));
        }
    }
    free(ping.padding.data);
}

// rate_of checks that every event came once and says how fast.
static double
rate_of(const counted_t *counted)
{
    uint64_t n = counted->wanted;
    if (counted->count != n || counted->sum != n * (n + 1) / 2) {
        bench_fail("%" PRIu64 " of %" PRIu64 " events came", counted->count, n);
    }
    return (double)(n - 1) / (counted->last - counted->first);
}

void
bench_sink(edri_node_t **node_p, edri_bench_ping_handler_fn *handler,
    void *state, const char *name, const char *endpoint)
{
    edri_node_t *node = *node_p = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "sink");
    (void)edri_manager_set_state(manager, state, NULL);
    (void)edri_bench_ping_handle(manager, handler, EDRI_METHOD);
    if (endpoint != NULL) {
        (void)edri_node_set(node, "node.name", name);
        (void)edri_node_set(node, "node.switch", endpoint);
    }
    if (edri_node_start(node) != EDRI_OK) {
        bench_fail("%s", edri_node_error(node));
    }
}

// start_sink starts a node that counts what comes; 'name' and 'endpoint' are NULL where
// it is alone.
static edri_node_t *
start_sink(counted_t *counted, const char *name, const char *endpoint)
{
    bench_sink(&counted->node, on_ping, counted, name, endpoint);
    return counted->node;
}

double
bench_local(size_t size, uint64_t count)
{
    counted_t counted = {.wanted = count};
    edri_node_t *node = start_sink(&counted, NULL, NULL);
    edri_port_t *port = edri_node_port(node);
    emit_all(port, size, count);
    (void)edri_node_wait(node);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
    return rate_of(&counted);
}

typedef struct emitter {
    const char *endpoint;
    size_t size;
    uint64_t count;
} emitter_t;

static int
run_emitter(void *arg)
{
    emitter_t *self = arg;
    edri_node_t *node = bench_node("emitter", self->endpoint);
    edri_port_t *port = edri_node_port(node);
    emit_all(port, self->size, self->count);
    bool fine = edri_port_flush(port, 60000) == EDRI_OK;
    edri_port_destroy(&port);
    fine = edri_node_stop(node, 60000) == EDRI_OK && fine;
    edri_node_destroy(&node);
    return fine ? 0 : 1;
}

double
bench_between(const char *endpoint, size_t size, uint64_t count)
{
    emitter_t emitter = {endpoint, size, count};
    counted_t counted = {.wanted = count};
    edri_node_t *node = start_sink(&counted, "sink", endpoint);
    pid_t child = bench_fork(run_emitter, &emitter);
    (void)edri_node_wait(node);
    bench_join(child);
    edri_node_destroy(&node);
    return rate_of(&counted);
}

double
bench_through_switch(size_t size, uint64_t count)
{
    char endpoint[128];
    pid_t hub = bench_switch(endpoint, sizeof endpoint);
    double rate = bench_between(endpoint, size, count);
    (void)kill(hub, SIGTERM);
    (void)waitpid(hub, NULL, 0);
    return rate;
}

// ----- one to several

typedef struct sink {
    const char *endpoint;
    unsigned number;
    uint64_t count;
    int fd; // says "r" when it is there, and then what it has counted
} sink_t;

static int
run_sink(void *arg)
{
    sink_t *self = arg;
    counted_t counted = {.wanted = self->count};
    char name[32];
    (void)snprintf(name, sizeof name, "sink-%u", self->number);
    edri_node_t *node = start_sink(&counted, name, self->endpoint);
    if (write(self->fd, "r", 1) != 1) {
        return 1;
    }
    (void)edri_node_wait(node);
    (void)rate_of(&counted);
    bool fine =
        write(self->fd, &counted, sizeof counted) == (ssize_t)sizeof counted;
    edri_node_destroy(&node);
    return fine ? 0 : 1;
}

double
bench_fanout(size_t size, uint64_t count, unsigned nodes)
{
    char endpoint[128];
    char byte = 0;
    pid_t hub = bench_switch(endpoint, sizeof endpoint);
    pid_t *pids = calloc(nodes, sizeof *pids);
    int(*pipes)[2] = calloc(nodes, sizeof *pipes);
    for (unsigned i = 0; i < nodes; i++) {
        if (pipe(pipes[i]) != 0) {
            bench_fail("no pipe");
        }
        sink_t sink = {endpoint, i, count, pipes[i][1]};
        pids[i] = bench_fork(run_sink, &sink);
        (void)close(pipes[i][1]);
        if (read(pipes[i][0], &byte, 1) != 1) {
            bench_fail("a node did not start");
        }
    }
    emitter_t emitter = {endpoint, size, count};
    pid_t child = bench_fork(run_emitter, &emitter);
    double first = 1e18;
    double last = 0;
    for (unsigned i = 0; i < nodes; i++) {
        counted_t counted;
        if (read(pipes[i][0], &counted, sizeof counted) !=
            (ssize_t)sizeof counted) {
            bench_fail("a node has failed");
        }
        first = counted.first < first ? counted.first : first;
        last = counted.last > last ? counted.last : last;
        bench_join(pids[i]);
        (void)close(pipes[i][0]);
    }
    bench_join(child);
    (void)kill(hub, SIGTERM);
    (void)waitpid(hub, NULL, 0);
    free(pids);
    free(pipes);
    return (double)(count * nodes) / (last - first);
}
