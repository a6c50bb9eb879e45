// SPDX-License-Identifier: MIT
// bench_request.c - edri bench request: round trips, one at a time.
//
// Node → switch → node → back, three processes, interleaved in blocks with the
// raw round trip of the same shape, all pinned to the same processors: what
// the machine does meanwhile hits both.

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.edri.h"
#include "bench.h"

// Round trips of one block.
#define BLOCK 200

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
    result->request = true;
    result->count = total;
    result->mine = bench_percentiles(mine, total);
    result->baseline = bench_percentiles(theirs, total);
    result->events_per_s = 1e6 / result->mine.p50;
    result->baseline_per_s = 1e6 / result->baseline.p50;
    result->ratio = result->mine.p50 / result->baseline.p50;
    free(mine);
    free(theirs);
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
