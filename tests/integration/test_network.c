// SPDX-License-Identifier: MIT
// test_network.c - nodes that a real edri-switch joins.

#include <criterion/criterion.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "edri/edri.h"
#include "shop.edri.h"
#include "support/network.h"

TestSuite(network, .timeout = 60);

// ----- handlers

typedef struct seen {
    atomic_ulong count;
    atomic_ulong disorder;
    uint64_t last;
    size_t size;
} seen_t;

static edri_err_t
on_order(edri_task_t *task, const Shop__OrderPlaced *order)
{
    seen_t *seen = edri_task_state(task);
    seen->disorder += order->id != seen->last + 1;
    seen->last = order->id;
    seen->count++;
    return EDRI_OK;
}

static edri_err_t
on_packed(edri_task_t *task, const Shop__Packed *packed)
{
    seen_t *seen = edri_task_state(task);
    seen->disorder += packed->id <= seen->last;
    seen->last = packed->id;
    seen->size += packed->data.len;
    seen->count++;
    return EDRI_OK;
}

static edri_err_t
on_quote(edri_task_t *task, const Shop__Quote *quote, Shop__QuoteReply *reply)
{
    reply->price = 42.5;
    reply->node = edri_task_state(task);
    reply->padding = quote->padding;
    return EDRI_OK;
}

Test(network, example)
{
    hub_t hub = start_switch();
    edri_node_t *shop = new_node(&hub, "shop");
    edri_manager_t *pricing = edri_node_manager(shop, "pricing");
    edri_manager_set_state(pricing, (char[]){"shop"}, NULL);
    shop_quote_handle(pricing, on_quote, EDRI_METHOD);
    start(shop);
    edri_node_t *client = new_node(&hub, "client");
    start(client);

    edri_port_t *port = edri_node_port(client);
    Shop__Quote quote = SHOP__QUOTE__INIT;
    Shop__QuoteReply *reply = NULL;
    quote.symbol = (char[]){"X"};
    cr_assert_eq(shop_quote_request(port, &quote, 5000, &reply), EDRI_OK, "%s",
        edri_port_error(port));
    cr_expect_eq(reply->price, 42.5);
    cr_expect_str_eq(reply->node, "shop");
    shop_quote_reply_free(&reply);

    edri_port_destroy(&port);
    edri_node_destroy(&client);
    edri_node_destroy(&shop);
    stop_switch(&hub);
}

Test(network, events_cross_in_order_and_none_is_missing)
{
    enum {
        COUNT = 300000
    };
    seen_t seen = {0};
    hub_t hub = start_switch();
    edri_node_t *stock = new_node(&hub, "stock");
    edri_manager_t *manager = edri_node_manager(stock, "stock");
    edri_manager_set_state(manager, &seen, NULL);
    shop_order_placed_handle(manager, on_order, EDRI_METHOD);
    start(stock);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    for (uint64_t i = 1; i <= COUNT; i++) {
        order.id = i;
        cr_assert_eq(shop_order_placed_emit(port, &order), EDRI_OK);
    }
    cr_expect_eq(edri_port_flush(port, 20000), EDRI_OK);
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(client, 10000), EDRI_OK);
    cr_expect_eq(edri_node_stop(stock, 10000), EDRI_OK);
    cr_expect_eq(seen.count, COUNT, "got %lu", seen.count);
    cr_expect_eq(seen.disorder, 0);
    edri_node_destroy(&client);
    edri_node_destroy(&stock);
    stop_switch(&hub);
}

