// SPDX-License-Identifier: MIT
// test_modes.c - who gets an event: deliver modes, observers, guests, across
// nodes.

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "shop.edri.h"
#include "support/network.h"

TestSuite(modes, .timeout = 60);

typedef struct seen {
    atomic_ulong count;
    atomic_ulong replies;
    atomic_ulong errors;
    atomic_ulong entered;
    atomic_ulong marked;
    atomic_bool open; // handlers wait for it when 'gated'
    bool gated;
    const char *node;
    pthread_mutex_t lock;
    pthread_cond_t opened;
} seen_t;

static void
wait_until_open(seen_t *seen)
{
    pthread_mutex_lock(&seen->lock);
    while (seen->gated && !seen->open) {
        pthread_cond_wait(&seen->opened, &seen->lock);
    }
    pthread_mutex_unlock(&seen->lock);
}

static void
let_go(seen_t *seen)
{
    pthread_mutex_lock(&seen->lock);
    seen->open = true;
    pthread_cond_broadcast(&seen->opened);
    pthread_mutex_unlock(&seen->lock);
}

static edri_err_t
on_order(edri_task_t *task, const Shop__OrderPlaced *order)
{
    seen_t *seen = edri_task_state(task);
    (void)order;
    wait_until_open(seen);
    seen->count++;
    return EDRI_OK;
}

static edri_err_t
on_packed(edri_task_t *task, const Shop__Packed *packed)
{
    seen_t *seen = edri_task_state(task);
    (void)packed;
    seen->entered++;
    seen->marked += edri_task_redelivered(task);
    wait_until_open(seen);
    seen->count++;
    return EDRI_OK;
}

static edri_err_t
on_quote(edri_task_t *task, const Shop__Quote *quote, Shop__QuoteReply *reply)
{
    seen_t *seen = edri_task_state(task);
    seen->count++;
    if (quote->symbol[0] == '!') {
        return edri_task_fail(task, EDRI_NOT_FOUND, "no %s", quote->symbol + 1);
    }
    reply->price = 1;
    reply->node = edri_task_strdup(task, seen->node);
    return EDRI_OK;
}

static void
on_observed(edri_task_t *task, const Shop__QuoteReply *reply)
{
    seen_t *seen = edri_task_state(task);
    if (reply != NULL) {
        seen->replies++;
    } else {
        cr_expect_eq(edri_task_error(task), EDRI_NOT_FOUND);
        seen->errors++;
    }
}

static seen_t
new_seen(const char *node)
{
    return (seen_t){.node = node,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .opened = PTHREAD_COND_INITIALIZER};
}

// shop makes a node with a manager that handles everything.
static edri_node_t *
shop(const hub_t *hub, const char *node, const char *manager, seen_t *seen)
{
    edri_node_t *self = new_node(hub, node);
    edri_manager_t *all = edri_node_manager(self, manager);
    edri_manager_set_state(all, seen, NULL);
    shop_order_placed_handle(all, on_order, EDRI_METHOD);
    shop_packed_handle(all, on_packed, EDRI_METHOD);
    shop_quote_handle(all, on_quote, EDRI_METHOD);
    start(self);
    return self;
}

// await waits until a count has reached a value; false after 10 s.
static bool
await(atomic_ulong *count, unsigned long wanted)
{
    int64_t end = clock_ms() + 10000;
    while (*count < wanted && clock_ms() < end) {
        sched_yield();
    }
    return *count >= wanted;
}

