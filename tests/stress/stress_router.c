// SPDX-License-Identifier: MIT
// stress_router.c - many threads emit and ask through one router at once.
//
// Each of WRITERS threads attaches and detaches ports, emits numbered
// notifications, large bodies that two managers share, and asks requests; a
// method and a pool handle them, and a small queue makes them push back.  Other
// nodes do the same in the same process, at the same time.  At the end every
// number must have come once.

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "edri/edri.h"
#include "shop.edri.h"

#include "stress.h"

enum {
    NODES = 2,
    WRITERS = 4,
    PORTS = 5, // one after the other, per writer
    EVENTS = 40000,
    EVERY = 40, // of these a request and a large body
    LARGE = 50000
};

typedef struct site {
    edri_node_t *node;
    atomic_ulong sum;
    atomic_ulong count;
    atomic_ulong bytes;
    atomic_ulong asked;
} site_t;

static edri_err_t
on_order(edri_task_t *task, const Shop__OrderPlaced *order)
{
    site_t *site = edri_task_state(task);
    site->sum += order->id;
    site->count++;
    return EDRI_OK;
}

static edri_err_t
on_packed(edri_task_t *task, const Shop__Packed *packed)
{
    site_t *site = edri_task_state(task);
    check(packed->data.len == LARGE &&
              packed->data.data[LARGE - 1] == (uint8_t)packed->id,
        "a body came damaged");
    site->bytes += packed->data.len;
    return EDRI_OK;
}

static edri_err_t
on_quote(edri_task_t *task, const Shop__Quote *quote, Shop__QuoteReply *reply)
{
    site_t *site = edri_task_state(task);
    reply->node = edri_task_strdup(task, quote->symbol);
    site->asked++;
    return EDRI_OK;
}

static void
ask(edri_port_t *port)
{
    Shop__Quote quote = SHOP__QUOTE__INIT;
    Shop__QuoteReply *reply = NULL;
    quote.symbol = (char[]){"X"};
    check(
        shop_quote_request(port, &quote, 60000, &reply) == EDRI_OK, "request");
    shop_quote_reply_free(&reply);
}

typedef struct writer {
    site_t *site;
    unsigned long first;
    pthread_t thread;
} writer_t;

static void *
run_writer(void *arg)
{
    writer_t *self = arg;
    uint8_t *data = calloc(1, LARGE);
    for (unsigned p = 0; p < PORTS; p++) {
        edri_port_t *port = edri_node_port(self->site->node);
        check(port != NULL, "no port");
        for (unsigned i = 0; i < EVENTS / PORTS; i++) {
            Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
            order.id = self->first + p * (EVENTS / PORTS) + i;
            check(shop_order_placed_emit(port, &order) == EDRI_OK, "emit");
            if (i % EVERY == 0) {
                Shop__Packed packed = SHOP__PACKED__INIT;
                packed.id = order.id;
                data[LARGE - 1] = (uint8_t)order.id;
                packed.data = (ProtobufCBinaryData){LARGE, data};
                check(shop_packed_emit(port, &packed) == EDRI_OK, "emit body");
                ask(port);
            }
        }
        edri_port_destroy(&port);
    }
    free(data);
    return NULL;
}

static void
open_site(site_t *site)
{
    site->node = edri_node_new(0, NULL);
    edri_node_set(site->node, "emit.wait", "60s");
    edri_node_set(site->node, "node.manager_queue", "256K");
    edri_manager_t *stock = edri_node_manager(site->node, "stock");
    edri_manager_set_state(stock, site, NULL);
    shop_order_placed_handle(stock, on_order, EDRI_METHOD);
    shop_packed_handle(stock, on_packed, EDRI_METHOD);
    edri_manager_t *audit = edri_node_manager(site->node, "audit");
    edri_manager_set_state(audit, site, NULL);
    shop_packed_handle(audit, on_packed, EDRI_THREADS(2));
    edri_manager_t *pricing = edri_node_manager(site->node, "pricing");
    edri_manager_set_state(pricing, site, NULL);
    shop_quote_handle(pricing, on_quote, EDRI_THREADS(3));
    check(edri_node_start(site->node) == EDRI_OK, edri_node_error(site->node));
}

static void
close_site(site_t *site)
{
    check(edri_node_stop(site->node, 60000) == EDRI_OK, "drain");
    unsigned long count = (unsigned long)WRITERS * EVENTS;
    unsigned long rare =
        (unsigned long)WRITERS * PORTS * (EVENTS / PORTS / EVERY);
    check(site->count == count, "events were lost or doubled");
    check(site->sum == count * (count - 1) / 2, "wrong events came");
    check(site->asked == rare, "requests");
    check(site->bytes == 2 * rare * LARGE, "bodies were lost or doubled");
    edri_node_destroy(&site->node);
    printf("stress_router: %lu events, %lu requests, %lu bodies, each once\n",
        count, rare, 2 * rare);
}

int
main(void)
{
    static site_t sites[NODES];
    writer_t writers[NODES][WRITERS];
    for (size_t n = 0; n < NODES; n++) {
        open_site(&sites[n]);
    }
    for (size_t n = 0; n < NODES; n++) {
        for (size_t i = 0; i < WRITERS; i++) {
            writers[n][i] = (writer_t){.site = &sites[n], .first = i * EVENTS};
            check(pthread_create(&writers[n][i].thread, NULL, run_writer,
                      &writers[n][i]) == 0,
                "thread");
        }
    }
    for (size_t n = 0; n < NODES; n++) {
        for (size_t i = 0; i < WRITERS; i++) {
            pthread_join(writers[n][i].thread, NULL);
        }
        close_site(&sites[n]);
    }
    return 0;
}
