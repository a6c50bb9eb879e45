// SPDX-License-Identifier: MIT
// test_hostile.c - an admitted peer that breaks the rules of flows: what it says
// and sends against them is counted, and harms nobody else.

#include <criterion/criterion.h>
#include <stdatomic.h>

#include "shop.edri.h"
#include "support/network.h"
#include "support/raw.h"

TestSuite(hostile, .timeout = 60);

static atomic_ulong handled;

static edri_err_t
on_order(edri_task_t *task, const Shop__OrderPlaced *order)
{
    (void)task;
    (void)order;
    handled++;
    return EDRI_OK;
}

// victim_t is a node, an admitted peer that knows its target, and a switch.
typedef struct victim {
    hub_t hub;
    edri_node_t *node;
    raw_t peer;
    uint64_t life;
    uint32_t target;
} victim_t;

static victim_t
begin(void)
{
    victim_t self = {.hub = start_switch()};
    received_t got = {0};
    handled = 0;
    self.node = new_node(&self.hub, "victim");
    edri_manager_t *stock = edri_node_manager(self.node, "stock");
    shop_order_placed_handle(stock, on_order, EDRI_METHOD);
    start(self.node);
    self.life = edri_node_life(self.node);
    self.peer = raw_open(self.hub.endpoint);
    raw_hello(&self.peer, "peer", 4711, false);
    cr_assert_not_null(RAW_AWAIT(&self.peer, &got, WELCOME));
    raw_resolve(&self.peer, shop_order_placed_type.id);
    const control_t *word = RAW_AWAIT(&self.peer, &got, TABLE);
    cr_assert_not_null(word);
    cr_assert_eq(word->table->n_members, 1);
    self.target = word->table->members[0]->target;
    head_free(&got.head);
    return self;
}

// end shows that the node still serves others, and ends it.
static void
end(victim_t *self)
{
    edri_node_t *client = new_node(&self->hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    unsigned long before = handled;
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(shop_order_placed_emit(port, &order), EDRI_OK);
    }
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(client, 5000), EDRI_OK);
    edri_node_destroy(&client);
    raw_close(&self->peer);
    cr_expect_eq(edri_node_stop(self->node, 5000), EDRI_OK);
    cr_expect_eq(handled, before + 1000);
    edri_node_destroy(&self->node);
    stop_switch(&self->hub);
}

// counted waits until a counter of the victim has reached a value.
static bool
counted(const victim_t *self, const char *name, uint64_t wanted)
{
    uint64_t value = 0;
    int64_t end_ms = clock_ms() + 10000;
    while (value < wanted && clock_ms() < end_ms) {
        cr_assert_eq(edri_node_counter(self->node, name, &value), EDRI_OK);
    }
    cr_expect_eq(value, wanted, "%s: %lu", name, value);
    return value == wanted;
}

// send_event sends one order with the place in a flow that the caller says.
static void
send_event(victim_t *self, uint64_t path, uint64_t first, bool opens)
{
    uint8_t batch[64];
    envelope_t env = {.type = shop_order_placed_type.id, .id = first};
    size_t size = envelope_size(&env, 0);
    (void)envelope_write(&env, 0, batch, size);
    head_t head = EDRI__WIRE__HEAD__INIT;
    Edri__Wire__Destination to = EDRI__WIRE__DESTINATION__INIT;
    Edri__Wire__Destination *tos[] = {&to};
    uint64_t types[] = {env.type};
    to.life = self->life;
    to.first = first;
    to.opens = opens;
    to.targets = &self->target;
    to.n_targets = 1;
    head.lane = EDRI__WIRE__LANE__EVENT;
    head.path = path;
    head.events = 1;
    head.types = types;
    head.n_types = 1;
    head.to = tos;
    head.n_to = 1;
    raw_send_head(&self->peer, &head, true);
    raw_send(&self->peer, batch, size, false);
}

