// SPDX-License-Identifier: MIT
// test_outq.c - what waits at the source, cut into frames.

#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/outq.h"

TestSuite(outq, .timeout = 30);

static void
append(outq_t *queue, size_t size, uint64_t type, uint32_t ttl_ms,
    uint64_t life, int64_t base_ms, blob_t *blob)
{
    static uint8_t bytes[WIRE_BATCH_MAX];
    envelope_t env = {.type = type, .id = type + 100, .ttl_ms = ttl_ms};
    memset(bytes, (int)type, size);
    outq_append(queue, (slice_t){bytes, size}, &env,
        &(run_t){.life = life, .base_ms = base_ms}, blob);
}

Test(outq, example)
{
    outq_t queue = {0};
    cr_expect_null(outq_take(&queue));
    append(&queue, 10, 1, 0, 0, 0, NULL);
    append(&queue, 20, 2, 0, 0, 0, NULL);
    cr_expect_eq(queue.bytes, 30);
    cr_expect_eq(queue.events, 2);
    chunk_t *chunk = outq_take(&queue);
    cr_expect_eq(chunk->size, 30);
    cr_expect_eq(chunk->events, 2);
    cr_expect_eq(chunk->type_count, 2);
    cr_expect(chunk->data[9] == 1 && chunk->data[10] == 2, "in order");
    cr_expect_eq(queue.bytes, 0);
    cr_expect_eq(queue.events, 0);
    chunk_drop(&chunk);
    cr_expect_null(chunk);
}

Test(outq, a_frame_is_never_over_its_limits)
{
    outq_t queue = {0};
    size_t bytes = 0;
    unsigned seed = 1;
    for (int i = 0; i < 5000; i++) {
        size_t size = 1 + (size_t)rand_r(&seed) % 8000;
        append(&queue, size, (uint64_t)rand_r(&seed) % 40, 0, 0, 0, NULL);
        bytes += size;
    }
    cr_expect_eq(queue.bytes, bytes);
    size_t chunks = 0, events = 0;
    chunk_t *chunk;
    while ((chunk = outq_take(&queue)) != NULL) {
        cr_assert_leq(chunk->size, WIRE_BATCH_MAX);
        cr_assert_leq(chunk->type_count, WIRE_TYPES_MAX);
        cr_assert_eq(chunk_weight(chunk), chunk->size);
        bytes -= chunk->size;
        events += chunk->events;
        chunks++;
        chunk_drop(&chunk);
    }
    cr_expect_eq(bytes, 0);
    cr_expect_eq(events, 5000);
    cr_expect_lt(chunks, 1000, "many share a frame");
}

Test(outq, two_queues_become_one)
{
    outq_t queue = {0};
    outq_t other = {0};
    append(&queue, 10, 1, 0, 0, 0, NULL);
    append(&other, 20, 2, 0, 0, 0, NULL);
    append(&other, 30, 3, 0, 0, 0, blob_new(90));
    outq_join(&queue, &other);
    cr_expect_null(outq_take(&other));
    cr_expect_eq(queue.bytes, 150);
    cr_expect_eq(queue.events, 3);
    outq_join(&queue, &other); // an empty one changes nothing
    outq_join(&other, &queue); // nor does it matter where they go
    cr_expect(queue.first == NULL && queue.bytes == 0 && queue.events == 0);
    append(&other, 40, 4, 0, 0, 0, blob_new(1));
    for (uint64_t type = 1; type <= 4; type++) {
        chunk_t *chunk = outq_take(&other);
        cr_assert_not_null(chunk);
        cr_expect(chunk_has_type(chunk, type), "in order");
        chunk_drop(&chunk);
    }
    cr_expect_eq(other.bytes, 0);
    cr_expect_eq(other.events, 0);
}

Test(outq, a_whole_chunk_goes_back)
{
    outq_t queue = {0};
    append(&queue, 10, 1, 0, 0, 0, NULL);
    append(&queue, 10, 2, 0, 0, 0, blob_new(90));
    chunk_t *first = outq_take(&queue);
    chunk_t *second = outq_take(&queue);
    cr_expect(chunk_has_type(first, 1) && !chunk_has_type(first, 2));
    outq_put(&queue, second);
    outq_put(&queue, first);
    cr_expect_eq(queue.bytes, 110);
    cr_expect_eq(queue.events, 2);
    second = outq_take(&queue);
    cr_expect_eq(chunk_weight(second), 100);
    chunk_drop(&second);
    outq_clear(&queue);
    cr_expect_eq(queue.bytes, 0);
}

