// SPDX-License-Identifier: MIT
// test_health.c - how a manager is.

#include <criterion/criterion.h>

#include "core/health.h"

TestSuite(health, .timeout = 10);

static const health_times_t times = {1000, 2000, 10000};

Test(health, example)
{
    health_t health;
    health_init(&health, 10);
    cr_expect(health_ask(&health, &times, 10), "at once");
    cr_expect_not(health_ask(&health, &times, 5000), "one at a time");
    health_answered(&health, 13);
    cr_expect_eq(health.delay_ms, 3);
    cr_expect_not(health_look(&health, &times, false, 0, 900));
    cr_expect_not(health_ask(&health, &times, 900));
    cr_expect(health_ask(&health, &times, 1010));
    cr_expect_eq(health.state, HEALTH_OK);
}

Test(health, a_probe_that_is_not_answered)
{
    health_t health;
    health_init(&health, 0);
    cr_expect(health_ask(&health, &times, 100));
    cr_expect_not(health_look(&health, &times, false, 0, 2099));
    cr_expect(health_look(&health, &times, false, 0, 2100));
    cr_expect_eq(health.state, HEALTH_SLOW);
    cr_expect_eq(health.since_ms, 100);
    cr_expect(health_look(&health, &times, false, 0, 10100));
    cr_expect_eq(health.state, HEALTH_STUCK);
    health_answered(&health, 10200);
    cr_expect(health_look(&health, &times, false, 0, 10300));
    cr_expect_eq(health.state, HEALTH_OK);
    cr_expect_eq(health.since_ms, 10300);
    cr_expect_eq(health.delay_ms, 10100);
}

Test(health, work_that_does_not_go_on)
{
    health_t health;
    health_init(&health, 0);
    int64_t now_ms = 0;
    for (; now_ms < 20000; now_ms += 500) { // busy for long, but it goes on
        cr_assert_not(
            health_look(&health, &times, true, (uint64_t)now_ms, now_ms));
    }
    bool stuck = false;
    for (int64_t end_ms = now_ms + 9500; now_ms <= end_ms; now_ms += 500) {
        stuck = health_look(&health, &times, true, 7, now_ms) &&
                health.state == HEALTH_STUCK;
    }
    cr_expect_not(stuck, "7 was new at first");
    (void)health_look(&health, &times, true, 7, now_ms + 500);
    cr_expect_eq(health.state, HEALTH_STUCK);
    cr_expect(health_look(&health, &times, false, 7, now_ms + 501));
    cr_expect_str_eq(health_name(health.state), "ok");
}
