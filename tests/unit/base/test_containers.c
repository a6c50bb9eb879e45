// SPDX-License-Identifier: MIT
// test_containers.c - map, shared map, queue, arena.

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/queue.h"
#include "base/shared_map.h"

TestSuite(map, .timeout = 30);
TestSuite(queue, .timeout = 30);
TestSuite(arena, .timeout = 30);

Test(map, example)
{
    map_t *map = map_new();
    char one[] = "one", uno[] = "uno";
    cr_expect_null(map_get(map, 1));
    cr_expect_null(map_put(map, 1, one));
    cr_expect_eq(map_put(map, 1, uno), one, "gives the value before");
    cr_expect_eq(map_get(map, 1), uno);
    cr_expect_eq(map_size(map), 1);
    cr_expect_eq(map_take(map, 1), uno);
    cr_expect_null(map_take(map, 1));
    cr_expect_eq(map_size(map), 0);
    map_destroy(&map);
    cr_expect_null(map);
    map_destroy(&map);
}

// Against an array: 0 and the largest key are keys like any other, and
// removing keeps chains whole.
Test(map, does_what_an_array_does)
{
    enum {
        KEYS = 500,
        STEPS = 200000
    };
    static int values[KEYS];
    static bool here[KEYS];
    map_t *map = map_new();
    size_t size = 0;
    srandom(7);
    for (int step = 0; step < STEPS; step++) {
        int i = (int)(random() % KEYS);
        // Dense, sparse and colliding keys.
        uint64_t key = i < 200   ? (uint64_t)i
                       : i < 400 ? UINT64_MAX - (uint64_t)i
                                 : (uint64_t)i << 48;
        if (random() % 2 == 0) {
            cr_assert_eq(map_put(map, key, &values[i]) != NULL, here[i]);
            size += !here[i];
            here[i] = true;
        } else {
            cr_assert_eq(map_take(map, key) != NULL, here[i]);
            size -= here[i];
            here[i] = false;
        }
        cr_assert_eq(map_size(map), size);
        int j = (int)(random() % 200);
        cr_assert_eq(
            map_get(map, (uint64_t)j), here[j] ? (void *)&values[j] : NULL);
    }
    map_destroy(&map);
}

Test(map, walking_gives_each_once_and_may_take)
{
    static int values[1000];
    map_t *map = map_new();
    for (uint64_t i = 0; i < 1000; i++) {
        (void)map_put(map, i * 977, &values[i]);
    }
    size_t cursor = 0, seen = 0;
    uint64_t key;
    void *value;
    while (map_next(map, &cursor, &key, &value)) {
        cr_assert_eq(value, &values[key / 977]);
        values[key / 977]++;
        seen++;
        if (key % 2 == 0) {
            cr_assert_eq(map_take(map, key), value);
        }
    }
    cr_expect_eq(seen, 1000);
    for (size_t i = 0; i < 1000; i++) {
        cr_assert_eq(values[i], 1);
    }
    cr_expect_eq(map_size(map), 500);
    map_destroy(&map);
}

static void
count_value(uint64_t key, void *value, void *arg)
{
    (void)value;
    *(uint64_t *)arg += key;
}

Test(map, shared_keeps_the_first)
{
    shared_map_t *map = shared_map_new();
    char *one = strdup("one"), *two = strdup("two");
    cr_expect_eq(shared_map_add(map, 1, one), one);
    cr_expect_eq(shared_map_add(map, 1, two), one);
    cr_expect_eq(shared_map_add(map, 2, two), two);
    uint64_t keys = 0;
    shared_map_each(map, count_value, &keys);
    cr_expect_eq(keys, 3);
    cr_expect_eq(shared_map_take(map, 2), two);
    cr_expect_null(shared_map_get(map, 2));
    free(two);
    shared_map_destroy(&map, free);
}

typedef struct takers {
    queue_t *queue;
    _Atomic(size_t) sum;
} takers_t;

static void *
take_all(void *arg)
{
    takers_t *takers = arg;
    void *item;
    while ((item = queue_take(takers->queue)) != NULL) {
        takers->sum += (size_t)item;
    }
    return NULL;
}

Test(queue, example)
{
    queue_t *queue = queue_new();
    int a, b;
    queue_put(queue, &a);
    queue_put(queue, &b);
    cr_expect_eq(queue_length(queue), 2);
    cr_expect_eq(queue_take(queue), &a);
    queue_close(queue);
    cr_expect_eq(queue_take(queue), &b, "what is in it is still taken");
    cr_expect_null(queue_take(queue));
    queue_destroy(&queue);
    cr_expect_null(queue);
}

Test(queue, waiting_ends_at_its_deadline)
{
    int item = 0;
    queue_t *queue = queue_new();
    int64_t start = clock_ms();
    cr_expect_null(queue_take_until(queue, start + 20));
    cr_expect_geq(clock_ms(), start + 20);
    cr_expect_null(queue_take_until(queue, 0), "a time that has passed");
    queue_put(queue, &item);
    cr_expect_eq(queue_take_until(queue, 0), &item);
    queue_destroy(&queue);
}

Test(queue, each_item_goes_to_one_taker)
{
    enum {
        THREADS = 4,
        ITEMS = 20000
    };
    takers_t takers = {.queue = queue_new()};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, take_all, &takers), 0);
    }
    for (size_t i = 1; i <= ITEMS; i++) {
        queue_put(takers.queue, (void *)i);
    }
    queue_close(takers.queue);
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    cr_expect_eq(takers.sum, (size_t)ITEMS * (ITEMS + 1) / 2);
    queue_destroy(&takers.queue);
}

Test(arena, example)
{
    arena_t *arena = arena_new();
    char *small = arena_alloc(arena, 1);
    double *number = arena_alloc(arena, sizeof *number);
    cr_expect_eq((uintptr_t)number % _Alignof(max_align_t), 0);
    *small = 'x';
    *number = 1.5;
    char *large = arena_alloc(arena, 1000000);
    memset(large, 'y', 1000000);
    cr_expect_eq(*small, 'x');
    cr_expect_eq(*number, 1.5);
    for (int task = 0; task < 100; task++) {
        arena_reset(arena);
        for (int i = 0; i < 1000; i++) {
            memset(arena_alloc(arena, (size_t)i), task, (size_t)i);
        }
    }
    cr_expect_not_null(arena_alloc(arena, 0));
    arena_destroy(&arena);
    cr_expect_null(arena);
}
