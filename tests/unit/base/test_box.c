// SPDX-License-Identifier: MIT
// test_box.c - bytes in, whole buffers out, between two threads.

#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/box.h"

static const run_t here = {0};

TestSuite(box, .timeout = 30);

Test(box, example)
{
    box_t *box = box_new(1000);
    load_t load = {0};
    // A consumer that finds nothing has armed the bell.
    cr_assert_not(box_take(box, &load));
    cr_expect(box_put(box, "abc", 3, &here, NULL, 0), "the first put rings");
    cr_expect_not(box_put(box, "de", 2, &here, NULL, 0), "the next does not");
    cr_assert(box_take(box, &load));
    cr_assert_eq(load.size, 5);
    cr_expect_arr_eq(load.data, "abcde", 5);
    cr_expect_eq(load.run_count, 1);
    // What was taken counts until it is released.
    cr_expect_eq(box_used(box), 5);
    cr_expect_not(box_release(box, load.weight), "nobody watches");
    cr_expect_eq(box_used(box), 0);
    load_clear(&load);
    box_destroy(&box);
    cr_expect_null(box);
    box_destroy(&box);
}

Test(box, a_busy_consumer_is_not_rung)
{
    box_t *box = box_new(1000);
    load_t load = {0};
    cr_expect(box_put(box, "a", 1, &here, NULL, 0), "a new box is armed");
    cr_assert(box_take(box, &load));
    load_reset(&load);
    cr_expect_not(box_put(box, "b", 1, &here, NULL, 0));
    cr_assert(box_take(box, &load));
    load_reset(&load);
    cr_assert_not(box_take(box, &load));
    cr_expect(box_put(box, "c", 1, &here, NULL, 0), "armed by the empty take");
    load_clear(&load);
    box_destroy(&box);
}

Test(box, runs_keep_origins_apart)
{
    box_t *box = box_new(1000);
    load_t load = {0};
    (void)box_put(box, "aa", 2, &(run_t){.life = 1, .base_ms = 0}, NULL, 0);
    (void)box_put(box, "bb", 2, &(run_t){.life = 1, .base_ms = 0}, NULL, 0);
    (void)box_put(box, "ccc", 3, &(run_t){.life = 2, .base_ms = 0}, NULL, 0);
    (void)box_put(box, "d", 1, &(run_t){.life = 2, .base_ms = 7}, NULL, 0);
    cr_assert(box_take(box, &load));
    cr_assert_eq(load.run_count, 3);
    cr_expect(load.runs[0].life == 1 && load.runs[0].size == 4);
    cr_expect(load.runs[1].life == 2 && load.runs[1].size == 3);
    cr_expect(load.runs[2].life == 2 && load.runs[2].base_ms == 7 &&
              load.runs[2].size == 1);
    load_clear(&load);
    box_destroy(&box);
}

Test(box, attachments_count_and_go_with_the_box)
{
    box_t *box = box_new(1000);
    load_t load = {0};
    blob_t *blob = blob_new(300);
    cr_expect_eq(blob_size(blob), 300);
    (void)box_put(box, "x", 1, &here, &blob, 1);
    cr_expect_eq(box_used(box), 301);
    cr_assert(box_take(box, &load));
    cr_expect_eq(load.weight, 301);
    cr_expect_eq(load.blob_count, 1);
    (void)box_release(box, load.weight);
    load_reset(&load);
    cr_expect_eq(box_used(box), 0);
    // What nobody takes is freed with the box (the leak check sees it).
    blob = blob_new(10);
    uint8_t *room = box_open(box, 1, &here, blob);
    *room = 'y';
    (void)box_close(box);
    load_clear(&load);
    box_destroy(&box);
}

Test(box, watch_rings_once_when_there_is_room)
{
    box_t *box = box_new(100);
    load_t load = {0};
    (void)box_put(box, (uint8_t[80]){0}, 80, &here, NULL, 0);
    cr_expect(box_watch(box, 50), "80 of 50 are used: wait");
    cr_assert(box_take(box, &load));
    cr_expect_not(box_release(box, 20), "60 left");
    cr_expect(box_release(box, 20), "40 left: ring");
    cr_expect_not(box_release(box, 20), "rung once");
    cr_expect_not(box_watch(box, 50), "there is room already");
    load_clear(&load);
    box_destroy(&box);
}

typedef struct blobs {
    int released;
} blobs_t;

static void
on_release(void *hint)
{
    ((blobs_t *)hint)->released++;
}

Test(box, a_blob_goes_with_its_last_owner)
{
    blobs_t counts = {0};
    char bytes[] = "shared";
    blob_t *one = blob_wrap(bytes, 6, on_release, &counts);
    blob_t *two = blob_share(one);
    cr_expect_eq(blob_data(two), (uint8_t *)bytes);
    blob_drop(&one);
    cr_expect_null(one);
    cr_expect_eq(counts.released, 0);
    blob_drop(&two);
    cr_expect_eq(counts.released, 1);
    blob_drop(&two);
    cr_expect_eq(counts.released, 1, "NULL is fine");
    cr_expect_null(blob_share(NULL));
}

// ----- two threads: every number comes once, in order, and no bell is missed

#define NUMBERS 300000u

typedef struct ends {
    box_t *box;
    int bell; // to the consumer
    int room; // to the producer
} ends_t;

static void
ring(int fd)
{
    uint64_t one = 1;
    (void)!write(fd, &one, sizeof one);
}

// wait_bell returns false when it did not ring within 10 s.
static bool
wait_bell(int fd)
{
    uint64_t count;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, 10000) == 1 && read(fd, &count, sizeof count) > 0;
}

static void *
produce(void *arg)
{
    ends_t *ends = arg;
    for (uint32_t i = 0; i < NUMBERS; i++) {
        while (box_used(ends->box) >= box_limit(ends->box) &&
               box_watch(ends->box, box_limit(ends->box) / 2)) {
            if (!wait_bell(ends->room)) {
                return ends; // stranded
            }
        }
        if (box_put(ends->box, &i, sizeof i,
                &(run_t){.life = i >> 12, .base_ms = 0}, NULL, 0)) {
            ring(ends->bell);
        }
    }
    return NULL;
}

Test(box, nothing_is_lost_between_two_threads)
{
    ends_t ends = {
        box_new(4096), eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
    load_t load = {0};
    pthread_t thread;
    uint32_t next = 0;
    size_t wrong = 0;
    cr_assert_eq(pthread_create(&thread, NULL, produce, &ends), 0);
    while (next < NUMBERS) {
        load_reset(&load);
        if (!box_take(ends.box, &load)) {
            cr_assert(wait_bell(ends.bell), "stranded at %u", next);
            continue;
        }
        for (size_t at = 0; at < load.size; at += sizeof next) {
            uint32_t got;
            memcpy(&got, load.data + at, sizeof got);
            wrong += got != next++;
        }
        if (box_release(ends.box, load.weight)) {
            ring(ends.room);
        }
    }
    void *stranded = NULL;
    cr_assert_eq(pthread_join(thread, &stranded), 0);
    cr_expect_null(stranded);
    cr_expect_eq(wrong, 0);
    cr_expect_eq(box_used(ends.box), 0);
    load_clear(&load);
    box_destroy(&ends.box);
    (void)close(ends.bell);
    (void)close(ends.room);
}
