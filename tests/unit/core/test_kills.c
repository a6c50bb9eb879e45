// SPDX-License-Identifier: MIT
// test_kills.c - which events have ended their workers.

#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "core/kills.h"

TestSuite(kills, .timeout = 5);

Test(kills, example)
{
    kills_t *kills = mem_new(sizeof *kills);
    cr_expect_eq(kills_of(kills, 1, 7), 0);
    cr_expect_eq(kills_note(kills, 1, 7), 1);
    cr_expect_eq(kills_note(kills, 1, 7), 2);
    cr_expect_eq(kills_of(kills, 1, 7), 2);
    cr_expect_eq(kills_of(kills, 2, 7), 0, "of another life");
    free(kills);
}

Test(kills, the_oldest_makes_room)
{
    kills_t *kills = mem_new(sizeof *kills);
    for (uint64_t id = 0; id < KILLS_MAX; id++) {
        cr_expect_eq(kills_note(kills, 1, id), 1);
    }
    cr_expect_eq(kills_of(kills, 1, 0), 1);
    cr_expect_eq(kills_note(kills, 1, KILLS_MAX), 1);
    cr_expect_eq(kills_of(kills, 1, 0), 0);
    cr_expect_eq(kills_of(kills, 1, 1), 1);
    cr_expect_eq(kills->count, KILLS_MAX);
    free(kills);
}