Test(modes, example)
{
    hub_t hub = start_switch();
    seen_t a = new_seen("a"), b = new_seen("b"), c = new_seen("c");
    edri_node_t *one = shop(&hub, "a", "stock", &a);
    edri_node_t *two = shop(&hub, "b", "stock", &b);
    edri_node_t *three = shop(&hub, "c", "audit", &c);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    // ALL: every manager.
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    cr_assert_eq(shop_order_placed_emit(port, &order), EDRI_OK);
    cr_expect(await(&a.count, 1) && await(&b.count, 1) && await(&c.count, 1));
    // GROUP: one of "stock", and "audit".
    Shop__Packed packed = SHOP__PACKED__INIT;
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(shop_packed_emit(port, &packed), EDRI_OK);
    }
    cr_expect(await(&c.count, 101), "%lu", c.count);
    cr_assert_eq(edri_port_flush(port, 5000), EDRI_OK);
    // ONE, said when emitting.
    edri_emit_options_t options = {.set_deliver = true, .deliver = EDRI_ONE};
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(
            edri_emit(port, &shop_order_placed_type, &order.base, &options),
            EDRI_OK);
    }
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(client, 5000), EDRI_OK);
    edri_node_destroy(&client);
    cr_expect_eq(edri_node_stop(one, 5000), EDRI_OK);
    cr_expect_eq(edri_node_stop(two, 5000), EDRI_OK);
    cr_expect_eq(edri_node_stop(three, 5000), EDRI_OK);
    cr_expect_eq(a.count + b.count + c.count, 3 + 100 + 100 + 100);
    edri_node_destroy(&one);
    edri_node_destroy(&two);
    edri_node_destroy(&three);
    stop_switch(&hub);
}

typedef struct answers {
    int replies;
    int errors;
    int last;
    char nodes[8];
} answers_t;

static void
on_answer(const edri_answer_t *answer, const Shop__QuoteReply *reply, void *arg)
{
    answers_t *answers = arg;
    answers->replies += reply != NULL;
    answers->errors += reply == NULL;
    answers->last += answer->last;
    if (reply != NULL) {
        strncat(answers->nodes, reply->node, 1);
    }
}

Test(modes, a_request_to_all_is_complete)
{
    hub_t hub = start_switch();
    seen_t a = new_seen("a"), b = new_seen("b");
    edri_node_t *one = shop(&hub, "a", "stock", &a);
    edri_node_t *two = shop(&hub, "b", "stock", &b);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    Shop__Quote quote = SHOP__QUOTE__INIT;
    answers_t answers = {0};
    uint32_t asked = 0, answered = 0;
    quote.symbol = (char[]){"X"};
    cr_expect_eq(shop_quote_request_all(port, &quote, 5000, on_answer, &answers,
                     &asked, &answered),
        EDRI_OK, "%s", edri_port_error(port));
    cr_expect_eq(asked, 2);
    cr_expect_eq(answered, 2);
    cr_expect_eq(answers.replies, 2);
    cr_expect_eq(answers.last, 1);
    cr_expect(strchr(answers.nodes, 'a') && strchr(answers.nodes, 'b'));
    // Errors count as answers.
    answers = (answers_t){0};
    quote.symbol = (char[]){"!X"};
    cr_expect_neq(shop_quote_request_all(port, &quote, 5000, on_answer,
                      &answers, &asked, &answered),
        EDRI_OK);
    cr_expect_eq(asked, 2);
    cr_expect_eq(answered, 0);
    cr_expect_eq(answers.errors, 2);
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    edri_node_destroy(&one);
    edri_node_destroy(&two);
    stop_switch(&hub);
}

Test(modes, observers_elsewhere_see_replies_and_errors)
{
    hub_t hub = start_switch();
    seen_t a = new_seen("a"), seen = new_seen("watch");
    edri_node_t *one = shop(&hub, "a", "stock", &a);
    edri_node_t *watch = new_node(&hub, "watch");
    edri_manager_t *manager = edri_node_manager(watch, "watch");
    edri_manager_set_state(manager, &seen, NULL);
    shop_quote_observe(manager, on_observed);
    start(watch);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    for (int i = 0; i < 20; i++) {
        Shop__Quote quote = SHOP__QUOTE__INIT;
        Shop__QuoteReply *reply = NULL;
        char symbol[] = "XX";
        symbol[0] = i % 4 == 0 ? '!' : 'X';
        quote.symbol = symbol;
        cr_expect_eq(shop_quote_request(port, &quote, 5000, &reply),
            i % 4 == 0 ? EDRI_NOT_FOUND : EDRI_OK);
        shop_quote_reply_free(&reply);
    }
    cr_expect(await(&seen.replies, 15), "%lu", seen.replies);
    cr_expect(await(&seen.errors, 5), "%lu", seen.errors);
    cr_expect_eq(seen.count, 0, "it is not asked");
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    edri_node_destroy(&watch);
    edri_node_destroy(&one);
    stop_switch(&hub);
}

