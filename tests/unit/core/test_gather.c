// SPDX-License-Identifier: MIT
// test_gather.c - how a request to ALL ended, in one line.

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/gather.h"
#include "edri/wire.pb-c.h"

TestSuite(gather, .timeout = 5);

// asked makes a gather of 'count' managers: two on each node.
static gather_t *
asked(size_t count)
{
    Edri__Wire__Responder rows[16];
    Edri__Wire__Responder *list[16];
    Edri__Wire__Asked message = EDRI__WIRE__ASKED__INIT;
    char names[16][16];
    char managers[2][8] = {"prices", "audit"};
    for (size_t i = 0; i < count; i++) {
        edri__wire__responder__init(&rows[i]);
        list[i] = &rows[i];
        snprintf(names[i], sizeof names[i], "node-%zu", i / 2);
        rows[i].life = 100 + i / 2;
        rows[i].target = (uint32_t)(1 + i % 2);
        rows[i].node = names[i];
        rows[i].manager = managers[i % 2];
    }
    message.responders = list;
    message.n_responders = count;
    uint8_t bytes[1024];
    size_t size = edri__wire__asked__pack(&message, bytes);
    gather_t *self = gather_new((slice_t){bytes, size});
    cr_assert_not_null(self);
    return self;
}

static void
expect(const gather_t *self, edri_err_t rest, const char *wanted)
{
    char *text = gather_text(self, rest);
    cr_expect_str_eq(text, wanted);
    free(text);
}

Test(gather, example)
{
    gather_t *self = asked(3);
    gather_answer(self, 100, 1, EDRI_OK, "");
    gather_answer(self, 101, 1, EDRI_OK, "");
    gather_answer(self, 100, 2, EDRI_RESPONDER_DIED, "");
    expect(self, EDRI_DEADLINE,
        "2 of 3 answered; node-0/audit: responder ended, outcome unknown");
    gather_destroy(&self);
    cr_expect_null(self);
    gather_destroy(&self);
}

Test(gather, who_has_not_answered_ended_with_the_rest)
{
    gather_t *self = asked(3);
    expect(self, EDRI_CANCELLED,
        "0 of 3 answered; node-0/prices: cancelled; node-0/audit: cancelled; "
        "node-1/prices: cancelled");
    gather_answer(self, 100, 2, EDRI_NOT_FOUND, "no such symbol");
    expect(self, EDRI_DEADLINE,
        "0 of 3 answered; node-0/prices: deadline passed; node-0/audit: not "
        "found: no such symbol; node-1/prices: deadline passed");
    gather_destroy(&self);
}

Test(gather, not_everybody_is_named)
{
    gather_t *self = asked(16);
    gather_answer(self, 107, 2, EDRI_OK, "");
    expect(self, EDRI_DEADLINE,
        "1 of 16 answered; node-0/prices: deadline passed; node-0/audit: "
        "deadline passed; node-1/prices: deadline passed; and 12 more");
    gather_destroy(&self);
}

Test(gather, a_target_that_is_not_told_is_the_next_of_its_life)
{
    gather_t *self = asked(4);
    gather_answer(self, 101, 0, EDRI_OK, "");
    gather_answer(self, 101, 0, EDRI_FAILED, "");
    gather_answer(self, 101, 0, EDRI_OK, ""); // one too many
    gather_answer(self, 100, 1, EDRI_OK, "");
    gather_answer(self, 100, 2, EDRI_OK, "");
    gather_answer(self, 999, 1, EDRI_OK, ""); // nobody that was asked
    expect(self, EDRI_OK, "3 of 4 answered; node-1/audit: handler failed");
    gather_destroy(&self);
}

Test(gather, bytes_that_are_none_are_refused)
{
    static const uint8_t bytes[] = {0x0a, 0x7f, 0x01};
    cr_expect_null(gather_new((slice_t){bytes, sizeof bytes}));
}
