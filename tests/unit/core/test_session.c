// SPDX-License-Identifier: MIT
// test_session.c - a node's session with one switch, without clock or socket.

#include <criterion/criterion.h>

#include "core/session.h"

TestSuite(session, .timeout = 30);

static const session_times_t times = {.connect_ms = 1000,
    .heartbeat_ms = 1000,
    .lost_ms = 3000,
    .backoff_min_ms = 50,
    .backoff_max_ms = 1000};

Test(session, example)
{
    session_t session;
    session_init(&session, times, 1, 100);
    cr_expect_eq(session_next(&session), 100, "due at once");
    cr_expect_eq(session_tick(&session, 100), SESSION_OPEN);
    cr_expect_eq(session_next(&session), 1100);
    cr_expect(session_welcome(&session, 1000, 150));
    cr_expect_not(session_welcome(&session, 1000, 151), "once");
    cr_expect_eq(session_tick(&session, 1149), SESSION_NOTHING);
    cr_expect_eq(session_tick(&session, 1150), SESSION_BEAT);
    session_heard(&session, 1200);
    cr_expect_eq(session_tick(&session, 2150), SESSION_BEAT);
    cr_expect_eq(session_tick(&session, 3150), SESSION_BEAT);
    cr_expect_eq(session_tick(&session, 4199), SESSION_BEAT);
    cr_expect_eq(session_tick(&session, 4200), SESSION_CLOSE, "3 s of silence");
    cr_expect_eq(session.state, SESSION_DOWN);
    cr_expect_eq(session_end(&session, 4200), SESSION_NOTHING, "down already");
}

Test(session, what_is_not_heard_there_ends_it_though_we_hear)
{
    session_t session;
    session_init(&session, times, 1, 0);
    (void)session_tick(&session, 0);
    cr_assert(session_welcome(&session, 1000, 0));
    int64_t now = 0;
    for (uint64_t beat = 1; beat <= 5; beat++) {
        now += 1000;
        session_heard(&session, now);
        cr_expect_eq(session_tick(&session, now), SESSION_BEAT);
        session_echo(&session, beat < 4 ? beat : 3);
        session_echo(&session, 99); // was never sent
    }
    // The fourth was sent at 4000.
    cr_expect_eq(session_next(&session), 5500);
    cr_expect_eq(session_tick(&session, 5499), SESSION_NOTHING);
    cr_expect_eq(session_tick(&session, 5500), SESSION_CLOSE);
}

Test(session, a_peer_whose_heartbeats_are_rare_is_given_its_time)
{
    session_t session;
    session_init(&session, times, 1, 0);
    (void)session_tick(&session, 0);
    cr_assert(session_welcome(&session, 5000, 0));
    for (int64_t now = 1000; now <= 30000; now += 1000) {
        session_heard(&session, now);
        cr_expect_eq(session_tick(&session, now), SESSION_BEAT);
        if (now % 5000 == 0) {
            session_echo(&session, (uint64_t)(now / 1000));
        }
    }
}

Test(session, a_peer_that_says_nothing_of_our_heartbeats_is_believed)
{
    session_t session;
    session_init(&session, times, 1, 0);
    (void)session_tick(&session, 0);
    cr_assert(session_welcome(&session, 1000, 0));
    for (int64_t now = 1000; now <= 9000; now += 1000) {
        session_heard(&session, now);
        cr_expect_eq(session_tick(&session, now), SESSION_BEAT);
    }
}

Test(session, a_switch_that_does_not_answer)
{
    session_t session;
    session_init(&session, times, 1, 0);
    int64_t now = 0;
    int64_t longest = 0;
    for (uint64_t i = 1; i <= 20; i++) {
        now = session_next(&session);
        cr_expect_eq(session_tick(&session, now), SESSION_OPEN);
        cr_expect_eq(session.attempts, i);
        cr_expect_eq(session_tick(&session, now + 999), SESSION_NOTHING);
        cr_expect_eq(session_tick(&session, now + 1000), SESSION_CLOSE);
        int64_t pause = session_next(&session) - (now + 1000);
        cr_expect_geq(pause, 25);
        cr_expect_leq(pause, 1000);
        longest = pause > longest ? pause : longest;
    }
    cr_expect_gt(longest, 500, "the pauses grow");
}

Test(session, pauses_differ_from_node_to_node)
{
    int64_t first = 0;
    int same = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        session_t session;
        session_init(&session, times, seed * 7919, 0);
        (void)session_tick(&session, 0);
        session.backoff_ms = 1000;
        cr_assert_eq(session_end(&session, 10), SESSION_CLOSE);
        first = seed == 0 ? session_next(&session) : first;
        same += session_next(&session) == first;
    }
    cr_expect_lt(same, 5);
}

Test(session, a_welcome_resets_the_pause)
{
    session_t session;
    session_init(&session, times, 3, 0);
    int64_t now = 0;
    for (int i = 0; i < 10; i++) {
        now = session_next(&session);
        (void)session_tick(&session, now);
        (void)session_end(&session, now);
    }
    now = session_next(&session);
    cr_assert_eq(session_tick(&session, now), SESSION_OPEN);
    cr_assert(session_welcome(&session, 1000, now));
    cr_assert_eq(session_end(&session, now), SESSION_CLOSE);
    cr_expect_leq(session_next(&session) - now, 50);
    cr_expect_not(
        session_welcome(&session, 1000, now), "late, for a closed socket");
}

Test(session, our_own_standstill_is_not_the_peers_silence)
{
    session_t session;
    session_init(&session, times, 3, 0);
    (void)session_tick(&session, 0);
    (void)session_welcome(&session, 1000, 0);
    session_shift(&session, 60000);
    cr_expect_eq(session_tick(&session, 60500), SESSION_NOTHING);
    cr_expect_eq(session_tick(&session, 61000), SESSION_BEAT);
    cr_expect_eq(session_tick(&session, 63000), SESSION_CLOSE);
}
