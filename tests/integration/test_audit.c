// SPDX-License-Identifier: MIT
// test_audit.c - the books of the running system, and what is dropped.

#include <criterion/criterion.h>
#include <edri/system.edri.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "overload.edri.h"
#include "shop.edri.h"
#include "support/network.h"
#include "support/raw.h"
#include "support/wire.h"

TestSuite(audit, .timeout = 60);

static atomic_ulong handled;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static bool is_open;

static void
wait_until_open(void)
{
    pthread_mutex_lock(&lock);
    while (!is_open) {
        pthread_cond_wait(&opened, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static void
let_go(void)
{
    pthread_mutex_lock(&lock);
    is_open = true;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&lock);
}

static edri_err_t
on_order(edri_task_t *task, const Shop__OrderPlaced *order)
{
    (void)task;
    (void)order;
    handled++;
    return EDRI_OK;
}

static edri_err_t
on_oldest(edri_task_t *task, const Overload__Oldest *event)
{
    (void)task;
    (void)event;
    wait_until_open();
    return EDRI_OK;
}

static edri_audit_t *
look(const hub_t *hub)
{
    edri_audit_t *audit = NULL;
    edri_node_t *guest = new_node(hub, "");
    start(guest);
    cr_assert_eq(edri_audit_new(guest, 5000, &audit), EDRI_OK, "%s",
        edri_node_error(guest));
    edri_node_destroy(&guest);
    return audit;
}

static const edri_audit_queue_t *
queue_of(const edri_audit_t *audit, const char *node, const char *name)
{
    const edri_audit_queue_t *queues = NULL;
    size_t count = edri_audit_queues(audit, &queues);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(queues[i].node, node) == 0 &&
            strcmp(queues[i].name, name) == 0) {
            return &queues[i];
        }
    }
    return NULL;
}

Test(audit, example)
{
    hub_t hub = start_switch();
    edri_node_t *stock = new_node(&hub, "stock");
    shop_order_placed_handle(
        edri_node_manager(stock, "orders"), on_order, EDRI_METHOD);
    start(stock);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(shop_order_placed_emit(port, &order), EDRI_OK);
    }
    cr_assert_eq(edri_port_flush(port, 5000), EDRI_OK);
    edri_audit_t *audit = look(&hub);
    cr_expect_null(edri_audit_difference(audit));
    cr_expect_eq(edri_audit_nodes(audit), 2);
    const char *const *silent = NULL;
    cr_expect_eq(edri_audit_silent(audit, &silent), 0);
    const edri_audit_flow_t *flows = NULL;
    cr_assert_eq(edri_audit_flows(audit, &flows), 1);
    cr_expect_str_eq(flows[0].from, "client");
    cr_expect_str_eq(flows[0].to, "stock");
    cr_expect_str_eq(flows[0].lane, "events");
    cr_expect_eq(flows[0].sent, 1000);
    cr_expect(flows[0].compared);
    const edri_audit_drop_t *drops = NULL;
    cr_expect_eq(edri_audit_drops(audit, &drops), 0);
    const char *wanted[][2] = {{"switch", "to stock"},
        {"client", "to stock/orders"}, {"client", "unsettled at stock/orders"},
        {"client", "replies to stock"}, {"stock", "manager orders"}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const edri_audit_queue_t *queue =
            queue_of(audit, wanted[i][0], wanted[i][1]);
        cr_assert_not_null(queue, "%s", wanted[i][1]);
        cr_expect_gt(queue->limit, 0);
        cr_expect_leq(queue->bytes, queue->limit);
    }
    edri_audit_destroy(&audit);
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    edri_node_destroy(&stock);
    stop_switch(&hub);
}

// told_t is what the events about drops have said.
typedef struct told {
    atomic_ulong events;
    atomic_bool right;
} told_t;

static told_t told;

static edri_err_t
on_dropped(edri_task_t *task, const Edri__Dropped *dropped)
{
    (void)task;
    told.right = strcmp(dropped->type, "overload.Oldest") == 0 &&
                 strcmp(dropped->node, "source") == 0 &&
                 strcmp(dropped->peer, "slow/slow") == 0 &&
                 strcmp(dropped->reason, "OVERLOADED") == 0 &&
                 dropped->total >= told.events + dropped->events;
    told.events += dropped->events;
    return EDRI_OK;
}

