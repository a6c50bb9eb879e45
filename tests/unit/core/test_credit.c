// SPDX-License-Identifier: MIT
// test_credit.c - sources and one manager's queue: bounded, and never stuck.

#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/credit.h"

TestSuite(credit, .timeout = 60);

Test(credit, example)
{
    credit_out_t out;
    credit_in_t in;
    credit_out_init(&out, 4096);
    credit_in_init(&in, 4096);
    cr_expect(credit_out_may(&out, 4096));
    cr_expect_not(credit_out_may(&out, 4097));
    credit_out_sent(&out, 4000);
    cr_expect(credit_in_received(&in, 4000));
    cr_expect_eq(credit_in_open(&in), 96);
    cr_expect_not(credit_out_may(&out, 100));
    // The queue is large and empty again: more is granted and told.
    cr_expect(credit_in_grant(&in, 1 << 20, 0, credit_in_open(&in), 1));
    credit_out_granted(&out, in.granted, in.consumed);
    cr_expect(credit_out_may(&out, 100000));
    cr_expect_eq(out.consumed, 4000);
    // Words are absolute: old ones change nothing.
    credit_out_granted(&out, 10, 10);
    cr_expect(credit_out_may(&out, 100000));
    cr_expect_eq(out.consumed, 4000);
}

Test(credit, more_than_granted_breaks_the_protocol)
{
    credit_in_t in;
    credit_in_init(&in, 100);
    cr_expect(credit_in_received(&in, 100));
    cr_expect_not(credit_in_received(&in, 1));
    cr_expect_eq(credit_in_open(&in), 0);
}

Test(credit, a_large_event_is_announced_once)
{
    credit_out_t out;
    credit_in_t in;
    credit_out_init(&out, 4096);
    credit_in_init(&in, 4096);
    cr_expect_not(credit_out_may(&out, 1 << 20));
    cr_expect(credit_out_want(&out, 1 << 20));
    cr_expect_not(credit_out_want(&out, 1 << 20));
    // It is larger than the queue's limit: granted when that is empty.
    in.want = out.wanted;
    cr_expect_not(credit_in_grant(&in, 1 << 16, 50000, 4096, 1));
    cr_expect(credit_in_grant(&in, 1 << 16, 0, 4096, 1));
    credit_out_granted(&out, in.granted, in.consumed);
    cr_expect(credit_out_may(&out, 1 << 20));
}

// An early source holds grants that it does not use; a late one must still get
// its frames through.
Test(credit, idle_sources_do_not_starve_a_busy_one)
{
    enum {
        SOURCES = 40
    };
    credit_in_t in[SOURCES];
    size_t limit = 8 << 20;
    uint64_t open = 0;
    for (int i = 0; i < SOURCES; i++) {
        credit_in_init(&in[i], CREDIT_MIN);
        (void)credit_in_grant(&in[i], limit, 0, open, 1);
        open += credit_in_open(&in[i]);
    }
    credit_in_t late;
    credit_in_init(&late, CREDIT_MIN);
    cr_expect(credit_in_received(&late, CREDIT_MIN));
    cr_expect(credit_in_grant(&late, limit, CREDIT_MIN, open, SOURCES + 1));
    cr_expect_geq(credit_in_open(&late), CREDIT_MAX);
}

// ----- a whole life, from a seed

enum {
    SOURCES = 5,
    EVENTS = 400,
    RING = 4096
};

typedef struct word {
    int source;
    size_t size;
} word_t;

typedef struct ring {
    word_t words[RING];
    size_t first, last;
} ring_t;

static void
put(ring_t *ring, word_t word)
{
    cr_assert_lt(ring->last - ring->first, RING);
    ring->words[ring->last++ % RING] = word;
}

typedef struct source {
    credit_out_t out;
    int sent;
    size_t next; // size of its next event
    // What the receiver said and has not come yet: the newest is enough.
    uint64_t limit, consumed;
} source_t;

static void
simulate(unsigned seed)
{
    size_t limit = (size_t)8192 << rand_r(&seed) % 10;
    source_t sources[SOURCES];
    credit_in_t in[SOURCES];
    ring_t *link = calloc(1, sizeof *link);
    ring_t *queue = calloc(1, sizeof *queue);
    size_t used = 0, highest = 0, largest = 0;
    int done = 0;
    memset(sources, 0, sizeof sources);
    for (int i = 0; i < SOURCES; i++) {
        uint64_t share = limit / SOURCES;
        uint64_t initial = share < CREDIT_MIN   ? CREDIT_MIN
                           : share > CREDIT_MAX ? CREDIT_MAX
                                                : share;
        credit_out_init(&sources[i].out, initial);
        credit_in_init(&in[i], initial);
        sources[i].limit = initial;
        sources[i].next = 100;
    }
    long idle = 0;
    while (done < SOURCES * EVENTS) {
        int i = rand_r(&seed) % SOURCES;
        source_t *source = &sources[i];
        bool moved = false;
        switch (rand_r(&seed) % 4) {
        case 0: // a source sends or announces
            if (source->sent == EVENTS) {
                break;
            }
            if (credit_out_may(&source->out, source->next)) {
                credit_out_sent(&source->out, source->next);
                put(link, (word_t){i, source->next});
                source->sent++;
                source->next = 50 + (size_t)rand_r(&seed) % 3000;
                if (rand_r(&seed) % 50 == 0) {
                    source->next *= 100;
                }
                largest = source->next > largest ? source->next : largest;
                moved = true;
            } else if (credit_out_want(&source->out, source->next)) {
                in[i].want = source->out.wanted; // overtakes what is under way
                moved = true;
            }
            break;
        case 1: // the link delivers
            if (link->first < link->last) {
                word_t word = link->words[link->first++ % RING];
                cr_assert(credit_in_received(&in[word.source], word.size));
                used += word.size;
                put(queue, word);
                moved = true;
            }
            break;
        case 2: // the manager handles one
            if (queue->first < queue->last) {
                used -= queue->words[queue->first++ % RING].size;
                done++;
                moved = true;
            }
            break;
        default: // a grant comes; it may be late, and only the newest
            moved = source->limit > source->out.limit;
            credit_out_granted(&source->out, source->limit, source->consumed);
            break;
        }
        highest = used > highest ? used : highest;
        for (int j = 0; moved && j < SOURCES; j++) {
            uint64_t open = 0;
            for (int k = 0; k < SOURCES; k++) {
                open += credit_in_open(&in[k]);
            }
            if (credit_in_grant(&in[j], limit, used, open, SOURCES)) {
                sources[j].limit = in[j].granted;
                sources[j].consumed = in[j].consumed;
            }
            cr_assert_leq(in[j].consumed, in[j].received);
        }
        idle = moved ? 0 : idle + 1;
        cr_assert_lt(idle, 2000, "stuck: limit %zu, used %zu, %d done", limit,
            used, done);
    }
    // The limit, the two frames that each source may always have, and an event
    // that is larger than both.
    cr_expect_leq(highest, limit + SOURCES * 2 * CREDIT_MAX + largest,
        "limit %zu", limit);
    free(link);
    free(queue);
}

Test(credit, random_lives)
{
    for (unsigned seed = 1; seed <= 150; seed++) {
        simulate(seed);
    }
}
