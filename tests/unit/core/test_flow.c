// SPDX-License-Identifier: MIT
// test_flow.c - both ends of a flow: what was sent, what came, what is settled.

#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/flow_in.h"
#include "core/flow_out.h"

TestSuite(flow, .timeout = 30);

static size_t dropped;

static void
drop(void *cargo, void *arg)
{
    (void)arg;
    dropped += cargo != NULL;
}

static flow_out_t
new_out(void)
{
    flow_out_t out;
    dropped = 0;
    flow_out_init(&out, 1000, drop, NULL);
    flow_out_begin(&out, 1, 0);
    return out;
}

// send_one adds a frame of 'events' events for target 7.
static flow_stamp_t
send_one(flow_out_t *out, uint32_t events, bool keep, int64_t now_ms)
{
    static char cargo;
    flow_stamp_t stamp;
    (void)flow_out_add(
        out, &cargo, events, 7, 100, events * 31, keep, now_ms, &stamp);
    return stamp;
}

Test(flow, example)
{
    flow_out_t out = new_out();
    flow_in_t in;
    flow_in_init(&in);
    flow_stamp_t stamp = send_one(&out, 10, true, 0);
    cr_expect_eq(flow_in_frame(&in, &stamp), FLOW_TAKE);
    cr_expect(flow_in_sum(&in, &stamp, 310));
    record_t *record = flow_in_open(&in, 7, stamp.first, stamp.first + 10);
    Edri__Wire__Flow *word = flow_in_word(&in);
    cr_expect_eq(word->arrived, 1010);
    cr_expect(flow_out_arrived(&out, word->arrived, 3));
    cr_expect_eq(flow_out_held(&out, 7), 100, "it is kept until settled");
    flow_in_done(&in, 7, record);
    word = flow_in_word(&in);
    cr_assert_eq(word->n_settled, 1);
    cr_expect_eq(word->settled[0]->below, 1010);
    cr_expect(flow_out_settled(&out, 7, 0, word->settled[0]->below));
    cr_expect_eq(out.weight, 0);
    cr_expect_eq(dropped, 1);
    cr_expect_eq(flow_out_due(&out), INT64_MAX);
    flow_in_clear(&in);
    flow_out_clear(&out);
}

Test(flow, what_is_not_kept_goes_when_it_has_arrived)
{
    flow_out_t out = new_out();
    (void)send_one(&out, 5, false, 0);
    (void)send_one(&out, 5, false, 0);
    cr_expect(flow_out_arrived(&out, 1005, 1));
    cr_expect_eq(dropped, 1);
    cr_expect(flow_out_arrived(&out, 1003, 1), "an older word is nothing new");
    cr_expect(flow_out_arrived(&out, 1010, 1));
    cr_expect_eq(dropped, 2);
    cr_expect_eq(out.weight, 0);
    flow_out_clear(&out);
}

Test(flow, a_hole_is_a_loss_and_all_behind_it_waits_for_a_new_path)
{
    flow_out_t out = new_out();
    flow_in_t in;
    flow_in_init(&in);
    flow_stamp_t a = send_one(&out, 1, false, 0);
    flow_stamp_t b = send_one(&out, 2, false, 0);
    flow_stamp_t c = send_one(&out, 3, false, 0);
    cr_expect(a.opens && !b.opens);
    cr_expect_eq(flow_in_frame(&in, &a), FLOW_TAKE);
    cr_expect_eq(flow_in_frame(&in, &c), FLOW_LOST, "b is missing");
    Edri__Wire__Flow *word = flow_in_word(&in);
    cr_expect(word->lost && word->arrived == 1001 && word->path == 1);
    cr_expect(flow_out_arrived(&out, word->arrived, 5));
    cr_expect(flow_out_lost(&out, word->path, 0, 5));
    cr_expect_eq(out.window, FLOW_WINDOW_FIRST / 2);
    flow_out_begin(&out, 2, 5);
    cr_expect_not(flow_out_lost(&out, 1, 0, 5), "that is known");
    cr_expect_not(flow_out_open(&out, 5), "first what is missing");
    flow_stamp_t again;
    cr_expect_not_null(flow_out_again(&out, 5, &again));
    cr_expect(again.opens && again.first == b.first && again.path == 2);
    cr_expect_eq(flow_in_frame(&in, &again), FLOW_TAKE);
    cr_expect_eq(flow_in_frame(&in, &b), FLOW_OLD);
    cr_expect_not_null(flow_out_again(&out, 5, &again));
    cr_expect_eq(flow_in_frame(&in, &again), FLOW_TAKE);
    cr_expect_null(flow_out_again(&out, 5, &again));
    cr_expect_eq(in.arrived, 1006);
    cr_expect_not(flow_in_word(&in)->lost);
    flow_in_clear(&in);
    flow_out_clear(&out);
}

