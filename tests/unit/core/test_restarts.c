// SPDX-License-Identifier: MIT
// test_restarts.c - how often something may be started again.

#include <criterion/criterion.h>

#include "core/restarts.h"

Test(restarts, example)
{
    restarts_t restarts = {.most = 2, .within_ms = 1000};
    cr_expect(restarts_note(&restarts, 0));
    cr_expect(restarts_note(&restarts, 500));
    cr_expect_not(restarts_note(&restarts, 999), "three in a second");
}

Test(restarts, what_was_long_ago_is_forgiven)
{
    restarts_t restarts = {.most = 2, .within_ms = 1000};
    for (int64_t at_ms = 0; at_ms < 100000; at_ms += 500) {
        cr_expect(restarts_note(&restarts, at_ms), "%d", (int)at_ms);
    }
    cr_expect_not(restarts_note(&restarts, 99600));
}

Test(restarts, none_may_be_allowed)
{
    restarts_t restarts = {.most = 0, .within_ms = 1000};
    cr_expect_not(restarts_note(&restarts, 0));
    restarts = (restarts_t){.most = RESTARTS_MAX, .within_ms = 1000};
    for (int i = 0; i < RESTARTS_MAX; i++) {
        cr_expect(restarts_note(&restarts, i));
    }
    cr_expect_not(restarts_note(&restarts, RESTARTS_MAX));
}
