// SPDX-License-Identifier: MIT
// bench_request.c - edri bench request: round trips, one at a time.
//
// Node → switch → node → back, three processes, interleaved in blocks with the
// raw round trip of the same shape, all pinned to the same processors: what
// the machine does meanwhile hits both.  With --mode in one node, interleaved
// in the same way with a node whose workers are threads.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.edri.h"
#include "bench.h"

// Round trips of one block; a process for each takes its time.
#define BLOCK       200
#define BLOCK_FRESH 20

typedef struct responder {
    const char *endpoint;
    int ready_fd;
} responder_t;

static edri_err_t
on_echo(edri_task_t *task, const Edri__Bench__Echo *echo,
    Edri__Bench__EchoReply *reply)
{
    (void)task;
    reply->number = echo->number;
    reply->padding = echo->padding;
    return EDRI_OK;
}

static int
respond(void *arg)
{
    responder_t *self = arg;
    edri_node_t *node = edri_node_new(0, NULL);
    (void)edri_node_set(node, "node.name", "responder");
    (void)edri_node_set(node, "node.switch", self->endpoint);
    (void)edri_bench_echo_handle(
        edri_node_manager(node, "echo"), on_echo, EDRI_METHOD);
    if (edri_node_start(node) != EDRI_OK ||
        write(self->ready_fd, "x", 1) != 1) {
        return 1;
    }
    (void)edri_node_wait(node);
    return 0;
}

static void
ask(edri_port_t *port, size_t size, double *us, size_t count)
{
    Edri__Bench__Echo request = EDRI__BENCH__ECHO__INIT;
    request.padding.len = size;
    request.padding.data = calloc(1, size + 1);
    for (size_t i = 0; i < count; i++) {
        Edri__Bench__EchoReply *reply = NULL;
        double start = bench_now();
        if (edri_bench_echo_request(port, &request, 0, &reply) != EDRI_OK) {
            bench_fail("%s", edri_port_error(port));
        }
        us[i] = (bench_now() - start) * 1e6;
        edri_bench_echo_reply_free(&reply);
    }
    free(request.padding.data);
}

// fill makes the result of two rows of round trips, and frees these.
static void
fill(result_t *result, double *mine, double *theirs, size_t count)
{
    result->request = true;
    result->count = count;
    result->mine = bench_percentiles(mine, count);
    result->baseline = bench_percentiles(theirs, count);
    result->events_per_s = 1e6 / result->mine.p50;
    result->baseline_per_s = 1e6 / result->baseline.p50;
    result->ratio = result->mine.p50 / result->baseline.p50;
    free(mine);
    free(theirs);
}

void
bench_request(size_t size, uint64_t count, result_t *result)
{
    char endpoint[128];
    int ready[2];
    char byte = 0;
    bench_pin();
    pid_t hub = bench_switch(endpoint, sizeof endpoint);
    if (pipe(ready) != 0) {
        bench_fail("no pipe");
    }
    responder_t responder = {endpoint, ready[1]};
    pid_t child = bench_fork(respond, &responder);
    raw_t *raw = raw_begin();
    if (read(ready[0], &byte, 1) != 1) {
        bench_fail("the responder did not start");
    }
    edri_node_t *node = bench_node("asker", endpoint);
    edri_port_t *port = edri_node_port(node);
    size_t total = (size_t)(count / BLOCK + 1) * BLOCK;
    double *mine = calloc(total, sizeof *mine);
    double *theirs = calloc(total, sizeof *theirs);
    ask(port, size, mine, BLOCK); // warm
    raw_round_trips(raw, size, theirs, BLOCK);
    for (size_t at = 0; at < total; at += BLOCK) {
        ask(port, size, mine + at, BLOCK);
        raw_round_trips(raw, size, theirs + at, BLOCK);
    }
    fill(result, mine, theirs, total);
    result->beside = "raw";
    edri_port_destroy(&port);
    edri_node_destroy(&node);
    raw_end(&raw);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    (void)kill(hub, SIGTERM);
    (void)waitpid(hub, NULL, 0);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

// ----- in one node

bool
bench_mode_read(const char *text, edri_workers_t *workers)
{
    unsigned count = 0;
    char end = '\0';
    if (strcmp(text, "method") == 0) {
        *workers = EDRI_METHOD;
    } else if (strcmp(text, "fresh") == 0) {
        *workers = EDRI_FRESH_PROCESS;
    } else if (sscanf(text, "threads:%u%c", &count, &end) == 1) {
        *workers = EDRI_THREADS((uint16_t)count);
    } else if (sscanf(text, "processes:%u%c", &count, &end) == 1) {
        *workers = EDRI_PROCESSES((uint16_t)count);
    } else if (sscanf(text, "fresh:%u%c", &count, &end) == 1) {
        *workers = EDRI_FRESH_PROCESS;
        workers->count = (uint16_t)count;
    } else {
        return false;
    }
    return count <= 256; // whether 0 fits is said at start
}

static edri_node_t *
echo_node(edri_workers_t workers)
{
    edri_node_t *node = edri_node_new(0, NULL);
    (void)edri_bench_echo_handle(
        edri_node_manager(node, "echo"), on_echo, workers);
    if (edri_node_start(node) != EDRI_OK) {
        bench_fail("%s", edri_node_error(node));
    }
    return node;
}

void
bench_mode(
    edri_workers_t workers, size_t size, uint64_t count, result_t *result)
{
    bool fresh = workers.kind == EDRI_FRESH_PROCESS.kind;
    size_t block = fresh ? BLOCK_FRESH : BLOCK;
    count = count > 0 ? count : fresh ? 400 : 10000;
    bench_pin();
    // First: in a process that it starts, this does not return.
    edri_node_t *node = echo_node(workers);
    edri_node_t *beside =
        echo_node(EDRI_THREADS(workers.count > 0 ? workers.count : 1));
    edri_port_t *port = edri_node_port(node);
    edri_port_t *beside_port = edri_node_port(beside);
    size_t total = (size_t)((count + block - 1) / block) * block;
    double *mine = calloc(total, sizeof *mine);
    double *theirs = calloc(total, sizeof *theirs);
    ask(port, size, mine, block); // warm
    ask(beside_port, size, theirs, block);
    for (size_t at = 0; at < total; at += block) {
        ask(port, size, mine + at, block);
        ask(beside_port, size, theirs + at, block);
    }
    fill(result, mine, theirs, total);
    result->beside = "threads";
    edri_port_destroy(&port);
    edri_port_destroy(&beside_port);
    edri_node_destroy(&node);
    edri_node_destroy(&beside);
}
