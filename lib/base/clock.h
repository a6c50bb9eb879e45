// SPDX-License-Identifier: MIT
// base/clock.h - the only place that asks the system for the time, and a few
// other small questions to it.

#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

// clock_ms, clock_us, clock_ns: monotonic time that counts suspension
// (CLOCK_BOOTTIME).  Any thread; about 40 ns.
int64_t clock_ms(void);
int64_t clock_us(void);
int64_t clock_ns(void);

// clock_tick_ms is clock_ms as of the system's last tick, 1 to 4 ms ago at most;
// a suspension shows at once.  About 5 ns.  'self' begins as zeros and belongs
// to one thread.
typedef struct clock_tick {
    int64_t tick;
    int64_t now_ms;
} clock_tick_t;

int64_t clock_tick_ms(clock_tick_t *self);

// clock_until gives a moment of clock_ms on CLOCK_MONOTONIC, for
// pthread_cond_timedwait.
struct timespec clock_until(int64_t at_ms);

// clock_unix_us: wall clock since 1970-01-01 UTC, in microseconds.
int64_t clock_unix_us(void);

// random_u64 returns random bits from the kernel.  Any thread.
uint64_t random_u64(void);

// thread_name names the calling thread as debuggers and `top -H` show it; cut
// to 15 characters.
void thread_name(const char *name);

// life_new makes the number of one run of a node: start time in us, then 12 random
// bits.  Larger is younger.
uint64_t life_new(void);

#endif
