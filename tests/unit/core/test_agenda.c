// SPDX-License-Identifier: MIT
// test_agenda.c - what waits for a worker, and what comes next.

#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/agenda.h"

TestSuite(agenda, .timeout = 30);

static agenda_entry_t entries[64];

// put adds entry number 'at'; key 0: none.
static void
put(agenda_t *agenda, int at, uint8_t priority, uint64_t key, int64_t now_ms)
{
    entries[at] = (agenda_entry_t){.keyed = key != 0, .key = key};
    agenda_put(agenda, &entries[at], priority, now_ms);
}

// take returns the number of the next entry; -1: none.
static int
take(agenda_t *agenda, int64_t now_ms)
{
    agenda_entry_t *entry = agenda_take(agenda, now_ms);
    return entry != NULL ? (int)(entry - entries) : -1;
}

Test(agenda, example)
{
    agenda_t *agenda = agenda_new();
    put(agenda, 0, 3, 0, 1000);
    put(agenda, 1, 3, 0, 1000);
    put(agenda, 2, 7, 0, 1001);
    cr_expect_eq(take(agenda, 1001), 2, "the more urgent first");
    cr_expect_eq(take(agenda, 1001), 0, "then in their order");
    cr_expect_eq(take(agenda, 1001), 1);
    cr_expect_eq(take(agenda, 1001), -1);
    for (int i = 0; i < 3; i++) {
        agenda_done(agenda, &entries[i]);
    }
    agenda_destroy(&agenda);
}

static void
mark(agenda_entry_t *entry, void *arg)
{
    ((int *)arg)[entry - entries]++;
}

Test(agenda, each_visits_what_is_in_it)
{
    agenda_t *agenda = agenda_new();
    int seen[7] = {0};
    for (int i = 0; i < 6; i++) {
        put(agenda, i, 3, i < 4 ? 5 : 0, 0); // 1 to 3 stand behind 0
    }
    cr_expect_eq(take(agenda, 0), 0);
    cr_expect_eq(take(agenda, 0), 4);
    agenda_delay(agenda, &entries[4], 1000);
    agenda_each(agenda, mark, seen);
    cr_expect_arr_eq(
        seen, ((int[]){0, 1, 1, 1, 1, 1, 0}), sizeof seen, "0 is out");
    while (agenda_drop(agenda) != NULL) {
    }
    agenda_destroy(&agenda);
}

Test(agenda, the_lowest_still_moves)
{
    agenda_t *agenda = agenda_new();
    put(agenda, 0, 0, 0, 0);
    int64_t now_ms = 0;
    int last = 7;
    do { // a stream of the highest priority that never ends
        put(agenda, 1, 7, 0, now_ms);
        last = take(agenda, now_ms);
        now_ms += 100;
    } while (last != 0 && now_ms < 60000);
    cr_expect_eq(last, 0);
    cr_expect_leq(now_ms, 7 * AGENDA_AGE_MS + 200);
    while (take(agenda, now_ms) >= 0) {
    }
    agenda_destroy(&agenda);
}

Test(agenda, one_key_one_at_a_time_and_in_order)
{
    agenda_t *agenda = agenda_new();
    put(agenda, 0, 3, 5, 0);
    put(agenda, 1, 7, 5, 0); // however urgent
    put(agenda, 2, 3, 6, 0);
    cr_expect_eq(take(agenda, 0), 0);
    cr_expect_eq(take(agenda, 0), 2, "another key goes on");
    cr_expect_eq(take(agenda, 0), -1);
    cr_expect_eq(agenda_next(agenda), INT64_MAX);
    agenda_done(agenda, &entries[0]);
    cr_expect_eq(agenda_next(agenda), 0);
    cr_expect_eq(take(agenda, 0), 1);
    agenda_done(agenda, &entries[1]);
    agenda_done(agenda, &entries[2]);
    cr_expect_eq(agenda_count(agenda), 0);
    agenda_destroy(&agenda);
}

