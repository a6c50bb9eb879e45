// SPDX-License-Identifier: MIT
// stress_router.c - many threads emit and ask through one router at once.
//
// Each of WRITERS threads emits numbered notifications and asks requests; a
// method and a pool handle them.  At the end every number must have come once.

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "edri/edri.h"
#include "shop.edri.h"

enum {
    WRITERS = 4,
    EVENTS = 20000,
    REQUESTS = 500
};

static atomic_ulong event_sum;
static atomic_ulong event_count;
static atomic_ulong handled;
static edri_node_t *node;

static edri_err_t
on_order(edri_task_t *task, const Shop__OrderPlaced *order)
{
    (void)task;
    event_sum += order->id;
    event_count++;
    return EDRI_OK;
}

static edri_err_t
on_quote(edri_task_t *task, const Shop__Quote *quote, Shop__QuoteReply *reply)
{
    reply->node = edri_task_strdup(task, quote->symbol);
    handled++;
    return EDRI_OK;
}

static void
check(bool fine, const char *what)
{
    if (!fine) {
        fprintf(stderr, "stress_router: %s\n", what);
        exit(1);
    }
}

static void *
run_writer(void *arg)
{
    unsigned long first = (unsigned long)(size_t)arg * EVENTS;
    edri_port_t *port = edri_node_port(node);
    check(port != NULL, "no port");
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    for (unsigned i = 0; i < EVENTS; i++) {
        order.id = first + i;
        check(shop_order_placed_emit(port, &order) == EDRI_OK, "emit");
        if (i % (EVENTS / REQUESTS) == 0) {
            Shop__Quote quote = SHOP__QUOTE__INIT;
            Shop__QuoteReply *reply = NULL;
            quote.symbol = (char[]){"X"};
            check(shop_quote_request(port, &quote, 60000, &reply) == EDRI_OK,
                "request");
            shop_quote_reply_free(&reply);
        }
    }
    edri_port_destroy(&port);
    return NULL;
}

int
main(void)
{
    node = edri_node_new(0, NULL);
    edri_node_set(node, "emit.wait", "60s");
    shop_order_placed_handle(
        edri_node_manager(node, "stock"), on_order, EDRI_METHOD);
    shop_quote_handle(
        edri_node_manager(node, "pricing"), on_quote, EDRI_THREADS(3));
    check(edri_node_start(node) == EDRI_OK, edri_node_error(node));
    pthread_t threads[WRITERS];
    for (size_t i = 0; i < WRITERS; i++) {
        check(pthread_create(&threads[i], NULL, run_writer, (void *)i) == 0,
            "thread");
    }
    for (size_t i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    check(edri_node_stop(node, 60000) == EDRI_OK, "drain");
    unsigned long count = (unsigned long)WRITERS * EVENTS;
    check(event_count == count, "events were lost or doubled");
    check(event_sum == count * (count - 1) / 2, "wrong events came");
    check(handled == (unsigned long)WRITERS * REQUESTS, "requests");
    edri_node_destroy(&node);
    printf("stress_router: %lu events, %lu requests, each once\n", count,
        (unsigned long)handled);
    return 0;
}
