// SPDX-License-Identifier: MIT
// test_overflow.c - what happens to events whose receiver is full.

#include <criterion/criterion.h>

#include "core/flow_out.h"
#include "core/overflow.h"

TestSuite(overflow, .timeout = 30);

static uint64_t dropped;
static uint64_t last_type;

static void
note(uint64_t type, void *arg)
{
    (void)arg;
    dropped++;
    last_type = type;
}

static overflow_t
new_overflow(size_t limit)
{
    dropped = 0;
    return (overflow_t){.limit = limit, .dropped = note};
}

// put queues event 'id' of a type: an envelope of about 120 bytes.
static void
put(overflow_t *self, outq_t *queue, edri_overflow_t policy, uint64_t type,
    uint64_t id, uint64_t key)
{
    static uint8_t body[100];
    uint8_t room[256];
    envelope_t env = {
        .type = type, .id = id, .key = key, .flags = key != 0 ? WIRE_KEYED : 0};
    size_t size = envelope_size(&env, sizeof body);
    memcpy(envelope_write(&env, sizeof body, room, size), body, sizeof body);
    bool full = queue->bytes > self->limit || overflow_weight(self) > 0;
    overflow_put(self, queue, full, policy, (slice_t){room, size}, &env,
        &(run_t){0}, NULL);
}

// ids reads the queue empty and checks the books' sum of every chunk.
static size_t
ids(outq_t *queue, uint64_t *out, size_t room)
{
    size_t count = 0;
    chunk_t *chunk = NULL;
    while ((chunk = outq_take(queue)) != NULL) {
        slice_t rest = chunk_batch(chunk);
        slice_t item, content;
        envelope_t env;
        size_t events = 0;
        cr_expect_eq(chunk_sum(chunk), flow_sum_batch(rest));
        while (batch_next(&rest, &item, &content) && count < room) {
            cr_assert_eq(envelope_route(content, &env), EDRI_OK);
            out[count++] = env.id;
            events++;
        }
        cr_expect_eq(events, chunk->events);
        chunk_drop(&chunk);
    }
    cr_expect_eq(queue->bytes, 0);
    cr_expect_eq(queue->events, 0);
    return count;
}

Test(overflow, example)
{
    overflow_t overflow = new_overflow(1000);
    outq_t queue = {0};
    uint64_t found[100];
    for (uint64_t id = 1; id <= 50; id++) {
        put(&overflow, &queue, EDRI_DROP_OLDEST, 7, id, 0);
    }
    cr_expect_leq(queue.bytes, 1000);
    cr_expect_eq(last_type, 7);
    size_t count = ids(&queue, found, 100);
    cr_expect_eq(count + dropped, 50);
    cr_expect_gt(count, 5);
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(found[i], 50 - count + 1 + i, "the newest, in order");
    }
    overflow_clear(&overflow);
}

Test(overflow, drop_newest_keeps_what_waits)
{
    overflow_t overflow = new_overflow(1000);
    outq_t queue = {0};
    uint64_t found[100];
    for (uint64_t id = 1; id <= 50; id++) {
        put(&overflow, &queue, EDRI_DROP_NEWEST, 7, id, 0);
    }
    size_t count = ids(&queue, found, 100);
    cr_expect_eq(count + dropped, 50);
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(found[i], 1 + i);
    }
}

Test(overflow, latest_is_one_per_key)
{
    overflow_t overflow = new_overflow(300);
    outq_t queue = {0};
    uint64_t found[100];
    for (uint64_t id = 1; id <= 60; id++) {
        put(&overflow, &queue, EDRI_LATEST, 7, id, 1 + id % 4);
    }
    size_t before = ids(&queue, found, 100);
    cr_expect_gt(overflow_weight(&overflow), 0);
    overflow_join(&overflow, &queue);
    size_t count = 0;
    while (queue.first != NULL) {
        count += ids(&queue, found + count, 100 - count);
        overflow_join(&overflow, &queue);
    }
    cr_expect_eq(count, 4, "%zu", count);
    cr_expect_eq(before + count + dropped, 60);
    for (size_t i = 0; i < count; i++) {
        cr_expect_geq(found[i], 57, "the newest of its key");
    }
    cr_expect_eq(overflow_weight(&overflow), 0);
    overflow_clear(&overflow);
}

Test(overflow, what_must_not_be_dropped_is_kept)
{
    overflow_t overflow = new_overflow(1000);
    outq_t queue = {0};
    uint64_t found[100];
    for (uint64_t id = 1; id <= 20; id++) {
        put(&overflow, &queue, EDRI_BLOCK, 1, id, 0);
        put(&overflow, &queue, EDRI_DROP_OLDEST, 2, 100 + id, 0);
    }
    size_t count = ids(&queue, found, 100);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        kept += found[i] < 100;
    }
    cr_expect_eq(kept, 20);
    cr_expect_eq(count + dropped, 40);
    overflow_clear(&overflow);
}

Test(overflow, clearing_frees_what_waits)
{
    overflow_t overflow = new_overflow(100);
    outq_t queue = {0};
    for (uint64_t id = 1; id <= 60; id++) {
        put(&overflow, &queue, EDRI_LATEST, 7, id, id);
    }
    outq_clear(&queue);
    overflow_clear(&overflow);
    overflow_clear(&overflow);
    cr_expect_eq(overflow_weight(&overflow), 0);
}
