// SPDX-License-Identifier: MIT
// test_load.c - load that is offered by a schedule, and what its receivers saw.

#include <criterion/criterion.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "tools/load.h"

TestSuite(load, .timeout = 60);

#define MS INT64_C(1000000)

// sender_t hands what is sent to the receiver, and stands once.
typedef struct sender {
    receiver_t receiver;
    const pace_t *pace;
    uint64_t next; // number that has to come
    uint64_t early;
    uint64_t stand_at;
} sender_t;

static void
stand(int64_t ns)
{
    struct timespec pause = {.tv_nsec = (long)ns};
    while (nanosleep(&pause, &pause) != 0 && errno == EINTR) {
    }
}

static void
send_one(void *arg, uint64_t number)
{
    sender_t *self = arg;
    cr_assert_eq(number, self->next++);
    self->early += load_now_ns() < pace_due_ns(self->pace, number) ? 1 : 0;
    if (number == self->stand_at) {
        stand(100 * MS);
    }
    receiver_note(&self->receiver, number);
}

Test(load, example)
{
    static sender_t sender;
    static track_t sent;
    pace_t pace = pace_at(10000, 0.1, 0.2);
    sender.pace = &pace;
    sender.stand_at = UINT64_MAX;
    cr_assert(receiver_init(&sender.receiver, &pace));
    load_t load = {send_one, load_sleep, &sender};
    cr_expect(load_generate(&pace, &sent, &load));
    cr_expect(receiver_wait(&sender.receiver, 0));
    cr_expect(track_is_whole(&sent, &pace));
    cr_expect(track_is_whole(&sender.receiver.track, &pace));
    cr_expect_eq(sent.late.total, 2000);
    cr_expect_eq(sender.early, 0);
    cr_expect_geq(load_now_ns(), pace_end_ns(&pace));
}

Test(load, a_generator_that_was_held_up_neither_skips_nor_excuses)
{
    static sender_t sender;
    static track_t sent;
    pace_t pace = pace_at(10000, 0, 0.3);
    sender.pace = &pace;
    sender.stand_at = 500;
    cr_assert(receiver_init(&sender.receiver, &pace));
    load_t load = {send_one, load_sleep, &sender};
    cr_expect(load_generate(&pace, &sent, &load));
    cr_expect(track_is_whole(&sender.receiver.track, &pace));
    // Of 3000, the 1000 that were due meanwhile are late, by up to 100 ms.
    cr_expect_geq(histogram_at(&sent.late, 0.99), (uint64_t)(80 * MS));
    cr_expect_geq(
        histogram_at(&sender.receiver.track.late, 0.99), (uint64_t)(80 * MS));
}

Test(load, a_receiver_that_hears_nothing_more_gives_up)
{
    static receiver_t receiver;
    pace_t pace = pace_at(1000, 0, 1);
    pace.start_ns = load_now_ns();
    cr_assert(receiver_init(&receiver, &pace));
    receiver_note(&receiver, 0);
    cr_expect_not(receiver_wait(&receiver, 50));
}

Test(load, reads_what_was_written_and_waits_no_longer_than_told)
{
    static track_t out = {.count = 5, .late = {.max = 7}};
    static track_t in;
    int pipes[2];
    char byte = 0;
    cr_assert_eq(pipe(pipes), 0);
    cr_expect(load_write(pipes[1], &out, sizeof out));
    cr_expect(load_read(pipes[0], &in, sizeof in, 1000));
    cr_expect_arr_eq(&in, &out, sizeof out);
    cr_expect_not(load_read(pipes[0], &byte, 1, 20), "nothing there");
    (void)close(pipes[1]);
    cr_expect_not(load_read(pipes[0], &byte, 1, 20), "nobody there");
}

Test(load, patience_begins_when_the_last_is_due)
{
    pace_t pace = {.interval_ns = (double)MS, .count = 1001};
    cr_expect_eq(load_span_ms(&pace), 1000 + LOAD_PATIENCE_MS);
}