Test(flow, what_came_is_not_taken_twice)
{
    flow_out_t out = new_out();
    flow_in_t in;
    flow_in_init(&in);
    flow_stamp_t a = send_one(&out, 4, false, 0);
    cr_expect_eq(flow_in_frame(&in, &a), FLOW_TAKE);
    flow_out_begin(&out, 2, 0); // the word that it arrived was lost
    flow_stamp_t again;
    cr_expect_not_null(flow_out_again(&out, 0, &again));
    cr_expect_eq(flow_in_frame(&in, &again), FLOW_DUPLICATE);
    cr_expect(in.tell, "so the source hears of it");
    again.first -= 2; // a peer that breaks the protocol
    again.path = 3;
    again.events = 9;
    cr_expect_eq(flow_in_frame(&in, &again), FLOW_MALFORMED);
    flow_in_clear(&in);
    flow_out_clear(&out);
}

Test(flow, a_lost_first_frame_of_a_path_is_noticed)
{
    flow_out_t out = new_out();
    flow_in_t in;
    flow_in_init(&in);
    (void)send_one(&out, 1, false, 0);
    flow_stamp_t b = send_one(&out, 1, false, 0);
    cr_expect_eq(flow_in_frame(&in, &b), FLOW_LOST);
    flow_in_clear(&in);
    flow_out_clear(&out);
}

Test(flow, a_probe_finds_what_is_missing_at_the_end)
{
    flow_out_t out = new_out();
    flow_in_t in;
    flow_in_init(&in);
    flow_stamp_t a = send_one(&out, 1, false, 0);
    flow_stamp_t b = send_one(&out, 1, false, 0); // gets lost
    cr_expect_eq(flow_in_frame(&in, &a), FLOW_TAKE);
    cr_expect_eq(flow_out_due(&out), FLOW_PROBE_MS);
    flow_stamp_t probe;
    flow_out_probe(&out, FLOW_PROBE_MS, &probe);
    cr_expect_eq(probe.events, 0);
    cr_expect_eq(probe.first, b.first + 1);
    cr_expect_eq(flow_out_due(&out), 3 * FLOW_PROBE_MS, "the next one later");
    cr_expect_eq(flow_in_frame(&in, &probe), FLOW_LOST);
    flow_in_clear(&in);
    flow_out_clear(&out);
}

typedef struct visited {
    unsigned returned;
    unsigned others;
} visited_t;

static void
tell_apart(const packet_t *packet, void *arg)
{
    visited_t *visited = arg;
    visited->returned += packet->returned;
    visited->others += !packet->returned;
}