// A terminal that stands still: production goes on, and nothing is taken away
// from it, whatever the type's deliver mode.
Test(modes, a_guest_that_stands_still_stops_nobody)
{
    enum {
        COUNT = 60000
    };
    hub_t hub = start_switch();
    seen_t a = new_seen("a"), frozen = new_seen("guest");
    frozen.gated = true;
    edri_node_t *one = shop(&hub, "a", "stock", &a);
    edri_node_t *guest = new_node(&hub, "");
    edri_node_set(guest, "node.manager_queue", "64K");
    edri_manager_t *listener = edri_node_manager(guest, "listen");
    edri_manager_set_state(listener, &frozen, NULL);
    shop_packed_handle(listener, on_packed, EDRI_METHOD);
    start(guest);
    edri_node_t *client = new_node(&hub, "client");
    edri_node_set(client, "node.link_queue", "256K");
    start(client);
    edri_port_t *port = edri_node_port(client);
    static uint8_t data[200];
    Shop__Packed packed = SHOP__PACKED__INIT;
    packed.data = (ProtobufCBinaryData){sizeof data, data};
    for (int i = 0; i < COUNT; i++) {
        edri_emit_options_t one_of = {.set_deliver = true, .deliver = EDRI_ONE};
        cr_assert_eq(edri_emit(port, &shop_packed_type, &packed.base,
                         i % 2 == 0 ? &one_of : NULL),
            EDRI_OK, "%d", i);
    }
    cr_expect(await(&a.count, COUNT), "%lu of %d", a.count, COUNT);
    uint64_t dropped = 0;
    cr_expect_eq(
        edri_node_counter(client, "events.dropped_lossy", &dropped), EDRI_OK);
    cr_expect_gt(dropped, COUNT / 2, "%lu", dropped);
    let_go(&frozen);
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(client, 5000), EDRI_OK);
    edri_node_destroy(&client);
    cr_expect_eq(edri_node_stop(guest, 5000), EDRI_OK);
    edri_node_destroy(&guest);
    edri_node_destroy(&one);
    // Each copy was seen or counted.
    cr_expect_eq(frozen.count + dropped, COUNT, "%lu seen, %lu dropped",
        frozen.count, dropped);
    stop_switch(&hub);
}

// A slow manager pushes back on those who emit to it and on nobody else.
Test(modes, a_full_manager_elsewhere_pushes_back_alone)
{
    hub_t hub = start_switch();
    seen_t slow = new_seen("slow"), quick = new_seen("quick");
    slow.gated = true;
    edri_node_t *shops = new_node(&hub, "shops");
    edri_manager_t *manager = edri_node_manager(shops, "slow");
    edri_manager_set_state(manager, &slow, NULL);
    shop_packed_handle(manager, on_packed, EDRI_METHOD);
    manager = edri_node_manager(shops, "quick");
    edri_manager_set_state(manager, &quick, NULL);
    shop_order_placed_handle(manager, on_order, EDRI_METHOD);
    edri_node_set(shops, "node.manager_queue", "64K");
    start(shops);
    edri_node_t *client = new_node(&hub, "client");
    edri_node_set(client, "node.link_queue", "64K");
    start(client);
    edri_port_t *port = edri_node_port(client);
    static uint8_t data[1000];
    Shop__Packed packed = SHOP__PACKED__INIT;
    packed.data = (ProtobufCBinaryData){sizeof data, data};
    edri_emit_options_t options = {.no_wait = true};
    edri_err_t err = EDRI_OK;
    unsigned long sent = 0;
    while (err == EDRI_OK && sent < 100000) {
        err = edri_emit(port, &shop_packed_type, &packed.base, &options);
        sent += err == EDRI_OK;
    }
    cr_expect_eq(err, EDRI_AGAIN);
    cr_expect_lt(sent, 5000, "%lu events of 1 KB wait somewhere", sent);
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(shop_order_placed_emit(port, &order), EDRI_OK);
    }
    cr_expect(await(&quick.count, 1000), "%lu", quick.count);
    cr_expect_eq(slow.count, 0);
    let_go(&slow);
    cr_expect(await(&slow.count, sent), "%lu of %lu", slow.count, sent);
    cr_expect_eq(shop_packed_emit(port, &packed), EDRI_OK);
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(client, 5000), EDRI_OK);
    edri_node_destroy(&client);
    cr_expect_eq(edri_node_stop(shops, 5000), EDRI_OK);
    cr_expect_eq(slow.count, sent + 1);
    edri_node_destroy(&shops);
    stop_switch(&hub);
}

