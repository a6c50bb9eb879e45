// SPDX-License-Identifier: MIT
// world.c - nodes, switches and a network in one thread, on virtual time.

#include "world.h"
#include "streams.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "books.h"
#include "edri/edri.h"
#include "edri/log.h"
#include "hub.h"
#include "net.h"
#include "node/ask.h"
#include "node/manager.h"
#include "node/router.h"
#include "sim.edri.h"

enum {
    NODES_MAX = 5,
    HUBS_MAX = 3,
    MANAGERS = 2, // of a node at most: one per group
    FAULTS_MAX = 8,
    ASKED_MAX = 4,
    STEPS_AT_ONCE = 20000 // at one moment: more is a router that spins
};

#define SECOND INT64_C(1000000)

// Settings of all nodes: small queues, so that they fill.
static const char *const node_settings[][2] = {
    {"node.link_queue", "256K"},
    {"node.manager_queue", "128K"},
    {"node.start_timeout", "10s"},
    {"tunnel.window", "32K"},
};

typedef struct sim_manager {
    edri_manager_t *manager;
    unsigned book;
    int64_t wake_us;
    int64_t pace_us; // between two looks at its queue, at most
    bool open;
} sim_manager_t;

typedef struct sim_node {
    int index;
    edri_node_t *node; // NULL: it does not run
    bool stepping;
    bool ready;
    bool draining;
    bool drained;
    bool counts; // what is emitted must reach its managers
    int64_t since_us;
    int64_t wake_us;
    int64_t frozen_us; // until
    int64_t start_us;  // when to start again; INT64_MAX: not
    int64_t stop_us;   // draining: give up waiting
    unsigned groups;   // bit per group that it has
    sim_manager_t managers[MANAGERS];
    edri_port_t *port; // of its writer
    unsigned writer;
    int64_t write_us;
    int64_t write_pace_us;
    uint64_t asked[ASKED_MAX]; // requests that may be cancelled
} sim_node_t;

typedef struct sim_hub {
    int index;
    settings_t *settings;
    hub_t *hub;
    int64_t wake_us;
    int64_t frozen_us;
    int64_t start_us;
} sim_hub_t;

typedef enum fault_kind {
    FAULT_CUT,
    FAULT_ONE_WAY,
    FAULT_SLOW,
    FAULT_FREEZE_NODE,
    FAULT_FREEZE_SWITCH,
    FAULT_KILL_NODE,
    FAULT_RESTART_NODE,
    FAULT_KILL_SWITCH,
    FAULT_KINDS
} fault_kind_t;

static const char *const fault_names[] = {"cut", "one-way cut", "slow",
    "frozen node", "frozen switch", "killed node", "restarted node",
    "killed switch"};

typedef struct fault {
    fault_kind_t kind;
    int node;
    int hub;
    int64_t from_us;
    int64_t until_us;
    bool begun;
    bool ended;
} fault_t;

static struct {
    uint64_t random;
    bool tell;
    sim_node_t nodes[NODES_MAX];
    int node_count;
    sim_hub_t hubs[HUBS_MAX];
    int hub_count;
    fault_t faults[FAULTS_MAX];
    int fault_count;
    bool hasty; // silent lives are given up soon, while they may be frozen
    int64_t begin_us;
    int64_t write_end_us;
    uint64_t steps;
    int64_t connected_us; // since when all are; 0: they are not
    int at_once;
} world;