Test(flow, what_comes_back_unbegun_is_told_apart)
{
    flow_out_t out = new_out();
    flow_in_t in;
    flow_in_init(&in);
    record_t *records[4];
    for (int i = 0; i < 4; i++) {
        flow_stamp_t stamp = send_one(&out, 10, true, 0);
        cr_assert_eq(flow_in_frame(&in, &stamp), FLOW_TAKE);
        records[i] = flow_in_open(&in, 7, stamp.first, stamp.first + 10);
    }
    flow_in_done(&in, 7, records[0]);   // begun, all of it
    flow_in_return(&in, 7, records[2]); // and the second was begun in part
    flow_in_return(&in, 7, records[3]);
    const Edri__Wire__Flow *word = flow_in_word(&in);
    cr_assert(flow_out_arrived(&out, word->arrived, 0));
    cr_assert_eq(word->n_settled, 1);
    cr_expect_eq(word->settled[0]->below, out.gone + 10);
    cr_expect_eq(word->settled[0]->n_ranges, 0);
    cr_expect(flow_out_settled(&out, 7, 0, word->settled[0]->below));
    cr_assert_eq(word->n_returned, 1);
    const Edri__Wire__Returned *back = word->returned[0];
    cr_expect_eq(back->target, 7);
    cr_assert_eq(back->n_ranges, 1);
    cr_expect_eq(back->ranges[0]->first, out.gone + 20);
    cr_expect_eq(back->ranges[0]->count, 20);
    cr_expect(flow_out_returned(&out, 7, back->ranges[0]->first,
        back->ranges[0]->first + back->ranges[0]->count));
    cr_expect_not(flow_out_returned(&out, 7, 0, out.next + 1), "never sent");
    visited_t visited = {0};
    flow_out_give_up(&out, tell_apart, &visited);
    cr_expect_eq(visited.returned, 2);
    cr_expect_eq(visited.others, 1);
    flow_in_clear(&in);
    flow_out_clear(&out);
}

// A source that does not hear of one range has what is in it for ever.
Test(flow, of_what_was_returned_every_range_is_told)
{
    flow_in_t in;
    record_t *records[400];
    flow_in_init(&in);
    for (uint64_t i = 0; i < 400; i++) {
        records[i] = flow_in_open(&in, 7, i, i + 1);
    }
    for (int i = 0; i < 400; i += 2) {
        flow_in_return(&in, 7, records[i]);
        flow_in_done(&in, 7, records[i + 1]);
    }
    cr_expect_eq(in.open, 0);
    const Edri__Wire__Flow *word = flow_in_word(&in);
    cr_assert(word->n_settled == 1 && word->n_returned == 1);
    cr_expect_eq(word->settled[0]->n_ranges, 200);
    cr_expect_eq(word->returned[0]->n_ranges, 200);
    flow_in_clear(&in);
}

Test(flow, frames_for_who_is_not_there_are_one_range)
{
    flow_in_t in;
    flow_in_init(&in);
    for (uint64_t i = 0; i < 5000; i++) {
        flow_in_refuse(&in, 7, 10 * i, 10 * i + 3);
    }
    const Edri__Wire__Flow *word = flow_in_word(&in);
    cr_assert(word->n_returned == 1 && word->returned[0]->n_ranges == 1);
    cr_expect_eq(word->returned[0]->ranges[0]->count, 49993);
    // Those who never were here: not without bound.
    for (uint32_t target = 8; target < 5000; target++) {
        flow_in_refuse(&in, target, 60000 + target, 60001 + target);
    }
    cr_expect_leq(in.ledger_count, FLOW_RETURNED_MAX);
    flow_in_refuse(&in, 7, 90000, 90001);
    cr_expect(in.tell, "but who was is told of");
    flow_in_clear(&in);
}

Test(flow, a_probe_finds_that_a_full_window_of_what_goes_again_is_lost)
{
    flow_out_t out = new_out();
    flow_in_t in;
    flow_in_init(&in);
    for (size_t i = 0; i < FLOW_WINDOW_FIRST; i++) {
        (void)send_one(&out, 1, false, 0);
    }
    cr_expect(flow_out_lost(&out, out.path, 0, 0));
    flow_out_begin(&out, out.path + 1, 0);
    cr_expect_not(flow_out_asks(&out), "the first will say how far it is");
    flow_stamp_t stamp;
    flow_stamp_t last = {0};
    while (flow_out_again(&out, 0, &stamp) != NULL) {
        last = stamp;
    }
    cr_assert(flow_out_resending(&out), "more than the halved window");
    cr_assert(flow_out_asks(&out));
    flow_out_probe(&out, FLOW_PROBE_MS, &stamp);
    cr_expect_eq(stamp.first, last.first + 1, "behind what went");
    cr_expect_eq(flow_in_frame(&in, &stamp), FLOW_LOST);
    flow_in_clear(&in);
    flow_out_clear(&out);
}