Test(agenda, a_key_that_waits_is_parked_alone)
{
    agenda_t *agenda = agenda_new();
    put(agenda, 0, 3, 5, 0);
    put(agenda, 1, 3, 5, 0);
    put(agenda, 2, 3, 6, 0);
    cr_expect_eq(take(agenda, 0), 0);
    agenda_delay(agenda, &entries[0], 100);
    cr_expect_eq(take(agenda, 0), 2);
    cr_expect_eq(agenda_next(agenda), 100);
    cr_expect_eq(take(agenda, 99), -1);
    cr_expect_eq(
        take(agenda, 100), 0, "its next try, before what is behind it");
    agenda_done(agenda, &entries[0]);
    cr_expect_eq(take(agenda, 100), 1);
    agenda_again(agenda, &entries[1]);
    put(agenda, 3, 3, 5, 100);
    cr_expect_eq(take(agenda, 100), 1, "what was put back keeps its place");
    agenda_done(agenda, &entries[1]);
    cr_expect_eq(take(agenda, 100), 3);
    agenda_destroy(&agenda);
}

Test(agenda, at_the_end_everything_comes_out)
{
    agenda_t *agenda = agenda_new();
    for (int i = 0; i < 9; i++) {
        put(agenda, i, 3, i < 6 ? 5 : 0, 0);
    }
    cr_expect_eq(take(agenda, 0), 0);
    agenda_delay(agenda, &entries[0], 1000);
    cr_expect_eq(agenda_count(agenda), 9);
    for (int i = 0; i < 9; i++) {
        cr_expect_not_null(agenda_drop(agenda));
    }
    cr_expect_null(agenda_drop(agenda));
    agenda_destroy(&agenda);
}

// Against the plain rule, from seeds: keys are in order and alone, and among
// what is ready the one with the lowest rank comes first.
Test(agenda, as_the_rule_says)
{
    for (unsigned seed = 1; seed <= 200; seed++) {
        unsigned state = seed;
        agenda_t *agenda = agenda_new();
        bool in[64] = {false};  // put and not done
        bool out[64] = {false}; // of these, taken
        int64_t due[64] = {0};  // of these, delayed until then
        uint64_t order[64] = {0};
        uint64_t puts = 0;
        int64_t now = 0;
        for (int step = 0; step < 2000; step++) {
            int at = rand_r(&state) % 64;
            now += rand_r(&state) % 40;
            if (!in[at]) {
                put(agenda, at, (uint8_t)(rand_r(&state) % 8),
                    (uint64_t)rand_r(&state) % 6, now);
                in[at] = true;
                out[at] = false;
                due[at] = 0;
                order[at] = puts++;
            } else if (out[at] && rand_r(&state) % 3 == 0) {
                due[at] = now + rand_r(&state) % 200;
                agenda_delay(agenda, &entries[at], due[at]);
                out[at] = false;
            } else if (out[at]) {
                agenda_done(agenda, &entries[at]);
                in[at] = out[at] = false;
            }
            if (rand_r(&state) % 2 > 0) {
                continue;
            }
            int best = -1;
            for (int i = 0; i < 64; i++) {
                bool ready = in[i] && !out[i] && due[i] <= now;
                for (int j = 0; ready && j < 64; j++) {
                    ready = !(in[j] && j != i && entries[i].keyed &&
                              entries[j].keyed &&
                              entries[i].key == entries[j].key &&
                              order[j] < order[i]);
                }
                if (ready &&
                    (best < 0 || entries[i].rank < entries[best].rank ||
                        (entries[i].rank == entries[best].rank &&
                            order[i] < order[best]))) {
                    best = i;
                }
            }
            cr_assert_eq(
                take(agenda, now), best, "seed %u step %d", seed, step);
            if (best >= 0) {
                out[best] = true;
                due[best] = 0;
            }
        }
        while (agenda_drop(agenda) != NULL) {
        }
        agenda_destroy(&agenda);
    }
}