static uint64_t
draw(uint64_t below)
{
    return sim_random(&world.random) % below;
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void
say(const char *format, ...)
{
    if (!world.tell) {
        return;
    }
    va_list args;
    va_start(args, format);
    printf("%10.3f  ", (double)(sim_now_us - world.begin_us) / 1e6);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

static void
log_line(edri_log_level_t level, const char *id, const char *text, void *arg)
{
    // Everybody here keeps to the protocol: nobody may be accused.
    static const char *const accusations[] = {"CREDIT-EXCEEDED",
        "FLOW-NEVER-SENT", "FRAME-MALFORMED", "LINK-MALFORMED", "BOOKS-DIFFER"};
    (void)level;
    (void)arg;
    say("    %s %s", id, text);
    for (size_t i = 0; i < sizeof accusations / sizeof accusations[0]; i++) {
        if (strcmp(id, accusations[i]) == 0) {
            books_fail("%s %s", id, text);
        }
    }
}

// ----- handlers

static void
begun(edri_task_t *task, kind_t kind, uint64_t writer, uint64_t number)
{
    const sim_manager_t *self = edri_task_state(task);
    books_begun(self->book, kind, (unsigned)writer, number,
        edri_task_redelivered(task));
}

static edri_err_t
on_all(edri_task_t *task, const Sim__All *event)
{
    begun(task, KIND_ALL, event->writer, event->number);
    return EDRI_OK;
}

static edri_err_t
on_group(edri_task_t *task, const Sim__Group *event)
{
    begun(task, KIND_GROUP, event->writer, event->number);
    return EDRI_OK;
}

static edri_err_t
on_one(edri_task_t *task, const Sim__One *event)
{
    begun(task, KIND_ONE, event->writer, event->number);
    return EDRI_OK;
}

static edri_err_t
on_kept(edri_task_t *task, const Sim__Kept *event)
{
    begun(task, KIND_KEPT, event->writer, event->number);
    return EDRI_OK;
}

// on_deep_answer: one of the requests that a handler has made has ended.
static void
on_deep_answer(const edri_answer_t *raw, const Sim__Answer *answer, void *arg)
{
    (void)raw;
    (void)answer;
    books_answered((uint64_t)(uintptr_t)arg);
}

static edri_err_t
on_deep(edri_task_t *task, const Sim__Deep *deep, Sim__Answer *answer)
{
    (void)task;
    answer->number = deep->number;
    return EDRI_OK;
}

// ask_deep asks below a request, and does not wait for the answer.
static void
ask_deep(edri_task_t *task)
{
    Sim__Deep deep = SIM__DEEP__INIT;
    deep.number = books_asked();
    int64_t left_ms = edri_task_remaining_ms(task);
    edri_port_t *port = edri_task_port(task);
    if (sim_deep_request_async(port, &deep, 0, on_deep_answer,
            (void *)(uintptr_t)deep.number) != EDRI_OK) {
        books_answered(deep.number);
        return;
    }
    // It may have ended already.
    const ask_t *ask = map_get(port->asks, edri_port_last_request(port));
    if (ask != NULL && ask->deadline_ms > clock_ms() + left_ms) {
        books_fail("a request has more time than the task that asks");
    }
}

static edri_err_t
on_ask(edri_task_t *task, const Sim__Ask *ask, Sim__Answer *answer)
{
    answer->number = ask->number;
    if (ask->number % 5 == 0) {
        ask_deep(task);
    }
    if (ask->number % 37 == 0) {
        answer->padding.len = 20000;
        answer->padding.data = edri_task_alloc(task, answer->padding.len);
    }
    return EDRI_OK;
}

static void
on_answer(const edri_answer_t *raw, const Sim__Answer *answer, void *arg)
{
    uint64_t number = (uint64_t)(uintptr_t)arg;
    if (raw->err == EDRI_OK && answer->number != number) {
        books_fail("request %llu got the answer to %llu",
            (unsigned long long)number, (unsigned long long)answer->number);
    }
    books_answered(number);
}

// ----- nodes

static sim_node_t *
node_of(const void *context)
{
    for (int i = 0; i < world.node_count; i++) {
        sim_node_t *node = &world.nodes[i];
        if (node->node != NULL && node->node->zmq == context) {
            return node;
        }
    }
    return NULL;
}

static void
read_words(sim_node_t *self)
{
    char word[16] = "";
    char text[512] = "";
    uint32_t code = 0;
    int size = 0;
    while ((size = zmq_recv(self->node->pipe, word, sizeof word - 1, 0)) >= 0) {
        word[size] = '\0';
        (void)zmq_recv(self->node->pipe, &code, sizeof code, 0);
        size = zmq_recv(self->node->pipe, text, sizeof text - 1, 0);
        text[size > 0 && size < 511 ? size : 0] = '\0';
        self->drained = self->drained || strcmp(word, "DRAINED") == 0;
        if (strcmp(word, "READY") == 0) {
            self->ready = true;
            say("node %d is ready", self->index);
        } else if (strcmp(word, "ERROR") == 0 || code == EDRI_REPLACED) {
            say("node %d: %s", self->index, text);
        }
    }
}

static void
step_router(sim_node_t *self)
{
    if (self->stepping) {
        return;
    }
    self->stepping = true;
    int64_t until = 0;
    for (int i = 0; i < 1000 && until == 0; i++) {
        (void)router_step(self->node->router, true);
        until = net_polled();
        world.steps++;
    }
    self->wake_us = until;
    self->stepping = false;
    read_words(self);
}

static void
pump(void *context)
{
    sim_node_t *node = node_of(context);
    if (node != NULL && node->node->router != NULL) {
        step_router(node);
    }
}

static void
add_manager(sim_node_t *self, int at, unsigned group)
{
    static const char *const names[] = {"stock", "audit", "log"};
    sim_manager_t *mine = &self->managers[at];
    edri_manager_t *manager = edri_node_manager(self->node, names[group]);
    int64_t pace = 1 + (int64_t)draw(10);
    *mine = (sim_manager_t){.manager = manager,
        .book = books_manager(group),
        .wake_us = sim_now_us,
        .pace_us = draw(5) == 0 ? pace * 20000 : pace * 1000,
        .open = true};
    (void)edri_manager_set_state(manager, mine, NULL);
    sim_all_handle(manager, on_all, EDRI_METHOD);
    sim_group_handle(manager, on_group, EDRI_METHOD);
    sim_one_handle(manager, on_one, EDRI_METHOD);
    sim_kept_handle(manager, on_kept, EDRI_METHOD);
    sim_ask_handle(manager, on_ask, EDRI_METHOD);
    sim_deep_handle(manager, on_deep, EDRI_METHOD);
    (void)edri_manager_replay(manager, &sim_kept_type, 0);
    streams_accept(manager);
}

static void
start_node(sim_node_t *self)
{
    char switches[256] = "";
    char name[16];
    net_host(self->index);
    for (int i = 0; i < world.hub_count; i++) {
        size_t at = strlen(switches);
        (void)snprintf(switches + at, sizeof switches - at, "%stcp://host-%d:1",
            i > 0 ? "," : "", NET_SWITCHES + i);
    }
    (void)snprintf(name, sizeof name, "node-%d", self->index);
    self->node = edri_node_new(0, NULL);
    (void)edri_node_set(self->node, "node.name", name);
    (void)edri_node_set(self->node, "node.switch", switches);
    for (size_t i = 0; i < sizeof node_settings / sizeof node_settings[0];
         i++) {
        (void)edri_node_set(
            self->node, node_settings[i][0], node_settings[i][1]);
    }
    memset(self->managers, 0, sizeof self->managers);
    int count = 0;
    for (unsigned group = 0; group < 2; group++) {
        if ((self->groups & 1u << group) != 0) {
            add_manager(self, count++, group);
        }
    }
    self->ready = self->draining = self->drained = self->counts = false;
    self->since_us = sim_now_us;
    self->start_us = self->stop_us = INT64_MAX;
    self->frozen_us = 0;
    if (node_open(self->node) != EDRI_OK) {
        books_fail("node %d: %s", self->index, edri_node_error(self->node));
        return;
    }
    self->node->router = router_make(self->node);
    if (router_open(self->node->router) != EDRI_OK) {
        books_fail("node %d does not open", self->index);
    }
    for (int i = 0; i < count; i++) {
        if (manager_open(self->managers[i].manager) != EDRI_OK) {
            books_fail("a manager of node %d does not open", self->index);
        }
    }
    (void)zmq_send(self->node->pipe, "OPEN", 4, 0);
    self->port = edri_node_port(self->node);
    self->writer = books_writer(edri_node_life(self->node));
    self->write_us = sim_now_us + (int64_t)draw(2000000);
    self->wake_us = sim_now_us;
    say("node %d starts, life %016llx, writer %u", self->index,
        (unsigned long long)edri_node_life(self->node), self->writer);
    for (int i = 0; i < count; i++) {
        say("    manager %u, group %s, every %lld ms", self->managers[i].book,
            edri_manager_name(self->managers[i].manager),
            (long long)self->managers[i].pace_us / 1000);
    }
}

// end_node takes a node apart whose threads have ended, or that was killed.
static void
end_node(sim_node_t *self, bool killed)
{
    if (killed) {
        net_crash(self->node->zmq);
        atomic_store(&self->node->phase, PHASE_STOPPED);
    }
    for (int i = 0; i < MANAGERS; i++) {
        if (self->managers[i].open) {
            self->managers[i].open = false;
            manager_close(self->managers[i].manager);
            books_manager_end(self->managers[i].book);
        }
    }
    edri_port_destroy(&self->port); // ends its requests
    streams_gone(self->index);
    books_writer_end(self->writer);
    atomic_store(&self->node->phase, PHASE_STOPPED);
    router_close(self->node->router);
    router_free(&self->node->router);
    zmq_close(self->node->pipe);
    self->node->pipe = NULL;
    edri_node_destroy(&self->node);
}

static void
step_managers(sim_node_t *self)
{
    for (int i = 0; i < MANAGERS; i++) {
        sim_manager_t *mine = &self->managers[i];
        if (mine->open && mine->wake_us <= sim_now_us) {
            (void)manager_step(mine->manager, false);
            mine->wake_us =
                sim_now_us + 500 + (int64_t)draw((uint64_t)mine->pace_us);
            world.steps++;
        }
    }
}

// ----- writing

static void
write_one(sim_node_t *self)
{
    static uint8_t zeros[1024 * 1024];
    kind_t kind = (kind_t)draw(KINDS);
    uint64_t chance = draw(400);
    size_t size = chance == 0   ? (200 + draw(700)) * 1024
                  : chance < 12 ? 10000
                                : draw(300);
    ProtobufCBinaryData padding = {size, zeros};
    bool urgent = kind != KIND_KEPT && draw(8) == 0;
    edri_emit_options_t options = {
        .no_wait = true, .priority = urgent ? 1 + 7 : 0};
    uint64_t number = books_next(self->writer);
    edri_err_t err = EDRI_OK;
    if (kind == KIND_ALL) {
        Sim__All event = SIM__ALL__INIT;
        event.writer = self->writer, event.number = number;
        event.padding = padding;
        err = edri_emit(self->port, &sim_all_type, &event.base, &options);
    } else if (kind == KIND_GROUP) {
        Sim__Group event = SIM__GROUP__INIT;
        event.writer = self->writer, event.number = number;
        event.padding = padding;
        event.lane = (uint32_t)(number % SIM_LANES);
        err = edri_emit(self->port, &sim_group_type, &event.base, &options);
    } else if (kind == KIND_ONE) {
        Sim__One event = SIM__ONE__INIT;
        event.writer = self->writer, event.number = number;
        event.padding = padding;
        err = edri_emit(self->port, &sim_one_type, &event.base, &options);
    } else {
        Sim__Kept event = SIM__KEPT__INIT;
        event.writer = self->writer, event.number = number;
        event.padding = (ProtobufCBinaryData){draw(100), zeros};
        err = edri_emit(self->port, &sim_kept_type, &event.base, &options);
    }
    if (err == EDRI_OK) {
        books_emitted(self->writer, kind, urgent);
    }
}

static void
ask_one(sim_node_t *self)
{
    Sim__Ask ask = SIM__ASK__INIT;
    static uint8_t zeros[16384];
    ask.writer = self->writer;
    ask.number = books_asked();
    ask.padding =
        (ProtobufCBinaryData){draw(30) == 0 ? sizeof zeros : draw(200), zeros};
    if (sim_ask_request_async(self->port, &ask, 0, on_answer,
            (void *)(uintptr_t)ask.number) != EDRI_OK) {
        books_answered(ask.number); // was not sent
    }
    self->asked[draw(ASKED_MAX)] = edri_port_last_request(self->port);
}

// cancel_one cancels one of the requests that were made, if it has not ended.
static void
cancel_one(sim_node_t *self)
{
    uint64_t request = self->asked[draw(ASKED_MAX)];
    if (edri_request_cancel(self->port, request) == EDRI_OK) {
        books_cancelled();
    }
}

static void
step_writer(sim_node_t *self)
{
    (void)edri_port_poll(self->port, 0);
    streams_step(self->index);
    if (self->write_us > sim_now_us) {
        return;
    }
    self->write_us =
        sim_now_us + 1000 + (int64_t)draw((uint64_t)self->write_pace_us);
    if (sim_now_us >= world.write_end_us || self->draining) {
        self->write_us = sim_now_us + SECOND / 10;
        return;
    }
    uint64_t burst = 1 + draw(8);
    for (uint64_t i = 0; i < burst; i++) {
        uint64_t what = draw(21);
        if (what == 20) {
            streams_open(self->index, self->port);
        } else if (what < 2) {
            ask_one(self);
        } else if (what == 2) {
            cancel_one(self);
        } else {
            write_one(self);
        }
    }
    world.steps++;
}

// ----- switches

static void
start_hub(sim_hub_t *self)
{
    char endpoint[64];
    net_host(NET_SWITCHES + self->index);
    (void)snprintf(endpoint, sizeof endpoint, "tcp://host-%d:1",
        NET_SWITCHES + self->index);
    self->settings = settings_new(switch_rows, NULL);
    (void)settings_set(self->settings, "switch.bind", endpoint, "sim");
    if (world.hasty) {
        (void)settings_set(self->settings, "gone.silent", "9s", "sim");
    }
    self->hub = hub_new(self->settings, -1);
    self->wake_us = sim_now_us;
    self->start_us = INT64_MAX;
    self->frozen_us = 0;
    say("switch %d starts", self->index);
}

static void
end_hub(sim_hub_t *self)
{
    net_crash(self->hub->zmq);
    hub_destroy(&self->hub);
    settings_destroy(&self->settings);
}

static void
step_hub(sim_hub_t *self)
{
    int64_t until = 0;
    for (int i = 0; i < 1000 && until == 0; i++) {
        (void)hub_step(self->hub, true);
        until = net_polled();
        world.steps++;
    }
    self->wake_us = until;
}

// ----- faults

static void
doubt(sim_node_t *self)
{
    for (int i = 0; i < MANAGERS; i++) {
        if (self->managers[i].open) {
            books_doubt(self->managers[i].book);
        }
    }
}

// doubt_all: who cannot be reached for long, or cannot reach others, may give
// them up and be given up.
static void
doubt_all(void)
{
    for (int i = 0; i < world.node_count; i++) {
        if (world.nodes[i].node != NULL) {
            doubt(&world.nodes[i]);
        }
    }
}

static void
cut(const fault_t *fault, bool on)
{
    net_cut(fault->node, NET_SWITCHES + fault->hub, on);
    if (fault->kind == FAULT_CUT) {
        net_cut(NET_SWITCHES + fault->hub, fault->node, on);
    }
}

// follows says whether another fault lasts, or has not long been over.
static bool
follows(const fault_t *fault)
{
    for (int i = 0; i < world.fault_count; i++) {
        const fault_t *other = &world.faults[i];
        if (other != fault && other->begun &&
            sim_now_us < other->until_us + 10 * SECOND) {
            return true;
        }
    }
    return false;
}

static void
begin_fault(fault_t *fault)
{
    sim_node_t *node = &world.nodes[fault->node];
    sim_hub_t *hub = &world.hubs[fault->hub];
    fault->begun = true;
    say("%s: node %d, switch %d, for %.1f s", fault_names[fault->kind],
        fault->node, fault->hub,
        (double)(fault->until_us - fault->from_us) / 1e6);
    // Links count as lost after 3 s, lives as gone 6 s later: what is shorter
    // leaves no doubt, unless it comes together with another fault.
    if (fault->until_us - fault->from_us > 5 * SECOND || follows(fault)) {
        doubt_all();
    }
    switch (fault->kind) {
    case FAULT_CUT:
    case FAULT_ONE_WAY:
        cut(fault, true);
        break;
    case FAULT_SLOW:
        net_slow(fault->node, 300000);
        break;
    case FAULT_FREEZE_NODE:
        node->frozen_us = fault->until_us;
        break;
    case FAULT_FREEZE_SWITCH:
        hub->frozen_us = fault->until_us;
        break;
    case FAULT_KILL_NODE:
        books_allow_marks();
        if (node->node != NULL) {
            end_node(node, true);
        }
        node->start_us = fault->until_us;
        break;
    case FAULT_RESTART_NODE:
        books_allow_marks();
        if (node->node != NULL) {
            (void)zmq_send(node->node->pipe, "DRAIN", 5, 0);
            node->draining = true;
            for (int i = 0; i < MANAGERS; i++) {
                if (node->managers[i].open) {
                    books_leave(node->managers[i].book);
                }
            }
            node->stop_us = sim_now_us + 10 * SECOND;
            node->wake_us = sim_now_us;
        }
        break;
    case FAULT_KILL_SWITCH:
        if (hub->hub != NULL) {
            end_hub(hub);
        }
        hub->start_us = fault->until_us;
        break;
    case FAULT_KINDS:
        break;
    }
}

static void
end_fault(fault_t *fault)
{
    fault->ended = true;
    if (fault->kind == FAULT_CUT || fault->kind == FAULT_ONE_WAY) {
        cut(fault, false);
    } else if (fault->kind == FAULT_SLOW) {
        net_slow(fault->node, 0);
    }
    say("%s: over", fault_names[fault->kind]);
}

static void
make_faults(void)
{
    int64_t span = world.write_end_us - world.begin_us - 6 * SECOND;
    world.fault_count = (int)draw(FAULTS_MAX + 1);
    for (int i = 0; i < world.fault_count; i++) {
        fault_t *fault = &world.faults[i];
        // Half are short; the others up to 20 s.
        int64_t length =
            draw(2) == 0 ? (int64_t)draw(2000000) : (int64_t)draw(20000000);
        *fault = (fault_t){.kind = (fault_kind_t)draw(FAULT_KINDS),
            .node = (int)draw((uint64_t)world.node_count),
            .hub = (int)draw((uint64_t)world.hub_count),
            .from_us =
                world.begin_us + 4 * SECOND + (int64_t)draw((uint64_t)span)};
        fault->until_us = fault->from_us + 10000 + length;
    }
}

static void
play_faults(void)
{
    for (int i = 0; i < world.fault_count; i++) {
        fault_t *fault = &world.faults[i];
        if (!fault->begun && fault->from_us <= sim_now_us) {
            begin_fault(fault);
        }
        if (fault->begun && !fault->ended && fault->until_us <= sim_now_us) {
            end_fault(fault);
        }
    }
}

// ----- bounds and rest

static void
check_bounds(const sim_node_t *self)
{
    const router_t *router = self->node->router;
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->remotes, &cursor, NULL, &value)) {
        const remote_t *remote = value;
        for (size_t i = 0; i < remote->dest_count; i++) {
            // A load of the port may come on top, and what is replayed.
            size_t limit = 256 * 1024 + 1024 * 1024 + 4096 * 1024;
            if (remote->dests[i]->queue.bytes > limit) {
                books_fail("node %d: %zu bytes wait for one manager",
                    self->index, remote->dests[i]->queue.bytes);
            }
        }
        for (int lane = 1; lane < LANES; lane++) {
            if (remote->out[lane].weight > 8u * 1024 * 1024) {
                books_fail("node %d: a flow keeps %zu bytes", self->index,
                    remote->out[lane].weight);
            }
        }
    }
}

