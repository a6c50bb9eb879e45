// SPDX-License-Identifier: MIT
// wire.h - a wire between a node and a switch that can be cut: a TCP relay.
// While it is cut nothing passes and nobody is told, as with a pulled plug.

#ifndef SUPPORT_WIRE_H
#define SUPPORT_WIRE_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    WIRE_PAIRS = 64
};

typedef struct wire_state {
    int listener;
    int wake;
    struct sockaddr_in there;
    int fds[WIRE_PAIRS][2]; // here, there; -1: free
    atomic_bool cut;
    atomic_bool stop;
} wire_state_t;

typedef struct wire {
    char endpoint[64];
    pthread_t thread;
    wire_state_t *state;
} wire_t;

static inline void
wire_accept(wire_state_t *self)
{
    int here = accept(self->listener, NULL, NULL);
    int there = socket(AF_INET, SOCK_STREAM, 0);
    for (int i = 0; here >= 0 && there >= 0 && i < WIRE_PAIRS; i++) {
        if (self->fds[i][0] < 0 &&
            connect(there, (struct sockaddr *)&self->there,
                sizeof self->there) == 0) {
            self->fds[i][0] = here;
            self->fds[i][1] = there;
            return;
        }
    }
    close(here);
    close(there);
}

static inline void
wire_hang_up(wire_state_t *self, int pair)
{
    for (int side = 0; side < 2; side++) {
        close(self->fds[pair][side]);
        self->fds[pair][side] = -1;
    }
}

// wire_pass passes on what has come at one side.
static inline void
wire_pass(wire_state_t *self, int pair, int side)
{
    char bytes[65536];
    ssize_t size = recv(self->fds[pair][side], bytes, sizeof bytes, 0);
    for (ssize_t done = 0; size > 0 && done < size;) {
        ssize_t more = send(self->fds[pair][1 - side], bytes + done,
            (size_t)(size - done), MSG_NOSIGNAL);
        if (more <= 0) {
            size = 0;
        }
        done += more;
    }
    if (size <= 0) {
        wire_hang_up(self, pair);
    }
}

static inline void *
wire_run(void *arg)
{
    wire_state_t *self = arg;
    while (!self->stop) {
        struct pollfd polled[2 + 2 * WIRE_PAIRS] = {
            {.fd = self->wake, .events = POLLIN},
            {.fd = self->cut ? -1 : self->listener, .events = POLLIN},
        };
        for (int i = 0; i < 2 * WIRE_PAIRS; i++) {
            int fd = self->cut ? -1 : self->fds[i / 2][i % 2];
            polled[2 + i] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
        (void)poll(polled, 2 + 2 * WIRE_PAIRS, -1);
        uint64_t count = 0;
        if (polled[0].revents != 0) {
            (void)!read(self->wake, &count, sizeof count);
            continue;
        }
        if (polled[1].revents != 0) {
            wire_accept(self);
        }
        for (int i = 0; i < 2 * WIRE_PAIRS; i++) {
            if (polled[2 + i].revents != 0 && self->fds[i / 2][0] >= 0) {
                wire_pass(self, i / 2, i % 2);
            }
        }
    }
    return NULL;
}

// wire_open makes a wire to the switch at 'endpoint'.
static inline wire_t
wire_open(const char *endpoint)
{
    wire_t wire = {.state = calloc(1, sizeof(wire_state_t))};
    wire_state_t *self = wire.state;
    unsigned port = 0;
    struct sockaddr_in here = {.sin_family = AF_INET};
    socklen_t size = sizeof here;
    cr_assert_eq(sscanf(endpoint, "tcp://127.0.0.1:%u", &port), 1);
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    self->there = here;
    self->there.sin_port = htons((uint16_t)port);
    memset(self->fds, -1, sizeof self->fds);
    self->wake = eventfd(0, 0);
    self->listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(self->listener, (struct sockaddr *)&here, size), 0);
    cr_assert_eq(listen(self->listener, 64), 0);
    cr_assert_eq(
        getsockname(self->listener, (struct sockaddr *)&here, &size), 0);
    snprintf(wire.endpoint, sizeof wire.endpoint, "tcp://127.0.0.1:%u",
        ntohs(here.sin_port));
    cr_assert_eq(pthread_create(&wire.thread, NULL, wire_run, self), 0);
    return wire;
}

static inline void
wire_set(wire_t *wire, bool cut)
{
    uint64_t one = 1;
    wire->state->cut = cut;
    cr_assert_eq(write(wire->state->wake, &one, sizeof one), sizeof one);
}

static inline void
wire_cut(wire_t *wire)
{
    wire_set(wire, true);
}

static inline void
wire_mend(wire_t *wire)
{
    wire_set(wire, false);
}

static inline void
wire_close(wire_t *wire)
{
    wire->state->stop = true;
    wire_mend(wire);
    pthread_join(wire->thread, NULL);
    for (int i = 0; i < WIRE_PAIRS; i++) {
        if (wire->state->fds[i][0] >= 0) {
            wire_hang_up(wire->state, i);
        }
    }
    close(wire->state->listener);
    close(wire->state->wake);
    free(wire->state);
}

#endif
