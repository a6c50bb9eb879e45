// SPDX-License-Identifier: MIT
// bench_raw.c - what raw ZeroMQ gives for the same hops.

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "bench.h"

#define HWM 100000

static void *
open_socket(void *zmq, int type, const char *name)
{
    void *socket = zmq_socket(zmq, type);
    int hwm = HWM;
    int linger = -1;
    (void)zmq_setsockopt(socket, ZMQ_SNDHWM, &hwm, sizeof hwm);
    (void)zmq_setsockopt(socket, ZMQ_RCVHWM, &hwm, sizeof hwm);
    (void)zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    if (name != NULL) {
        (void)zmq_setsockopt(socket, ZMQ_ROUTING_ID, name, strlen(name));
    }
    return socket;
}

// ----- one hop in a process

typedef struct pusher {
    void *zmq;
    size_t size;
    uint64_t count;
} pusher_t;

static void *
push(void *arg)
{
    pusher_t *self = arg;
    void *socket = open_socket(self->zmq, ZMQ_PUSH, NULL);
    (void)zmq_connect(socket, "inproc://raw");
    for (uint64_t i = 0; i < self->count; i++) {
        zmq_msg_t message;
        (void)zmq_msg_init_size(&message, self->size);
        memset(zmq_msg_data(&message), 1, self->size);
        (void)zmq_msg_send(&message, socket, 0);
    }
    zmq_close(socket);
    return NULL;
}

double
raw_inproc(size_t size, uint64_t count)
{
    pusher_t pusher = {zmq_ctx_new(), size, count};
    void *socket = open_socket(pusher.zmq, ZMQ_PULL, NULL);
    (void)zmq_bind(socket, "inproc://raw");
    pthread_t thread;
    if (pthread_create(&thread, NULL, push, &pusher) != 0) {
        bench_fail("no thread");
    }
    zmq_msg_t message;
    (void)zmq_msg_init(&message);
    (void)zmq_msg_recv(&message, socket, 0);
    double start = bench_now();
    for (uint64_t i = 1; i < count; i++) {
        (void)zmq_msg_recv(&message, socket, 0);
    }
    double seconds = bench_now() - start;
    (void)pthread_join(thread, NULL);
    (void)zmq_msg_close(&message);
    zmq_close(socket);
    zmq_ctx_term(pusher.zmq);
    return (double)(count - 1) / seconds;
}

// ----- a ROUTER between two DEALERs, three processes

typedef struct hop {
    int endpoint_fd; // the router writes its endpoint here
    char endpoint[128];
    size_t size;
    uint64_t count;
} hop_t;

// route forwards [destination][payload] until it is ended.
static int
route(void *arg)
{
    hop_t *self = arg;
    void *zmq = zmq_ctx_new();
    void *socket = open_socket(zmq, ZMQ_ROUTER, NULL);
    char endpoint[128] = "";
    size_t size = sizeof endpoint;
    if (zmq_bind(socket, "tcp://127.0.0.1:*") != 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0 ||
        write(self->endpoint_fd, endpoint, sizeof endpoint) < 0) {
        return 1;
    }
    for (;;) {
        zmq_msg_t from;
        zmq_msg_t to;
        zmq_msg_t body;
        (void)zmq_msg_init(&from);
        (void)zmq_msg_init(&to);
        (void)zmq_msg_init(&body);
        (void)zmq_msg_recv(&from, socket, 0);
        (void)zmq_msg_recv(&to, socket, 0);
        (void)zmq_msg_close(&from);
        if (!zmq_msg_more(&to)) {
            (void)zmq_msg_close(&to); // only says that it is there
            continue;
        }
        (void)zmq_msg_recv(&body, socket, 0);
        (void)zmq_msg_send(&to, socket, ZMQ_SNDMORE);
        (void)zmq_msg_send(&body, socket, 0);
    }
}

static pid_t
start_router(hop_t *hop)
{
    int pipes[2];
    if (pipe(pipes) != 0) {
        bench_fail("no pipe");
    }
    hop->endpoint_fd = pipes[1];
    pid_t pid = bench_fork(route, hop);
    if (read(pipes[0], hop->endpoint, sizeof hop->endpoint) !=
        (ssize_t)sizeof hop->endpoint) {
        bench_fail("the raw router did not start");
    }
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    return pid;
}

static int
send_all(void *arg)
{
    hop_t *self = arg;
    void *zmq = zmq_ctx_new();
    void *socket = open_socket(zmq, ZMQ_DEALER, "a");
    (void)zmq_connect(socket, self->endpoint);
    for (uint64_t i = 0; i < self->count; i++) {
        zmq_msg_t message;
        (void)zmq_send(socket, "b", 1, ZMQ_SNDMORE);
        (void)zmq_msg_init_size(&message, self->size);
        memset(zmq_msg_data(&message), 1, self->size);
        (void)zmq_msg_send(&message, socket, 0);
    }
    zmq_close(socket);
    zmq_ctx_term(zmq); // lingers until all is sent
    return 0;
}

// join_router makes a DEALER known to the router: a message to itself is back.
static void *
join_router(void *zmq, const char *name, const char *endpoint)
{
    void *socket = open_socket(zmq, ZMQ_DEALER, name);
    char back[8];
    (void)zmq_connect(socket, endpoint);
    (void)zmq_send(socket, name, 1, ZMQ_SNDMORE);
    (void)zmq_send(socket, "x", 1, 0);
    (void)zmq_recv(socket, back, sizeof back, 0);
    return socket;
}