// tell_counters says what a node has counted, for --verbose.
static void
tell_counters(const sim_node_t *self)
{
    for (int i = 0; i < COUNTER_COUNT; i++) {
        uint64_t count = counter_get(&self->node->counters, (counter_t)i);
        if (count > 0) {
            say("node %d: %s %llu", self->index, counter_name((counter_t)i),
                (unsigned long long)count);
        }
    }
}

static void
check_rest(const sim_node_t *self)
{
    const router_t *router = self->node->router;
    size_t cursor = 0;
    void *value = NULL;
    if (!frames_idle(router)) {
        books_fail("node %d: something still waits to be sent", self->index);
    }
    if (map_size(router->asked) > 0 || port_asking(self->port) ||
        requests_count(&self->node->requests) > 0) {
        books_fail("node %d: requests are left", self->index);
    }
    if (map_size(router->tunnels) > 0 ||
        atomic_load(&self->node->tunnels_open) > 0) {
        books_fail("node %d: %zu tunnels are left, %zu ends", self->index,
            map_size(router->tunnels), atomic_load(&self->node->tunnels_open));
    }
    while (map_next(router->remotes, &cursor, NULL, &value)) {
        const remote_t *remote = value;
        if (remote->cancel_count > 0) {
            books_fail("node %d: %zu cancels for %s are not told", self->index,
                remote->cancel_count, remote->name);
        }
        for (int lane = 1; lane < LANES; lane++) {
            const flow_out_t *out = &remote->out[lane];
            if (out->weight > 0) {
                books_fail("node %d: lane %d to %s keeps %zu bytes",
                    self->index, lane, remote->name, out->weight);
            }
        }
    }
    static const char *const never[] = {"frames.malformed", "flows.differ"};
    for (int i = 0; i < 2; i++) {
        uint64_t count = 0;
        (void)edri_node_counter(self->node, never[i], &count);
        if (count > 0) {
            books_fail("node %d: %s is %llu", self->index, never[i],
                (unsigned long long)count);
        }
    }
}

