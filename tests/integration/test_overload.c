// SPDX-License-Identifier: MIT
// test_overload.c - what happens to events whose receiver is full, here and
// elsewhere: each policy keeps what it says, and counts the rest.

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "overload.edri.h"
#include "support/network.h"

TestSuite(overload, .timeout = 60);

enum {
    COUNT = 60000,
    SYMBOLS = 5
};

// seen_t is what a manager has got while it could.
typedef struct seen {
    pthread_mutex_t lock; // the handlers' and the test's
    pthread_cond_t opened;
    bool open;
    uint64_t count;
    uint64_t first;
    uint64_t last;
    uint64_t missed;
    bool disordered;
    uint64_t latest[SYMBOLS];
} seen_t;

static void
note(edri_task_t *task, uint64_t number)
{
    seen_t *seen = edri_task_state(task);
    pthread_mutex_lock(&seen->lock);
    while (!seen->open) {
        pthread_cond_wait(&seen->opened, &seen->lock);
    }
    seen->first = seen->count == 0 ? number : seen->first;
    seen->disordered = seen->disordered || number <= seen->last;
    seen->last = number;
    seen->missed += edri_task_missed(task);
    seen->count++;
    pthread_mutex_unlock(&seen->lock);
}

static edri_err_t
on_oldest(edri_task_t *task, const Overload__Oldest *event)
{
    note(task, event->number);
    return EDRI_OK;
}

static edri_err_t
on_newest(edri_task_t *task, const Overload__Newest *event)
{
    note(task, event->number);
    return EDRI_OK;
}

static edri_err_t
on_latest(edri_task_t *task, const Overload__Latest *event)
{
    seen_t *seen = edri_task_state(task);
    note(task, event->number);
    seen->latest[event->symbol[0] - 'a'] = event->number;
    return EDRI_OK;
}

static void
let_go(seen_t *seen)
{
    pthread_mutex_lock(&seen->lock);
    seen->open = true;
    pthread_cond_broadcast(&seen->opened);
    pthread_mutex_unlock(&seen->lock);
}

static uint64_t
count_of(seen_t *seen)
{
    pthread_mutex_lock(&seen->lock);
    uint64_t count = seen->count;
    pthread_mutex_unlock(&seen->lock);
    return count;
}

static uint64_t
counter(const edri_node_t *node, const char *name)
{
    uint64_t value = 0;
    cr_expect_eq(edri_node_counter(node, name, &value), EDRI_OK);
    return value;
}

static void
handle(edri_node_t *node, seen_t *seen, int policy)
{
    edri_manager_t *slow = edri_node_manager(node, "slow");
    pthread_mutex_init(&seen->lock, NULL);
    pthread_cond_init(&seen->opened, NULL);
    edri_manager_set_state(slow, seen, NULL);
    edri_node_set(node, "node.manager_queue", "128K");
    if (policy == EDRI_DROP_OLDEST) {
        overload_oldest_handle(slow, on_oldest, EDRI_METHOD);
    } else if (policy == EDRI_DROP_NEWEST) {
        overload_newest_handle(slow, on_newest, EDRI_METHOD);
    } else {
        overload_latest_handle(slow, on_latest, EDRI_METHOD);
    }
}

static edri_err_t
emit_one(edri_port_t *port, int policy, uint64_t number)
{
    static uint8_t data[100];
    ProtobufCBinaryData padding = {sizeof data, data};
    char symbol[] = {(char)('a' + number % SYMBOLS), '\0'};
    Overload__Oldest oldest = OVERLOAD__OLDEST__INIT;
    Overload__Newest newest = OVERLOAD__NEWEST__INIT;
    Overload__Latest latest = OVERLOAD__LATEST__INIT;
    oldest.number = newest.number = latest.number = number;
    oldest.padding = newest.padding = latest.padding = padding;
    latest.symbol = symbol;
    return policy == EDRI_DROP_OLDEST   ? overload_oldest_emit(port, &oldest)
           : policy == EDRI_DROP_NEWEST ? overload_newest_emit(port, &newest)
                                        : overload_latest_emit(port, &latest);
}

static void
emit_all(edri_node_t *node, int policy)
{
    edri_port_t *port = edri_node_port(node);
    for (uint64_t number = 1; number <= COUNT; number++) {
        cr_assert_eq(emit_one(port, policy, number), EDRI_OK,
            "nobody is held back: %s", edri_port_error(port));
    }
    edri_port_destroy(&port);
}

// check waits until all is accounted for, and looks at what was kept.
static void
check(seen_t *seen, const edri_node_t *emitter, int policy)
{
    int64_t end = clock_ms() + 20000;
    while (count_of(seen) + counter(emitter, "events.dropped_lossy") < COUNT &&
           clock_ms() < end) {
        sched_yield();
    }
    uint64_t dropped = counter(emitter, "events.dropped_lossy");
    cr_expect_eq(count_of(seen) + dropped, COUNT, "%lu seen, %lu dropped",
        seen->count, dropped);
    cr_expect_gt(dropped, COUNT / 2);
    if (policy == EDRI_DROP_OLDEST) {
        cr_expect_eq(seen->last, COUNT, "the newest is kept");
        cr_expect_eq(seen->missed, dropped, "the receiver knows of %lu of %lu",
            seen->missed, dropped);
    } else if (policy == EDRI_DROP_NEWEST) {
        cr_expect_eq(seen->first, 1);
        cr_expect_lt(seen->last, COUNT);
    }
    cr_expect(policy == EDRI_LATEST || !seen->disordered);
    for (int i = 0; policy == EDRI_LATEST && i < SYMBOLS; i++) {
        cr_expect_gt(seen->latest[i], COUNT - SYMBOLS, "the newest of %c: %lu",
            'a' + i, seen->latest[i]);
    }
}

static void
here(int policy)
{
    seen_t seen = {0};
    edri_node_t *node = edri_node_new(0, NULL);
    edri_node_set(node, "node.name", "alone");
    handle(node, &seen, policy);
    cr_assert_eq(edri_node_start(node), EDRI_OK, "%s", edri_node_error(node));
    emit_all(node, policy);
    let_go(&seen);
    check(&seen, node, policy);
    cr_expect_eq(edri_node_stop(node, 5000), EDRI_OK);
    edri_node_destroy(&node);
}

static void
elsewhere(int policy)
{
    hub_t hub = start_switch();
    seen_t seen = {0};
    edri_node_t *shop = new_node(&hub, "shop");
    handle(shop, &seen, policy);
    start(shop);
    edri_node_t *client = new_node(&hub, "client");
    edri_node_set(client, "node.link_queue", "128K");
    start(client);
    emit_all(client, policy);
    let_go(&seen);
    check(&seen, client, policy);
    cr_expect_eq(edri_node_stop(client, 5000), EDRI_OK);
    edri_node_destroy(&client);
    cr_expect_eq(edri_node_stop(shop, 5000), EDRI_OK);
    edri_node_destroy(&shop);
    stop_switch(&hub);
}

Test(overload, drop_oldest_here)
{
    here(EDRI_DROP_OLDEST);
}

Test(overload, drop_newest_here)
{
    here(EDRI_DROP_NEWEST);
}

Test(overload, latest_here)
{
    here(EDRI_LATEST);
}

Test(overload, drop_oldest_elsewhere)
{
    elsewhere(EDRI_DROP_OLDEST);
}

Test(overload, drop_newest_elsewhere)
{
    elsewhere(EDRI_DROP_NEWEST);
}

Test(overload, latest_elsewhere)
{
    elsewhere(EDRI_LATEST);
}
