// SPDX-License-Identifier: MIT
// test_ipc.c - ports of other processes: raw peers at a node's ipc endpoint.

#include <criterion/criterion.h>
#include <stdatomic.h>

#include "hail/hail.h"
#include "shop.edri.h"
#include "support/network.h"
#include "support/raw.h"

TestSuite(ipc, .timeout = 60);

// Every test runs in its own process: an abstract name per process.
static char endpoint[64];

static edri_err_t
on_quote(edri_task_t *task, const Shop__Quote *quote, Shop__QuoteReply *reply)
{
    (void)task;
    (void)quote;
    reply->price = 7;
    return EDRI_OK;
}

static void
ignore_answer(
    const edri_answer_t *answer, const Shop__QuoteReply *reply, void *arg)
{
    (void)answer;
    (void)reply;
    (void)arg;
}

static atomic_ulong orders;

static edri_err_t
on_order(edri_task_t *task, const Shop__OrderPlaced *order)
{
    (void)task;
    orders += order->id;
    return EDRI_OK;
}

static edri_node_t *
start_node(void)
{
    (void)snprintf(endpoint, sizeof endpoint, "ipc://@edri-test-%d", getpid());
    edri_node_t *node = edri_node_new(0, NULL);
    cr_assert_eq(edri_node_set(node, "node.name", "home"), EDRI_OK);
    cr_assert_eq(edri_node_set(node, "node.ipc", endpoint), EDRI_OK);
    cr_assert_eq(edri_node_set(node, "link.heartbeat", "50ms"), EDRI_OK);
    edri_manager_t *manager = edri_node_manager(node, "home");
    shop_quote_handle(manager, on_quote, EDRI_METHOD);
    shop_order_placed_handle(manager, on_order, EDRI_METHOD);
    start(node);
    return node;
}

static uint64_t
attach(raw_t *raw, const char *name)
{
    received_t got = {0};
    *raw = raw_open(endpoint);
    raw_hello(raw, name, 0, false);
    const control_t *word = RAW_AWAIT(raw, &got, WELCOME);
    cr_assert_not_null(word);
    uint64_t number = word->welcome->session;
    head_free(&got.head);
    return number;
}

// await_count waits until the counter of the node has reached a value.
static bool
await_count(const edri_node_t *node, const char *name, uint64_t wanted)
{
    int64_t end = clock_ms() + RAW_WAIT_MS;
    uint64_t value = 0;
    do {
        (void)edri_node_counter(node, name, &value);
    } while (value < wanted && clock_ms() < end);
    return value >= wanted;
}