Test(outq, what_must_not_share_a_frame)
{
    outq_t queue = {0};
    append(&queue, 10, 1, 0, 0, 5, NULL);
    append(&queue, 10, 1, 0, 0, 6, NULL);  // no time to live: the same
    append(&queue, 10, 1, 50, 0, 7, NULL); // a time to live: another
    append(&queue, 10, 1, 50, 0, 7, NULL);
    append(&queue, 10, 1, 50, 0, 8, NULL);          // that began later
    append(&queue, 10, 1, 0, 9, 0, NULL);           // another origin
    append(&queue, 10, 1, 0, 9, 0, blob_new(1000)); // an attachment
    append(&queue, 10, 1, 0, 9, 0, NULL);           // behind one
    static const uint32_t events[] = {2, 2, 1, 1, 1, 1};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        chunk_t *chunk = outq_take(&queue);
        cr_assert_not_null(chunk, "chunk %zu", i);
        cr_expect_eq(chunk->events, events[i], "chunk %zu", i);
        if (i == 4) {
            cr_expect_eq(chunk_weight(chunk), 1010);
            cr_expect_eq(chunk->blob_id, 101);
        }
        chunk_drop(&chunk);
    }
    cr_expect_null(outq_take(&queue));
    append(&queue, 10, 1, 0, 0, 0, blob_new(5));
    cr_expect_eq(queue.bytes, 15);
    outq_clear(&queue);
    cr_expect_eq(queue.bytes, 0);
}

Test(outq, the_very_same_events_are_recognised)
{
    outq_t queues[4] = {0};
    for (int i = 0; i < 4; i++) {
        append(&queues[i], 10, 1, 0, 0, 0, NULL);
        append(&queues[i], 20, i == 3 ? 3 : 2, 0, 0, 0, NULL);
    }
    append(&queues[2], 5, 5, 0, 0, 0, NULL); // has more
    cr_expect(chunk_same(queues[0].first, queues[1].first));
    cr_expect_not(chunk_same(queues[0].first, queues[2].first));
    cr_expect_not(chunk_same(queues[0].first, queues[3].first));
    cr_expect_not(chunk_same(queues[0].first, NULL));
    cr_expect_not(chunk_same(NULL, queues[0].first));
    queues[1].first->data[29] = 77; // sum and sizes alone would not tell
    cr_expect_not(chunk_same(queues[0].first, queues[1].first));
    for (int i = 0; i < 4; i++) {
        outq_clear(&queues[i]);
    }
}

// append_as adds a small event of that priority; its number is its type.
static void
append_as(outq_t *queue, uint8_t priority, uint64_t number, blob_t *blob)
{
    static uint8_t bytes[1000];
    envelope_t env = {.type = number,
        .id = number,
        .flags = envelope_flags(EDRI_NOTIFICATION, EDRI_ALL, priority)};
    outq_append(queue, (slice_t){bytes, sizeof bytes}, &env, &(run_t){0}, blob);
}

static void
expect_chunk(outq_t *queue, uint64_t first, uint32_t events)
{
    chunk_t *chunk = outq_take(queue);
    cr_assert_not_null(chunk);
    cr_expect_eq(chunk->types[0], first, "%lu", (unsigned long)chunk->types[0]);
    cr_expect_eq(chunk->events, events);
    chunk_drop(&chunk);
}

Test(outq, the_urgent_go_first_and_each_level_in_order)
{
    outq_t queue = {0};
    append_as(&queue, 1, 1, NULL);
    append_as(&queue, 1, 2, NULL);
    append_as(&queue, 7, 3, NULL);
    append_as(&queue, 3, 4, NULL);
    append_as(&queue, 7, 5, NULL);
    append_as(&queue, 1, 6, NULL);
    append_as(&queue, 3, 7, NULL);
    cr_expect_eq(queue.bytes, 7000);
    cr_expect_eq(queue.events, 7);
    expect_chunk(&queue, 3, 2);
    expect_chunk(&queue, 4, 2);
    expect_chunk(&queue, 1, 3);
    cr_expect_eq(queue.bytes, 0);
    cr_expect_null(queue.last);
}

