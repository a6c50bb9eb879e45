// SPDX-License-Identifier: MIT
// stress.h - what stress programs share.

#ifndef STRESS_STRESS_H
#define STRESS_STRESS_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

// check ends the program, and says what is wrong, unless all is fine.
static inline void
check(bool fine, const char *what)
{
    if (!fine) {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
        exit(1);
    }
}

static inline void
sleep_ms(long ms)
{
    struct timespec time = {
        .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

#endif