typedef struct emitter {
    edri_node_t *node;
    atomic_ulong sent;
    atomic_bool stop;
    edri_err_t err;
} emitter_t;

static void *
emit_all(void *arg)
{
    emitter_t *self = arg;
    edri_port_t *port = edri_node_port(self->node);
    Shop__Packed packed = SHOP__PACKED__INIT;
    while (self->err == EDRI_OK && !self->stop) {
        self->err = shop_packed_emit(port, &packed);
        self->sent += self->err == EDRI_OK;
    }
    if (self->err == EDRI_OK) {
        self->err = edri_port_flush(port, 10000);
    }
    edri_port_destroy(&port);
    return NULL;
}

// A new member gets its share from the moment its start has returned; one that
// drains loses nothing, though events are on their way to it all the time.
Test(modes, members_come_and_go_and_nothing_is_lost)
{
    hub_t hub = start_switch();
    seen_t a = new_seen("a"), b = new_seen("b");
    edri_node_t *one = shop(&hub, "a", "stock", &a);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    emitter_t emitter = {.node = client};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, emit_all, &emitter), 0);
    cr_expect(await(&a.count, 1));
    for (int round = 0; round < 8; round++) {
        unsigned long before = b.count;
        edri_node_t *two = shop(&hub, "b", "stock", &b);
        cr_expect(await(&b.count, before + 100), "round %d", round);
        cr_expect_eq(edri_node_stop(two, 10000), EDRI_OK, "round %d: %s", round,
            edri_node_error(two));
        edri_node_destroy(&two);
    }
    emitter.stop = true;
    pthread_join(thread, NULL);
    cr_expect_eq(emitter.err, EDRI_OK, "%s", edri_err_name(emitter.err));
    cr_expect_eq(edri_node_stop(client, 10000), EDRI_OK);
    uint64_t lost = 0;
    (void)edri_node_counter(client, "events.lost", &lost);
    edri_node_destroy(&client);
    cr_expect_eq(edri_node_stop(one, 10000), EDRI_OK);
    edri_node_destroy(&one);
    cr_expect_eq(a.count + b.count, emitter.sent,
        "%lu + %lu of %lu, %lu counted as lost", a.count, b.count, emitter.sent,
        lost);
    stop_switch(&hub);
}

// ----- one frame for several

typedef struct counted {
    atomic_ulong count;
    uint64_t next;
    atomic_ulong wrong;
} counted_t;

static edri_err_t
on_numbered(edri_task_t *task, const Shop__OrderPlaced *order)
{
    counted_t *self = edri_task_state(task);
    self->wrong += order->id != self->next++;
    self->count++;
    return EDRI_OK;
}