// ----- who is connected

static bool
is_connected(const sim_node_t *self)
{
    const router_t *router = self->node->router;
    bool up = self->frozen_us <= sim_now_us;
    for (unsigned i = 0; i < router->link_count; i++) {
        up = up && router->links[i].shake == SHAKE_IN_FORCE &&
             router->links[i].settled;
    }
    return up;
}

// is_disturbed says whether a fault lasts that a link's ends may not know of.
static bool
is_disturbed(void)
{
    for (int i = 0; i < world.fault_count; i++) {
        const fault_t *fault = &world.faults[i];
        bool silent =
            fault->kind != FAULT_KILL_NODE && fault->kind != FAULT_RESTART_NODE;
        if (fault->begun && !fault->ended && silent) {
            return true;
        }
    }
    return false;
}

// note_shaken: a life that begins while others cannot be reached does not know
// of them.
static void
note_shaken(bool calm)
{
    for (int i = 0; i < world.node_count; i++) {
        const sim_node_t *other = &world.nodes[i];
        bool missing =
            other->node != NULL && other->ready && !is_connected(other);
        for (int j = 0; j < world.node_count; j++) {
            sim_node_t *node = &world.nodes[j];
            if (node->node != NULL && (!calm || (missing && j != i)) &&
                (!node->counts || books_young(node->writer))) {
                books_shaken(node->writer);
            }
        }
    }
}

