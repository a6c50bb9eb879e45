// SPDX-License-Identifier: MIT
// test_fence.c - leases, and which switch frames take.

#include <criterion/criterion.h>

#include "core/fence.h"
#include "core/reach.h"

TestSuite(fence, .timeout = 30);
TestSuite(reach, .timeout = 30);

Test(fence, example)
{
    fence_t fence;
    lease_t lease;
    fence_init(&fence, 4000);
    lease_init(&lease, 4000);
    cr_expect_not(fence_open(&fence, 10000), "no lease yet");
    cr_expect(fence_ask(&fence, 10000));
    lease_give(&lease, 12000); // the ask took two seconds
    cr_expect(fence_echo(&fence, 10000));
    cr_expect(fence_open(&fence, 13999));
    cr_expect_not(fence_open(&fence, 14000), "from the time of the ask");
    cr_expect_gt(lease_end(&lease), 16000, "the source waits longer");
}

Test(fence, asks_in_time_and_not_too_often)
{
    fence_t fence;
    fence_init(&fence, 4000);
    cr_expect(fence_ask(&fence, 10000));
    cr_expect_not(fence_ask(&fence, 10100), "the answer is on its way");
    cr_expect(fence_ask(&fence, 10250), "or was lost");
    cr_expect(fence_echo(&fence, 10250));
    cr_expect_eq(fence_due(&fence), 11250);
    cr_expect_not(fence_ask(&fence, 11249));
    cr_expect(fence_ask(&fence, 11250));
    cr_expect(fence_open(&fence, 11250), "long before the last one ends");
}

Test(fence, an_echo_of_what_was_not_asked_is_refused)
{
    fence_t fence;
    fence_init(&fence, 4000);
    cr_expect_not(fence_echo(&fence, 5000));
    cr_expect(fence_ask(&fence, 10000));
    cr_expect_not(fence_echo(&fence, 10001));
    cr_expect_not(fence_echo(&fence, 0));
    cr_expect(fence_echo(&fence, 10000));
    cr_expect(fence_echo(&fence, 9000), "an older one is late, not wrong");
    cr_expect(fence_open(&fence, 13999));
}

Test(fence, the_receiver_stops_before_the_source_gives_up)
{
    for (int64_t length = 100; length <= 60000; length += 777) {
        for (int64_t delay = 0; delay < 5000; delay += 333) {
            fence_t fence;
            lease_t lease;
            fence_init(&fence, length);
            lease_init(&lease, length);
            cr_assert(fence_ask(&fence, 7777));
            lease_give(&lease, 7777 + delay);
            cr_assert(fence_echo(&fence, 7777));
            // Also when the receiver's clock is a hundredth slower.
            int64_t end = lease_end(&lease) - 7777;
            cr_assert_not(fence_open(&fence, 7777 + end * 99 / 100));
        }
    }
}

static reach_link_t links[3] = {
    {.session = 1, .life = 100}, {.session = 2, .life = 200}, {0}};

Test(reach, example)
{
    reach_t reach;
    bool moved = false;
    reach_init(&reach, 5, 6);
    cr_expect_eq(reach_pick(&reach, links, 3, false, &moved), -1);
    cr_expect(reach_known(&reach, 0, true));
    cr_expect_not(reach_known(&reach, 0, true), "nothing new");
    cr_expect_eq(reach_pick(&reach, links, 3, false, &moved), 0);
    cr_expect(moved);
    cr_expect(reach_known(&reach, 1, true));
    cr_expect_eq(reach_pick(&reach, links, 3, false, &moved), 0,
        "it stays with what works");
    cr_expect_not(moved);
    cr_expect(reach_known(&reach, 0, false));
    cr_expect_eq(reach_pick(&reach, links, 3, false, &moved), 1);
    cr_expect(moved);
}

Test(reach, pairs_spread_over_the_switches_and_meet_at_one)
{
    size_t at[2] = {0};
    for (uint64_t life = 1; life <= 1000; life++) {
        reach_t there, back;
        bool moved = false;
        reach_init(&there, life, 77777);
        reach_init(&back, 77777, life);
        there.links = back.links = 3;
        int found = reach_pick(&there, links, 3, false, &moved);
        cr_assert_eq(found, reach_pick(&back, links, 3, false, &moved));
        at[found]++;
    }
    cr_expect(at[0] > 400 && at[1] > 400, "%zu, %zu", at[0], at[1]);
}

Test(reach, only_a_settled_switch_makes_a_life_missing)
{
    reach_link_t one[] = {{.session = 9, .life = 1}};
    reach_t reach;
    bool moved = false;
    reach_init(&reach, 5, 6);
    cr_expect_eq(reach_missing(&reach, one, 1, 1000), 0);
    cr_expect_eq(reach_pick(&reach, one, 1, true, &moved), -1);
    one[0].settled = true;
    cr_expect_eq(reach_missing(&reach, one, 1, 2000), 2000);
    cr_expect_eq(reach_missing(&reach, one, 1, 3000), 2000);
    cr_expect_eq(reach_pick(&reach, one, 1, true, &moved), 0,
        "it may demand nothing: then no table has it");
    cr_expect(reach_known(&reach, 0, true));
    cr_expect_eq(reach_missing(&reach, one, 1, 4000), 0);
}