Test(flow, settled_out_of_order_is_told_as_ranges)
{
    flow_out_t out = new_out();
    flow_in_t in;
    record_t *records[6];
    flow_in_init(&in);
    for (int i = 0; i < 6; i++) {
        flow_stamp_t stamp = send_one(&out, 10, true, 0);
        cr_assert_eq(flow_in_frame(&in, &stamp), FLOW_TAKE);
        records[i] = flow_in_open(&in, 7, stamp.first, stamp.first + 10);
    }
    flow_in_done(&in, 7, records[0]);
    flow_in_done(&in, 7, records[2]);
    flow_in_done(&in, 7, records[3]);
    flow_in_done(&in, 7, records[5]);
    Edri__Wire__Flow *word = flow_in_word(&in);
    cr_assert_eq(word->n_settled, 1);
    const Edri__Wire__Settled *settled = word->settled[0];
    cr_expect_eq(settled->below, 1010);
    cr_assert_eq(settled->n_ranges, 2);
    cr_expect_eq(settled->ranges[0]->first, 1020);
    cr_expect_eq(settled->ranges[0]->count, 20);
    cr_expect_eq(settled->ranges[1]->first, 1050);
    cr_expect(flow_out_arrived(&out, word->arrived, 0));
    cr_expect(flow_out_settled(&out, 7, 0, settled->below));
    cr_expect(flow_out_settled(&out, 7, 1020, 1040));
    cr_expect_eq(flow_out_held(&out, 7), 300);
    cr_expect_eq(flow_out_held(&out, 8), 0);
    cr_expect_eq(flow_in_word(&in)->n_settled, 0, "nothing new");
    flow_in_retell(&in);
    cr_expect_eq(flow_in_word(&in)->n_settled, 1, "but all when asked");
    flow_in_done(&in, 7, records[1]);
    flow_in_done(&in, 7, records[4]);
    cr_expect_eq(flow_in_word(&in)->settled[0]->below, 1060);
    flow_in_clear(&in);
    flow_out_clear(&out);
}

Test(flow, words_about_what_was_never_sent_are_refused)
{
    flow_out_t out = new_out();
    (void)send_one(&out, 10, true, 0);
    cr_expect_not(flow_out_arrived(&out, 1011, 0));
    cr_expect_eq(out.arrived, 1000);
    cr_expect_not(flow_out_settled(&out, 7, 0, 1011));
    cr_expect_not(flow_out_settled(&out, 7, 1009, 1005));
    cr_expect(flow_out_settled(&out, 9, 0, 1010), "nobody's frames: nothing");
    cr_expect_eq(out.weight, 100);
    flow_out_clear(&out);
}

Test(flow, a_denied_frame_leaves_no_hole)
{
    flow_out_t out = new_out();
    flow_in_t in;
    flow_in_init(&in);
    flow_stamp_t a = send_one(&out, 3, false, 0);
    flow_stamp_t b = send_one(&out, 4, false, 0);
    flow_stamp_t c = send_one(&out, 5, false, 0);
    cr_expect_eq(flow_in_frame(&in, &a), FLOW_TAKE);
    cr_expect_eq(flow_out_deny(&out, b.first), 100);
    cr_expect_eq(flow_out_deny(&out, b.first), 0);
    flow_out_begin(&out, 2, 0);
    flow_stamp_t again;
    cr_expect_eq(flow_out_again(&out, 0, &again)->first, a.first);
    cr_expect_eq(flow_in_frame(&in, &again), FLOW_DUPLICATE);
    cr_expect_eq(flow_out_again(&out, 0, &again)->first, c.first);
    cr_expect_eq(again.skipped, 4);
    cr_expect_eq(flow_in_frame(&in, &again), FLOW_TAKE);
    flow_in_clear(&in);
    flow_out_clear(&out);
}