Test(network, replicas_share_a_group_and_each_event_comes_once)
{
    enum {
        COUNT = 20000
    };
    seen_t seen[2] = {0};
    hub_t hub = start_switch();
    edri_node_t *nodes[2];
    for (int i = 0; i < 2; i++) {
        nodes[i] = new_node(&hub, i == 0 ? "one" : "two");
        edri_manager_t *manager = edri_node_manager(nodes[i], "packer");
        edri_manager_set_state(manager, &seen[i], NULL);
        shop_packed_handle(manager, on_packed, EDRI_METHOD);
        start(nodes[i]);
    }
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    Shop__Packed packed = SHOP__PACKED__INIT;
    for (uint64_t i = 1; i <= COUNT; i++) {
        packed.id = i;
        cr_assert_eq(shop_packed_emit(port, &packed), EDRI_OK);
    }
    cr_expect_eq(edri_port_flush(port, 20000), EDRI_OK);
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(edri_node_stop(nodes[i], 10000), EDRI_OK);
        edri_node_destroy(&nodes[i]);
        cr_expect_gt(seen[i].count, COUNT / 10, "%lu", seen[i].count);
        cr_expect_eq(seen[i].disorder, 0);
    }
    cr_expect_eq(seen[0].count + seen[1].count, COUNT);
    stop_switch(&hub);
}

Test(network, large_bodies_cross_in_their_order)
{
    enum {
        LARGE = 3000000,
        COUNT = 20
    };
    seen_t seen = {0};
    hub_t hub = start_switch();
    edri_node_t *stock = new_node(&hub, "stock");
    edri_manager_t *manager = edri_node_manager(stock, "packer");
    edri_manager_set_state(manager, &seen, NULL);
    shop_packed_handle(manager, on_packed, EDRI_METHOD);
    edri_manager_t *pricing = edri_node_manager(stock, "pricing");
    edri_manager_set_state(pricing, (char[]){"stock"}, NULL);
    shop_quote_handle(pricing, on_quote, EDRI_METHOD);
    start(stock);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    uint8_t *data = malloc(LARGE);
    for (size_t i = 0; i < LARGE; i++) {
        data[i] = (uint8_t)(i * 7 >> 2);
    }
    size_t total = 0;
    for (uint64_t i = 1; i <= COUNT; i++) {
        static const size_t sizes[] = {10, LARGE, 100, 20000, 300000};
        Shop__Packed packed = SHOP__PACKED__INIT;
        packed.id = i;
        packed.data = (ProtobufCBinaryData){sizes[i % 5], data};
        total += packed.data.len;
        cr_assert_eq(shop_packed_emit(port, &packed), EDRI_OK);
    }
    Shop__Quote quote = SHOP__QUOTE__INIT;
    Shop__QuoteReply *reply = NULL;
    quote.padding = (ProtobufCBinaryData){LARGE, data};
    cr_assert_eq(shop_quote_request(port, &quote, 20000, &reply), EDRI_OK, "%s",
        edri_port_error(port));
    cr_expect_eq(reply->padding.len, LARGE);
    cr_expect_eq(memcmp(reply->padding.data, data, LARGE), 0);
    shop_quote_reply_free(&reply);
    free(data);
    cr_expect_eq(edri_port_flush(port, 20000), EDRI_OK);
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    cr_expect_eq(edri_node_stop(stock, 10000), EDRI_OK);
    cr_expect_eq(seen.count, COUNT, "got %lu", seen.count);
    cr_expect_eq(seen.size, total);
    cr_expect_eq(seen.disorder, 0);
    edri_node_destroy(&stock);
    stop_switch(&hub);
}

Test(network, nobody_is_there_is_said_at_once)
{
    hub_t hub = start_switch();
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    Shop__Unanswered request = SHOP__UNANSWERED__INIT;
    Shop__QuoteReply *reply = NULL;
    cr_expect_eq(shop_unanswered_request(port, &request, 50000, &reply),
        EDRI_NO_RESPONDER);
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    stop_switch(&hub);
}

Test(network, a_second_node_with_the_same_name_is_refused)
{
    hub_t hub = start_switch();
    edri_node_t *first = new_node(&hub, "same");
    start(first);
    edri_node_t *second = new_node(&hub, "same");
    cr_expect_eq(edri_node_start(second), EDRI_EXISTS);
    cr_expect_not_null(
        strstr(edri_node_error(second), "another live node has the name same"),
        "%s", edri_node_error(second));
    edri_node_destroy(&second);
    edri_node_t *third = new_node(&hub, "third");
    start(third);
    edri_node_destroy(&third);
    edri_node_destroy(&first);
    stop_switch(&hub);
}

