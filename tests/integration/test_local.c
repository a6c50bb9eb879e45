// SPDX-License-Identifier: MIT
// test_local.c - one node without a switch: every kind of event.

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "edri/edri.h"
#include "shop.edri.h"

TestSuite(local, .timeout = 30);

typedef struct seen {
    atomic_ulong count;
    atomic_ulong sum;
    atomic_ulong disorder;
    uint64_t last;
    size_t size;
} seen_t;

static edri_err_t
on_order(edri_task_t *task, const Shop__OrderPlaced *order)
{
    seen_t *seen = edri_task_state(task);
    if (order->id != seen->last + 1) {
        seen->disorder++;
    }
    seen->last = order->id;
    seen->sum += order->id;
    seen->count++;
    return EDRI_OK;
}

static edri_err_t
on_quote(edri_task_t *task, const Shop__Quote *quote, Shop__QuoteReply *reply)
{
    if (quote->symbol[0] == '!') {
        return edri_task_fail(
            task, EDRI_NOT_FOUND, "no symbol %s", quote->symbol + 1);
    }
    reply->price = 42.5;
    reply->node = edri_task_strdup(task, quote->symbol);
    reply->padding = quote->padding;
    return EDRI_OK;
}

static edri_node_t *
new_node(void)
{
    edri_node_t *node = edri_node_new(0, NULL);
    cr_assert_eq(edri_node_set(node, "node.name", "test"), EDRI_OK);
    return node;
}

Test(local, example)
{
    seen_t seen = {0};
    edri_node_t *node = new_node();
    edri_manager_t *stock = edri_node_manager(node, "stock");
    edri_manager_set_state(stock, &seen, NULL);
    shop_order_placed_handle(stock, on_order, EDRI_METHOD);
    edri_manager_t *pricing = edri_node_manager(node, "pricing");
    shop_quote_handle(pricing, on_quote, EDRI_THREADS(2));
    cr_assert_eq(edri_node_start(node), EDRI_OK, "%s", edri_node_error(node));

    edri_port_t *port = edri_node_port(node);
    cr_assert_not_null(port);
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    order.id = 1;
    order.sku = (char[]){"apple"};
    cr_expect_eq(shop_order_placed_emit(port, &order), EDRI_OK);

    Shop__Quote quote = SHOP__QUOTE__INIT;
    Shop__QuoteReply *reply = NULL;
    quote.symbol = (char[]){"X"};
    cr_expect_eq(shop_quote_request(port, &quote, 0, &reply), EDRI_OK, "%s",
        edri_port_error(port));
    cr_assert_not_null(reply);
    cr_expect_eq(reply->price, 42.5);
    cr_expect_str_eq(reply->node, "X");
    shop_quote_reply_free(&reply);

    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(node, 2000), EDRI_OK);
    cr_expect_eq(seen.count, 1);
    edri_node_destroy(&node);
}

static edri_err_t
on_packed(edri_task_t *task, const Shop__Packed *packed)
{
    seen_t *seen = edri_task_state(task);
    seen->disorder += packed->id != ++seen->count;
    return EDRI_OK;
}

Test(local, hundreds_of_managers_are_hundreds_of_groups)
{
    enum {
        MANAGERS = 300
    };
    static seen_t seen[MANAGERS];
    edri_node_t *node = new_node();
    for (int i = 0; i < MANAGERS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "stock-%d", i);
        edri_manager_t *manager = edri_node_manager(node, name);
        edri_manager_set_state(manager, &seen[i], NULL);
        shop_packed_handle(manager, on_packed, EDRI_METHOD);
    }
    cr_assert_eq(edri_node_start(node), EDRI_OK, "%s", edri_node_error(node));
    edri_port_t *port = edri_node_port(node);
    Shop__Packed packed = SHOP__PACKED__INIT;
    for (packed.id = 1; packed.id <= 5; packed.id++) {
        cr_assert_eq(shop_packed_emit(port, &packed), EDRI_OK);
    }
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(node, 20000), EDRI_OK);
    edri_node_destroy(&node);
    for (int i = 0; i < MANAGERS; i++) {
        cr_expect(seen[i].count == 5 && seen[i].disorder == 0, "manager %d", i);
    }
}

Test(local, a_million_events_arrive_in_order)
{
    enum {
        COUNT = 1000000
    };
    seen_t seen = {0};
    edri_node_t *node = new_node();
    edri_manager_t *stock = edri_node_manager(node, "stock");
    edri_manager_set_state(stock, &seen, NULL);
    shop_order_placed_handle(stock, on_order, EDRI_METHOD);
    cr_assert_eq(edri_node_start(node), EDRI_OK, "%s", edri_node_error(node));
    edri_port_t *port = edri_node_port(node);
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    for (uint64_t i = 1; i <= COUNT; i++) {
        order.id = i;
        cr_assert_eq(shop_order_placed_emit(port, &order), EDRI_OK);
    }
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(node, 20000), EDRI_OK);
    cr_expect_eq(seen.count, COUNT, "got %lu", seen.count);
    cr_expect_eq(seen.disorder, 0);
    cr_expect_eq(seen.sum, (uint64_t)COUNT * (COUNT + 1) / 2);
    edri_node_destroy(&node);
}

