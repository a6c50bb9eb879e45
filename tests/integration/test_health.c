// SPDX-License-Identifier: MIT
// test_health.c - how managers are, and what nodes tell of each other.

#include <criterion/criterion.h>
#include <edri/system.edri.h>
#include <pthread.h>
#include <time.h>

#include "edri/health.h"
#include "shop.edri.h"
#include "support/network.h"

TestSuite(health, .timeout = 60);

// What was told, under one lock.
static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    bool open; // the handler that waits goes on
    bool waits;
    unsigned up;
    unsigned back;
    unsigned down;
    unsigned manager_down;
    unsigned manager_up;
    unsigned worker_down;
    char node[64];
    char reason[64];
    char manager[64];
    char state[32];
    char text[256];
} told = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static void
note(unsigned *count)
{
    ++*count;
    pthread_cond_broadcast(&told.more);
    pthread_mutex_unlock(&told.lock);
}

static void
await(const unsigned *count, unsigned wanted)
{
    struct timespec until;
    int err = 0;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&told.lock);
    while (*count < wanted && err == 0) {
        err = pthread_cond_timedwait(&told.more, &told.lock, &until);
    }
    unsigned got = *count;
    pthread_mutex_unlock(&told.lock);
    cr_assert_geq(got, wanted, "%u of %u, at %s", got, wanted, told.node);
}

static edri_err_t
on_node_up(edri_task_t *task, const Edri__NodeUp *event)
{
    (void)task;
    pthread_mutex_lock(&told.lock);
    snprintf(told.node, sizeof told.node, "%s", event->node);
    note(event->back ? &told.back : &told.up);
    return EDRI_OK;
}

static edri_err_t
on_node_down(edri_task_t *task, const Edri__NodeDown *event)
{
    (void)task;
    pthread_mutex_lock(&told.lock);
    snprintf(told.node, sizeof told.node, "%s", event->node);
    snprintf(told.reason, sizeof told.reason, "%s", event->reason);
    note(&told.down);
    return EDRI_OK;
}

static edri_err_t
on_manager_down(edri_task_t *task, const Edri__ManagerDown *event)
{
    (void)task;
    pthread_mutex_lock(&told.lock);
    snprintf(told.node, sizeof told.node, "%s", event->node);
    snprintf(told.manager, sizeof told.manager, "%s", event->manager);
    snprintf(told.state, sizeof told.state, "%s", event->state);
    note(&told.manager_down);
    return EDRI_OK;
}

static edri_err_t
on_manager_up(edri_task_t *task, const Edri__ManagerUp *event)
{
    (void)task;
    (void)event;
    pthread_mutex_lock(&told.lock);
    note(&told.manager_up);
    return EDRI_OK;
}

static edri_err_t
on_worker_down(edri_task_t *task, const Edri__WorkerDown *event)
{
    (void)task;
    pthread_mutex_lock(&told.lock);
    snprintf(told.manager, sizeof told.manager, "%s", event->manager);
    snprintf(told.text, sizeof told.text, "%s", event->reason);
    note(&told.worker_down);
    return EDRI_OK;
}

static void
wait_open(void)
{
    pthread_mutex_lock(&told.lock);
    told.waits = true;
    pthread_cond_broadcast(&told.more);
    while (!told.open) {
        pthread_cond_wait(&told.more, &told.lock);
    }
    pthread_mutex_unlock(&told.lock);
}

static void
let_go(void)
{
    pthread_mutex_lock(&told.lock);
    told.open = true;
    pthread_cond_broadcast(&told.more);
    pthread_mutex_unlock(&told.lock);
}

static edri_err_t
on_order(edri_task_t *task, const Shop__OrderPlaced *order)
{
    if (order->id == 0) {
        return edri_task_fail(task, EDRI_INVAL, "order 0 is none");
    }
    wait_open();
    return EDRI_OK;
}

static edri_err_t
on_quote(edri_task_t *task, const Shop__Quote *quote, Shop__QuoteReply *reply)
{
    (void)task;
    (void)quote;
    (void)reply;
    wait_open();
    return EDRI_OK;
}

// start_watcher starts a node that hears of the others.
static edri_node_t *
start_watcher(const hub_t *hub)
{
    edri_node_t *node = new_node(hub, "watcher");
    edri_manager_t *eye = edri_node_manager(node, "eye");
    edri_node_up_handle(eye, on_node_up, EDRI_METHOD);
    edri_node_down_handle(eye, on_node_down, EDRI_METHOD);
    edri_manager_down_handle(eye, on_manager_down, EDRI_METHOD);
    edri_manager_up_handle(eye, on_manager_up, EDRI_METHOD);
    edri_worker_down_handle(eye, on_worker_down, EDRI_METHOD);
    start(node);
    return node;
}

// start_shop starts one that finds out soon who is stuck.
static edri_node_t *
start_shop(const hub_t *hub)
{
    edri_node_t *node = new_node(hub, "shop");
    cr_assert_eq(edri_node_set(node, "health.probe", "100ms"), EDRI_OK);
    cr_assert_eq(edri_node_set(node, "health.slow", "200ms"), EDRI_OK);
    cr_assert_eq(edri_node_set(node, "health.stuck", "1s"), EDRI_OK);
    cr_assert_eq(edri_node_set(node, "worker.grace", "200ms"), EDRI_OK);
    edri_manager_t *stock = edri_node_manager(node, "stock");
    shop_order_placed_handle(stock, on_order, EDRI_METHOD);
    shop_quote_handle(
        edri_node_manager(node, "pricing"), on_quote, EDRI_THREADS(1));
    start(node);
    return node;
}

