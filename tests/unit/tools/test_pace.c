// SPDX-License-Identifier: MIT
// test_pace.c - a schedule, and that it hides nothing.

#include <criterion/criterion.h>
#include <stdlib.h>

#include "tools/pace.h"

TestSuite(pace, .timeout = 30);

#define MS INT64_C(1000000)

Test(pace, example)
{
    pace_t pace = pace_at(1000, 0.5, 3);
    pace.start_ns = 7 * MS;
    cr_expect_eq(pace.warm, 500);
    cr_expect_eq(pace.count, 3500);
    cr_expect_eq(pace_due_ns(&pace, 0), 7 * MS);
    cr_expect_eq(pace_due_ns(&pace, 10), 17 * MS);
    cr_expect_eq(pace_due(&pace, 17 * MS), 11, "0 to 10");
    static track_t track;
    track_add(&track, &pace, 600, 607 * MS + 250);
    cr_expect_eq(track.late.max, 250);
}

Test(pace, nothing_is_due_before_the_start_and_no_more_than_there_is)
{
    pace_t pace = pace_at(1000, 0, 1);
    pace.start_ns = 100 * MS;
    cr_expect_eq(pace_due(&pace, 0), 0);
    cr_expect_eq(pace_due(&pace, 100 * MS - 1), 0);
    cr_expect_eq(pace_due(&pace, 100 * MS), 1);
    cr_expect_eq(pace_due(&pace, 100000 * MS), 1000);
    cr_expect_eq(pace_end_ns(&pace), 1099 * MS);
}

Test(pace, what_is_due_is_never_early)
{
    static const double rates[] = {3, 997, 70001, 1234567, 6000000};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        pace_t pace = pace_at(rates[i], 0, 100);
        pace.start_ns = 123456789 * MS;
        for (int64_t at = 0; at < 100000 * MS; at += 1234567) {
            uint64_t due = pace_due(&pace, pace.start_ns + at);
            cr_assert_leq(pace_due_ns(&pace, due - 1), pace.start_ns + at);
        }
    }
}

Test(pace, a_generator_wakes_at_ticks_or_later_when_nothing_is_due)
{
    pace_t fast = pace_at(1e6, 0, 1);
    cr_expect_eq(pace_wake_ns(&fast, 3, 2001), PACE_TICK_NS);
    cr_expect_eq(pace_wake_ns(&fast, 51, PACE_TICK_NS), 2 * PACE_TICK_NS);
    pace_t slow = pace_at(1000, 0, 1);
    cr_expect_eq(pace_wake_ns(&slow, 3, 2 * MS + 1), 3 * MS);
}

Test(pace, warming_up_is_counted_and_not_measured)
{
    static track_t track;
    pace_t pace = pace_at(1000, 0.01, 0.01);
    for (uint64_t i = 0; i < pace.count; i++) {
        track_add(&track, &pace, i, pace_due_ns(&pace, i) + (i < 10 ? MS : 5));
    }
    cr_expect(track_is_whole(&track, &pace));
    cr_expect_eq(track.late.total, 10);
    cr_expect_eq(track.late.max, 5);
    cr_expect_float_eq(track_rate(&track, 1), 1000, 0.001);
}

Test(pace, a_track_is_not_whole_when_one_is_missing_doubled_or_both)
{
    pace_t pace = pace_at(100, 0, 1);
    static track_t track;
    for (uint64_t i = 1; i < pace.count; i++) {
        track_add(&track, &pace, i, 0);
    }
    cr_expect_not(track_is_whole(&track, &pace), "0 is missing");
    track_add(&track, &pace, 50, 0);
    cr_expect_not(track_is_whole(&track, &pace), "50 came for 0");
    track_add(&track, &pace, 0, 0);
    cr_expect_not(track_is_whole(&track, &pace), "50 is doubled");
}

Test(pace, tracks_of_several_places_are_merged)
{
    static track_t tracks[2];
    static track_t all;
    pace_t pace = pace_at(1000, 0, 1);
    for (uint64_t i = 0; i < pace.count; i++) {
        track_add(&tracks[0], &pace, i, pace_due_ns(&pace, i) + 2 * MS);
        track_add(&tracks[1], &pace, i, pace_due_ns(&pace, i) + 1 * MS);
    }
    track_merge(&all, &tracks[0]);
    track_merge(&all, &tracks[1]);
    cr_expect_eq(all.count, 2000);
    cr_expect_eq(all.first_ns, 1 * MS);
    cr_expect_eq(all.last_ns, 999 * MS + 2 * MS);
    cr_expect_eq(all.late.max, (uint64_t)(2 * MS));
    cr_expect_float_eq(track_rate(&all, 2), 999, 1.0);
}

// A responder takes 0.1 ms for each, but stands for 200 ms when it comes to number
// 5000 of 10000, at 1000 a second.  The same is told by who follows the schedule and by
// who asks when it has been answered and counts from then.
static void
stand(track_t *scheduled, histogram_t *closed)
{
    pace_t pace = pace_at(1000, 0, 10);
    int64_t free_ns = 0; // when the responder has time
    for (uint64_t i = 0; i < pace.count; i++) {
        int64_t due_ns = pace_due_ns(&pace, i);
        int64_t begin_ns = due_ns > free_ns ? due_ns : free_ns;
        int64_t takes_ns = i == 5000 ? 200 * MS : MS / 10;
        free_ns = begin_ns + takes_ns;
        track_add(scheduled, &pace, i, free_ns);
        histogram_add(closed, (uint64_t)takes_ns);
    }
}

Test(pace, omission_is_not_hidden)
{
    static track_t scheduled;
    static histogram_t closed;
    stand(&scheduled, &closed);
    // 200 ms: the 200 that were due meanwhile, less what it catches up with, wait.
    cr_expect_geq(histogram_at(&scheduled.late, 0.99), (uint64_t)(100 * MS));
    cr_expect_geq(histogram_at(&scheduled.late, 0.999), (uint64_t)(189 * MS));
    cr_expect_leq(
        histogram_at(&scheduled.late, 0.5), (uint64_t)(MS / 10 + MS / 1000));
    // The other way it is one slow reply of 10000: nothing that percentiles show.
    cr_expect_leq(
        histogram_at(&closed, 0.999), (uint64_t)(MS / 10 + MS / 1000));
}