// note_ready: from a second on in which everybody was connected, what anybody
// emits must reach the managers that are there.
static void
note_ready(void)
{
    bool all = !is_disturbed();
    for (int i = 0; i < world.hub_count; i++) {
        all = all && world.hubs[i].hub != NULL;
    }
    note_shaken(all);
    for (int i = 0; i < world.node_count; i++) {
        const sim_node_t *node = &world.nodes[i];
        all = all && (node->node == NULL || is_connected(node));
    }
    if (!all) {
        world.connected_us = 0;
        return;
    }
    if (world.connected_us == 0) {
        world.connected_us = sim_now_us;
    }
    for (int i = 0; i < world.node_count; i++) {
        sim_node_t *node = &world.nodes[i];
        if (node->counts && sim_now_us - world.connected_us >= SECOND) {
            books_calm(node->writer);
        }
        if (node->node == NULL || !node->ready || node->counts ||
            node->draining || sim_now_us - world.connected_us < SECOND ||
            sim_now_us - node->since_us < SECOND) {
            continue;
        }
        node->counts = true;
        for (int j = 0; j < MANAGERS; j++) {
            if (node->managers[j].open) {
                books_ready(node->managers[j].book);
            }
        }
    }
}

// ----- time

static int64_t
earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// due_node is when a node has something to do.
static int64_t
due_node(const sim_node_t *self)
{
    if (self->node == NULL) {
        return self->start_us;
    }
    int64_t due = earlier(self->wake_us, net_due(self->node->zmq));
    due = earlier(due, self->write_us);
    due = earlier(due, self->stop_us);
    if (net_inside(self->node->zmq)) {
        due = sim_now_us;
    }
    for (int i = 0; i < MANAGERS; i++) {
        if (self->managers[i].open) {
            due = earlier(due, self->managers[i].wake_us);
        }
    }
    return due > self->frozen_us ? due : self->frozen_us;
}

