// SPDX-License-Identifier: MIT
// test_retry.c - whether and when what has failed is tried again.

#include <criterion/criterion.h>

#include "core/retry.h"

TestSuite(retry, .timeout = 10);

static const edri_type_t type = {.name = "t",
    .idempotent = true,
    .attempts = 4,
    .backoff_ms = 100,
    .backoff_max_ms = 250};

Test(retry, example)
{
    cr_expect(retry_may(&type, 1, EDRI_FAILED));
    cr_expect_eq(retry_pause_ms(&type, 1, 50), 100);
    cr_expect_eq(retry_pause_ms(&type, 1, 0), 50, "half of it at least");
    cr_expect_eq(retry_pause_ms(&type, 2, 100), 200);
    cr_expect_eq(retry_pause_ms(&type, 3, 125), 250, "never longer");
    cr_expect_eq(retry_pause_ms(&type, 40, 125), 250);
    cr_expect_not(retry_may(&type, 4, EDRI_FAILED), "that was the last one");
}

Test(retry, what_would_fail_again_is_not_tried_again)
{
    edri_type_t other = type;
    other.idempotent = false;
    cr_expect_not(retry_may(&type, 1, EDRI_INVAL));
    cr_expect_not(retry_may(&type, 1, EDRI_UNDECODABLE));
    cr_expect_not(retry_may(&type, 1, EDRI_DEADLINE));
    cr_expect_not(retry_may(&other, 1, EDRI_FAILED), "twice may do harm");
}
