// SPDX-License-Identifier: MIT
// hops.c - the way of an event, each hop a function: what 'instructions' counts.
//
//   edri-hops local|switch BURSTS EVENTS
//
// DESIGN
// The real port, router, switch and manager code runs over the libzmq and the clock of
// tests/sim, in one thread: nobody waits for anybody, and every run does the very same.
// A burst of so many events is emitted and carried on until it is handled; the next
// begins BURST_US later, on virtual time.  With EVENTS 0 as much time goes by and
// nothing is emitted: what timers cost.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "bench.edri.h"
#include "edri/edri.h"
#include "hub.h"
#include "net.h"
#include "node/ask.h"
#include "node/manager_impl.h"
#include "node/router.h"

#define ENDPOINT "tcp://host-100:1" // of NET_SWITCHES
#define SIZE     64                 // bytes of an event, packed
#define BURST_US 10000              // there and back takes less
#define START_US 3000000            // connected, and demands in force
#define STEPS    1000               // of one, or of all between two bursts

// A hop stands in callgrind's books under its own name.
#define HOP static __attribute__((noipa)) void

typedef struct place {
    edri_node_t *node;
    edri_manager_t *manager; // NULL: it only emits
    int64_t wake_us;         // when its router's timers are due
    uint64_t handled;
    uint64_t sum; // of their numbers
} place_t;

static struct {
    bool linked; // from the first place over the switch to the second
    place_t places[2];
    settings_t *settings;
    hub_t *hub;
    int64_t hub_wake_us;
    uint64_t emitted;
} way;

static void fail(const char *what) __attribute__((noreturn));

static void
fail(const char *what)
{
    fprintf(stderr, "edri-hops: %s\n", what);
    exit(1);
}

static place_t *
sink(void)
{
    return &way.places[way.linked ? 1 : 0];
}

static bool
has_load(const place_t *self)
{
    return self->manager != NULL && port_has_load(self->manager->port);
}

// check_rest ends what goes on for ever.
static void
check_rest(bool rests)
{
    if (!rests) {
        fail("somebody spins");
    }
}

static edri_err_t
on_ping(edri_task_t *task, const Edri__Bench__Ping *ping)
{
    place_t *self = edri_task_state(task);
    self->handled++;
    self->sum += ping->number;
    return EDRI_OK;
}

// ----- the hops

HOP
hop_emit(edri_port_t *port, Edri__Bench__Ping *ping, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        ping->number = ++way.emitted;
        if (edri_bench_ping_emit(port, ping) != EDRI_OK) {
            fail(edri_port_error(port));
        }
    }
}

// step_router goes on until the router would sleep.
static inline void
step_router(place_t *self)
{
    self->wake_us = 0;
    for (int i = 0; i < STEPS && self->wake_us == 0; i++) {
        (void)router_step(self->node->router, true);
        self->wake_us = net_polled();
    }
    check_rest(self->wake_us != 0);
}

HOP
hop_router_source(place_t *self)
{
    step_router(self);
}

HOP
hop_router_sink(place_t *self)
{
    step_router(self);
}

HOP
hop_switch(void)
{
    way.hub_wake_us = 0;
    for (int i = 0; i < STEPS && way.hub_wake_us == 0; i++) {
        (void)hub_step(way.hub, true);
        way.hub_wake_us = net_polled();
    }
    check_rest(way.hub_wake_us != 0);
}

// The last step finds nothing: the box is armed, and the manager would sleep.
HOP
hop_manager(place_t *self)
{
    for (int i = 0; i < STEPS && has_load(self); i++) {
        (void)manager_step(self->manager, false);
    }
    check_rest(!has_load(self));
    (void)manager_step(self->manager, false);
}

// ----- time

static int64_t
earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t
due_router(const place_t *self)
{
    if (self->node == NULL) {
        return INT64_MAX;
    }
    return net_inside(self->node->zmq)
               ? sim_now_us
               : earlier(self->wake_us, net_due(self->node->zmq));
}

static int64_t
due_hub(void)
{
    return way.hub == NULL ? INT64_MAX
                           : earlier(way.hub_wake_us, net_due(way.hub->zmq));
}

// step lets everybody go on for whom it is time.  Returns false when it was for none.
static bool
step(void)
{
    bool source = due_router(&way.places[0]) <= sim_now_us;
    bool hub = due_hub() <= sim_now_us;
    bool other = due_router(&way.places[1]) <= sim_now_us;
    bool load = has_load(sink());
    if (source) {
        hop_router_source(&way.places[0]);
    }
    if (hub) {
        hop_switch();
    }
    if (other) {
        hop_router_sink(&way.places[1]);
    }
    if (load) {
        hop_manager(sink());
    }
    return source || hub || other || load;
}