static int64_t
due_hub(const sim_hub_t *self)
{
    if (self->hub == NULL) {
        return self->start_us;
    }
    int64_t due = earlier(self->wake_us, net_due(self->hub->zmq));
    return due > self->frozen_us ? due : self->frozen_us;
}

static int64_t
due_fault(void)
{
    int64_t due = INT64_MAX;
    for (int i = 0; i < world.fault_count; i++) {
        const fault_t *fault = &world.faults[i];
        due = earlier(due, !fault->begun   ? fault->from_us
                           : !fault->ended ? fault->until_us
                                           : INT64_MAX);
    }
    return due;
}

static void
advance_node(sim_node_t *self)
{
    if (self->node == NULL) {
        start_node(self);
        return;
    }
    step_managers(self);
    step_writer(self);
    step_router(self);
    check_bounds(self);
    if (self->draining && (self->drained || self->stop_us <= sim_now_us)) {
        say("node %d stops%s", self->index, self->drained ? ", drained" : "");
        end_node(self, false);
        self->draining = false;
        self->start_us = sim_now_us + (int64_t)draw(2000000);
    }
}

// advance moves time to what is next and does it.
static void
advance(int64_t until_us)
{
    int64_t next = earlier(until_us, due_fault());
    for (int i = 0; i < world.node_count; i++) {
        next = earlier(next, due_node(&world.nodes[i]));
    }
    for (int i = 0; i < world.hub_count; i++) {
        next = earlier(next, due_hub(&world.hubs[i]));
    }
    world.at_once = next > sim_now_us ? 0 : world.at_once + 1;
    if (world.at_once > STEPS_AT_ONCE) {
        books_fail("time stands still: somebody spins");
        return;
    }
    sim_now_us = next > sim_now_us ? next : sim_now_us;
    note_ready();
    play_faults();
    for (int i = 0; i < world.hub_count; i++) {
        if (due_hub(&world.hubs[i]) > sim_now_us) {
            continue;
        }
        if (world.hubs[i].hub == NULL) {
            start_hub(&world.hubs[i]);
        } else {
            step_hub(&world.hubs[i]);
        }
    }
    for (int i = 0; i < world.node_count; i++) {
        if (due_node(&world.nodes[i]) <= sim_now_us) {
            advance_node(&world.nodes[i]);
        }
    }
}

