// SPDX-License-Identifier: MIT
// bench_pairs.c - edri bench request --pairs N: as many nodes ask as many others, one
// request at a time each, with threads that may huddle (base/huddle.h) and with such
// that may not, in turns.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define ROUNDS   3
#define ASK_LESS 200 // round trips of each asker before it is measured

// one_t is what one asker does and has seen; in memory that its process shares.
typedef struct one {
    char endpoint[128];
    size_t size;
    size_t count;
    double seconds;
    double us[];
} one_t;

static void
ask(edri_port_t *port, Edri__Bench__Echo *request)
{
    Edri__Bench__EchoReply *reply = NULL;
    if (edri_bench_echo_request(port, request, 0, &reply) != EDRI_OK) {
        bench_fail("%s", edri_port_error(port));
    }
    edri_bench_echo_reply_free(&reply);
}

static int
run_asker(void *arg)
{
    one_t *self = arg;
    char name[32];
    (void)snprintf(name, sizeof name, "asker-%d", (int)getpid());
    edri_node_t *node = bench_node(name, self->endpoint);
    edri_port_t *port = edri_node_port(node);
    Edri__Bench__Echo request = EDRI__BENCH__ECHO__INIT;
    request.padding.len = self->size;
    request.padding.data = calloc(1, self->size + 1);
    for (int i = 0; i < ASK_LESS; i++) {
        ask(port, &request);
    }
    double begin = bench_now();
    for (size_t i = 0; i < self->count; i++) {
        double start = bench_now();
        ask(port, &request);
        self->us[i] = (bench_now() - start) * 1e6;
    }
    self->seconds = bench_now() - begin;
    free(request.padding.data);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
    return 0;
}

static one_t *
new_one(const char *endpoint, size_t size, size_t count)
{
    one_t *self = mmap(NULL, sizeof *self + count * sizeof self->us[0],
        PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (self == MAP_FAILED) {
        bench_fail("no memory");
    }
    (void)snprintf(self->endpoint, sizeof self->endpoint, "%s", endpoint);
    self->size = size;
    self->count = count;
    return self;
}

// run_round has all ask at once.  Puts the round trips into us[], and returns how many of
// them there were a second.
static double
run_round(unsigned pairs, size_t size, size_t count, double *us)
{
    char endpoint[128];
    pid_t hub = bench_switch(endpoint, sizeof endpoint);
    pid_t *responders = calloc(pairs, sizeof *responders);
    pid_t *askers = calloc(pairs, sizeof *askers);
    one_t **ones = calloc(pairs, sizeof(one_t *));
    double per_s = 0;
    for (unsigned i = 0; i < pairs; i++) {
        responders[i] = bench_responder(endpoint, NULL);
    }
    for (unsigned i = 0; i < pairs; i++) {
        ones[i] = new_one(endpoint, size, count);
        askers[i] = bench_fork(run_asker, ones[i]);
    }
    for (unsigned i = 0; i < pairs; i++) {
        bench_join(askers[i]);
        memcpy(us + i * count, ones[i]->us, count * sizeof *us);
        per_s += (double)count / ones[i]->seconds;
        (void)munmap(ones[i], sizeof(one_t) + count * sizeof *us);
    }
    for (unsigned i = 0; i < pairs; i++) {
        (void)kill(responders[i], SIGKILL);
        (void)waitpid(responders[i], NULL, 0);
    }
    (void)kill(hub, SIGTERM);
    (void)waitpid(hub, NULL, 0);
    free(ones);
    free(askers);
    free(responders);
    return per_s;
}

void
bench_pairs(unsigned pairs, size_t size, uint64_t count, result_t *result)
{
    size_t each = (size_t)(count > 0 ? count : 20000) / pairs + 1;
    size_t round = each * pairs;
    double *us[2]; // they may huddle; they may not
    double per_s[2][ROUNDS];
    for (int side = 0; side < 2; side++) {
        us[side] = calloc(round * ROUNDS, sizeof(double));
    }
    bench_pin(2);
    for (int i = 0; i < 2 * ROUNDS; i++) {
        int side = i % 2;
        (void)setenv("EDRI_SWITCH_HUDDLE", side == 0 ? "yes" : "no", 1);
        (void)setenv("EDRI_NODE_HUDDLE", side == 0 ? "yes" : "no", 1);
        per_s[side][i / 2] =
            run_round(pairs, size, each, us[side] + (size_t)(i / 2) * round);
    }
    result->request = true;
    result->against = "apart";
    result->outstanding = pairs;
    result->count = round * ROUNDS;
    result->mine = bench_percentiles(us[0], round * ROUNDS);
    result->baseline = bench_percentiles(us[1], round * ROUNDS);
    result->events_per_s = bench_percentiles(per_s[0], ROUNDS).p50;
    result->baseline_per_s = bench_percentiles(per_s[1], ROUNDS).p50;
    result->ratio = result->events_per_s / result->baseline_per_s;
    free(us[0]);
    free(us[1]);
}
