// SPDX-License-Identifier: MIT
// clock.c - base/clock.h on virtual time.

#include "base/clock.h"

#include "net.h"

int64_t sim_now_us;
static uint64_t state = 1;

uint64_t
sim_random(uint64_t *at)
{
    // splitmix64 (S. Vigna, 2015).
    uint64_t z = *at += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

int64_t
clock_ms(void)
{
    return sim_now_us / 1000;
}

int64_t
clock_us(void)
{
    return sim_now_us;
}

int64_t
clock_ns(void)
{
    return sim_now_us * 1000;
}

int64_t
clock_tick_ms(clock_tick_t *self)
{
    (void)self;
    return clock_ms();
}

struct timespec
clock_until(int64_t at_ms)
{
    return (struct timespec){.tv_sec = at_ms / 1000};
}

int64_t
clock_unix_us(void)
{
    return sim_now_us;
}

uint64_t
random_u64(void)
{
    return sim_random(&state);
}

void
sim_random_seed(uint64_t seed)
{
    state = seed;
}

void
thread_name(const char *name)
{
    (void)name;
}

uint64_t
life_new(void)
{
    // Two lives of one moment would be one.
    sim_now_us += 256;
    return ((uint64_t)sim_now_us & ~UINT64_C(0xff)) | (random_u64() & 0xff);
}
