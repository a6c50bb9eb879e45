// SPDX-License-Identifier: MIT
// clock.c - the only place that asks the system for the time.

#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

static int64_t
read_ns(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t
clock_ns(void)
{
    return read_ns(CLOCK_BOOTTIME);
}

int64_t
clock_us(void)
{
    return clock_ns() / 1000;
}

int64_t
clock_ms(void)
{
    return clock_ns() / 1000000;
}

int64_t
clock_tick_ms(clock_tick_t *self)
{
    // The wall clock's coarse form moves with each tick, and by the whole
    // length of a suspension when that ends.
    int64_t tick = read_ns(CLOCK_REALTIME_COARSE);
    if (tick != self->tick) {
        self->tick = tick;
        self->now_ms = clock_ms();
    }
    return self->now_ms;
}

struct timespec
clock_until(int64_t at_ms)
{
    int64_t left = at_ms - clock_ms();
    int64_t at = read_ns(CLOCK_MONOTONIC) + (left > 0 ? left : 0) * 1000000;
    return (struct timespec){
        .tv_sec = at / 1000000000, .tv_nsec = at % 1000000000};
}

int64_t
clock_unix_us(void)
{
    return read_ns(CLOCK_REALTIME) / 1000;
}

uint64_t
random_u64(void)
{
    uint64_t bits = 0;
    if (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits) {
        bits = (uint64_t)clock_ns() * UINT64_C(0x9E3779B97F4A7C15);
    }
    return bits;
}

void
thread_name(const char *name)
{
    char cut[16];
    (void)snprintf(cut, sizeof cut, "%s", name);
    (void)pthread_setname_np(pthread_self(), cut);
}

uint64_t
life_new(void)
{
    return (uint64_t)clock_unix_us() << 12 | (random_u64() & 0xfff);
}