static void
end(edri_node_t **node)
{
    cr_expect_eq(edri_node_stop(*node, 10000), EDRI_OK);
    edri_node_destroy(node);
}

// look asks how a manager of the shop is, and gives its row.
static edri_health_t *
look(edri_node_t *node, const char *name, edri_health_manager_t *row)
{
    edri_health_t *health = NULL;
    const edri_health_manager_t *rows = NULL;
    cr_assert_eq(edri_health_new(node, "shop", 5000, &health), EDRI_OK, "%s",
        edri_node_error(node));
    size_t count = edri_health_managers(health, &rows);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].manager, name) == 0) {
            *row = rows[i];
            return health;
        }
    }
    cr_assert_fail("no manager %s", name);
    return health;
}

Test(health, example)
{
    hub_t hub = start_switch();
    edri_node_t *watcher = start_watcher(&hub);
    edri_node_t *shop = start_shop(&hub);
    edri_port_t *port = edri_node_port(shop);
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    order.sku = (char[]){"apple"};
    cr_assert_eq(shop_order_placed_emit(port, &order), EDRI_OK);
    edri_health_manager_t row = {0};
    edri_health_t *health = look(watcher, "stock", &row);
    while (row.fault_count == 0) { // it fails a moment later
        edri_health_destroy(&health);
        health = look(watcher, "stock", &row);
    }
    cr_expect_str_eq(row.state, "ok");
    cr_expect_str_eq(row.node, "shop");
    cr_expect_eq(row.fault_count, 1);
    cr_expect_str_eq(row.faults[0].type, "shop.OrderPlaced");
    cr_expect_eq(row.faults[0].err, EDRI_INVAL);
    cr_expect_str_eq(row.faults[0].text, "order 0 is none");
    edri_health_destroy(&health);
    cr_expect_eq(
        edri_health_new(watcher, "nobody", 5000, &health), EDRI_NOT_FOUND);
    edri_port_destroy(&port);
    end(&shop);
    end(&watcher);
    stop_switch(&hub);
}

Test(health, a_manager_that_is_stuck_is_told_and_so_is_its_end)
{
    hub_t hub = start_switch();
    edri_node_t *watcher = start_watcher(&hub);
    edri_node_t *shop = start_shop(&hub);
    edri_port_t *port = edri_node_port(shop);
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    order.sku = (char[]){"apple"};
    order.id = 1;
    cr_assert_eq(shop_order_placed_emit(port, &order), EDRI_OK);
    await(&told.manager_down, 1);
    cr_expect_str_eq(told.node, "shop");
    cr_expect_str_eq(told.manager, "stock");
    cr_expect_str_eq(told.state, "stuck");
    edri_health_manager_t row = {0};
    edri_health_t *health = look(watcher, "stock", &row);
    cr_expect_str_eq(row.state, "stuck");
    cr_expect_geq(row.since_ms, 1000);
    cr_expect_gt(row.bytes, 0);
    edri_health_destroy(&health);
    health = look(watcher, "pricing", &row);
    cr_expect_str_eq(row.state, "ok", "nobody else is");
    edri_health_destroy(&health);
    let_go();
    await(&told.manager_up, 1);
    edri_port_destroy(&port);
    end(&shop);
    end(&watcher);
    stop_switch(&hub);
}

// Its own thread answers every probe: what counts is that no work goes on.
Test(health, a_manager_whose_pool_stands_still_is_stuck)
{
    hub_t hub = start_switch();
    edri_node_t *watcher = start_watcher(&hub);
    edri_node_t *shop = start_shop(&hub);
    edri_port_t *port = edri_node_port(watcher);
    Shop__Quote quote = SHOP__QUOTE__INIT;
    Shop__QuoteReply *reply = NULL;
    quote.symbol = (char[]){"X"};
    cr_expect_eq(shop_quote_request(port, &quote, 100, &reply), EDRI_DEADLINE);
    await(&told.manager_down, 1);
    cr_expect_str_eq(told.manager, "pricing");
    cr_expect_str_eq(told.state, "stuck");
    let_go();
    await(&told.manager_up, 1);
    edri_port_destroy(&port);
    end(&shop);
    end(&watcher);
    stop_switch(&hub);
}

Test(health, a_thread_that_is_stuck_is_told)
{
    hub_t hub = start_switch();
    edri_node_t *watcher = start_watcher(&hub);
    edri_node_t *shop = start_shop(&hub);
    edri_port_t *port = edri_node_port(watcher);
    Shop__Quote quote = SHOP__QUOTE__INIT;
    Shop__QuoteReply *reply = NULL;
    quote.symbol = (char[]){"X"};
    cr_expect_eq(shop_quote_request(port, &quote, 100, &reply), EDRI_DEADLINE);
    await(&told.worker_down, 1);
    cr_expect_str_eq(told.manager, "pricing");
    cr_expect_not_null(strstr(told.text, "was cancelled or its time was over"),
        "%s", told.text);
    let_go();
    edri_port_destroy(&port);
    end(&shop);
    end(&watcher);
    stop_switch(&hub);
}

Test(health, nodes_that_come_and_go_are_told_once)
{
    hub_t hub = start_switch();
    edri_node_t *watcher = start_watcher(&hub);
    await(&told.up, 1);
    cr_expect_str_eq(told.node, "watcher", "it hears of itself, too");
    edri_node_t *shop = start_shop(&hub);
    await(&told.up, 2);
    cr_expect_str_eq(told.node, "shop");
    end(&shop);
    await(&told.down, 1);
    cr_expect_str_eq(told.node, "shop");
    cr_expect_str_eq(told.reason, "CLOSED");
    end(&watcher);
    cr_expect_eq(told.up, 2);
    cr_expect_eq(told.down, 1);
    stop_switch(&hub);
}
