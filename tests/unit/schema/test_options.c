// SPDX-License-Identifier: MIT
// test_options.c - durations; the other rules are tried through protoc
// (tests/integration/protoc).

#include <criterion/criterion.h>

#include "schema/options.h"

TestSuite(options, .timeout = 30);

Test(options, example)
{
    static const struct {
        const char *text;
        uint32_t ms; // 0: refused
    } cases[] = {
        {"150ms", 150},
        {"2s", 2000},
        {"1.5s", 1500},
        {"1m", 60000},
        {"1h", 3600000},
        {"1d", 86400000},
        {"24h", 86400000},
        {"0.5ms", 0},
        {"0s", 0},
        {"25h", 0},
        {"2", 0},
        {"s", 0},
        {"", 0},
        {"-1s", 0},
        {"1.s", 0},
        {"1 s", 0},
        {"2sec", 0},
        {"1e3s", 0},
        {"0x10s", 0},
        {"99999999999999999999s", 0},
        {"nans", 0},
        {"infs", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t ms = 0;
        bool fits = options_duration(cases[i].text, &ms);
        cr_expect_eq(fits, cases[i].ms != 0, "%s", cases[i].text);
        cr_expect(!fits || ms == cases[i].ms, "%s: %u", cases[i].text, ms);
    }
}
