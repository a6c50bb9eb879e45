// SPDX-License-Identifier: MIT
// test_window.c - how much may be on its way in one direction of a tunnel.

#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/window.h"

TestSuite(window, .timeout = 30);

Test(window, example)
{
    window_out_t out = {0};
    window_in_t in;
    cr_expect_not(window_out_may(&out), "nothing was granted yet");
    window_in_init(&in, 1000);
    cr_expect(window_out_granted(&out, in.granted), "that opens it");
    window_out_sent(&out, 900);
    cr_expect(window_out_may(&out));
    window_out_sent(&out, 5000); // the last may be larger than what is left
    cr_expect_not(window_out_may(&out));
    cr_expect(window_in_received(&in, 900));
    cr_expect(window_in_received(&in, 5000));
    cr_expect_not(window_in_received(&in, 1), "for this nothing was granted");
    in.received--;
    cr_expect_not(window_in_read(&in, 400, 1000), "crumbs");
    cr_expect(window_in_read(&in, 500, 1000), "half a window");
    cr_expect_eq(in.granted, 1900);
    cr_expect_not(window_out_granted(&out, in.granted), "more is under way");
    cr_expect(window_in_read(&in, 5000, 1000));
    cr_expect(window_out_granted(&out, in.granted));
    cr_expect_not(window_out_granted(&out, 1), "an older word");
    cr_expect(window_out_may(&out));
}

// A writer and a reader whose words are late, doubled and out of order: neither
// waits for ever, and the reader never holds more than its window and a message.
Test(window, nobody_waits_for_ever)
{
    for (unsigned seed = 1; seed < 2000; seed++) {
        unsigned state = seed;
        size_t size = 64 + (size_t)rand_r(&state) % 1000;
        window_out_t out = {0};
        window_in_t in;
        window_in_init(&in, size);
        uint64_t words[8] = {in.granted};
        size_t word_count = 1;
        size_t sizes[4096];
        size_t sent = 0;
        size_t read = 0;
        uint64_t newest = in.granted;
        for (int step = 0; step < 3000; step++) {
            int what = rand_r(&state) % 3;
            if (what == 0 && window_out_may(&out) && sent < 4096) {
                sizes[sent] = 1 + (size_t)rand_r(&state) % (2 * size);
                window_out_sent(&out, sizes[sent]);
                cr_assert(window_in_received(&in, sizes[sent]), "%u", seed);
                sent++;
                cr_assert_leq(in.received - in.read, 3 * size, "%u", seed);
            } else if (what == 1 && read < sent) {
                size_t next = rand_r(&state) % 50 == 0 ? size / 2 + 1 : size;
                if (window_in_read(&in, sizes[read++], next)) {
                    newest = in.granted;
                    words[rand_r(&state) % 8] = newest;
                    word_count = 8;
                }
            } else if (word_count > 0) {
                (void)window_out_granted(
                    &out, words[rand_r(&state) % word_count]);
            }
        }
        // All is read and all words have come.
        while (read < sent) {
            if (window_in_read(&in, sizes[read++], size)) {
                newest = in.granted;
            }
        }
        (void)window_out_granted(&out, newest);
        cr_assert(window_out_may(&out), "seed %u: it waits for ever", seed);
    }
}