static void
play(int64_t until_us, uint64_t steps)
{
    while (sim_now_us < until_us && books_broken() == NULL &&
           (steps == 0 || world.steps < steps)) {
        advance(until_us);
    }
}

static void
make_world(uint64_t seed, bool tell)
{
    memset(&world, 0, sizeof world);
    world.tell = tell;
    world.random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    sim_now_us = INT64_C(1700000000000000);
    world.begin_us = sim_now_us;
    world.write_end_us = sim_now_us + (15 + (int64_t)draw(25)) * SECOND;
    world.node_count = 2 + (int)draw(NODES_MAX - 1);
    world.hub_count = 1 + (int)draw(HUBS_MAX);
    world.hasty = seed % 2 == 0;
    for (int i = 0; i < world.hub_count; i++) {
        world.hubs[i] = (sim_hub_t){.index = i};
        start_hub(&world.hubs[i]);
    }
    for (int i = 0; i < world.node_count; i++) {
        // Two have the first group, so that it has another member.
        unsigned groups = (unsigned)draw(4) | (i < 2 ? 1u : 0);
        world.nodes[i] = (sim_node_t){.index = i,
            .groups = groups,
            .write_pace_us = 20000 + (int64_t)draw(400000)};
        start_node(&world.nodes[i]);
    }
    make_faults();
}