Test(local, a_failing_handler_gives_its_error_and_text)
{
    edri_node_t *node = new_node();
    shop_quote_handle(
        edri_node_manager(node, "pricing"), on_quote, EDRI_METHOD);
    cr_assert_eq(edri_node_start(node), EDRI_OK);
    edri_port_t *port = edri_node_port(node);
    Shop__Quote quote = SHOP__QUOTE__INIT;
    Shop__QuoteReply *reply = NULL;
    quote.symbol = (char[]){"!ACME"};
    cr_expect_eq(shop_quote_request(port, &quote, 0, &reply), EDRI_NOT_FOUND);
    cr_expect_null(reply);
    cr_expect_str_eq(
        edri_port_error(port), "shop.Quote: not found: no symbol ACME");
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

Test(local, a_request_that_nobody_handles_ends_at_once)
{
    edri_node_t *node = new_node();
    cr_assert_eq(edri_node_start(node), EDRI_OK);
    edri_port_t *port = edri_node_port(node);
    Shop__Unanswered request = SHOP__UNANSWERED__INIT;
    Shop__QuoteReply *reply = NULL;
    cr_expect_eq(shop_unanswered_request(port, &request, 60000, &reply),
        EDRI_NO_RESPONDER);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

typedef struct stuck {
    pthread_mutex_t lock;
    pthread_cond_t free;
    bool released;
} stuck_t;

static edri_err_t
on_stuck(
    edri_task_t *task, const Shop__Unanswered *request, Shop__QuoteReply *reply)
{
    (void)request;
    (void)reply;
    stuck_t *stuck = edri_task_state(task);
    pthread_mutex_lock(&stuck->lock);
    while (!stuck->released) {
        pthread_cond_wait(&stuck->free, &stuck->lock);
    }
    pthread_mutex_unlock(&stuck->lock);
    return EDRI_OK;
}

Test(local, a_deadline_ends_a_request)
{
    stuck_t stuck = {
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    edri_node_t *node = new_node();
    edri_manager_t *manager = edri_node_manager(node, "slow");
    edri_manager_set_state(manager, &stuck, NULL);
    shop_unanswered_handle(manager, on_stuck, EDRI_THREADS(1));
    cr_assert_eq(edri_node_start(node), EDRI_OK);
    edri_port_t *port = edri_node_port(node);
    Shop__Unanswered request = SHOP__UNANSWERED__INIT;
    Shop__QuoteReply *reply = NULL;
    cr_expect_eq(
        shop_unanswered_request(port, &request, 50, &reply), EDRI_DEADLINE);
    pthread_mutex_lock(&stuck.lock);
    stuck.released = true;
    pthread_cond_broadcast(&stuck.free);
    pthread_mutex_unlock(&stuck.lock);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

static void
count_answer(
    const edri_answer_t *answer, const Shop__QuoteReply *reply, void *arg)
{
    unsigned *counts = arg;
    counts[0] += answer->err == EDRI_OK && reply != NULL;
    counts[1] += answer->last;
}

Test(local, scatter_gather_knows_when_it_is_complete)
{
    edri_node_t *node = new_node();
    for (int i = 0; i < 3; i++) {
        char name[] = "pricing-0";
        name[8] = (char)('0' + i);
        shop_quote_handle(edri_node_manager(node, name), on_quote,
            i == 0 ? EDRI_METHOD : EDRI_THREADS(2));
    }
    cr_assert_eq(edri_node_start(node), EDRI_OK);
    edri_port_t *port = edri_node_port(node);
    Shop__Quote quote = SHOP__QUOTE__INIT;
    unsigned counts[2] = {0};
    uint32_t asked = 0;
    uint32_t answered = 0;
    cr_expect_eq(shop_quote_request_all(
                     port, &quote, 0, count_answer, counts, &asked, &answered),
        EDRI_OK);
    cr_expect_eq(asked, 3);
    cr_expect_eq(answered, 3);
    cr_expect_eq(counts[0], 3);
    cr_expect_eq(counts[1], 1);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

Test(local, large_bodies_go_by_reference_and_come_whole)
{
    enum {
        SIZE = 5000000
    };
    edri_node_t *node = new_node();
    shop_quote_handle(
        edri_node_manager(node, "pricing"), on_quote, EDRI_THREADS(2));
    cr_assert_eq(edri_node_start(node), EDRI_OK);
    edri_port_t *port = edri_node_port(node);
    Shop__Quote quote = SHOP__QUOTE__INIT;
    Shop__QuoteReply *reply = NULL;
    quote.padding.len = SIZE;
    quote.padding.data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        quote.padding.data[i] = (uint8_t)(i * 31 >> 3);
    }
    cr_assert_eq(shop_quote_request(port, &quote, 10000, &reply), EDRI_OK, "%s",
        edri_port_error(port));
    cr_expect_eq(reply->padding.len, SIZE);
    cr_expect_eq(memcmp(reply->padding.data, quote.padding.data, SIZE), 0);
    shop_quote_reply_free(&reply);
    free(quote.padding.data);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

Test(local, a_body_over_the_limit_is_refused)
{
    edri_node_t *node = new_node();
    cr_assert_eq(edri_node_set(node, "node.body_limit", "64K"), EDRI_OK);
    cr_assert_eq(edri_node_start(node), EDRI_OK);
    edri_port_t *port = edri_node_port(node);
    Shop__Packed event = SHOP__PACKED__INIT;
    event.data.len = 65536;
    event.data.data = calloc(1, 65536);
    cr_expect_eq(shop_packed_emit(port, &event), EDRI_TOO_BIG);
    cr_expect_str_eq(edri_port_error(port),
        "shop.Packed: 65540 bytes packed, node.body_limit is 65536");
    event.data.len = 1000;
    cr_expect_eq(shop_packed_emit(port, &event), EDRI_OK);
    free(event.data.data);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

static edri_err_t
on_held_order(edri_task_t *task, const Shop__OrderPlaced *order)
{
    (void)order;
    return on_stuck(task, NULL, NULL);
}

Test(local, a_full_manager_pushes_back_on_its_emitters_alone)
{
    stuck_t stuck = {
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    edri_node_t *node = new_node();
    edri_node_set(node, "node.manager_queue", "64K");
    edri_node_set(node, "node.port_queue", "64K");
    edri_node_set(node, "emit.wait", "50ms");
    edri_manager_t *slow = edri_node_manager(node, "slow");
    edri_manager_set_state(slow, &stuck, NULL);
    shop_order_placed_handle(slow, on_held_order, EDRI_METHOD);
    shop_quote_handle(
        edri_node_manager(node, "pricing"), on_quote, EDRI_METHOD);
    cr_assert_eq(edri_node_start(node), EDRI_OK);
    edri_port_t *port = edri_node_port(node);
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    edri_err_t err = EDRI_OK;
    unsigned sent = 0;
    while (err == EDRI_OK && sent < 1000000) {
        order.id = ++sent;
        err = shop_order_placed_emit(port, &order);
    }
    cr_expect_eq(err, EDRI_OVERLOADED, "after %u", sent);
    cr_expect_lt(sent, 20000);
    Shop__Quote quote = SHOP__QUOTE__INIT;
    Shop__QuoteReply *reply = NULL;
    cr_expect_eq(shop_quote_request(port, &quote, 0, &reply), EDRI_OK);
    shop_quote_reply_free(&reply);
    pthread_mutex_lock(&stuck.lock);
    stuck.released = true;
    pthread_cond_broadcast(&stuck.free);
    pthread_mutex_unlock(&stuck.lock);
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(node, 5000), EDRI_OK);
    edri_node_destroy(&node);
}

Test(local, a_mistake_in_setting_up_is_told_at_start)
{
    edri_node_t *node = new_node();
    edri_manager_t *bad = edri_node_manager(node, "no good");
    shop_quote_handle(bad, on_quote, EDRI_METHOD);
    cr_expect_eq(edri_node_start(node), EDRI_INVAL);
    cr_expect_str_eq(edri_node_error(node),
        "manager \"no good\": 1 to 64 letters, digits, '-', '_', '.' make a "
        "name");
    edri_node_destroy(&node);
}

static void *
emit_from_elsewhere(void *arg)
{
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    return shop_order_placed_emit(arg, &order) == EDRI_STATE ? arg : NULL;
}

Test(local, a_port_is_its_threads_own)
{
    edri_node_t *node = new_node();
    cr_assert_eq(edri_node_start(node), EDRI_OK);
    edri_port_t *port = edri_node_port(node);
    pthread_t thread;
    void *result = NULL;
    pthread_create(&thread, NULL, emit_from_elsewhere, port);
    pthread_join(thread, &result);
    cr_expect_eq(result, port);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

static atomic_uint observed;

static void
on_observed(edri_task_t *task, const Shop__QuoteReply *reply)
{
    observed += reply != NULL && edri_task_error(task) == EDRI_OK;
}

Test(local, an_observer_sees_the_replies)
{
    edri_node_t *node = new_node();
    shop_quote_handle(
        edri_node_manager(node, "pricing"), on_quote, EDRI_METHOD);
    shop_quote_observe(edri_node_manager(node, "audit"), on_observed);
    cr_assert_eq(edri_node_start(node), EDRI_OK);
    edri_port_t *port = edri_node_port(node);
    Shop__Quote quote = SHOP__QUOTE__INIT;
    for (int i = 0; i < 5; i++) {
        Shop__QuoteReply *reply = NULL;
        cr_expect_eq(shop_quote_request(port, &quote, 0, &reply), EDRI_OK);
        shop_quote_reply_free(&reply);
    }
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(node, 2000), EDRI_OK);
    cr_expect_eq(observed, 5);
    edri_node_destroy(&node);
}