Test(network, a_switch_that_is_not_there_is_said_in_time)
{
    hub_t hub = {.endpoint = "tcp://127.0.0.1:1"};
    edri_node_t *node = new_node(&hub, "lonely");
    cr_assert_eq(edri_node_set(node, "node.start_timeout", "200ms"), EDRI_OK);
    cr_expect_eq(edri_node_start(node), EDRI_UNREACHABLE);
    cr_expect_str_eq(edri_node_error(node),
        "no switch at tcp://127.0.0.1:1 answered within 200 ms "
        "(node.start_timeout)");
    edri_node_destroy(&node);
}

Test(network, types_are_found_and_built_at_run_time)
{
    hub_t hub = start_switch();
    edri_node_t *shop = new_node(&hub, "shop");
    edri_manager_t *pricing = edri_node_manager(shop, "pricing");
    edri_manager_set_state(pricing, (char[]){"shop"}, NULL);
    shop_quote_handle(pricing, on_quote, EDRI_METHOD);
    start(shop);
    edri_node_t *guest = new_node(&hub, "");
    start(guest);
    edri_network_t *network = NULL;
    cr_assert_eq(edri_network_new(guest, 5000, &network), EDRI_OK, "%s",
        edri_node_error(guest));
    const edri_network_type_t *types = NULL;
    const edri_network_node_t *nodes = NULL;
    size_t count = edri_network_types(network, &types);
    while (count > 0 && strcmp(types->name, "shop.Quote") != 0) {
        types++; // what nodes tell of themselves
        count--;
    }
    cr_assert_gt(count, 0);
    cr_expect_str_eq(types[0].handlers[0], "shop/pricing");
    cr_assert_eq(edri_network_nodes(network, &nodes), 2);
    cr_expect_str_eq(nodes[1].name, "shop");
    cr_expect_str_eq(nodes[1].managers[0], "pricing");
    edri_network_destroy(&network);

    const edri_type_t *type = NULL;
    cr_assert_eq(edri_network_find(guest, "shop.Quote", 5000, &type), EDRI_OK);
    cr_expect_eq(type->id, shop_quote_type.id);
    cr_expect_eq(type->kind, EDRI_REQUEST);
    cr_expect_eq(type->timeout_ms, 2000);
    edri_port_t *port = edri_node_port(guest);
    ProtobufCMessage *request =
        protobuf_c_message_unpack(type->message, NULL, 0, NULL);
    ProtobufCMessage *reply = NULL;
    cr_assert_eq(edri_request(port, type, request, 0, &reply), EDRI_OK, "%s",
        edri_port_error(port));
    uint8_t bytes[64];
    size_t size = protobuf_c_message_pack(reply, bytes);
    Shop__QuoteReply *typed = shop__quote_reply__unpack(NULL, size, bytes);
    cr_expect_eq(typed->price, 42.5);
    shop__quote_reply__free_unpacked(typed, NULL);
    protobuf_c_message_free_unpacked(reply, NULL);
    protobuf_c_message_free_unpacked(request, NULL);
    cr_expect_eq(
        edri_network_find(guest, "shop.Nothing", 5000, &type), EDRI_NOT_FOUND);
    edri_port_destroy(&port);
    edri_node_destroy(&guest);
    edri_node_destroy(&shop);
    stop_switch(&hub);
}

Test(network, a_killed_responder_ends_its_requests)
{
    hub_t hub = start_switch();
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        edri_node_t *shop = new_node(&hub, "shop");
        edri_manager_t *pricing = edri_node_manager(shop, "pricing");
        edri_manager_set_state(pricing, (char[]){"shop"}, NULL);
        shop_quote_handle(pricing, on_quote, EDRI_METHOD);
        if (edri_node_start(shop) != EDRI_OK || write(ready[1], "x", 1) != 1) {
            _exit(1);
        }
        edri_node_wait(shop);
        _exit(0);
    }
    char byte = 0;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    Shop__Quote quote = SHOP__QUOTE__INIT;
    Shop__QuoteReply *reply = NULL;
    cr_assert_eq(shop_quote_request(port, &quote, 5000, &reply), EDRI_OK);
    shop_quote_reply_free(&reply);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    // Closed for 6 s, then given up: died, not silence until the deadline.
    cr_expect_eq(
        shop_quote_request(port, &quote, 50000, &reply), EDRI_RESPONDER_DIED);
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    stop_switch(&hub);
}