Test(modes, events_for_all_go_to_the_switch_once)
{
    enum {
        EVENTS = 50000,
        MANAGERS = 4
    };
    hub_t hub = start_switch();
    counted_t seen[MANAGERS] = {0};
    edri_node_t *nodes[3] = {NULL};
    const char *names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        nodes[i] = new_node(&hub, names[i]);
        edri_manager_t *manager = edri_node_manager(nodes[i], "stock");
        edri_manager_set_state(manager, &seen[i], NULL);
        shop_order_placed_handle(manager, on_numbered, EDRI_METHOD);
    }
    // Two on one node: each has its own place in the flow to that node.
    edri_manager_t *manager = edri_node_manager(nodes[2], "audit");
    edri_manager_set_state(manager, &seen[3], NULL);
    shop_order_placed_handle(manager, on_numbered, EDRI_METHOD);
    for (int i = 0; i < 3; i++) {
        start(nodes[i]);
    }
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    for (uint64_t i = 0; i < EVENTS; i++) {
        order.id = i;
        cr_assert_eq(shop_order_placed_emit(port, &order), EDRI_OK);
    }
    for (int i = 0; i < MANAGERS; i++) {
        cr_expect(await(&seen[i].count, EVENTS));
        cr_expect_eq(seen[i].wrong, 0, "in order, each once");
    }
    uint64_t shared = 0;
    uint64_t sent = 0;
    (void)edri_node_counter(client, "frames.shared", &shared);
    (void)edri_node_counter(client, "events.sent", &sent);
    cr_expect_eq(sent, MANAGERS * (uint64_t)EVENTS);
    cr_expect_gt(shared, 0);
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    for (int i = 0; i < 3; i++) {
        edri_node_destroy(&nodes[i]);
    }
    stop_switch(&hub);
}

// stopper_t sees the node stop, as any of its ports does.
typedef struct stopper {
    edri_node_t *node;
    seen_t *seen;
    atomic_bool ready;
} stopper_t;

static void *
run_stopper(void *arg)
{
    stopper_t *self = arg;
    edri_port_t *port = edri_node_port(self->node);
    self->ready = true;
    while (edri_port_poll(port, -1) != EDRI_CLOSED) {
    }
    let_go(self->seen); // the handler that has begun ends now
    edri_port_destroy(&port);
    return NULL;
}

// A node that stops at once has begun one event; the others go to the next
// member of the group, as new.
Test(modes, what_a_stopping_node_has_not_begun_goes_to_another_as_new)
{
    hub_t hub = start_switch();
    seen_t a = new_seen("a"), b = new_seen("b");
    a.gated = true;
    edri_node_t *one = shop(&hub, "a", "stock", &a);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    Shop__Packed packed = SHOP__PACKED__INIT;
    for (int i = 0; i < 50; i++) {
        cr_assert_eq(shop_packed_emit(port, &packed), EDRI_OK);
        if (i == 0) {
            cr_assert_eq(edri_port_flush(port, 5000), EDRI_OK);
            cr_assert(await(&a.entered, 1));
        }
    }
    cr_assert_eq(edri_port_flush(port, 5000), EDRI_OK);
    edri_node_t *two = shop(&hub, "b", "stock", &b);
    stopper_t stopper = {.node = one, .seen = &a};
    pthread_t thread;
    pthread_create(&thread, NULL, run_stopper, &stopper);
    while (!stopper.ready) {
        sched_yield();
    }
    cr_expect_eq(edri_node_stop(one, 0), EDRI_OK);
    pthread_join(thread, NULL);
    cr_expect(await(&b.count, 49), "%lu", b.count);
    cr_expect_eq(a.count, 1);
    cr_expect_eq(b.marked, 0);
    uint64_t returned = 0;
    cr_assert_eq(
        edri_node_counter(client, "events.returned", &returned), EDRI_OK);
    cr_expect_eq(returned, 49);
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    edri_node_destroy(&one);
    cr_expect_eq(edri_node_stop(two, 5000), EDRI_OK);
    cr_expect_eq(b.count, 49);
    edri_node_destroy(&two);
    stop_switch(&hub);
}

// A switch that is young does not know who will come: what the node tells of itself
// waits for that, what a user waits for does not.
Test(modes, a_flush_does_not_wait_for_what_the_node_tells_of_itself)
{
    hub_t hub = start_switch_with("tcp://127.0.0.1:*", "20s");
    seen_t a = new_seen("a");
    edri_node_t *one = shop(&hub, "a", "stock", &a);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    cr_assert_eq(shop_order_placed_emit(port, &order), EDRI_OK);
    cr_expect_eq(edri_port_flush(port, 5000), EDRI_OK);
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(client, 5000), EDRI_OK);
    edri_node_destroy(&client);
    cr_expect_eq(edri_node_stop(one, 5000), EDRI_OK);
    edri_node_destroy(&one);
    cr_expect_eq(a.count, 1);
    stop_switch(&hub);
}
