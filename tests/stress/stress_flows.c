// SPDX-License-Identifier: MIT
// stress_flows.c - nodes send each other events and requests through a switch
// that is killed several times meanwhile.
//
// usage: stress_flows SWITCH-PROGRAM
//
// Both nodes stand in this process, so that their threads can be watched.
// WRITERS threads of each emit numbered notifications for all and for one of a
// group, and ask; handlers are methods and pools.  At the end every number must
// have come once.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "edri/edri.h"
#include "shop.edri.h"

#include "hub.h"
#include "stress.h"

enum {
    NODES = 2,
    WRITERS = 3,
    EVENTS = 30000,
    EVERY = 20, // of these a request and one for a group
    KILLS = 3,
    LARGE = 20000
};

typedef struct site {
    edri_node_t *node;
    atomic_ulong sum;
    atomic_ulong count;
    atomic_ulong packed;
    atomic_ulong asked;
} site_t;

static site_t sites[NODES];
static atomic_ulong written;

// ----- the switch

static void
choose_port(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    check(bind(fd, (struct sockaddr *)(void *)&address, sizeof address) == 0 &&
              getsockname(fd, (struct sockaddr *)(void *)&address, &size) == 0,
        "no free port");
    (void)close(fd);
    (void)snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u",
        (unsigned)ntohs(address.sin_port));
}

// ----- nodes

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
    check(packed->data.len == LARGE, "a body came damaged");
    site->packed++;
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
open_site(site_t *site, unsigned number)
{
    char name[16];
    (void)snprintf(name, sizeof name, "site-%u", number);
    site->node = edri_node_new(0, NULL);
    edri_node_set(site->node, "node.name", name);
    edri_node_set(site->node, "node.switch", endpoint);
    edri_node_set(site->node, "node.start_timeout", "60s");
    edri_node_set(site->node, "emit.wait", "60s");
    edri_node_set(site->node, "node.manager_queue", "256K");
    edri_manager_t *stock = edri_node_manager(site->node, "stock");
    edri_manager_set_state(stock, site, NULL);
    shop_order_placed_handle(stock, on_order, EDRI_METHOD);
    shop_packed_handle(stock, on_packed, EDRI_THREADS(2));
    edri_manager_t *pricing = edri_node_manager(site->node, "pricing");
    edri_manager_set_state(pricing, site, NULL);
    shop_quote_handle(pricing, on_quote, EDRI_THREADS(2));
    check(edri_node_start(site->node) == EDRI_OK, edri_node_error(site->node));
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
    edri_port_t *port = edri_node_port(self->site->node);
    check(port != NULL, "no port");
    for (unsigned i = 0; i < EVENTS; i++) {
        Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
        order.id = self->first + i;
        check(shop_order_placed_emit(port, &order) == EDRI_OK, "emit");
        if (i % EVERY == 0) {
            Shop__Packed packed = SHOP__PACKED__INIT;
            Shop__Quote quote = SHOP__QUOTE__INIT;
            Shop__QuoteReply *reply = NULL;
            packed.data = (ProtobufCBinaryData){LARGE, data};
            check(shop_packed_emit(port, &packed) == EDRI_OK, "emit body");
            quote.symbol = (char[]){"X"};
            check(shop_quote_request(port, &quote, 60000, &reply) == EDRI_OK,
                "request");
            shop_quote_reply_free(&reply);
        }
        written++;
    }
    check(edri_port_flush(port, 60000) == EDRI_OK, "flush");
    edri_port_destroy(&port);
    free(data);
    return NULL;
}

// ----- all of it

// kill_switches kills the switch each time a part has been written.
static void
kill_switches(void)
{
    for (unsigned long i = 1; i <= KILLS; i++) {
        while (written < i * NODES * WRITERS * EVENTS / (KILLS + 1)) {
            sched_yield();
        }
        end_switch(SIGKILL);
        start_switch();
    }
}

static unsigned long
sum_packed(void)
{
    unsigned long packed = 0;
    for (size_t n = 0; n < NODES; n++) {
        packed += sites[n].packed;
    }
    return packed;
}

int
main(int argc, char **argv)
{
    writer_t writers[NODES][WRITERS];
    check(argc == 2, "usage: stress_flows SWITCH-PROGRAM");
    (void)snprintf(program, sizeof program, "%s", argv[1]);
    choose_port();
    start_switch();
    for (unsigned n = 0; n < NODES; n++) {
        open_site(&sites[n], n);
    }
    for (size_t n = 0; n < NODES; n++) {
        for (size_t i = 0; i < WRITERS; i++) {
            writers[n][i] = (writer_t){
                .site = &sites[n], .first = (n * WRITERS + i) * EVENTS};
            check(pthread_create(&writers[n][i].thread, NULL, run_writer,
                      &writers[n][i]) == 0,
                "thread");
        }
    }
    kill_switches();
    for (size_t n = 0; n < NODES; n++) {
        for (size_t i = 0; i < WRITERS; i++) {
            pthread_join(writers[n][i].thread, NULL);
        }
    }
    unsigned long count = (unsigned long)NODES * WRITERS * EVENTS;
    unsigned long rare = (unsigned long)NODES * WRITERS * (EVENTS / EVERY);
    int64_t end_ms = clock_ms() + 60000;
    while ((sites[0].count < count || sites[1].count < count ||
               sum_packed() < rare) &&
           clock_ms() < end_ms) {
        sched_yield();
    }
    for (size_t n = 0; n < NODES; n++) {
        check(edri_node_stop(sites[n].node, 60000) == EDRI_OK, "drain");
        edri_node_destroy(&sites[n].node);
    }
    end_switch(SIGTERM);
    for (size_t n = 0; n < NODES; n++) {
        check(sites[n].count == count, "events were lost or doubled");
        check(sites[n].sum == count * (count - 1) / 2, "wrong events came");
    }
    check(sum_packed() == rare, "events for a group were lost or doubled");
    check(sites[0].asked + sites[1].asked == rare, "requests");
    printf("stress_flows: %lu events at both nodes, %lu for one of them, %lu "
           "requests, each once; %d kills of the switch\n",
        count, rare, rare, KILLS);
    return 0;
}
