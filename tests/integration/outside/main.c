// SPDX-License-Identifier: MIT
// main.c - a whole program against the installed library: one manager that
// hears of a sale and one that is asked for a price.

#include <stdatomic.h>
#include <stdio.h>

#include <edri/edri.h>

#include "store.edri.h"

static atomic_ulong sold;

static edri_err_t
on_sold(edri_task_t *task, const Store__Sold *event)
{
    (void)task;
    atomic_fetch_add(&sold, event->id);
    return EDRI_OK;
}

static edri_err_t
on_price(edri_task_t *task, const Store__Price *price, Store__PriceReply *reply)
{
    (void)task;
    reply->euros = price->sku[0] == 'a' ? 1.5 : 2.5;
    return EDRI_OK;
}

int
main(void)
{
    edri_node_t *node = edri_node_new(0, NULL);
    (void)edri_node_set(node, "node.name", "outside");
    edri_manager_t *shop = edri_node_manager(node, "shop");
    store_sold_handle(shop, on_sold, EDRI_METHOD);
    store_price_handle(shop, on_price, EDRI_METHOD);
    if (edri_node_start(node) != EDRI_OK) {
        fprintf(stderr, "outside: %s\n", edri_node_error(node));
        return 1;
    }
    edri_port_t *port = edri_node_port(node);
    Store__Sold event = STORE__SOLD__INIT;
    event.id = 7;
    edri_err_t err = store_sold_emit(port, &event);
    Store__Price price = STORE__PRICE__INIT;
    price.sku = (char *)"apple";
    Store__PriceReply *reply = NULL;
    if (err == EDRI_OK) {
        err = store_price_request(port, &price, 0, &reply);
    }
    double euros = reply != NULL ? reply->euros : 0;
    store_price_reply_free(&reply);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
    printf("sold %lu, price %.1f, %s\n", atomic_load(&sold), euros,
        edri_err_name(err));
    return err == EDRI_OK && sold == 7 && euros == 1.5 ? 0 : 1;
}