// go_on lets so much time go by.
static void
go_on(int64_t us)
{
    int64_t until_us = sim_now_us + us;
    for (int i = 0; i < STEPS; i++) {
        if (step()) {
            continue;
        }
        int64_t next_us = earlier(due_hub(),
            earlier(due_router(&way.places[0]), due_router(&way.places[1])));
        if (next_us >= until_us) {
            sim_now_us = until_us;
            return;
        }
        sim_now_us = next_us;
    }
    check_rest(false);
}

// pump lets a router go on for which a thread of its node waits.
static void
pump(void *context)
{
    for (int i = 0; i < 2; i++) {
        if (way.places[i].node != NULL && way.places[i].node->zmq == context) {
            step_router(&way.places[i]);
        }
    }
}

// ----- places

static void
start_place(place_t *self, int host, const char *name, bool handles)
{
    net_host(host);
    self->node = edri_node_new(0, NULL);
    (void)edri_node_set(self->node, "node.name", name);
    if (way.linked) {
        (void)edri_node_set(self->node, "node.switch", ENDPOINT);
    }
    if (handles) {
        self->manager = edri_node_manager(self->node, "sink");
        (void)edri_manager_set_state(self->manager, self, NULL);
        (void)edri_bench_ping_handle(self->manager, on_ping, EDRI_METHOD);
    }
    if (node_open(self->node) != EDRI_OK) {
        fail(edri_node_error(self->node));
    }
    self->node->router = router_make(self->node);
    if (router_open(self->node->router) != EDRI_OK ||
        (handles && manager_open(self->manager) != EDRI_OK)) {
        fail("a node does not open");
    }
    (void)zmq_send(self->node->pipe, "OPEN", 4, 0);
}

static void
start_hub(void)
{
    net_host(NET_SWITCHES);
    way.settings = settings_new(switch_rows, NULL);
    (void)settings_set(way.settings, "switch.bind", ENDPOINT, "hops");
    way.hub = hub_new(way.settings, -1);
    if (way.hub == NULL) {
        fail("the switch does not open");
    }
}

static void
start(void)
{
    net_init(1);
    net_on_wait(pump);
    sim_random_seed(1);
    sim_now_us = INT64_C(1700000000000000);
    if (way.linked) {
        start_hub();
        start_place(&way.places[1], 1, "sink", true);
    }
    start_place(&way.places[0], 0, "source", !way.linked);
}

static void
end_place(place_t *self)
{
    if (self->node == NULL) {
        return;
    }
    net_crash(self->node->zmq);
    atomic_store(&self->node->phase, PHASE_STOPPED);
    if (self->manager != NULL) {
        manager_close(self->manager);
    }
    router_close(self->node->router);
    router_free(&self->node->router);
    zmq_close(self->node->pipe);
    self->node->pipe = NULL;
    edri_node_destroy(&self->node);
}

static void
end(void)
{
    end_place(&way.places[0]);
    end_place(&way.places[1]);
    if (way.hub != NULL) {
        net_crash(way.hub->zmq);
        hub_destroy(&way.hub);
        settings_destroy(&way.settings);
    }
}

// ----- the program

static void
play(uint64_t bursts, uint64_t events)
{
    uint8_t zeros[SIZE] = {0};
    Edri__Bench__Ping ping = EDRI__BENCH__PING__INIT;
    ping.padding =
        (ProtobufCBinaryData){SIZE - 12, zeros}; // number and tags: 12
    edri_port_t *port = edri_node_port(way.places[0].node);
    go_on(START_US);
    for (uint64_t i = 0; i < bursts; i++) {
        hop_emit(port, &ping, events);
        go_on(BURST_US);
        if (sink()->handled != way.emitted) {
            fail("a burst was not handled in time");
        }
    }
    if (sink()->sum != way.emitted * (way.emitted + 1) / 2) {
        fail("an event was lost, another came twice");
    }
    edri_port_destroy(&port);
}

static bool
read_number(const char *text, uint64_t most, uint64_t *number)
{
    char *end_p = NULL;
    *number = strtoull(text, &end_p, 10);
    return text[0] >= '0' && text[0] <= '9' && *end_p == '\0' &&
           *number <= most;
}

int
main(int argc, char **argv)
{
    uint64_t bursts = 0;
    uint64_t events = 0;
    bool known = argc == 4 && (strcmp(argv[1], "local") == 0 ||
                                  strcmp(argv[1], "switch") == 0);
    if (!known || !read_number(argv[2], 1000000, &bursts) ||
        !read_number(argv[3], 512, &events)) {
        fprintf(stderr, "usage: edri-hops local|switch BURSTS EVENTS\n"
                        "       EVENTS of a burst: at most 512, one frame\n");
        return 2;
    }
    way.linked = strcmp(argv[1], "switch") == 0;
    start();
    play(bursts, events);
    printf("%llu events\n", (unsigned long long)sink()->handled);
    end();
    return 0;
}
