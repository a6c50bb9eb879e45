// SPDX-License-Identifier: MIT
// test_keys.c - which member of a group gets the events of a key.

#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/keys.h"

TestSuite(keys, .timeout = 30);

static const keys_member_t members[] = {
    {11, 1}, {22, 1}, {33, 4}, {44, 1}, {11, 2}};

// settled_t is up to which epoch each member has settled all.
typedef struct settled {
    uint64_t below[5];
} settled_t;

static bool
drained(const keys_member_t *member, uint64_t epoch, void *arg)
{
    const settled_t *settled = arg;
    for (int i = 0; i < 5; i++) {
        if (members[i].life == member->life &&
            members[i].target == member->target) {
            return settled->below[i] >= epoch;
        }
    }
    cr_assert_fail("an unknown member");
    return false;
}

Test(keys, example)
{
    keys_t keys = {0};
    settled_t settled = {0};
    cr_expect(keys_set(&keys, members, 2, 1));
    cr_expect_not(keys_set(&keys, members, 2, 2), "as before");
    size_t owner[1000];
    size_t first = 0;
    for (uint64_t key = 0; key < 1000; key++) {
        owner[key] = keys_pick(&keys, key);
        cr_assert_eq(keys_may(&keys, key, drained, &settled), KEYS_STAY);
        first += owner[key] == 0;
    }
    cr_expect(first > 400 && first < 600, "%zu", first);

    cr_expect(keys_set(&keys, members, 3, 2)); // one more comes
    size_t moved = 0;
    for (uint64_t key = 0; key < 1000; key++) {
        bool moves = keys_pick(&keys, key) != owner[key];
        moved += moves;
        cr_assert_eq(keys_may(&keys, key, drained, &settled),
            moves ? KEYS_WAIT : KEYS_STAY);
    }
    cr_expect(moved > 250 && moved < 420, "a third: %zu", moved);

    settled.below[0] = 2; // the first has settled all that it had
    for (uint64_t key = 0; key < 1000; key++) {
        bool moves = keys_pick(&keys, key) != owner[key];
        keys_may_t wanted = !moves ? KEYS_STAY : KEYS_WAIT;
        if (moves && owner[key] == 0) {
            wanted = KEYS_MAY;
        }
        cr_assert_eq(keys_may(&keys, key, drained, &settled), wanted);
    }
    cr_expect(keys_tidy(&keys, drained, &settled));
    settled.below[1] = 2;
    cr_expect_not(keys_tidy(&keys, drained, &settled));
    keys_clear(&keys);
}

// Whatever comes and goes: an event goes only where all older ones of its key
// are settled, or to the same member.
Test(keys, any_changes)
{
    for (unsigned seed = 1; seed <= 100; seed++) {
        unsigned state = seed;
        keys_t keys = {0};
        settled_t settled = {0};
        uint64_t epoch = 0;
        uint64_t given[50] = {0}; // by key: epoch of the newest, plus 1
        size_t at[50] = {0};
        for (int step = 0; step < 2000; step++) {
            int what = rand_r(&state) % 40;
            if (what == 0) {
                keys_member_t list[5];
                size_t count = 0;
                for (int i = 0; i < 5; i++) {
                    if (rand_r(&state) % 2 > 0) {
                        list[count++] = members[i];
                    }
                }
                if (count > 0 && keys_set(&keys, list, count, epoch + 1)) {
                    epoch++;
                }
            } else if (what < 6) {
                settled.below[rand_r(&state) % 5] = epoch;
                (void)keys_tidy(&keys, drained, &settled);
            } else if (keys.now.count > 0) {
                uint64_t key = (uint64_t)rand_r(&state) % 50;
                const keys_member_t *to =
                    &keys.now.members[keys_pick(&keys, key)];
                size_t index = 0;
                while (members[index].life != to->life ||
                       members[index].target != to->target) {
                    index++;
                }
                if (keys_may(&keys, key, drained, &settled) != KEYS_WAIT) {
                    cr_assert(given[key] == 0 || at[key] == index ||
                                  settled.below[at[key]] >= given[key],
                        "seed %u step %d", seed, step);
                    given[key] = epoch + 1;
                    at[key] = index;
                }
            }
        }
        keys_clear(&keys);
    }
}
