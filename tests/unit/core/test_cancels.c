// SPDX-License-Identifier: MIT
// test_cancels.c - cancels that are remembered.

#include <criterion/criterion.h>

#include "core/cancels.h"

TestSuite(cancels, .timeout = 5);

Test(cancels, example)
{
    cancels_t cancels = {0};
    cr_expect_not(cancels_has(&cancels, 1, 7, 0));
    cancels_add(&cancels, 1, 7, 0);
    cr_expect(cancels_has(&cancels, 1, 7, 0));
    cr_expect(cancels_has(&cancels, 1, 7, 0), "as often as it is asked");
    cr_expect_not(cancels_has(&cancels, 2, 7, 0), "another life");
    cr_expect_not(cancels_has(&cancels, 1, 8, 0), "another request");
}

Test(cancels, are_forgotten_after_a_while)
{
    cancels_t cancels = {0};
    cancels_add(&cancels, 1, 7, 1000);
    cr_expect(cancels_has(&cancels, 1, 7, 1000 + CANCELS_KEEP_MS - 1));
    cr_expect_not(cancels_has(&cancels, 1, 7, 1000 + CANCELS_KEEP_MS));
    cancels_add(&cancels, 1, 8, 1000 + CANCELS_KEEP_MS);
    cr_expect_eq(cancels.count, 1);
}

Test(cancels, the_oldest_makes_room)
{
    cancels_t cancels = {0};
    for (uint64_t id = 1; id <= 3 * CANCELS_MAX + 5; id++) {
        cancels_add(&cancels, 1, id, (int64_t)id);
    }
    cr_expect_eq(cancels.count, CANCELS_MAX);
    for (uint64_t id = 1; id <= 3 * CANCELS_MAX + 5; id++) {
        cr_expect_eq(cancels_has(&cancels, 1, id, 1000),
            id > 2 * CANCELS_MAX + 5, "%lu", id);
    }
}

Test(cancels, a_life_stands_for_all_its_requests_until_it_is_back)
{
    cancels_t cancels = {0};
    cancels_add(&cancels, 1, 7, 0);
    cancels_add(&cancels, 2, CANCELS_ALL, 0);
    cancels_add(&cancels, 3, 9, 0);
    cancels_add(&cancels, 2, 5, 0);
    cr_expect(cancels_has(&cancels, 2, 1, 0));
    cr_expect(cancels_has(&cancels, 2, 2, 0));
    cr_expect_not(cancels_has(&cancels, 1, 1, 0));
    cancels_forget(&cancels, 2);
    cr_expect_not(cancels_has(&cancels, 2, 1, 0));
    cr_expect_not(cancels_has(&cancels, 2, 5, 0));
    cr_expect(cancels_has(&cancels, 1, 7, 0));
    cr_expect(cancels_has(&cancels, 3, 9, 0));
    cr_expect_eq(cancels.count, 2);
}
