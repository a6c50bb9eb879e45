// SPDX-License-Identifier: MIT
// quoter.c - a plugin for the tests of the programs.
//
// Answers shop.Quote: "!x" fails, "wait" first waits until somebody has
// written to the FIFO that its setting 'gate' names.  Prints each order and its name; a
// "broken" one fails at first.  QUOTER is its name: there are several of it; with
// IN_PROCESSES quotes are answered by processes.

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <edri/edri.h>

#include "shop.edri.h"

static edri_err_t
on_quote(edri_task_t *task, const Shop__Quote *quote, Shop__QuoteReply *reply)
{
    if (quote->symbol[0] == '!') {
        return edri_task_fail(
            task, EDRI_NOT_FOUND, "no symbol %s", quote->symbol + 1);
    }
    if (strcmp(quote->symbol, "wait") == 0) {
        char byte = 0;
        int fd = open(edri_task_state(task), O_RDONLY);
        (void)!read(fd, &byte, 1);
        (void)close(fd);
    }
    reply->price = (double)strlen(quote->symbol) / 2;
    reply->node = edri_task_strdup(task, QUOTER);
    return EDRI_OK;
}

static edri_err_t
on_order(edri_task_t *task, const Shop__OrderPlaced *order)
{
    if (strcmp(order->sku, "broken") == 0 && !edri_task_redelivered(task)) {
        return edri_task_fail(
            task, EDRI_INVAL, "order %lu is broken", order->id);
    }
    printf("order %lu %s, %s\n", order->id, order->sku, QUOTER);
    (void)fflush(stdout);
    return EDRI_OK;
}

edri_err_t
edri_plugin(edri_manager_t *manager)
{
    static char gate[512];
    (void)snprintf(gate, sizeof gate, "%s",
        edri_manager_setting(manager, "gate", "/dev/null"));
    edri_manager_set_state(manager, gate, NULL);
    shop_order_placed_handle(manager, on_order, EDRI_METHOD);
#ifdef IN_PROCESSES
    return shop_quote_handle(manager, on_quote, EDRI_PROCESSES(2));
#else
    return shop_quote_handle(manager, on_quote, EDRI_THREADS(2));
#endif
}
