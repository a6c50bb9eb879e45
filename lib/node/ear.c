// SPDX-License-Identifier: MIT
// ear.c - waiting for ZeroMQ sockets, with few system calls.

#include "node/ear.h"

#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>

#include "base/clock.h"

void
ear_open(ear_t *self, void *socket)
{
    size_t size = sizeof self->fd;
    *self = (ear_t){.socket = socket, .touched = true};
    if (zmq_getsockopt(socket, ZMQ_FD, &self->fd, &size) != 0) {
        self->fd = -1;
    }
}

bool
ear_look(ear_t *self)
{
    int events = 0;
    size_t size = sizeof events;
    if (self->touched) {
        bool known =
            zmq_getsockopt(self->socket, ZMQ_EVENTS, &events, &size) == 0;
        self->touched = !known || (events & ZMQ_POLLIN) != 0;
    }
    return self->touched;
}

static short
to_poll(short events)
{
    return (short)(((events & ZMQ_POLLIN) != 0 ? POLLIN : 0) |
                   ((events & ZMQ_POLLOUT) != 0 ? POLLOUT : 0));
}

static short
from_poll(short events)
{
    return (short)(((events & POLLIN) != 0 ? ZMQ_POLLIN : 0) |
                   ((events & POLLOUT) != 0 ? ZMQ_POLLOUT : 0) |
                   ((events & (POLLERR | POLLHUP | POLLNVAL)) != 0 ? ZMQ_POLLERR
                                                                   : 0));
}

// all_have_descriptors says whether plain poll can do it.
static bool
all_have_descriptors(ear_t *const *ears, const zmq_pollitem_t *items, int count)
{
    bool all = true;
    for (int i = 0; i < count && all; i++) {
        all = ears[i] != NULL ? ears[i]->socket != NULL && ears[i]->fd >= 0
                              : items[i].socket == NULL;
    }
    return all;
}

// poll_all lets libzmq do it, which looks at all sockets on its way.
static int
poll_all(ear_t *const *ears, zmq_pollitem_t *items, int count, long wait_ms)
{
    for (int i = 0; i < count; i++) {
        if (ears[i] != NULL) {
            ear_touch(ears[i]);
        }
    }
    return zmq_poll(items, count, wait_ms);
}

// look polls without sleeping, as long as the nap says, and takes what that took from
// *ms_p, the time that is left (-1: for ever).
static int
look(struct pollfd *fds, int count, const nap_t *nap, int *ms_p)
{
    int found = 0;
    if (nap->yields) {
        (void)sched_yield();
        found = poll(fds, (nfds_t)count, 0);
    }
    if (nap->spin_us == 0) {
        return found;
    }
    int64_t begin_us = clock_us();
    int64_t most_us = *ms_p < 0 ? INT64_MAX : (int64_t)*ms_p * 1000;
    most_us = most_us < nap->spin_us ? most_us : nap->spin_us;
    while (found == 0 && clock_us() - begin_us < most_us) {
        (void)sched_yield();
        found = poll(fds, (nfds_t)count, 0);
    }
    int spent_ms = (int)((clock_us() - begin_us) / 1000);
    *ms_p = *ms_p < 0 ? -1 : spent_ms < *ms_p ? *ms_p - spent_ms : 0;
    return found;
}

// doze waits, without the helm.
static int
doze(struct pollfd *fds, int count, const nap_t *nap)
{
    int ms = nap->ms < INT_MAX ? (int)nap->ms : INT_MAX;
    if (nap->helm != NULL && !helm_sleep(nap->helm)) {
        ms = 0;
    }
    int found = ms != 0 ? look(fds, count, nap, &ms) : 0;
    found = found == 0 ? poll(fds, (nfds_t)count, ms) : found;
    int error = errno;
    if (nap->helm != NULL) {
        helm_take(nap->helm);
    }
    errno = error;
    return found;
}

int
ears_poll(
    ear_t *const *ears, zmq_pollitem_t *items, int count, const nap_t *nap)
{
    struct pollfd fds[EARS_MAX];
    int readable = 0;
    if (!all_have_descriptors(ears, items, count)) {
        return poll_all(ears, items, count, nap->ms);
    }
    for (int i = 0; i < count; i++) {
        bool now = ears[i] != NULL && ear_look(ears[i]);
        items[i].revents = now ? ZMQ_POLLIN : 0;
        readable += now;
        fds[i] = ears[i] != NULL ? (struct pollfd){ears[i]->fd, POLLIN, 0}
                                 : (struct pollfd){items[i].fd,
                                       to_poll(items[i].events), 0};
    }
    // What is readable already does not hide the others.
    int found = readable > 0 || nap->ms == 0 ? poll(fds, (nfds_t)count, 0)
                                             : doze(fds, count, nap);
    if (found < 0 && readable == 0) {
        return -1;
    }
    for (int i = 0; i < count && found > 0; i++) {
        if (ears[i] == NULL) {
            items[i].revents = from_poll(fds[i].revents);
            readable += items[i].revents != 0;
        } else if (fds[i].revents != 0 && items[i].revents == 0) {
            ears[i]->touched = true;
            items[i].revents = ZMQ_POLLIN;
            readable++;
        }
    }
    return readable;
}