// The word that events are settled went with a session that ended: the source
// holds them, and has nothing else to say.
Test(flow, what_was_settled_is_told_again_on_a_new_path)
{
    flow_out_t out = new_out();
    flow_in_t in;
    flow_in_init(&in);
    flow_stamp_t a = send_one(&out, 2, true, 0);
    cr_expect_eq(flow_in_frame(&in, &a), FLOW_TAKE);
    cr_expect(flow_out_arrived(&out, flow_in_word(&in)->arrived, 10));
    flow_in_done(&in, 7, flow_in_open(&in, 7, a.first, a.first + 2));
    cr_expect_eq(flow_in_word(&in)->n_settled, 1, "this one is lost");
    cr_expect_eq(flow_out_due(&out), 10 + FLOW_REMIND_MS);
    flow_out_begin(&out, 2, 20);
    cr_expect_eq(flow_out_due(&out), 20 + FLOW_PROBE_MS, "it asks soon");
    flow_out_probe(&out, 220, &a);
    cr_expect_eq(flow_out_due(&out), 220 + 2 * FLOW_PROBE_MS, "and again");
    cr_expect_eq(flow_in_frame(&in, &a), FLOW_DUPLICATE);
    const Edri__Wire__Flow *word = flow_in_word(&in);
    cr_assert_eq(word->n_settled, 1);
    cr_expect(flow_out_settled(&out, 7, 0, word->settled[0]->below));
    cr_expect_eq(flow_out_due(&out), INT64_MAX);
    flow_in_clear(&in);
    flow_out_clear(&out);
}

Test(flow, a_receiver_that_knows_the_path_is_not_asked_soon)
{
    flow_out_t out = new_out();
    (void)send_one(&out, 2, true, 0);
    cr_expect(flow_out_arrived(&out, 1002, 10));
    flow_out_begin(&out, 2, 20);
    flow_out_known(&out, 1, 0);
    cr_expect_eq(flow_out_due(&out), 20 + FLOW_PROBE_MS);
    flow_out_known(&out, 2, 0);
    cr_expect_eq(flow_out_due(&out), 20 + FLOW_REMIND_MS);
    flow_out_clear(&out);
}

// What arrived before an outage is told after it: that was no round trip.
Test(flow, an_outage_does_not_make_probes_rare)
{
    flow_out_t out = new_out();
    for (int i = 0; i < 8; i++) {
        (void)send_one(&out, 1, false, 0);
    }
    cr_expect(flow_out_arrived(&out, out.next, 9000), "all of them late");
    (void)send_one(&out, 1, false, 9000);
    cr_expect_leq(flow_out_due(&out), 9000 + FLOW_PROBE_MAX_MS);
    flow_out_clear(&out);
}

// The path began over a session of the receiver that was dead already.  Its next
// one says what it knows: an older path.
Test(flow, a_word_of_an_older_path_asks_at_once)
{
    flow_out_t out = new_out();
    flow_stamp_t probe;
    (void)send_one(&out, 2, false, 0);
    flow_out_begin(&out, 2, 100);
    flow_out_known(&out, 1, 400);
    cr_expect_eq(flow_out_due(&out), 100 + FLOW_PROBE_MS, "nothing is there");
    flow_stamp_t again;
    cr_assert_not_null(flow_out_again(&out, 100, &again));
    flow_out_known(&out, 1, 100 + FLOW_DOUBT_MS - 1);
    cr_expect_eq(flow_out_due(&out), 100 + FLOW_PROBE_MS, "it crossed");
    flow_out_known(&out, 2, 100 + FLOW_DOUBT_MS);
    cr_expect_eq(flow_out_due(&out), 100 + FLOW_PROBE_MS, "it is known");
    flow_out_known(&out, 1, 100 + FLOW_DOUBT_MS);
    cr_expect_eq(flow_out_due(&out), 100, "now");
    flow_out_probe(&out, 100 + FLOW_DOUBT_MS, &probe);
    flow_out_known(&out, 1, 100 + FLOW_DOUBT_MS + 1);
    cr_expect_gt(flow_out_due(&out), 100 + FLOW_DOUBT_MS, "once");
    flow_out_clear(&out);
}

