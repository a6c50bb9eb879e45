// SPDX-License-Identifier: MIT
// test_links.c - links and members that come and go under load.

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "shop.edri.h"
#include "support/network.h"

TestSuite(links, .timeout = 60);

typedef struct seen {
    atomic_ulong count;
    atomic_ulong bytes;
    atomic_bool held; // handlers wait while it is true
} seen_t;

static edri_err_t
on_packed(edri_task_t *task, const Shop__Packed *packed)
{
    seen_t *seen = edri_task_state(task);
    while (seen->held) {
        sched_yield();
    }
    seen->bytes += packed->data.len;
    seen->count++;
    return EDRI_OK;
}

static edri_err_t
on_quote(edri_task_t *task, const Shop__Quote *quote, Shop__QuoteReply *reply)
{
    seen_t *seen = edri_task_state(task);
    seen->count++;
    while (seen->held) {
        sched_yield();
    }
    reply->padding = quote->padding;
    return EDRI_OK;
}

static void
packer(edri_node_t *node, const char *manager, seen_t *seen)
{
    edri_manager_t *self = edri_node_manager(node, manager);
    edri_manager_set_state(self, seen, NULL);
    shop_packed_handle(self, on_packed, EDRI_METHOD);
}

static edri_node_t *
packer_node(
    const hub_t *hub, const char *name, const char *manager, seen_t *seen)
{
    edri_node_t *node = new_node(hub, name);
    edri_node_set(node, "node.manager_queue", "64K");
    packer(node, manager, seen);
    start(node);
    return node;
}

// await waits until a count has reached a value; false after 20 s.
static bool
await(atomic_ulong *count, unsigned long wanted)
{
    int64_t end = clock_ms() + 20000;
    while (*count < wanted && clock_ms() < end) {
        sched_yield();
    }
    return *count >= wanted;
}

static bool
await_counter(const edri_node_t *node, const char *name, uint64_t wanted)
{
    int64_t end = clock_ms() + 20000;
    uint64_t value = 0;
    do {
        sched_yield();
        (void)edri_node_counter(node, name, &value);
    } while (value < wanted && clock_ms() < end);
    return value >= wanted;
}

static void
emit(edri_port_t *port, size_t size, int count)
{
    static uint8_t data[1000000];
    Shop__Packed packed = SHOP__PACKED__INIT;
    packed.data = (ProtobufCBinaryData){size, data};
    for (int i = 0; i < count; i++) {
        cr_assert_eq(shop_packed_emit(port, &packed), EDRI_OK);
    }
}

Test(links, example)
{
    // Two managers of one node get the same large body, part by part.
    hub_t hub = start_switch();
    seen_t a = {0}, b = {0};
    edri_node_t *node = new_node(&hub, "node");
    packer(node, "a", &a);
    packer(node, "b", &b);
    start(node);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    emit(port, 1000000, 3);
    emit(port, 10, 5);
    cr_expect(await(&a.count, 8) && await(&b.count, 8), "%lu and %lu", a.count,
        b.count);
    cr_expect_eq(a.bytes, 3000050);
    cr_expect_eq(b.bytes, 3000050);
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    edri_node_destroy(&node);
    stop_switch(&hub);
}

// What waits for a member that leaves goes to its own group, and nobody else
// gets it again.
Test(links, a_member_that_leaves_gives_back_to_its_own_group)
{
    enum {
        COUNT = 3000
    };
    hub_t hub = start_switch();
    seen_t a1 = {0}, a2 = {.held = true}, b = {0};
    edri_node_t *one = packer_node(&hub, "a1", "A", &a1);
    edri_node_t *two = packer_node(&hub, "a2", "A", &a2);
    edri_node_t *other = packer_node(&hub, "b", "B", &b);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    emit(port, 1000, COUNT);
    cr_expect(await(&b.count, COUNT));
    a2.held = false;
    cr_expect_eq(edri_node_stop(two, 10000), EDRI_OK);
    edri_node_destroy(&two);
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(client, 10000), EDRI_OK);
    edri_node_destroy(&client);
    cr_expect_eq(edri_node_stop(one, 10000), EDRI_OK);
    cr_expect_eq(edri_node_stop(other, 10000), EDRI_OK);
    edri_node_destroy(&one);
    edri_node_destroy(&other);
    cr_expect_eq(a1.count + a2.count, COUNT, "%lu + %lu", a1.count, a2.count);
    cr_expect_eq(b.count, COUNT, "%lu", b.count);
    stop_switch(&hub);
}