Test(audit, drops_are_told_as_events_and_stand_in_the_books)
{
    hub_t hub = start_switch();
    edri_node_t *slow = new_node(&hub, "slow");
    edri_node_set(slow, "node.manager_queue", "128K");
    overload_oldest_handle(
        edri_node_manager(slow, "slow"), on_oldest, EDRI_METHOD);
    start(slow);
    edri_node_t *watch = new_node(&hub, "watch");
    edri_dropped_handle(
        edri_node_manager(watch, "watch"), on_dropped, EDRI_METHOD);
    start(watch);
    edri_node_t *source = new_node(&hub, "source");
    edri_node_set(source, "node.link_queue", "128K");
    start(source);
    edri_port_t *port = edri_node_port(source);
    static uint8_t zeros[100];
    Overload__Oldest event = OVERLOAD__OLDEST__INIT;
    event.padding = (ProtobufCBinaryData){sizeof zeros, zeros};
    for (int i = 0; i < 20000; i++) {
        cr_assert_eq(overload_oldest_emit(port, &event), EDRI_OK);
    }
    uint64_t dropped = 0;
    int64_t end_ms = clock_ms() + 10000;
    while ((dropped == 0 || told.events < dropped) && clock_ms() < end_ms) {
        cr_assert_eq(
            edri_node_counter(source, "events.dropped_lossy", &dropped),
            EDRI_OK);
    }
    cr_expect_gt(dropped, 1000);
    cr_expect_eq(told.events, dropped);
    cr_expect(told.right);
    edri_audit_t *audit = look(&hub);
    const edri_audit_drop_t *drops = NULL;
    cr_assert_eq(edri_audit_drops(audit, &drops), 1);
    cr_expect_str_eq(drops[0].node, "source");
    cr_expect_str_eq(drops[0].type, "overload.Oldest");
    cr_expect_str_eq(drops[0].peer, "slow/slow");
    cr_expect_eq(drops[0].reason, EDRI_OVERLOADED);
    cr_expect_eq(drops[0].events, dropped);
    edri_audit_destroy(&audit);
    let_go();
    edri_port_destroy(&port);
    edri_node_destroy(&source);
    edri_node_destroy(&slow);
    edri_node_destroy(&watch);
    stop_switch(&hub);
}

Test(audit, a_node_that_does_not_answer_is_named)
{
    hub_t hub = start_switch();
    raw_t mute = raw_open(hub.endpoint);
    received_t got = {0};
    raw_hello(&mute, "mute", 4711, false);
    cr_assert_not_null(RAW_AWAIT(&mute, &got, WELCOME));
    edri_audit_t *audit = NULL;
    edri_node_t *guest = new_node(&hub, "");
    start(guest);
    cr_assert_eq(edri_audit_new(guest, 300, &audit), EDRI_OK);
    const char *const *silent = NULL;
    cr_assert_eq(edri_audit_silent(audit, &silent), 1);
    cr_expect_str_eq(silent[0], "mute");
    cr_expect_eq(edri_audit_nodes(audit), 0);
    edri_audit_destroy(&audit);
    edri_node_destroy(&guest);
    head_free(&got.head);
    raw_close(&mute);
    stop_switch(&hub);
}

// ----- replies to a node that is cut off

enum {
    REQUESTS = 200
};

static atomic_int asked;

static edri_err_t
on_quote(edri_task_t *task, const Shop__Quote *quote, Shop__QuoteReply *reply)
{
    (void)quote;
    asked++;
    wait_until_open();
    reply->padding.len = 20000;
    reply->padding.data = edri_task_alloc(task, reply->padding.len);
    return EDRI_OK;
}

typedef struct answers {
    int replies;
    int overloaded;
    int others;
} answers_t;

static void
on_answer(const edri_answer_t *raw, const Shop__QuoteReply *reply, void *arg)
{
    answers_t *answers = arg;
    (void)reply;
    answers->replies += raw->err == EDRI_OK;
    answers->overloaded += raw->err == EDRI_OVERLOADED;
    answers->others += raw->err != EDRI_OK && raw->err != EDRI_OVERLOADED;
}

Test(audit, replies_to_a_cut_off_asker_have_a_bound)
{
    hub_t hub = start_switch();
    wire_t wire = wire_open(hub.endpoint);
    edri_node_t *desk = new_node(&hub, "desk");
    edri_node_set(desk, "node.link_queue", "64K");
    shop_quote_handle(edri_node_manager(desk, "quotes"), on_quote, EDRI_METHOD);
    start(desk);
    edri_node_t *client = edri_node_new(0, NULL);
    edri_node_set(client, "node.name", "client");
    edri_node_set(client, "node.switch", wire.endpoint);
    start(client);
    edri_port_t *port = edri_node_port(client);
    answers_t answers = {0};
    Shop__Quote quote = SHOP__QUOTE__INIT;
    quote.symbol = (char[]){"A"};
    for (int i = 0; i < REQUESTS; i++) {
        cr_assert_eq(
            shop_quote_request_async(port, &quote, 30000, on_answer, &answers),
            EDRI_OK);
    }
    cr_assert_eq(edri_port_flush(port, 5000), EDRI_OK);
    int64_t end_ms = clock_ms() + 10000;
    while (asked == 0 && clock_ms() < end_ms) {
        sched_yield();
    }
    wire_cut(&wire);
    let_go();
    uint64_t dropped = 0;
    while (dropped == 0 && clock_ms() < end_ms) {
        cr_assert_eq(
            edri_node_counter(desk, "events.dropped_lossy", &dropped), EDRI_OK);
    }
    cr_expect_gt(dropped, 0);
    wire_mend(&wire);
    while (answers.replies + answers.overloaded + answers.others < REQUESTS) {
        cr_assert_eq(edri_port_poll(port, 20000), EDRI_OK);
    }
    cr_expect_eq(answers.others, 0);
    cr_expect_gt(answers.replies, 0);
    cr_expect_gt(answers.overloaded, 0);
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    edri_node_destroy(&desk);
    wire_close(&wire);
    stop_switch(&hub);
}
