// SPDX-License-Identifier: MIT
// bench_paced.c - load that is offered to EDRI by a schedule (load.h).
//
// Events: the emitter is this process, each receiver one of its own that hands over
// what it has seen through a pipe; or all in one node.  Requests: this process asks,
// another answers.  The switch is a third.

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

// A node starts within this time.
#define START_MS 30000

// ----- receivers of events

// sink_t is one receiver.
typedef struct sink {
    receiver_t receiver;
    bench_stall_t stall;
    edri_node_t *node;
} sink_t;

static edri_err_t
on_ping(edri_task_t *task, const Edri__Bench__Ping *ping)
{
    sink_t *self = edri_task_state(task);
    receiver_note(&self->receiver, ping->number);
    bench_stall(&self->stall, ping->number);
    return EDRI_OK;
}

// new_sink starts it in a node; 'name' and 'endpoint' are NULL where it is alone.
static sink_t *
new_sink(const paced_t *paced, const pace_t *pace, const char *name,
    const char *endpoint)
{
    sink_t *self = calloc(1, sizeof *self);
    self->stall = paced->stall;
    if (!receiver_init(&self->receiver, pace)) {
        bench_fail("no descriptor left");
    }
    bench_sink(&self->node, on_ping, self, name, endpoint);
    return self;
}

static void
end_sink(sink_t **self_p)
{
    edri_node_destroy(&(*self_p)->node);
    (void)close((*self_p)->receiver.done_fd);
    free(*self_p);
    *self_p = NULL;
}

// check_whole fails when not every event has come once.
static void
check_whole(const track_t *track, const pace_t *pace)
{
    if (!track_is_whole(track, pace)) {
        bench_fail("of %" PRIu64 " events %" PRIu64
                   " came within %d s after they were due, the sum of their "
                   "numbers is %" PRIu64 ": some were lost or doubled",
            pace->count, track->count, LOAD_PATIENCE_MS / 1000, track->sum);
    }
}

static const track_t *
await_all(sink_t *sink)
{
    receiver_t *receiver = &sink->receiver;
    if (!receiver_wait(receiver, 0)) {
        bench_fail("%" PRIu64 " of %" PRIu64
                   " events came within %d s after they were due",
            __atomic_load_n(&receiver->seen, __ATOMIC_RELAXED),
            receiver->pace->count, LOAD_PATIENCE_MS / 1000);
    }
    check_whole(&receiver->track, receiver->pace);
    return &receiver->track;
}

// far_t is a receiver in a process of its own.
typedef struct far {
    const paced_t *paced;
    const pace_t *pace;
    const char *endpoint;
    unsigned number;
    int fd; // says "r" when it is there, and then what it has seen
    pid_t pid;
} far_t;

static int
run_far(void *arg)
{
    far_t *self = arg;
    char name[32];
    (void)snprintf(name, sizeof name, "sink-%u", self->number);
    sink_t *sink = new_sink(self->paced, self->pace, name, self->endpoint);
    bool fine = load_write(self->fd, "r", 1);
    const track_t *track = await_all(sink);
    fine = fine && load_write(self->fd, track, sizeof *track);
    end_sink(&sink);
    return fine ? 0 : 1;
}

static void
start_far(far_t *self)
{
    int pipes[2];
    char byte = 0;
    if (pipe(pipes) != 0) {
        bench_fail("no pipe");
    }
    self->fd = pipes[1];
    self->pid = bench_fork(run_far, self);
    (void)close(pipes[1]);
    self->fd = pipes[0];
    if (!load_read(self->fd, &byte, 1, START_MS)) {
        bench_fail("a receiver did not start");
    }
}

static void
end_far(far_t *self, track_t *all)
{
    track_t *track = calloc(1, sizeof *track);
    // Its own patience ends first, and then it says more.
    if (!load_read(self->fd, track, sizeof *track,
            load_span_ms(self->pace) + START_MS)) {
        bench_fail("a receiver has failed");
    }
    track_merge(all, track);
    free(track);
    bench_join(self->pid);
    (void)close(self->fd);
}

// ----- the emitter

typedef struct emitter {
    edri_port_t *port;
    Edri__Bench__Ping ping;
} emitter_t;

static void
emit(void *arg, uint64_t number)
{
    emitter_t *self = arg;
    self->ping.number = number;
    if (edri_bench_ping_emit(self->port, &self->ping) != EDRI_OK) {
        bench_fail("%s", edri_port_error(self->port));
    }
}

static void
offer(const load_t *load, pace_t *pace, track_t *track)
{
    if (!load_generate(pace, track, load)) {
        bench_fail("after %" PRIu64 " of %" PRIu64
                   " events the next is %d s late: less load, or fewer seconds",
            track->count, pace->count, LOAD_PATIENCE_MS / 1000);
    }
}