double
raw_switch(size_t size, uint64_t count)
{
    hop_t hop = {.size = size, .count = count};
    pid_t router = start_router(&hop);
    void *zmq = zmq_ctx_new();
    void *socket = join_router(zmq, "b", hop.endpoint);
    pid_t sender = bench_fork(send_all, &hop);
    zmq_msg_t message;
    (void)zmq_msg_init(&message);
    (void)zmq_msg_recv(&message, socket, 0);
    double start = bench_now();
    uint64_t got = 1;
    int wait_ms = 3000;
    (void)zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    double seconds = 0;
    // A ROUTER drops what is over its mark: count what came.
    while (got < count && zmq_msg_recv(&message, socket, 0) >= 0) {
        got++;
        seconds = bench_now() - start;
    }
    (void)zmq_msg_close(&message);
    bench_join(sender);
    (void)kill(router, SIGKILL);
    (void)waitpid(router, NULL, 0);
    zmq_close(socket);
    zmq_ctx_term(zmq);
    return (double)(got - 1) / seconds;
}

// ----- round trips

struct raw {
    hop_t hop;
    pid_t router;
    pid_t echo;
    void *zmq;
    void *socket;
    size_t size;
    unsigned outstanding;
    uint8_t *data;
};

static int
echo(void *arg)
{
    hop_t *self = arg;
    void *zmq = zmq_ctx_new();
    void *socket = join_router(zmq, "b", self->endpoint);
    (void)zmq_send(socket, "a", 1, ZMQ_SNDMORE);
    (void)zmq_send(socket, "!", 1, 0);
    zmq_msg_t message;
    (void)zmq_msg_init(&message);
    while (zmq_msg_recv(&message, socket, 0) >= 0) {
        (void)zmq_send(socket, "a", 1, ZMQ_SNDMORE);
        (void)zmq_msg_send(&message, socket, 0);
    }
    return 1;
}

raw_t *
raw_begin(size_t size, unsigned outstanding, pid_t pids[2])
{
    raw_t *self = calloc(1, sizeof *self);
    if (self == NULL) {
        bench_fail("no memory");
    }
    self->router = start_router(&self->hop);
    self->zmq = zmq_ctx_new();
    self->socket = join_router(self->zmq, "a", self->hop.endpoint);
    self->echo = bench_fork(echo, &self->hop);
    char ready[8];
    (void)zmq_recv(self->socket, ready, sizeof ready, 0);
    self->size = size > sizeof(uint64_t) ? size : sizeof(uint64_t);
    self->data = calloc(1, self->size);
    self->outstanding = outstanding;
    pids[0] = self->router;
    pids[1] = self->echo;
    return self;
}

double
raw_round_trips(raw_t *self, double *us, size_t count)
{
    double *start = calloc(count, sizeof *start);
    uint64_t sent = 0;
    uint64_t number = 0;
    double begin = bench_now();
    for (size_t i = 0; i < count; i++) {
        for (; sent < count && sent - i < self->outstanding; sent++) {
            memcpy(self->data, &sent, sizeof sent);
            start[sent] = bench_now();
            (void)zmq_send(self->socket, "b", 1, ZMQ_SNDMORE);
            (void)zmq_send(self->socket, self->data, self->size, 0);
        }
        (void)zmq_recv(self->socket, self->data, self->size, 0);
        memcpy(&number, self->data, sizeof number);
        us[number] = (bench_now() - start[number]) * 1e6;
    }
    free(start);
    return bench_now() - begin;
}

void
raw_end(raw_t **self_p)
{
    raw_t *self = *self_p;
    *self_p = NULL;
    (void)kill(self->router, SIGKILL);
    (void)kill(self->echo, SIGKILL);
    (void)waitpid(self->router, NULL, 0);
    (void)waitpid(self->echo, NULL, 0);
    int zero = 0;
    (void)zmq_setsockopt(self->socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_close(self->socket);
    zmq_ctx_term(self->zmq);
    free(self->data);
    free(self);
}

// ----- round trips in a process

struct raw_pair {
    void *zmq;
    void *socket;
    pthread_t thread;
    size_t size;
    uint8_t *data;
};

static void *
echo_pair(void *arg)
{
    raw_pair_t *self = arg;
    void *socket = open_socket(self->zmq, ZMQ_PAIR, NULL);
    zmq_msg_t message;
    (void)zmq_connect(socket, "inproc://pair");
    (void)zmq_msg_init(&message);
    while (zmq_msg_recv(&message, socket, 0) > 0) {
        (void)zmq_msg_send(&message, socket, 0);
    }
    (void)zmq_msg_close(&message);
    zmq_close(socket);
    return NULL;
}

raw_pair_t *
raw_pair_begin(size_t size)
{
    raw_pair_t *self = calloc(1, sizeof *self);
    self->zmq = zmq_ctx_new();
    self->socket = open_socket(self->zmq, ZMQ_PAIR, NULL);
    self->size = size > 0 ? size : 1;
    self->data = calloc(1, self->size);
    (void)zmq_bind(self->socket, "inproc://pair");
    if (pthread_create(&self->thread, NULL, echo_pair, self) != 0) {
        bench_fail("no thread");
    }
    return self;
}

double
raw_pair_round_trips(raw_pair_t *self, double *us, size_t count)
{
    double begin = bench_now();
    for (size_t i = 0; i < count; i++) {
        double start = bench_now();
        (void)zmq_send(self->socket, self->data, self->size, 0);
        (void)zmq_recv(self->socket, self->data, self->size, 0);
        us[i] = (bench_now() - start) * 1e6;
    }
    return bench_now() - begin;
}

void
raw_pair_end(raw_pair_t **self_p)
{
    raw_pair_t *self = *self_p;
    *self_p = NULL;
    (void)zmq_send(self->socket, "", 0, 0); // it ends
    (void)pthread_join(self->thread, NULL);
    zmq_close(self->socket);
    zmq_ctx_term(self->zmq);
    free(self->data);
    free(self);
}