Test(hostile, paths_and_seqs_that_jump_are_not_taken)
{
    victim_t self = begin();
    send_event(&self, 5, 100, false); // no first frame of its path
    cr_expect(counted(&self, "frames.repeated", 1));
    send_event(&self, 6, 100, true);
    cr_expect(counted(&self, "events.handled", 1));
    send_event(&self, 6, 100, false); // it has come
    send_event(&self, 6, 105, false); // a hole
    send_event(&self, 5, 101, false); // an old path
    cr_expect(counted(&self, "frames.repeated", 4));
    send_event(&self, 7, UINT64_MAX - 1, true); // the end of all seqs
    cr_expect(counted(&self, "events.handled", 2));
    cr_expect_eq(handled, 2);
    end(&self);
}

// say_flow sends a word about the victim's flow to the peer.
static void
say_flow(victim_t *self, int lane, uint64_t arrived, uint64_t below,
    uint64_t range, uint64_t count)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    Edri__Wire__Destination to = EDRI__WIRE__DESTINATION__INIT;
    Edri__Wire__Destination *tos[] = {&to};
    Edri__Wire__Flow flow = EDRI__WIRE__FLOW__INIT;
    Edri__Wire__Flow *flows[] = {&flow};
    Edri__Wire__Settled settled = EDRI__WIRE__SETTLED__INIT;
    Edri__Wire__Settled *settleds[] = {&settled};
    Edri__Wire__Range ranged = EDRI__WIRE__RANGE__INIT;
    Edri__Wire__Range *ranges[] = {&ranged};
    to.life = self->life;
    head.to = tos;
    head.n_to = 1;
    flow.lane = (Edri__Wire__Lane)lane;
    flow.arrived = arrived;
    flow.lost = true; // of a path that never was
    flow.settled = settleds;
    flow.n_settled = 1;
    settled.target = 1;
    settled.below = below;
    settled.ranges = ranges;
    settled.n_ranges = 1;
    ranged.first = range;
    ranged.count = count;
    head.flows = flows;
    head.n_flows = 1;
    raw_send_head(&self->peer, &head, false);
}

Test(hostile, words_about_what_was_never_sent_change_nothing)
{
    victim_t self = begin();
    say_flow(&self, EDRI__WIRE__LANE__EVENT, UINT64_MAX, 0, 0, 0);
    say_flow(&self, EDRI__WIRE__LANE__EVENT, 0, UINT64_MAX, 0, 0);
    say_flow(&self, EDRI__WIRE__LANE__BULK, 0, 0, UINT64_MAX, 1);
    say_flow(&self, EDRI__WIRE__LANE__BULK, 0, 0, 1, UINT64_MAX);
    say_flow(&self, EDRI__WIRE__LANE__CONTROL, 1, 0, 0, 0);
    say_flow(&self, 77, 1, 0, 0, 0);
    cr_expect(counted(&self, "events.denied", 6));
    head_t head = EDRI__WIRE__HEAD__INIT;
    Edri__Wire__Destination to = EDRI__WIRE__DESTINATION__INIT;
    Edri__Wire__Destination *tos[] = {&to};
    Edri__Wire__Confirm confirm = EDRI__WIRE__CONFIRM__INIT;
    to.life = self.life;
    head.to = tos;
    head.n_to = 1;
    confirm.echo = UINT64_MAX; // an ask that was never made
    head.confirm = &confirm;
    raw_send_head(&self.peer, &head, false);
    cr_expect(counted(&self, "events.denied", 7));
    end(&self);
}

Test(hostile, an_ask_for_a_lease_is_answered)
{
    victim_t self = begin();
    head_t head = EDRI__WIRE__HEAD__INIT;
    Edri__Wire__Destination to = EDRI__WIRE__DESTINATION__INIT;
    Edri__Wire__Destination *tos[] = {&to};
    received_t got = {0};
    to.life = self.life;
    head.to = tos;
    head.n_to = 1;
    head.ask = 12345;
    raw_send_head(&self.peer, &head, false);
    do {
        cr_assert(raw_receive(&self.peer, &got, RAW_WAIT_MS));
    } while (got.head->confirm == NULL);
    cr_expect_eq(got.head->confirm->echo, 12345);
    cr_expect_gt(got.head->confirm->event_gone, 0);
    head_free(&got.head);
    end(&self);
}