// Answers were lost on their way, and the pauses between questions have grown.  A
// session begins: answers may take it, so it is asked at once.
Test(flow, a_session_that_begins_asks_at_once)
{
    flow_out_t out = new_out();
    flow_stamp_t probe;
    flow_out_wonder(&out);
    cr_expect_eq(flow_out_due(&out), INT64_MAX, "nothing is open");
    (void)send_one(&out, 2, false, 0);
    for (int64_t at = 1000; at < 4000; at += 1000) {
        flow_out_probe(&out, at, &probe);
    }
    cr_expect_geq(flow_out_due(&out), 3000 + FLOW_PROBE_MAX_MS);
    flow_out_wonder(&out);
    cr_expect_eq(flow_out_due(&out), 3000, "now");
    flow_out_probe(&out, 3100, &probe);
    cr_expect_gt(flow_out_due(&out), 3100, "once");
    // Nothing has gone on this path: that asks for itself when it goes.
    flow_out_begin(&out, 2, 3200);
    flow_out_wonder(&out);
    cr_expect_eq(flow_out_due(&out), 3200 + FLOW_PROBE_MS);
    flow_out_clear(&out);
}

static size_t visited;

static void
visit(const packet_t *packet, void *arg)
{
    uint64_t *last = arg;
    cr_expect_gt(packet->first, *last, "in order");
    *last = packet->first;
    visited++;
}

// A manager has returned what it had not begun, and its node lives.
Test(flow, what_is_returned_is_taken_back_when_nothing_else_is_open)
{
    flow_out_t out = new_out();
    uint64_t last = 0;
    for (int i = 0; i < 3; i++) {
        (void)send_one(&out, 2, true, 0);
    }
    cr_expect(flow_out_arrived(&out, 1006, 0));
    cr_expect(flow_out_returned(&out, 7, 1002, 1006));
    cr_expect_not(flow_out_all_returned(&out, 7), "the first is still there");
    cr_expect(flow_out_settled(&out, 7, 0, 1002));
    cr_expect(flow_out_all_returned(&out, 7));
    (void)send_one(&out, 2, true, 0);
    cr_expect_not(flow_out_all_returned(&out, 7), "one is on its way");
    cr_expect(flow_out_arrived(&out, 1008, 0));
    cr_expect(flow_out_returned(&out, 7, 1006, 1008));
    visited = 0;
    flow_out_take_returned(&out, 7, visit, &last);
    cr_expect_eq(visited, 3);
    cr_expect(out.weight == 0 && out.held_weight == 0, "nothing is left");
    cr_expect_eq(flow_out_due(&out), INT64_MAX);
    flow_out_clear(&out);
}

Test(flow, giving_up_hands_back_all_that_is_not_settled)
{
    flow_out_t out = new_out();
    uint64_t last = 0;
    for (int i = 0; i < 5; i++) {
        (void)send_one(&out, 2, true, 0);
    }
    cr_expect(flow_out_arrived(&out, 1006, 0));
    cr_expect(flow_out_settled(&out, 7, 0, 1002));
    visited = 0;
    flow_out_give_up(&out, visit, &last);
    cr_expect_eq(visited, 4);
    cr_expect_eq(dropped, 1);
    cr_expect_eq(out.weight, 0);
    cr_expect_eq(out.gone, 1010);
    flow_out_begin(&out, 9, 0);
    flow_stamp_t next = send_one(&out, 1, true, 0);
    cr_expect(next.first == 1010 && next.opens, "no seq comes twice");
    flow_out_clear(&out);
}