Test(outq, the_lowest_still_moves)
{
    outq_t queue = {0};
    append_as(&queue, 1, 1, NULL);
    size_t before = 0;
    bool found = false;
    for (uint64_t i = 2; i < 2000 && !found; i++) {
        append_as(&queue, 7, 2, NULL);
        append_as(&queue, 7, 2, NULL); // they come twice as fast as they go
        chunk_t *chunk = outq_take(&queue);
        found = chunk->types[0] == 1;
        before += chunk->size;
        chunk_drop(&chunk);
    }
    cr_expect(found);
    cr_expect_leq(before, OUTQ_PATIENCE + 2 * WIRE_BATCH_MAX);
    outq_clear(&queue);
}

Test(outq, a_small_urgent_event_overtakes_a_body_that_is_half_sent)
{
    outq_t queue = {0};
    append_as(&queue, 3, 1, blob_new(100000));
    queue.first->blob_sent = 50000;
    append_as(&queue, 5, 2, blob_new(20000));
    append_as(&queue, 5, 3, NULL);
    cr_expect_eq(queue.first->types[0], 1, "two bodies do not mix");
    expect_chunk(&queue, 1, 1);
    expect_chunk(&queue, 2, 1);
    outq_clear(&queue);
    append_as(&queue, 3, 5, blob_new(100000));
    queue.first->blob_sent = 50000;
    append_as(&queue, 5, 6, NULL);
    expect_chunk(&queue, 6, 1);
    expect_chunk(&queue, 5, 1);
}

Test(outq, what_makes_room_is_the_oldest_of_the_least_urgent)
{
    outq_t queue = {0};
    uint64_t type = 0;
    for (uint64_t i = 1; i < 5; i++) {
        envelope_t env = {.type = i,
            .id = i,
            .flags =
                envelope_flags(EDRI_NOTIFICATION, EDRI_ALL, i % 2 > 0 ? 1 : 6)};
        size_t size = 0;
        uint8_t *item = envelope_copy(&env, &size);
        outq_append_as(&queue, EDRI_DROP_OLDEST, (slice_t){item, size}, &env,
            &(run_t){0}, NULL);
        free(item);
    }
    cr_expect_not(outq_drop_oldest(&queue, EDRI_DROP_NEWEST, &type));
    static const uint64_t order[] = {1, 3, 2, 4};
    for (int i = 0; i < 4; i++) {
        cr_expect(outq_drop_oldest(&queue, EDRI_DROP_OLDEST, &type));
        cr_expect_eq(type, order[i]);
    }
    cr_expect_not(outq_drop_oldest(&queue, EDRI_DROP_OLDEST, &type));
}
// put_real appends a real envelope with that id.
static void
put_real(outq_t *queue, uint64_t id, blob_t *blob)
{
    uint8_t bytes[64];
    envelope_t env = {
        .type = 7, .id = id, .flags = blob != NULL ? WIRE_ATTACHED : 0};
    size_t size = envelope_size(&env, 0);
    (void)envelope_write(&env, 0, bytes, size);
    outq_append(queue, (slice_t){bytes, size}, &env, &(run_t){0}, blob);
}

static bool
is_even(const envelope_t *env, void *arg)
{
    (void)arg;
    return env->id % 2 == 0;
}

Test(outq, what_is_not_wanted_is_sifted_out)
{
    outq_t queue = {0};
    outq_t same = {0};
    cr_expect_eq(outq_sift(&queue, is_even, NULL), 0);
    for (uint64_t id = 1; id <= 9; id++) {
        put_real(&queue, id, NULL);
        if (id % 2 == 0) {
            put_real(&same, id, NULL);
        }
    }
    cr_expect_eq(outq_sift(&queue, is_even, NULL), 5);
    cr_expect_eq(outq_sift(&queue, is_even, NULL), 0);
    cr_expect_eq(queue.events, 4);
    cr_expect_eq(queue.bytes, same.bytes);
    cr_expect(chunk_same(queue.first, same.first), "its sum, too");
    outq_clear(&queue);
    outq_clear(&same);
}

Test(outq, an_empty_chunk_goes_unless_it_is_half_sent)
{
    outq_t queue = {0};
    put_real(&queue, 1, blob_new(100));
    put_real(&queue, 3, blob_new(100));
    put_real(&queue, 4, NULL);
    cr_expect_eq(outq_sift(&queue, is_even, NULL), 1);
    queue.first->blob_sent = 10;
    cr_expect_eq(outq_sift(&queue, is_even, NULL), 0);
    queue.first->blob_sent = 0;
    cr_expect_eq(outq_sift(&queue, is_even, NULL), 1);
    cr_expect_eq(queue.events, 1);
    cr_expect_eq(queue.bytes, queue.first->size);
    cr_expect_eq(queue.first, queue.last);
    outq_clear(&queue);
}
