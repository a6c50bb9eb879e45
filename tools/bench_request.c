// SPDX-License-Identifier: MIT
// bench_request.c - edri bench request: round trips, one or many at a time.
//
// Node → switch → node → back, three processes, interleaved in blocks with the
// round trip of the same shape through raw ZeroMQ or NATS, all pinned to the same
// processors: what the machine does meanwhile hits both.  With --mode in one node,
// interleaved in the same way with a node whose workers are threads.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

// Round trips of one block; a process for each takes its time, many at a time less.
#define BLOCK       200
#define BLOCK_FRESH 20
#define BLOCK_MANY  10000

typedef struct responder {
    const char *endpoint;
    bench_stall_t *stall; // NULL: none
    int ready_fd;
} responder_t;

static edri_err_t
on_echo(edri_task_t *task, const Edri__Bench__Echo *echo,
    Edri__Bench__EchoReply *reply)
{
    bench_stall(edri_task_state(task), echo->number);
    reply->number = echo->number;
    reply->padding = echo->padding;
    return EDRI_OK;
}

static int
respond(void *arg)
{
    responder_t *self = arg;
    edri_node_t *node = edri_node_new(0, NULL);
    char name[32]; // there may be several
    (void)snprintf(name, sizeof name, "responder-%d", (int)getpid());
    (void)edri_node_set(node, "node.name", name);
    (void)edri_node_set(node, "node.switch", self->endpoint);
    edri_manager_t *manager = edri_node_manager(node, "echo");
    (void)edri_manager_set_state(manager, self->stall, NULL);
    (void)edri_bench_echo_handle(manager, on_echo, EDRI_METHOD);
    if (edri_node_start(node) != EDRI_OK ||
        write(self->ready_fd, "x", 1) != 1) {
        return 1;
    }
    (void)edri_node_wait(node);
    return 0;
}

pid_t
bench_responder(const char *endpoint, bench_stall_t *stall)
{
    int ready[2];
    char byte = 0;
    if (pipe(ready) != 0) {
        bench_fail("no pipe");
    }
    responder_t responder = {endpoint, stall, ready[1]};
    pid_t pid = bench_fork(respond, &responder);
    (void)close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) {
        bench_fail("the responder did not start");
    }
    (void)close(ready[0]);
    return pid;
}

// side_t is one of the two that are measured in turn.
typedef struct side {
    // run measures 'count' round trips into us[]; returns the seconds of all.
    double (*run)(void *arg, double *us, size_t count);
    void *arg;
    pid_t pids[3]; // what it runs in
    size_t pid_count;
    double *us;
    double seconds;
    uint64_t wakeups;
} side_t;

// asker_t asks through EDRI.
typedef struct asker {
    edri_port_t *port;
    Edri__Bench__Echo request;
    unsigned outstanding;
    // several at a time:
    double *us;
    double *start;
    size_t count;
    size_t asked;
    size_t answered;
} asker_t;

static asker_t
new_asker(edri_node_t *node, size_t size, unsigned outstanding)
{
    asker_t self = {.port = edri_node_port(node),
        .request = EDRI__BENCH__ECHO__INIT,
        .outstanding = outstanding};
    self.request.padding.len = size;
    self.request.padding.data = calloc(1, size + 1);
    return self;
}

static void
end_asker(asker_t *self)
{
    free(self->request.padding.data);
    edri_port_destroy(&self->port);
}

static void ask_next(asker_t *self);

static void
on_echo_reply(
    const edri_answer_t *answer, const Edri__Bench__EchoReply *reply, void *arg)
{
    asker_t *self = arg;
    if (answer->err != EDRI_OK) {
        bench_fail("%s", edri_err_text(answer->err));
    }
    self->us[reply->number] = (bench_now() - self->start[reply->number]) * 1e6;
    self->answered++;
    ask_next(self);
}

static void
ask_next(asker_t *self)
{
    if (self->asked < self->count) {
        self->request.number = self->asked++;
        self->start[self->request.number] = bench_now();
        if (edri_bench_echo_request_async(self->port, &self->request, 0,
                on_echo_reply, self) != EDRI_OK) {
            bench_fail("%s", edri_port_error(self->port));
        }
    }
}

static double
ask_many(asker_t *self, double *us, size_t count)
{
    double begin = bench_now();
    self->us = us;
    self->start = calloc(count, sizeof *self->start);
    self->count = count;
    self->asked = self->answered = 0;
    for (unsigned i = 0; i < self->outstanding; i++) {
        ask_next(self);
    }
    while (self->answered < count) {
        if (edri_port_poll(self->port, 10000) != EDRI_OK) {
            bench_fail("%s", edri_port_error(self->port));
        }
    }
    free(self->start);
    return bench_now() - begin;
}

static double
run_asker(void *arg, double *us, size_t count)
{
    asker_t *self = arg;
    if (self->outstanding > 1) {
        return ask_many(self, us, count);
    }
    double begin = bench_now();
    for (size_t i = 0; i < count; i++) {
        Edri__Bench__EchoReply *reply = NULL;
        double start = bench_now();
        if (edri_bench_echo_request(self->port, &self->request, 0, &reply) !=
            EDRI_OK) {
            bench_fail("%s", edri_port_error(self->port));
        }
        us[i] = (bench_now() - start) * 1e6;
        edri_bench_echo_reply_free(&reply);
    }
    return bench_now() - begin;
}

static double
run_raw(void *arg, double *us, size_t count)
{
    return raw_round_trips(arg, us, count);
}

static double
run_raw_pair(void *arg, double *us, size_t count)
{
    return raw_pair_round_trips(arg, us, count);
}