// A switch that has died is noticed by the next word to it; what is emitted
// meanwhile waits at its source for the next switch.
Test(links, events_wait_for_the_next_switch)
{
    hub_t hub = start_switch();
    seen_t seen = {0};
    edri_node_t *node = packer_node(&hub, "node", "a", &seen);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    emit(port, 10, 10);
    cr_assert(await(&seen.count, 10));
    cr_expect(await_counter(node, "links.heartbeats", 1));
    cr_expect(await_counter(node, "links.in_force", 1));
    kill(hub.pid, SIGKILL);
    waitpid(hub.pid, NULL, 0);
    cr_assert(await_counter(client, "links.lost", 1));
    emit(port, 1000, 1000);
    hub = start_switch_at(hub.endpoint);
    cr_expect(await(&seen.count, 1010), "%lu", seen.count);
    cr_expect(await_counter(node, "links.in_force", 2), "demanded anew");
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(client, 10000), EDRI_OK);
    edri_node_destroy(&client);
    cr_expect_eq(edri_node_stop(node, 10000), EDRI_OK);
    edri_node_destroy(&node);
    cr_expect_eq(seen.count, 1010);
    stop_switch(&hub);
}

static edri_err_t asked = EDRI_OK;

static void *
ask(void *arg)
{
    static uint8_t data[1000000];
    edri_port_t *port = edri_node_port(arg);
    Shop__Quote quote = SHOP__QUOTE__INIT;
    Shop__QuoteReply *reply = NULL;
    quote.symbol = (char[]){"X"};
    quote.padding = (ProtobufCBinaryData){sizeof data, data};
    asked = shop_quote_request(port, &quote, 15000, &reply);
    if (asked == EDRI_OK && reply->padding.len != sizeof data) {
        asked = EDRI_UNDECODABLE;
    }
    shop_quote_reply_free(&reply);
    edri_port_destroy(&port);
    return NULL;
}

// The reply, too large for one message, is made while no switch is there.
Test(links, a_large_reply_waits_for_the_next_switch)
{
    hub_t hub = start_switch();
    seen_t seen = {.held = true};
    edri_node_t *node = new_node(&hub, "node");
    edri_manager_t *pricing = edri_node_manager(node, "pricing");
    edri_manager_set_state(pricing, &seen, NULL);
    shop_quote_handle(pricing, on_quote, EDRI_METHOD);
    start(node);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, ask, client), 0);
    cr_assert(await(&seen.count, 1));
    kill(hub.pid, SIGKILL);
    waitpid(hub.pid, NULL, 0);
    seen.held = false;
    cr_assert(await_counter(node, "links.lost", 1));
    cr_assert(await_counter(client, "links.lost", 1));
    hub = start_switch_at(hub.endpoint);
    pthread_join(thread, NULL);
    // It may have been on the dead link, or come before its asker is back.
    cr_expect(
        asked == EDRI_OK || asked == EDRI_DEADLINE, "%s", edri_err_name(asked));
    // And the nodes work.
    asked = EDRI_STATE;
    int64_t end = clock_ms() + 20000;
    while (asked != EDRI_OK && clock_ms() < end) {
        (void)ask(client);
    }
    cr_expect_eq(asked, EDRI_OK, "%s", edri_err_name(asked));
    edri_node_destroy(&client);
    edri_node_destroy(&node);
    stop_switch(&hub);
}

// Each of two switches dies while the other takes over, and comes back.
Test(links, two_switches_stand_in_for_each_other)
{
    enum {
        COUNT = 2000
    };
    hub_t hubs[] = {start_switch(), start_switch()};
    hub_t both = {0};
    (void)snprintf(both.endpoint, sizeof both.endpoint, "%.100s,%.100s",
        hubs[0].endpoint, hubs[1].endpoint);
    seen_t seen = {0};
    edri_node_t *node = packer_node(&both, "node", "a", &seen);
    edri_node_t *client = new_node(&both, "client");
    start(client);
    // A start waits for one switch; this needs both.
    cr_assert(await_counter(client, "links.up", 2));
    cr_assert(await_counter(node, "links.up", 2));
    edri_port_t *port = edri_node_port(client);
    unsigned long sent = 0;
    for (int round = 0; round < 4; round++) {
        emit(port, 1000, COUNT);
        sent += COUNT;
        cr_expect(await(&seen.count, sent), "round %d: %lu of %lu", round,
            seen.count, sent);
        hub_t *hub = &hubs[round % 2];
        kill(hub->pid, SIGKILL);
        waitpid(hub->pid, NULL, 0);
        cr_assert(await_counter(client, "links.lost", (uint64_t)round + 1));
        cr_assert(await_counter(node, "links.lost", (uint64_t)round + 1));
        emit(port, 1000, COUNT);
        sent += COUNT;
        cr_expect(await(&seen.count, sent), "round %d: %lu of %lu, one down",
            round, seen.count, sent);
        *hub = start_switch_at(hub->endpoint);
        cr_assert(await_counter(client, "links.up", (uint64_t)round + 3));
        cr_assert(await_counter(node, "links.up", (uint64_t)round + 3));
    }
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(client, 10000), EDRI_OK);
    edri_node_destroy(&client);
    cr_expect_eq(edri_node_stop(node, 10000), EDRI_OK);
    edri_node_destroy(&node);
    cr_expect_eq(seen.count, sent);
    stop_switch(&hubs[0]);
    stop_switch(&hubs[1]);
}
