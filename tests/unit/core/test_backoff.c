// SPDX-License-Identifier: MIT
// test_backoff.c - pauses between tries.

#include <criterion/criterion.h>

#include "core/backoff.h"

TestSuite(backoff, .timeout = 5);

Test(backoff, example)
{
    backoff_t backoff = {.min_ms = 50, .max_ms = 5000};
    cr_expect_eq(backoff_next(&backoff, 25), 50); // 25 is all of the jitter
    cr_expect_eq(backoff_next(&backoff, 50), 100);
    backoff_reset(&backoff);
    cr_expect_eq(backoff_next(&backoff, 25), 50);
}

Test(backoff, pauses_double_up_to_the_longest_and_are_jittered)
{
    backoff_t backoff = {.min_ms = 50, .max_ms = 5000};
    int64_t whole = 50;
    for (uint64_t i = 0; i < 20; i++) {
        int64_t pause = backoff_next(&backoff, i * 7919);
        cr_expect(pause >= whole / 2 && pause <= whole);
        whole = 2 * whole < 5000 ? 2 * whole : 5000;
    }
}

Test(backoff, a_smallest_pause_of_1_ms_works)
{
    backoff_t backoff = {.min_ms = 1, .max_ms = 1};
    for (uint64_t i = 0; i < 5; i++) {
        cr_expect_leq(backoff_next(&backoff, i), 1);
    }
}