// A receiver may have a lower limit than the emitter: what is too large for it
// is counted there, a request gets an error, and what follows arrives.
Test(network, a_body_over_the_receivers_limit_is_refused_and_blocks_nothing)
{
    enum {
        LARGE = 3000000
    };
    seen_t seen = {0};
    hub_t hub = start_switch();
    edri_node_t *shop = new_node(&hub, "shop");
    edri_node_set(shop, "node.body_limit", "1M");
    edri_manager_t *manager = edri_node_manager(shop, "packer");
    edri_manager_set_state(manager, &seen, NULL);
    shop_packed_handle(manager, on_packed, EDRI_METHOD);
    edri_manager_t *pricing = edri_node_manager(shop, "pricing");
    edri_manager_set_state(pricing, (char[]){"shop"}, NULL);
    shop_quote_handle(pricing, on_quote, EDRI_METHOD);
    start(shop);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    uint8_t *data = calloc(1, LARGE);
    static const size_t sizes[] = {10, LARGE, 100, LARGE, 900000, 20};
    for (uint64_t i = 0; i < 6; i++) {
        Shop__Packed packed = SHOP__PACKED__INIT;
        packed.id = i + 1;
        packed.data = (ProtobufCBinaryData){sizes[i], data};
        cr_assert_eq(shop_packed_emit(port, &packed), EDRI_OK);
    }
    Shop__Quote quote = SHOP__QUOTE__INIT;
    Shop__QuoteReply *reply = NULL;
    quote.padding = (ProtobufCBinaryData){LARGE, data};
    edri_err_t err = shop_quote_request(port, &quote, 3000, &reply);
    cr_expect_eq(
        err, EDRI_TOO_BIG, "%s: %s", edri_err_name(err), edri_port_error(port));
    quote.padding.len = 10;
    cr_expect_eq(shop_quote_request(port, &quote, 5000, &reply), EDRI_OK);
    shop_quote_reply_free(&reply);
    free(data);
    cr_expect_eq(edri_port_flush(port, 10000), EDRI_OK);
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    uint64_t refused = 0;
    cr_expect_eq(edri_node_counter(shop, "events.too_big", &refused), EDRI_OK);
    cr_expect_eq(refused, 3);
    cr_expect_eq(edri_node_stop(shop, 10000), EDRI_OK);
    cr_expect_eq(seen.count, 4, "%lu", seen.count);
    cr_expect_eq(seen.disorder, 0);
    edri_node_destroy(&shop);
    stop_switch(&hub);
}

// tally_t is how requests with large bodies have ended.
typedef struct tally {
    unsigned fine;
    unsigned no_room;
    unsigned other;
} tally_t;

static void
tally_answer(
    const edri_answer_t *answer, const Shop__QuoteReply *reply, void *arg)
{
    tally_t *self = arg;
    (void)reply;
    if (answer->err == EDRI_OVERLOADED &&
        strstr(answer->text, "what others left") != NULL) {
        self->no_room++;
    } else {
        *(answer->err == EDRI_OK ? &self->fine : &self->other) += 1;
    }
}

