// SPDX-License-Identifier: MIT
// load.c - load that is offered by a schedule, and what its receivers saw.

#include "load.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

// Events between two looks at the clock.
#define BURST 64

int64_t
load_now_ns(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

pace_t *
load_share(const pace_t *pace)
{
    pace_t *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        abort();
    }
    *shared = *pace;
    return shared;
}

void
load_sleep(void *arg, int64_t until_ns)
{
    (void)arg;
    if (until_ns == 0) {
        return;
    }
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000),
        .tv_nsec = (long)(until_ns % 1000000000)};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

bool
load_generate(pace_t *pace, track_t *track, const load_t *load)
{
    (void)prctl(PR_SET_TIMERSLACK, 1UL); // ns
    pace->start_ns = load_now_ns();
    int64_t patience_ns = (int64_t)LOAD_PATIENCE_MS * 1000000;
    for (uint64_t next = 0; next < pace->count;) {
        int64_t now_ns = load_now_ns();
        uint64_t due = pace_due(pace, now_ns);
        if (now_ns - pace_due_ns(pace, next) > patience_ns) {
            return false;
        }
        int64_t until_ns = due > next ? 0 : pace_wake_ns(pace, next, now_ns);
        for (int i = 0; i < BURST && next < due; i++, next++) {
            load->emit(load->arg, next);
            track_add(track, pace, next, now_ns);
        }
        load->wait(load->arg, until_ns);
    }
    return true;
}

bool
receiver_init(receiver_t *self, const pace_t *pace)
{
    *self = (receiver_t){
        .pace = pace, .done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    return self->done_fd >= 0;
}

void
receiver_note(receiver_t *self, uint64_t number)
{
    track_add(&self->track, self->pace, number, load_now_ns());
    __atomic_store_n(&self->seen, self->track.count, __ATOMIC_RELEASE);
    if (self->track.count == self->pace->count) {
        (void)eventfd_write(self->done_fd, 1);
    }
}

bool
receiver_wait(receiver_t *self, int silence_ms)
{
    struct pollfd done = {.fd = self->done_fd, .events = POLLIN};
    int64_t until_ns = load_now_ns() + load_span_ms(self->pace) * 1000000;
    uint64_t before = 0;
    for (;;) {
        int64_t left_ms = (until_ns - load_now_ns()) / 1000000;
        bool brief = silence_ms > 0 && left_ms > silence_ms;
        int turn_ms = brief ? silence_ms : (int)(left_ms > 0 ? left_ms : 0);
        (void)poll(&done, 1, turn_ms);
        // With it the track is seen, too.
        uint64_t seen = __atomic_load_n(&self->seen, __ATOMIC_ACQUIRE);
        if (seen >= self->pace->count) {
            return true;
        }
        bool silent = silence_ms > 0 && seen > 0 && seen == before;
        if (left_ms <= 0 || silent) {
            return false;
        }
        before = seen;
    }
}

bool
load_write(int fd, const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        ssize_t n = write(fd, at, size);
        if (n <= 0 && errno != EINTR) {
            return false;
        }
        at += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

bool
load_read(int fd, void *data, size_t size, int64_t timeout_ms)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int64_t until_ns = load_now_ns() + timeout_ms * 1000000;
    for (char *at = data; size > 0;) {
        int64_t left_ms = (until_ns - load_now_ns()) / 1000000;
        if (left_ms <= 0 || poll(&ready, 1, (int)left_ms) == 0) {
            return false;
        }
        ssize_t n = read(fd, at, size);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return false;
        }
        at += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

int64_t
load_span_ms(const pace_t *pace)
{
    return (pace_end_ns(pace) - pace->start_ns) / 1000000 + LOAD_PATIENCE_MS;
}
