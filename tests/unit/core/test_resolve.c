// SPDX-License-Identifier: MIT
// test_resolve.c - tables of the switches, and the choice among members.

#include <criterion/criterion.h>

#include "core/choice.h"
#include "core/resolve.h"

TestSuite(resolve, .timeout = 30);
TestSuite(choice, .timeout = 30);

// ----- tables

#define ONE  0x01 // one switch
#define BOTH 0x03

Test(resolve, example)
{
    resolve_t type = {0};
    cr_expect(resolve_ask(&type, false));
    cr_expect_not(resolve_ask(&type, false), "once");
    cr_expect_eq(resolve_may(&type, ONE, ONE, false, false), RESOLVE_ASKED);
    resolve_table(&type, 0, 7, true);
    cr_expect_eq(
        resolve_may(&type, ONE, ONE, false, false), RESOLVE_GO, "nobody");
    cr_expect(resolve_change(&type, 0, 8, true));
    cr_expect_not(resolve_change(&type, 0, 10, true), "one was missed");
    cr_expect_not(resolve_change(&type, 0, 8, true), "an old one");
    resolve_table(&type, 0, 10, true);
    cr_expect(resolve_change(&type, 0, 11, true));
}

Test(resolve, without_a_switch_nothing_waits)
{
    resolve_t type = {0};
    (void)resolve_ask(&type, false);
    cr_expect_eq(resolve_may(&type, 0, 0, false, false), RESOLVE_GO);
}

Test(resolve, every_connected_switch_is_waited_for)
{
    resolve_t type = {0};
    (void)resolve_ask(&type, false);
    resolve_table(&type, 0, 1, true);
    cr_expect_eq(resolve_may(&type, BOTH, BOTH, true, false), RESOLVE_ASKED);
    resolve_table(&type, 1, 1, true);
    cr_expect_eq(resolve_may(&type, BOTH, BOTH, true, false), RESOLVE_GO);
}

Test(resolve, one_that_is_down_is_not_waited_for)
{
    resolve_t type = {0};
    (void)resolve_ask(&type, false);
    cr_expect_eq(resolve_may(&type, 0, BOTH, false, false), RESOLVE_OPEN,
        "nobody answered");
    resolve_table(&type, 0, 1, true);
    cr_expect_eq(resolve_may(&type, ONE, BOTH, true, false), RESOLVE_GO);
    resolve_lost(&type, 0);
    cr_expect_eq(resolve_may(&type, 0, BOTH, true, false), RESOLVE_GO,
        "who was there is believed");
    cr_expect_eq(resolve_may(&type, 0, BOTH, false, false), RESOLVE_OPEN);
    cr_expect_eq(resolve_may(&type, ONE, BOTH, true, false), RESOLVE_ASKED,
        "a new session");
}

Test(resolve, what_no_switch_has_ever_answered_waits_unless_one_taker_is_enough)
{
    resolve_t type = {0};
    (void)resolve_ask(&type, false);
    cr_expect_eq(resolve_may(&type, 0, ONE, true, false), RESOLVE_OPEN,
        "others may want it");
    cr_expect_eq(resolve_may(&type, 0, ONE, true, true), RESOLVE_GO);
    cr_expect_eq(resolve_may(&type, 0, ONE, false, true), RESOLVE_OPEN);
}

Test(resolve, nobody_counts_from_a_settled_switch_only)
{
    resolve_t type = {0};
    (void)resolve_ask(&type, false);
    resolve_table(&type, 0, 1, false);
    cr_expect_eq(resolve_may(&type, ONE, ONE, false, false), RESOLVE_OPEN);
    cr_expect_eq(resolve_may(&type, ONE, ONE, false, true), RESOLVE_OPEN,
        "only a guest");
    cr_expect_eq(resolve_may(&type, ONE, ONE, true, false), RESOLVE_GO);
    cr_expect(resolve_settled(&type, 0), "its table is asked for again");
    cr_expect_eq(resolve_may(&type, ONE, ONE, false, false), RESOLVE_GO);
}

Test(resolve, what_was_not_asked_before_an_outage_waits_for_all_to_be_back)
{
    resolve_t type = {0};
    (void)resolve_ask(&type, true);
    resolve_table(&type, 0, 1, false);
    cr_expect_eq(resolve_may(&type, ONE, ONE, true, false), RESOLVE_OPEN);
    cr_expect(resolve_change(&type, 0, 2, true));
    cr_expect_eq(resolve_may(&type, ONE, ONE, true, false), RESOLVE_GO);
}

Test(resolve, what_was_asked_and_not_answered_before_an_outage_waits_as_well)
{
    resolve_t type = {0};
    (void)resolve_ask(&type, false);
    resolve_lost(&type, 0);
    resolve_table(&type, 0, 1, false);
    cr_expect_eq(resolve_may(&type, ONE, ONE, true, false), RESOLVE_OPEN);
    resolve_t other = {0};
    (void)resolve_ask(&other, false);
    resolve_table(&other, 0, 1, true);
    resolve_lost(&other, 0);
    resolve_table(&other, 0, 1, false);
    cr_expect_eq(resolve_may(&other, ONE, ONE, true, false), RESOLVE_GO);
}

Test(resolve, a_switch_that_settles_before_it_answers_is_not_asked_twice)
{
    resolve_t type = {0};
    (void)resolve_ask(&type, false);
    cr_expect_not(resolve_settled(&type, 0));
    cr_expect_eq(resolve_may(&type, ONE, ONE, false, false), RESOLVE_ASKED);
}

// ----- the choice

static size_t
load_at(size_t member, const void *arg)
{
    return ((const size_t *)arg)[member];
}

Test(choice, local_first_while_below_half)
{
    size_t loads[] = {0, 0};
    choice_local_t local = {.used = 49, .limit = 100};
    cr_expect_eq(choice_pick(&local, 2, load_at, loads, 1), CHOICE_LOCAL);
    local.used = 50;
    cr_expect_neq(choice_pick(&local, 2, load_at, loads, 1), CHOICE_LOCAL);
    cr_expect_eq(choice_pick(&local, 0, load_at, NULL, 1), CHOICE_LOCAL);
    size_t busy[] = {60, 70};
    cr_expect_eq(choice_pick(&local, 2, load_at, busy, 1), CHOICE_LOCAL,
        "the others have more to do");
}

Test(choice, the_less_loaded_of_two)
{
    size_t loads[] = {10, 5};
    for (uint64_t random = 0; random < 1000; random++) {
        cr_expect_eq(
            choice_pick(NULL, 2, load_at, loads, random << 32 | random), 1);
    }
    size_t one[] = {10};
    cr_expect_eq(choice_pick(NULL, 1, load_at, one, 77), 0);
}

Test(choice, load_spreads)
{
    // Balls into bins with two choices: the fullest is little above the mean.
    size_t loads[10] = {0};
    uint64_t random = 1;
    for (int i = 0; i < 10000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        loads[choice_pick(NULL, 10, load_at, loads, random >> 7)]++;
    }
    for (int i = 0; i < 10; i++) {
        cr_expect(loads[i] > 980 && loads[i] < 1020, "%zu", loads[i]);
    }
}