// Each body is within the limit.  Of what comes at once, a node keeps twice that; whoever
// asks with more is told so, and may ask again.
Test(network, large_bodies_that_come_at_once_have_a_bound)
{
    enum {
        LARGE = 2900000,
        CLIENTS = 4
    };
    tally_t tally = {0};
    hub_t hub = start_switch();
    edri_node_t *clients[CLIENTS];
    edri_port_t *ports[CLIENTS];
    uint8_t *data = calloc(1, LARGE);
    Shop__Quote quote = SHOP__QUOTE__INIT;
    edri_node_t *shop = new_node(&hub, "shop");
    edri_node_set(shop, "node.body_limit", "3M");
    edri_manager_t *pricing = edri_node_manager(shop, "pricing");
    edri_manager_set_state(pricing, (char[]){"shop"}, NULL);
    shop_quote_handle(pricing, on_quote, EDRI_METHOD);
    start(shop);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = new_node(&hub, (const char *[]){"a", "b", "c", "d"}[i]);
        start(clients[i]);
        ports[i] = edri_node_port(clients[i]);
        cr_assert_eq(shop_quote_request(ports[i], &quote, 5000, NULL), EDRI_OK);
    }
    quote.padding = (ProtobufCBinaryData){LARGE, data};
    unsigned asked = 0;
    for (int64_t end_ms = clock_ms() + 20000;
         tally.no_room == 0 && clock_ms() < end_ms; asked += CLIENTS) {
        for (size_t i = 0; i < CLIENTS; i++) {
            cr_assert_eq(shop_quote_request_async(
                             ports[i], &quote, 10000, tally_answer, &tally),
                EDRI_OK);
        }
        for (unsigned turn = 0;
             tally.fine + tally.no_room + tally.other < asked + CLIENTS;
             turn++) {
            (void)edri_port_poll(ports[turn % CLIENTS], 1);
        }
    }
    cr_expect_gt(tally.no_room, 0);
    cr_expect_eq(tally.other, 0);
    cr_expect_eq(shop_quote_request(ports[0], &quote, 10000, NULL), EDRI_OK,
        "%s", edri_port_error(ports[0]));
    free(data);
    for (size_t i = 0; i < CLIENTS; i++) {
        edri_port_destroy(&ports[i]);
        edri_node_destroy(&clients[i]);
    }
    edri_node_destroy(&shop);
    stop_switch(&hub);
}

// The switch is killed and another one takes its place: nodes come back, state
// their demands, and go on.
Test(network, nodes_outlive_their_switch)
{
    hub_t hub = start_switch();
    edri_node_t *shop = new_node(&hub, "shop");
    edri_manager_t *pricing = edri_node_manager(shop, "pricing");
    edri_manager_set_state(pricing, (char[]){"shop"}, NULL);
    shop_quote_handle(pricing, on_quote, EDRI_METHOD);
    edri_node_set(shop, "link.heartbeat", "100ms");
    edri_node_set(shop, "link.lost", "500ms");
    start(shop);
    edri_node_t *client = new_node(&hub, "client");
    edri_node_set(client, "link.heartbeat", "100ms");
    edri_node_set(client, "link.lost", "500ms");
    start(client);
    edri_port_t *port = edri_node_port(client);
    Shop__Quote quote = SHOP__QUOTE__INIT;
    Shop__QuoteReply *reply = NULL;
    cr_assert_eq(shop_quote_request(port, &quote, 5000, &reply), EDRI_OK);
    shop_quote_reply_free(&reply);
    for (int round = 0; round < 3; round++) {
        kill(hub.pid, SIGKILL);
        waitpid(hub.pid, NULL, 0);
        hub = start_switch_at(hub.endpoint);
        // Nobody is there at first, and that is said; then the shop is back.
        edri_err_t err = EDRI_DEADLINE;
        int64_t end = clock_ms() + 15000;
        while (err != EDRI_OK && clock_ms() < end) {
            err = shop_quote_request(port, &quote, 500, &reply);
            shop_quote_reply_free(&reply);
            (void)edri_port_poll(port, err != EDRI_OK ? 20 : 0);
        }
        cr_expect_eq(err, EDRI_OK, "round %d: %s", round, edri_err_name(err));
    }
    uint64_t links = 0, lost = 0;
    (void)edri_node_counter(client, "links.up", &links);
    (void)edri_node_counter(client, "links.lost", &lost);
    cr_expect_geq(links, 4, "%lu", links);
    cr_expect_geq(lost, 3, "%lu", lost);
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    edri_node_destroy(&shop);
    stop_switch(&hub);
}