Test(ipc, example)
{
    edri_node_t *node = start_node();
    received_t got = {0};
    raw_t raw;
    uint64_t number = attach(&raw, "foreign");
    cr_expect_neq(number, 0);
    raw_demand(&raw, 1, shop_packed_type.id, 0, true);
    cr_assert_not_null(RAW_AWAIT(&raw, &got, IN_FORCE));

    // An event to it.
    edri_port_t *port = edri_node_port(node);
    Shop__Packed packed = SHOP__PACKED__INIT;
    packed.id = 5;
    cr_assert_eq(shop_packed_emit(port, &packed), EDRI_OK);
    cr_assert(raw_await_frame(&raw, &got));
    slice_t batch = {got.batch, got.size}, item, content;
    envelope_t env;
    cr_assert(batch_next(&batch, &item, &content));
    cr_assert_eq(envelope_read(content, &env), EDRI_OK);
    cr_expect_eq(env.type, shop_packed_type.id);
    Shop__Packed *same =
        shop__packed__unpack(NULL, env.body.len, env.body.data);
    cr_expect_eq(same->id, 5);
    shop__packed__free_unpacked(same, NULL);

    // A request from it.
    static const uint8_t symbol[] = {0x0a, 1, 'X'};
    envelope_t request = {.type = shop_quote_type.id,
        .id = number << 48 | 1,
        .flags = envelope_flags(EDRI_REQUEST, EDRI_ONE, 3),
        .ttl_ms = 5000,
        .body = {symbol, sizeof symbol}};
    raw_emit(&raw, &request, 0, 0);
    cr_assert(raw_await_frame(&raw, &got));
    batch = (slice_t){got.batch, got.size};
    cr_assert(batch_next(&batch, &item, &content));
    cr_assert_eq(envelope_read(content, &env), EDRI_OK);
    cr_expect_eq(envelope_kind(env.flags), EDRI_REPLY);
    cr_expect_eq(env.request, request.id);
    cr_expect_eq(env.error, 0);
    Shop__QuoteReply *reply =
        shop__quote_reply__unpack(NULL, env.body.len, env.body.data);
    cr_expect_eq(reply->price, 7);
    shop__quote_reply__free_unpacked(reply, NULL);
    head_free(&got.head);
    raw_close(&raw);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

static void
keep_answer(edri_fn_t user, const edri_answer_t *answer, void *arg)
{
    (void)user;
    *(edri_answer_t *)arg = *answer;
}

Test(ipc, a_request_to_it_and_its_reply)
{
    edri_node_t *node = start_node();
    received_t got = {0};
    raw_t raw;
    uint64_t number = attach(&raw, "foreign");
    raw_demand(&raw, 1, shop_unanswered_type.id, 0, true);
    cr_assert_not_null(RAW_AWAIT(&raw, &got, IN_FORCE));
    edri_port_t *port = edri_node_port(node);
    Shop__Unanswered request = SHOP__UNANSWERED__INIT;

    // It does not answer: the deadline does.
    Shop__QuoteReply *reply = NULL;
    cr_expect_eq(
        shop_unanswered_request(port, &request, 200, &reply), EDRI_DEADLINE);
    cr_assert(raw_await_frame(&raw, &got));
    // It answers.
    slice_t batch = {got.batch, got.size}, item, content;
    envelope_t asked;
    cr_assert(batch_next(&batch, &item, &content));
    cr_assert_eq(envelope_read(content, &asked), EDRI_OK);
    edri_answer_t seen = {0};
    cr_assert_eq(edri_request_async(port, &shop_unanswered_type, &request.base,
                     5000, keep_answer, NULL, &seen),
        EDRI_OK);
    cr_assert(raw_await_frame(&raw, &got));
    batch = (slice_t){got.batch, got.size};
    cr_assert(batch_next(&batch, &item, &content));
    cr_assert_eq(envelope_read(content, &asked), EDRI_OK);
    envelope_t answer = {.type = asked.type,
        .id = number << 48 | 1,
        .flags = envelope_flags(EDRI_REPLY, EDRI_ALL, 3) | WIRE_LAST,
        .request = asked.id,
        .error = EDRI_NOT_FOUND,
        .text = {(const uint8_t *)"no such thing", 13}};
    raw_emit(&raw, &answer, 0, 0);
    cr_expect_eq(edri_port_poll(port, 5000), EDRI_OK);
    cr_expect_eq(seen.err, EDRI_NOT_FOUND);
    cr_expect(seen.last);
    // It leaves: the next request is told at once.
    raw_simple(&raw, EDRI__LINK__CONTROL__WORD_BYE);
    edri_err_t err = shop_unanswered_request(port, &request, 5000, &reply);
    cr_expect(err == EDRI_NO_RESPONDER || err == EDRI_RESPONDER_DIED, "%s",
        edri_err_name(err));
    head_free(&got.head);
    raw_close(&raw);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

Test(ipc, a_process_that_dies_is_seen_by_its_heartbeat)
{
    edri_node_t *node = start_node();
    received_t got = {0};
    raw_t raw;
    (void)attach(&raw, "foreign");
    raw_demand(&raw, 1, shop_unanswered_type.id, 0, true);
    cr_assert_not_null(RAW_AWAIT(&raw, &got, IN_FORCE));
    cr_expect_not_null(RAW_AWAIT(&raw, &got, HEARTBEAT));
    head_free(&got.head);
    raw_close(&raw); // its process has ended
    edri_port_t *port = edri_node_port(node);
    edri_err_t err = EDRI_OK;
    int64_t end = clock_ms() + RAW_WAIT_MS;
    while (err != EDRI_NO_RESPONDER && clock_ms() < end) {
        Shop__Unanswered request = SHOP__UNANSWERED__INIT;
        Shop__QuoteReply *reply = NULL;
        err = shop_unanswered_request(port, &request, 1000, &reply);
        cr_expect_neq(err, EDRI_OK);
    }
    cr_expect_eq(err, EDRI_NO_RESPONDER, "%s", edri_err_name(err));
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

Test(ipc, strangers_and_garbage_change_nothing)
{
    edri_node_t *node = start_node();
    received_t got = {0};
    raw_t bad = raw_open(endpoint);
    static uint8_t noise[4096];
    unsigned seed = 3;
    for (size_t i = 0; i < sizeof noise; i++) {
        noise[i] = (uint8_t)rand_r(&seed);
    }
    raw_send(&bad, noise, sizeof noise, false);
    raw_simple(&bad, EDRI__LINK__CONTROL__WORD_HEARTBEAT);
    cr_expect_not_null(RAW_AWAIT(&bad, &got, WHO));
    cr_expect(await_count(node, "frames.malformed", 1));

    Edri__Link__Hello hello = EDRI__LINK__HELLO__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    hello.version = 2;
    word.word_case = EDRI__LINK__CONTROL__WORD_HELLO;
    word.hello = &hello;
    raw_say(&bad, &word);
    const control_t *said = RAW_AWAIT(&bad, &got, REFUSED);
    cr_assert_not_null(said);
    cr_expect_not_null(strstr(said->refused->text, "version 1"));

    raw_t raw;
    uint64_t number = attach(&raw, "foreign");
    // Garbage for a batch; an id of another port; a reply to nobody.
    head_t head = EDRI__WIRE__HEAD__INIT;
    head.lane = EDRI__WIRE__LANE__EVENT;
    raw_send_head(&raw, &head, true);
    raw_send(&raw, noise, 100, false);
    cr_expect(await_count(node, "frames.malformed", 2));
    envelope_t forged = {
        .type = shop_order_placed_type.id, .id = (number + 1) << 48 | 1};
    raw_emit(&raw, &forged, 0, 0);
    cr_expect(await_count(node, "frames.malformed", 3));
    envelope_t reply = {.type = shop_quote_type.id,
        .id = number << 48 | 2,
        .flags = envelope_flags(EDRI_REPLY, EDRI_ALL, 3),
        .request = 12345};
    raw_emit(&raw, &reply, 0, 0);
    // A body that is no OrderPlaced is undecodable, and said.
    envelope_t broken = {.type = shop_order_placed_type.id,
        .id = number << 48 | 3,
        .body = {noise, 50}};
    raw_emit(&raw, &broken, 0, 0);
    cr_expect(await_count(node, "events.undecodable", 1));
    // A request with such a body is answered with that error.
    envelope_t question = {.type = shop_quote_type.id,
        .id = number << 48 | 5,
        .flags = envelope_flags(EDRI_REQUEST, EDRI_ONE, 3),
        .ttl_ms = 5000,
        .body = {noise, 50}};
    raw_emit(&raw, &question, 0, 0);
    cr_assert(raw_await_frame(&raw, &got));
    slice_t batch = {got.batch, got.size}, item, content;
    envelope_t said_no;
    cr_assert(batch_next(&batch, &item, &content));
    cr_assert_eq(envelope_read(content, &said_no), EDRI_OK);
    cr_expect_eq(said_no.request, question.id);
    cr_expect_eq(said_no.error, EDRI_UNDECODABLE);
    // And after all that, it works.
    static const uint8_t body[] = {0x08, 42};
    envelope_t order = {.type = shop_order_placed_type.id,
        .id = number << 48 | 4,
        .body = {body, sizeof body}};
    raw_emit(&raw, &order, 0, 0);
    cr_expect(await_count(node, "events.handled", 1));
    cr_expect_eq(orders, 42);
    head_free(&got.head);
    raw_close(&bad);
    raw_close(&raw);
    edri_node_destroy(&node);
}

Test(ipc, a_port_may_withdraw_and_leave)
{
    edri_node_t *node = start_node();
    received_t got = {0};
    raw_t raw;
    (void)attach(&raw, "foreign");
    raw_demand(&raw, 1, shop_packed_type.id, 0, true);
    cr_assert_not_null(RAW_AWAIT(&raw, &got, IN_FORCE));
    raw_demand(&raw, 2, shop_packed_type.id, 0, false);
    const control_t *word = RAW_AWAIT(&raw, &got, IN_FORCE);
    cr_assert_not_null(word);
    cr_expect_eq(word->in_force->generation, 2);
    edri_port_t *port = edri_node_port(node);
    Shop__Packed packed = SHOP__PACKED__INIT;
    cr_expect_eq(shop_packed_emit(port, &packed), EDRI_OK);
    cr_expect(await_count(node, "events.unclaimed", 1));
    // One without a name cannot demand.
    raw_t nameless;
    (void)attach(&nameless, "");
    raw_demand(&nameless, 1, shop_packed_type.id, 0, true);
    word = RAW_AWAIT(&nameless, &got, IN_FORCE);
    cr_assert_not_null(word);
    cr_assert_eq(word->in_force->n_refused, 1);
    cr_expect_eq(word->in_force->refused[0]->error, EDRI_DENIED);
    raw_simple(&nameless, EDRI__LINK__CONTROL__WORD_BYE);
    raw_simple(&nameless, EDRI__LINK__CONTROL__WORD_HEARTBEAT);
    cr_expect_not_null(RAW_AWAIT(&nameless, &got, WHO), "it has left");
    head_free(&got.head);
    raw_close(&raw);
    raw_close(&nameless);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

// A process that takes nothing: its queue is bounded, others go on.
Test(ipc, a_process_that_does_not_read_holds_up_nobody_else)
{
    edri_node_t *node = start_node();
    received_t got = {0};
    raw_t raw;
    (void)attach(&raw, "foreign");
    raw_demand(&raw, 1, shop_packed_type.id, 0, true);
    cr_assert_not_null(RAW_AWAIT(&raw, &got, IN_FORCE));
    edri_port_t *port = edri_node_port(node);
    static uint8_t data[100000];
    Shop__Packed packed = SHOP__PACKED__INIT;
    packed.data = (ProtobufCBinaryData){sizeof data, data};
    edri_emit_options_t options = {.no_wait = true};
    edri_err_t err = EDRI_OK;
    int sent = 0;
    for (; sent < 1000 && err == EDRI_OK; sent++) {
        err = edri_emit(port, &shop_packed_type, &packed.base, &options);
        (void)edri_port_flush(port, 1000);
    }
    cr_expect_eq(err, EDRI_AGAIN, "8 MB and not more, %d sent", sent);
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    order.id = 9;
    cr_expect_eq(shop_order_placed_emit(port, &order), EDRI_OK);
    cr_expect(await_count(node, "events.handled", 1));
    head_free(&got.head);
    raw_close(&raw);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

Test(ipc, hail_says_whether_a_node_is_there)
{
    char why[256] = "";
    edri_node_t *node = start_node();
    cr_expect_eq(hail(endpoint, 5000, why, sizeof why), EDRI_OK, "%s", why);
    edri_node_destroy(&node);
    cr_expect_eq(
        hail(endpoint, 50, why, sizeof why), EDRI_UNREACHABLE, "%s", why);
    cr_expect_str_eq(why, "nothing answers within 50 ms");
    cr_expect_eq(hail("nonsense", 50, why, sizeof why), EDRI_INVAL);
}

// await_cancel waits for a head that says nobody waits for a request any more.
static bool
await_cancel(raw_t *raw, received_t *got, uint64_t id)
{
    int64_t end_ms = clock_ms() + RAW_WAIT_MS;
    while (clock_ms() < end_ms && raw_receive(raw, got, RAW_WAIT_MS)) {
        if (got->head->n_cancels == 1 && got->head->cancels[0] == id) {
            return true;
        }
    }
    return false;
}

static void
send_cancel(raw_t *raw, uint64_t id)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    head.cancels = &id;
    head.n_cancels = 1;
    raw_send_head(raw, &head, false);
}

Test(ipc, a_cancel_reaches_a_process_and_comes_from_one)
{
    edri_node_t *node = start_node();
    received_t got = {0};
    raw_t worker;
    raw_t asker;
    (void)attach(&worker, "foreign");
    uint64_t number = attach(&asker, "");
    raw_demand(&worker, 1, shop_unanswered_type.id, 0, true);
    cr_assert_not_null(RAW_AWAIT(&worker, &got, IN_FORCE));

    edri_port_t *port = edri_node_port(node);
    Shop__Unanswered unanswered = SHOP__UNANSWERED__INIT;
    cr_assert_eq(shop_unanswered_request_async(
                     port, &unanswered, 30000, ignore_answer, NULL),
        EDRI_OK);
    uint64_t id = edri_port_last_request(port);
    cr_assert(raw_await_frame(&worker, &got));
    cr_assert_eq(edri_request_cancel(port, id), EDRI_OK);
    cr_assert(await_cancel(&worker, &got, id));
    cr_expect_eq(got.head->from, edri_node_life(node));

    envelope_t request = {.type = shop_unanswered_type.id,
        .id = number << 48 | 1,
        .flags = envelope_flags(EDRI_REQUEST, EDRI_ONE, 3),
        .ttl_ms = 30000};
    raw_emit(&asker, &request, 0, 0);
    cr_assert(raw_await_frame(&worker, &got));
    send_cancel(&asker, id); // another port's
    send_cancel(&asker, request.id);
    cr_assert(await_cancel(&worker, &got, request.id));
    cr_expect(await_count(node, "events.denied", 1));
    cr_expect(await_count(node, "requests.cancelled", 2));

    head_free(&got.head);
    edri_port_destroy(&port);
    raw_close(&worker);
    raw_close(&asker);
    edri_node_destroy(&node);
}