static double
run_nats(void *arg, double *us, size_t count)
{
    return nats_round_trips(arg, us, count);
}

// take_turns measures two sides in blocks, in turn, after one to warm up.  Returns how
// many round trips of each.
static size_t
take_turns(side_t *sides, uint64_t count, size_t block)
{
    size_t total = (size_t)((count + block - 1) / block) * block;
    for (int i = 0; i < 2; i++) {
        sides[i].us = calloc(total, sizeof(double));
        (void)sides[i].run(sides[i].arg, sides[i].us, block);
    }
    for (size_t at = 0; at < total; at += block) {
        for (int i = 0; i < 2; i++) {
            side_t *side = &sides[i];
            uint64_t before = bench_wakeups(side->pids, side->pid_count);
            side->seconds += side->run(side->arg, side->us + at, block);
            side->wakeups +=
                bench_wakeups(side->pids, side->pid_count) - before;
        }
    }
    return total;
}

// fill makes the result of both, mine first.
static void
fill(result_t *result, side_t *sides, size_t count)
{
    result->request = true;
    result->count = count;
    result->mine = bench_percentiles(sides[0].us, count);
    result->baseline = bench_percentiles(sides[1].us, count);
    result->events_per_s = (double)count / sides[0].seconds;
    result->baseline_per_s = (double)count / sides[1].seconds;
    result->wakeups = (double)sides[0].wakeups / (double)count;
    result->baseline_wakeups = (double)sides[1].wakeups / (double)count;
    // Many at a time: how many; else how soon.
    result->ratio = result->outstanding > 1
                        ? result->events_per_s / result->baseline_per_s
                        : result->mine.p50 / result->baseline.p50;
    free(sides[0].us);
    free(sides[1].us);
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

static void
ask_in_one_node(const ask_t *ask, result_t *result, uint64_t count)
{
    edri_node_t *node = echo_node(EDRI_METHOD);
    asker_t asker = new_asker(node, ask->size, ask->outstanding);
    raw_pair_t *raw = raw_pair_begin(ask->size);
    side_t sides[] = {
        {.run = run_asker, .arg = &asker}, {.run = run_raw_pair, .arg = raw}};
    for (int i = 0; i < 2; i++) {
        sides[i].pids[sides[i].pid_count++] = getpid();
    }
    result->against = "raw inproc";
    fill(result, sides, take_turns(sides, count, BLOCK));
    end_asker(&asker);
    edri_node_destroy(&node);
    raw_pair_end(&raw);
}

static void
ask_another_node(const ask_t *ask, result_t *result, uint64_t count)
{
    char endpoint[128];
    pid_t hub = bench_switch(endpoint, sizeof endpoint);
    pid_t child = bench_responder(endpoint, NULL);
    side_t sides[] = {
        {.run = run_asker, .pids = {getpid(), hub, child}, .pid_count = 3},
        {.pids = {getpid()}, .pid_count = 3}};
    nats_t *nats = NULL;
    raw_t *raw = NULL;
    if (ask->nats) {
        nats = nats_begin(ask->size, ask->outstanding);
        sides[1].run = run_nats;
        sides[1].arg = nats;
        sides[1].pid_count = 0; // not counted
    } else {
        raw = raw_begin(ask->size, ask->outstanding, sides[1].pids + 1);
        sides[1].run = run_raw;
        sides[1].arg = raw;
    }
    result->against = ask->nats ? "NATS" : "raw";
    edri_node_t *node = bench_node("asker", endpoint);
    asker_t asker = new_asker(node, ask->size, ask->outstanding);
    sides[0].arg = &asker;
    size_t many = count < BLOCK_MANY ? (size_t)count : BLOCK_MANY;
    fill(result, sides,
        take_turns(sides, count, ask->outstanding > 1 ? many : BLOCK));
    end_asker(&asker);
    edri_node_destroy(&node);
    if (raw != NULL) {
        raw_end(&raw);
    }
    if (nats != NULL) {
        nats_end(&nats);
    }
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    (void)kill(hub, SIGTERM);
    (void)waitpid(hub, NULL, 0);
}

void
bench_request(const ask_t *ask, result_t *result)
{
    uint64_t usual = ask->outstanding > 1 ? 200000 : 10000;
    uint64_t count = ask->count > 0 ? ask->count : usual;
    result->outstanding = ask->outstanding;
    // In one node two threads take turns.  On two processors each turn has to wake a
    // sleeping one, which takes longer than all else, or not, as the kernel likes.
    bench_pin(ask->local ? 1 : 2);
    if (ask->local) {
        ask_in_one_node(ask, result, count);
    } else {
        ask_another_node(ask, result, count);
    }
}

// ----- by kind of workers

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

void
bench_mode(
    edri_workers_t workers, size_t size, uint64_t count, result_t *result)
{
    bool fresh = workers.kind == EDRI_FRESH_PROCESS.kind;
    size_t block = fresh ? BLOCK_FRESH : BLOCK;
    count = count > 0 ? count : fresh ? 400 : 10000;
    bench_pin(2);
    // First: in a process that it starts, this does not return.
    edri_node_t *node = echo_node(workers);
    edri_node_t *beside =
        echo_node(EDRI_THREADS(workers.count > 0 ? workers.count : 1));
    asker_t asker = new_asker(node, size, 1);
    asker_t other = new_asker(beside, size, 1);
    side_t sides[] = {
        {.run = run_asker, .arg = &asker}, {.run = run_asker, .arg = &other}};
    result->outstanding = 1;
    result->against = "threads";
    fill(result, sides, take_turns(sides, count, block));
    end_asker(&asker);
    end_asker(&other);
    edri_node_destroy(&node);
    edri_node_destroy(&beside);
}
