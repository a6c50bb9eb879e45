// SPDX-License-Identifier: MIT
// test_retain.c - what is kept for those who come late.

#include <criterion/criterion.h>

#include "core/retain.h"

TestSuite(retain, .timeout = 30);

static retained_t *
add(retain_t *self, uint64_t id, size_t body, int64_t now_ms)
{
    static uint8_t bytes[70000];
    static uint8_t zeros[65536];
    envelope_t env = {.type = 7, .id = id, .body = {zeros, body}};
    size_t size = envelope_size(&env, body);
    uint8_t *place = envelope_write(&env, body, bytes, size);
    memcpy(place, zeros, body);
    slice_t rest = {bytes, size};
    slice_t item;
    slice_t content;
    cr_assert(batch_next(&rest, &item, &content));
    return retain_add(self, content, &(run_t){0}, NULL, now_ms);
}

Test(retain, example)
{
    retain_t kept;
    retain_init(&kept, 3, 0, 0);
    for (uint64_t id = 1; id <= 5; id++) {
        retained_t *one = add(&kept, 100 + id, 10, 1000);
        cr_assert_not_null(one);
        cr_expect_eq(one->position, id);
        // The position is in what is sent.
        slice_t rest = {one->item, one->size};
        slice_t item;
        slice_t content;
        envelope_t env;
        cr_assert(batch_next(&rest, &item, &content));
        cr_assert_eq(envelope_read(content, &env), EDRI_OK);
        cr_expect_eq(env.position, id);
        cr_expect_eq(env.id, 100 + id);
        cr_expect_eq(env.body.len, 10);
        one->given = id != 2;
    }
    cr_expect_eq(retain_trim(&kept, 1000), 1, "one that nobody got");
    cr_expect_eq(retain_behind(&kept, 0)->position, 3);
    cr_expect_eq(retain_behind(&kept, 3)->position, 4);
    cr_expect_eq(retain_behind(&kept, 4)->position, 5);
    cr_expect_null(retain_behind(&kept, 5));
    cr_expect_null(retain_behind(&kept, 77), "a position of the future");
    retain_clear(&kept);
}

Test(retain, by_age)
{
    retain_t kept;
    retain_init(&kept, 0, 1000, 0);
    cr_expect_eq(retain_since(&kept, 500, 5000), 0);
    for (int64_t at = 0; at < 20; at++) {
        (void)add(&kept, 1, 1, 1000 + at * 100);
    }
    cr_expect_eq(retain_since(&kept, 500, 2900), 14, "6 are not older");
    cr_expect_eq(retain_since(&kept, 60000, 2900), 0);
    cr_expect_eq(retain_since(&kept, 10, 9000), 20, "none");
    cr_expect_eq(retain_trim(&kept, 2900), 9);
    cr_expect_eq(kept.count, 11);
    cr_expect_eq(retain_since(&kept, 60000, 2900), 9);
    cr_expect_eq(retain_trim(&kept, 99999), 11);
    cr_expect_eq(kept.bytes, 0);
    cr_expect_null(retain_behind(&kept, 0));
    cr_expect_eq(add(&kept, 1, 1, 99999)->position, 21);
    cr_expect_eq(retain_behind(&kept, 3)->position, 21);
    retain_clear(&kept);
}

Test(retain, bytes_are_bounded)
{
    retain_t kept;
    retain_init(&kept, 0, 0, 100000);
    for (uint64_t i = 0; i < 5000; i++) {
        (void)add(&kept, i, i % 3000, 0);
        (void)retain_trim(&kept, 0);
        cr_assert_leq(kept.bytes, 100000);
        cr_assert_not_null(retain_behind(&kept, i));
    }
    // The newest is kept whatever its size.
    retain_clear(&kept);
    retain_init(&kept, 0, 0, 100);
    (void)add(&kept, 1, 60000, 0);
    cr_expect_eq(retain_trim(&kept, 0), 0);
    cr_expect_eq(kept.count, 1);
    retain_clear(&kept);
}

Test(retain, groups)
{
    retain_t kept;
    retain_init(&kept, 0, 0, 0);
    cr_expect_eq(*retain_group(&kept, "a"), 0);
    *retain_group(&kept, "a") = 5;
    *retain_group(&kept, "b") = 6;
    cr_expect_eq(*retain_group(&kept, "a"), 5);
    cr_expect_eq(*retain_group(&kept, "b"), 6);
    retain_clear(&kept);
}