Test(flow, the_books_notice_what_the_source_did_not_send)
{
    flow_out_t out = new_out();
    flow_in_t in;
    flow_in_init(&in);
    flow_stamp_t a = send_one(&out, 2, false, 0);
    flow_stamp_t b = send_one(&out, 2, false, 0);
    cr_expect_eq(flow_in_frame(&in, &a), FLOW_TAKE);
    cr_expect(flow_in_sum(&in, &a, 1), "what is behind 'before' is not known");
    cr_expect_eq(flow_in_frame(&in, &b), FLOW_TAKE);
    cr_expect_not(flow_in_sum(&in, &b, 62), "a's sum was 62, not 1");
    cr_expect_eq(in.differs, 1);
    flow_in_clear(&in);
    flow_out_clear(&out);
}

Test(flow, the_window_bounds_what_is_under_way_and_grows_by_round_trips)
{
    flow_out_t out = new_out();
    size_t sent = 0;
    while (flow_out_open(&out, 0)) {
        (void)send_one(&out, 1, false, 0);
        sent++;
    }
    cr_expect_eq(sent, FLOW_WINDOW_FIRST);
    cr_expect(flow_out_arrived(&out, out.next, 10));
    cr_expect_eq(out.window, FLOW_WINDOW_FIRST + 1);
    cr_expect(flow_out_lost(&out, 1, 50, 10));
    flow_out_begin(&out, 2, 10);
    cr_expect_not(flow_out_open(&out, 59), "a full switch gets a pause");
    cr_expect(flow_out_open(&out, 60));
    flow_out_clear(&out);
}

// One flow over a network that loses frames and words, from seeds: everything
// is taken once, in order, and all is settled in the end.
Test(flow, any_losses)
{
    for (unsigned seed = 1; seed <= 300; seed++) {
        unsigned state = seed;
        flow_out_t out = new_out();
        flow_in_t in;
        uint64_t path = 1;
        uint64_t taken = 1000;
        int64_t now = 0;
        flow_in_init(&in);
        for (int step = 0; step < 400 || out.weight > 0; step++) {
            cr_assert_lt(step, 20000, "seed %u does not end", seed);
            bool calm = step >= 400;
            flow_stamp_t stamp = {0};
            bool any = flow_out_again(&out, now, &stamp) != NULL;
            if (!any && !calm && flow_out_open(&out, now)) {
                stamp = send_one(&out, 1 + rand_r(&state) % 3, true, now);
                any = true;
            } else if (!any && now >= flow_out_due(&out)) {
                flow_out_probe(&out, now, &stamp);
                any = true;
            }
            now += 1 + rand_r(&state) % 50;
            if (any && (calm || rand_r(&state) % 10 > 0)) {
                if (stamp.events == 0) {
                    flow_in_retell(&in); // a PROBE
                }
                if (flow_in_frame(&in, &stamp) == FLOW_TAKE &&
                    stamp.events > 0) {
                    cr_assert_eq(stamp.first, taken, "seed %u", seed);
                    taken += stamp.events;
                    flow_in_done(
                        &in, 7, flow_in_open(&in, 7, stamp.first, taken));
                }
            }
            if (calm || rand_r(&state) % 4 == 0) {
                Edri__Wire__Flow *word = flow_in_word(&in);
                cr_assert(flow_out_arrived(&out, word->arrived, now));
                for (size_t i = 0; i < word->n_settled; i++) {
                    cr_assert(
                        flow_out_settled(&out, 7, 0, word->settled[i]->below));
                }
                if (word->lost && flow_out_lost(&out, word->path, 0, now)) {
                    flow_out_begin(&out, ++path, now);
                }
            }
        }
        cr_expect_eq(taken, out.next, "seed %u", seed);
        flow_in_clear(&in);
        flow_out_clear(&out);
    }
}
