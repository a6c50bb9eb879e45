// SPDX-License-Identifier: MIT
// test_audience.c - holders of a table, and who waits for them.

#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/audience.h"

TestSuite(audience, .timeout = 60);

Test(audience, example)
{
    audience_t self;
    audience_init(&self);
    audience_add(&self, 1);
    audience_add(&self, 2);
    // Session 1 has made version 5: only 2 is waited for.
    size_t open = 0;
    wait_t wait = {.session = 1, .open = &open};
    audience_wait(&self, &wait, 5);
    cr_expect_eq(open, 1);
    cr_expect(audience_misses(&self, 2, 5));
    cr_expect_eq(audience_seen(&self, 2, 4), 0);
    cr_expect_eq(audience_seen(&self, 1, 5), 0, "its own word does not count");
    cr_expect_eq(audience_seen(&self, 2, 5), 1);
    cr_expect_eq(open, 0);
    cr_expect_not(audience_misses(&self, 2, 5));
    audience_forget(&self, &wait);
    audience_clear(&self);
}

Test(audience, one_that_comes_later_is_waited_for)
{
    audience_t self;
    audience_init(&self);
    size_t open = 0;
    wait_t wait = {.session = 1, .open = &open};
    audience_wait(&self, &wait, 5);
    cr_expect_eq(open, 0, "nobody is there");
    audience_add(&self, 2);
    audience_add(&self, 2);
    cr_expect_eq(open, 1);
    cr_expect_eq(audience_remove(&self, 2), 1);
    cr_expect_eq(audience_remove(&self, 2), 0);
    cr_expect_eq(open, 0);
    audience_forget(&self, &wait);
    audience_clear(&self);
}

// ----- the counts are what looking through everything gives

enum {
    SESSIONS = 6,
    WAITS = 40
};

typedef struct naive {
    bool holds[SESSIONS];
    uint64_t seen[SESSIONS];
    bool waits[WAITS];
    uint64_t version[WAITS];
    uint64_t session[WAITS];
} naive_t;

static size_t
missing(const naive_t *self, int wait)
{
    size_t count = 0;
    for (int i = 0; i < SESSIONS; i++) {
        count += self->holds[i] && (uint64_t)i + 1 != self->session[wait] &&
                 self->seen[i] < self->version[wait];
    }
    return count;
}

static void
step_holder(audience_t *self, naive_t *naive, unsigned *random, uint64_t newest)
{
    int who = rand_r(random) % SESSIONS;
    switch (rand_r(random) % 4) {
    case 0:
        audience_add(self, (uint64_t)who + 1);
        naive->seen[who] = naive->holds[who] ? naive->seen[who] : 0;
        naive->holds[who] = true;
        break;
    case 1:
        (void)audience_remove(self, (uint64_t)who + 1);
        naive->holds[who] = false;
        break;
    default: {
        uint64_t version = (uint64_t)rand_r(random) % (newest + 1);
        (void)audience_seen(self, (uint64_t)who + 1, version);
        if (version > naive->seen[who]) {
            naive->seen[who] = version;
        }
        break;
    }
    }
}

static void
step_wait(audience_t *self, naive_t *naive, unsigned *random, uint64_t newest,
    wait_t *waits, size_t *open)
{
    int at = rand_r(random) % WAITS;
    if (naive->waits[at]) {
        audience_forget(self, &waits[at]);
        naive->waits[at] = false;
        return;
    }
    open[at] = 0;
    waits[at] = (wait_t){
        .session = (uint64_t)rand_r(random) % SESSIONS + 1, .open = &open[at]};
    audience_wait(self, &waits[at], newest);
    naive->waits[at] = true;
    naive->version[at] = newest;
    naive->session[at] = waits[at].session;
}

Test(audience, the_counts_are_right_whatever_happens)
{
    for (unsigned seed = 1; seed <= 100; seed++) {
        unsigned random = seed;
        uint64_t newest = 1;
        naive_t naive = {0};
        wait_t waits[WAITS];
        size_t open[WAITS] = {0};
        audience_t self;
        audience_init(&self);
        for (int step = 0; step < 500; step++) {
            newest += (uint64_t)rand_r(&random) % 2;
            if (rand_r(&random) % 2 == 0) {
                step_holder(&self, &naive, &random, newest);
            } else {
                step_wait(&self, &naive, &random, newest, waits, open);
            }
            for (int i = 0; i < WAITS; i++) {
                size_t count = missing(&naive, i);
                cr_assert(!naive.waits[i] || waits[i].missing == count,
                    "seed %u, step %d", seed, step);
                cr_assert(!naive.waits[i] || open[i] == (count > 0));
            }
        }
        audience_clear(&self);
    }
}