static void
emit_paced(edri_node_t *node, paced_t *paced, pace_t *pace)
{
    emitter_t emitter = {.port = edri_node_port(node)};
    bench_ping_init(&emitter.ping, paced->size);
    load_t load = {emit, load_sleep, &emitter};
    offer(&load, pace, &paced->offered);
    free(emitter.ping.padding.data);
    edri_port_destroy(&emitter.port);
}

static void
emit_here(paced_t *paced, pace_t *pace)
{
    sink_t *sink = new_sink(paced, pace, NULL, NULL);
    emit_paced(sink->node, paced, pace);
    track_merge(&paced->handled, await_all(sink));
    end_sink(&sink);
}

static void
end_switch(pid_t hub)
{
    (void)kill(hub, SIGTERM);
    (void)waitpid(hub, NULL, 0);
}

static void
emit_to_others(paced_t *paced, pace_t *pace)
{
    char endpoint[128];
    pid_t hub = bench_switch(endpoint, sizeof endpoint);
    far_t *fars = calloc(paced->nodes, sizeof *fars);
    for (unsigned i = 0; i < paced->nodes; i++) {
        fars[i] = (far_t){paced, pace, endpoint, i, -1, 0};
        start_far(&fars[i]);
    }
    edri_node_t *node = bench_node("emitter", endpoint);
    emit_paced(node, paced, pace);
    for (unsigned i = 0; i < paced->nodes; i++) {
        end_far(&fars[i], &paced->handled);
    }
    edri_node_destroy(&node);
    end_switch(hub);
    free(fars);
}

void
bench_paced_events(paced_t *self)
{
    pace_t *pace = load_share(&self->pace);
    if (self->nodes == 0) {
        emit_here(self, pace);
    } else {
        emit_to_others(self, pace);
    }
    self->pace = *pace;
}

// ----- requests

typedef struct asker {
    edri_port_t *port;
    Edri__Bench__Echo request;
    const pace_t *pace;
    track_t *replies;
    int timer_fd;
} asker_t;

static void
on_reply(
    const edri_answer_t *answer, const Edri__Bench__EchoReply *reply, void *arg)
{
    asker_t *self = arg;
    if (answer->err != EDRI_OK) {
        bench_fail("%s: %s", edri_err_text(answer->err), answer->text);
    }
    track_add(self->replies, self->pace, reply->number, load_now_ns());
}

static void
ask(void *arg, uint64_t number)
{
    asker_t *self = arg;
    self->request.number = number;
    if (edri_bench_echo_request_async(
            self->port, &self->request, 0, on_reply, self) != EDRI_OK) {
        bench_fail("%s", edri_port_error(self->port));
    }
}

// hear runs callbacks of replies until then; the port's own time counts milliseconds.
static void
hear(void *arg, int64_t until_ns)
{
    asker_t *self = arg;
    struct pollfd timer = {.fd = self->timer_fd, .events = POLLIN};
    struct itimerspec until = {
        .it_value = {.tv_sec = (time_t)(until_ns / 1000000000),
            .tv_nsec = (long)(until_ns % 1000000000)}};
    // Zero takes it down.
    (void)timerfd_settime(self->timer_fd, TFD_TIMER_ABSTIME, &until, NULL);
    edri_err_t err =
        edri_port_wait(self->port, &timer, 1, until_ns == 0 ? 0 : -1);
    if (err != EDRI_OK && err != EDRI_AGAIN) {
        bench_fail("%s", edri_port_error(self->port));
    }
}

static void
hear_the_rest(asker_t *self)
{
    int64_t until_ns =
        pace_end_ns(self->pace) + (int64_t)LOAD_PATIENCE_MS * 1000000;
    while (
        self->replies->count < self->pace->count && load_now_ns() < until_ns) {
        edri_err_t err = edri_port_poll(self->port, 100);
        if (err != EDRI_OK && err != EDRI_AGAIN) {
            bench_fail("%s", edri_port_error(self->port));
        }
    }
    check_whole(self->replies, self->pace);
}

static void
ask_paced(edri_node_t *node, paced_t *paced)
{
    asker_t asker = {.port = edri_node_port(node),
        .request = EDRI__BENCH__ECHO__INIT,
        .pace = &paced->pace,
        .replies = &paced->handled,
        .timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)};
    if (asker.timer_fd < 0) {
        bench_fail("no descriptor left");
    }
    asker.request.padding.len = paced->size;
    asker.request.padding.data = calloc(1, paced->size + 1);
    load_t load = {ask, hear, &asker};
    offer(&load, &paced->pace, &paced->offered);
    hear_the_rest(&asker);
    free(asker.request.padding.data);
    edri_port_destroy(&asker.port);
    (void)close(asker.timer_fd);
}

void
bench_paced_requests(paced_t *self)
{
    char endpoint[128];
    pid_t hub = bench_switch(endpoint, sizeof endpoint);
    pid_t child = bench_responder(endpoint, &self->stall);
    edri_node_t *node = bench_node("asker", endpoint);
    ask_paced(node, self);
    edri_node_destroy(&node);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    end_switch(hub);
}