static void
unmake_world(void)
{
    for (int i = 0; i < world.node_count; i++) {
        if (world.nodes[i].node != NULL) {
            end_node(&world.nodes[i], true);
        }
    }
    for (int i = 0; i < world.hub_count; i++) {
        if (world.hubs[i].hub != NULL) {
            end_hub(&world.hubs[i]);
        }
    }
}

bool
world_run(uint64_t seed, uint64_t faults, uint64_t steps, bool tell,
    result_t *result, char **why_p)
{
    net_init(seed);
    net_on_wait(pump);
    sim_random_seed(seed);
    books_open();
    streams_begin(&world.random);
    edri_log_set(log_line, NULL, EDRI_LOG_INFO);
    make_world(seed, tell);
    if ((uint64_t)world.fault_count > faults) {
        world.fault_count = (int)faults;
    }
    int64_t end_us = world.write_end_us;
    for (int i = 0; i < world.fault_count; i++) {
        int64_t over = world.faults[i].until_us;
        end_us = over > end_us ? over : end_us;
    }
    play(end_us, steps);
    // The longest timers end, and everything comes to rest.
    play(end_us + 75 * SECOND, steps);
    if (books_broken() == NULL && (steps == 0 || world.steps < steps)) {
        books_check();
        for (int i = 0; i < world.node_count; i++) {
            if (world.nodes[i].node != NULL) {
                check_rest(&world.nodes[i]);
                tell_counters(&world.nodes[i]);
            }
        }
    }
    totals_t totals = books_totals();
    *result = (result_t){.events = totals.emitted,
        .begun = totals.begun,
        .marked = totals.marked,
        .missing = totals.missing,
        .requests = totals.requests,
        .cancelled = totals.cancelled,
        .faults = (uint64_t)world.fault_count,
        .hash = totals.hash,
        .steps = world.steps};
    *why_p = books_broken() != NULL ? str_dup(books_broken()) : NULL;
    unmake_world();
    streams_totals_t streams = streams_clear();
    result->tunnels = streams.opened;
    result->messages = streams.messages;
    result->whole = streams.whole;
    if (*why_p == NULL && result->faults == 0 && streams.broken > 0) {
        *why_p = str_dup("a tunnel was closed by no fault");
    }
    books_close();
    return *why_p == NULL;
}
