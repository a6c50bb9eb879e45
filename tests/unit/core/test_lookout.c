// SPDX-License-Identifier: MIT
// test_lookout.c - who listens to the connections.

#include <criterion/criterion.h>

#include "core/lookout.h"

TestSuite(lookout, .timeout = 60);

static int one;
static int two;

// hear lets so much come for 'whom', so often.
static void
hear(lookout_t *self, void *whom, uint64_t events, int times, int64_t now_ms)
{
    for (int i = 0; i < times; i++) {
        lookout_for_t came = {0};
        lookout_for_one(&came, whom, events);
        lookout_heard(self, &came, now_ms);
    }
}

Test(lookout, is_who_gets_little_again_and_again)
{
    lookout_t self = {0};
    hear(&self, &one, 1, LOOKOUT_CALM - 1, 0);
    cr_expect_null(self.who);
    hear(&self, &one, 1, 1, 0);
    cr_expect_eq(self.who, &one);
    hear(&self, &one, 1, 1000, 0);
    cr_expect_eq(self.who, &one);
}

Test(lookout, words_between_routers_change_nothing)
{
    lookout_t self = {0};
    lookout_for_t none = {0};
    hear(&self, &one, 1, LOOKOUT_CALM - 1, 0);
    lookout_heard(&self, &none, 0);
    hear(&self, &one, 1, 1, 0);
    cr_expect_eq(self.who, &one);
    lookout_heard(&self, &none, 0);
    cr_expect_eq(self.who, &one);
}

Test(lookout, is_nobody_when_two_take_turns)
{
    lookout_t self = {0};
    for (int i = 0; i < 100; i++) {
        hear(&self, &one, 1, LOOKOUT_CALM - 1, 0);
        hear(&self, &two, 1, LOOKOUT_CALM - 1, 0);
        cr_expect_null(self.who);
    }
}

Test(lookout, is_nobody_when_two_get_something_at_once)
{
    lookout_t self = {0};
    for (int i = 0; i < 100; i++) {
        lookout_for_t came = {0};
        lookout_for_one(&came, &one, 1);
        lookout_for_one(&came, &two, 1);
        lookout_for_one(&came, &one, 1);
        lookout_heard(&self, &came, 0);
    }
    cr_expect_null(self.who);
}

Test(lookout, is_nobody_when_much_comes)
{
    lookout_t self = {0};
    hear(&self, &one, LOOKOUT_MUCH, 100, 0);
    cr_expect_null(self.who);
    hear(&self, &one, LOOKOUT_MUCH - 1, LOOKOUT_CALM, 0);
    cr_expect_eq(self.who, &one);
    lookout_for_t came = {0};
    for (int i = 0; i < LOOKOUT_MUCH; i++) { // piece by piece
        lookout_for_one(&came, &one, 1);
    }
    lookout_heard(&self, &came, 0);
    cr_expect_null(self.who);
}

Test(lookout, is_nobody_when_something_comes_for_others)
{
    lookout_t self = {0};
    hear(&self, &one, 1, LOOKOUT_CALM, 0);
    cr_expect_eq(self.who, &one);
    lookout_for_t came = {.others = true};
    lookout_heard(&self, &came, 0);
    cr_expect_null(self.who);
}

Test(lookout, that_was_no_good_leaves_a_pause)
{
    lookout_t self = {0};
    hear(&self, &one, 1, LOOKOUT_CALM, 5000);
    hear(&self, &two, 1, 1, 6000);
    cr_expect_null(self.who);
    hear(&self, &one, 1, 100, 6000 + LOOKOUT_PAUSE_MS - 1);
    cr_expect_null(self.who);
    hear(&self, &one, 1, 1, 6000 + LOOKOUT_PAUSE_MS);
    cr_expect_eq(self.who, &one);
}

Test(lookout, dismissing_nobody_leaves_no_pause)
{
    lookout_t self = {0};
    lookout_dismiss(&self, 5000);
    hear(&self, &one, 1, LOOKOUT_CALM, 5000);
    cr_expect_eq(self.who, &one);
    lookout_dismiss(&self, 5000);
    hear(&self, &one, 1, LOOKOUT_CALM, 5000);
    cr_expect_null(self.who);
}
