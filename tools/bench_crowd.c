// SPDX-License-Identifier: MIT
// bench_crowd.c - many nodes at one switch.

#include "bench_crowd.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "duties.edri.h"

// Descriptors of one node, and of a process for itself.
#define NODE_DESCRIPTORS 24
#define OWN_DESCRIPTORS  64

// How often a process looks at the counters of its nodes.
#define LOOK_MS 2

// Beyond its own deadline an answer is waited for so long.
#define ANSWER_MS 5000

static const edri_type_t *const duties[CROWD_TYPES_MAX] = {
    &edri_bench_duty00_type,
    &edri_bench_duty01_type,
    &edri_bench_duty02_type,
    &edri_bench_duty03_type,
    &edri_bench_duty04_type,
    &edri_bench_duty05_type,
    &edri_bench_duty06_type,
    &edri_bench_duty07_type,
    &edri_bench_duty08_type,
    &edri_bench_duty09_type,
    &edri_bench_duty10_type,
    &edri_bench_duty11_type,
    &edri_bench_duty12_type,
    &edri_bench_duty13_type,
    &edri_bench_duty14_type,
    &edri_bench_duty15_type,
    &edri_bench_duty16_type,
    &edri_bench_duty17_type,
    &edri_bench_duty18_type,
    &edri_bench_duty19_type,
    &edri_bench_duty20_type,
    &edri_bench_duty21_type,
    &edri_bench_duty22_type,
    &edri_bench_duty23_type,
    &edri_bench_duty24_type,
    &edri_bench_duty25_type,
    &edri_bench_duty26_type,
    &edri_bench_duty27_type,
    &edri_bench_duty28_type,
    &edri_bench_duty29_type,
    &edri_bench_duty30_type,
    &edri_bench_duty31_type,
};

// order_t is what a process is told, answer_t what it says.
typedef struct order {
    enum {
        ORDER_START,
        ORDER_AWAIT,
        ORDER_EMIT,
        ORDER_HEARD
    } kind;
    char text[128];  // START: endpoint, AWAIT: counter
    uint64_t number; // AWAIT: at least; EMIT, HEARD: of the call
    uint64_t count;  // HEARD: events of that call
    unsigned seconds;
} order_t;

typedef struct answer {
    bool fine;
    char text[256]; // why not
} answer_t;

// member_t is one node of a process.
typedef struct member {
    edri_node_t *node;
    _Atomic(uint64_t) call;  // newest that was heard
    _Atomic(uint64_t) heard; // events of it
} member_t;

// house_t is one process of the crowd, as it sees itself.
typedef struct house {
    crowd_plan_t plan;
    unsigned first; // number of its first node
    unsigned count;
    int fd;
    member_t *members;
    edri_port_t *port; // of its emitter
} house_t;

struct crowd {
    unsigned count; // processes
    pid_t *pids;
    int *fds;
    uint64_t calls;
};

// ----- in a process of the crowd

static edri_err_t
on_duty(edri_fn_t handler, edri_task_t *task, const ProtobufCMessage *event,
    ProtobufCMessage *reply)
{
    (void)handler;
    (void)reply;
    member_t *member = edri_task_state(task);
    const Edri__Bench__Duty00 *duty = (const Edri__Bench__Duty00 *)event;
    if (event->descriptor != &edri__bench__duty00__descriptor) {
        return EDRI_OK;
    }
    if (duty->number > atomic_load(&member->call)) {
        atomic_store(&member->heard, 0);
        atomic_store(&member->call, duty->number);
    }
    if (duty->number == atomic_load(&member->call)) {
        atomic_fetch_add(&member->heard, 1);
    }
    return EDRI_OK;
}

static void
nothing(void)
{
}

// demand lets a manager handle the types that its node's number says.
static void
demand(edri_manager_t *manager, unsigned number, unsigned types)
{
    for (unsigned i = 0; i < types; i++) {
        unsigned own = CROWD_TYPES_MAX - 2;
        unsigned at = i < 2 ? i : 2 + (number * (types - 2) + i - 2) % own;
        (void)edri_manager_handle(
            manager, duties[at], on_duty, nothing, EDRI_METHOD);
    }
}

static void
start_member(house_t *self, unsigned i, const order_t *order, answer_t *answer)
{
    char name[32];
    char timeout[32];
    member_t *member = &self->members[i];
    (void)snprintf(name, sizeof name, "member-%u", self->first + i);
    (void)snprintf(timeout, sizeof timeout, "%us", order->seconds);
    member->node = edri_node_new(0, NULL);
    (void)edri_node_set(member->node, "node.name", name);
    (void)edri_node_set(member->node, "node.switch", order->text);
    (void)edri_node_set(member->node, "node.start_timeout", timeout);
    if (self->plan.heartbeat != NULL) {
        (void)edri_node_set(
            member->node, "link.heartbeat", self->plan.heartbeat);
    }
    edri_manager_t *manager = edri_node_manager(member->node, "duty");
    (void)edri_manager_set_state(manager, member, NULL);
    demand(manager, self->first + i, self->plan.types);
    if (edri_node_start(member->node) != EDRI_OK) {
        answer->fine = false;
        (void)snprintf(answer->text, sizeof answer->text, "%s: %s", name,
            edri_node_error(member->node));
    }
}

static void
emit(house_t *self, uint64_t number, answer_t *answer)
{
    Edri__Bench__Duty00 duty = EDRI__BENCH__DUTY00__INIT;
    duty.number = number;
    if (edri_bench_duty00_emit(self->port, &duty) != EDRI_OK) {
        answer->fine = false;
        (void)snprintf(answer->text, sizeof answer->text, "%s",
            edri_port_error(self->port));
    }
}

static void
start_members(house_t *self, const order_t *order, answer_t *answer)
{
    for (unsigned i = 0; i < self->count && answer->fine; i++) {
        start_member(self, i, order, answer);
        if (i == 0 && answer->fine) {
            self->port = edri_node_port(self->members[0].node);
            emit(self, 0, answer); // it holds the table from now on
        }
    }
}

// has_come says whether a node is where the order wants it.
static bool
has_come(const member_t *member, const order_t *order)
{
    uint64_t value = 0;
    if (order->kind == ORDER_HEARD) {
        return atomic_load(&member->call) == order->number &&
               atomic_load(&member->heard) == order->count;
    }
    (void)edri_node_counter(member->node, order->text, &value);
    return value >= order->number;
}

static void
await(house_t *self, const order_t *order, answer_t *answer)
{
    double end = bench_now() + order->seconds;
    struct pollfd item = {self->fd, POLLIN, 0};
    unsigned i = 0;
    while (i < self->count) {
        if (has_come(&self->members[i], order)) {
            i++;
        } else if (bench_now() > end || poll(&item, 1, LOOK_MS) > 0) {
            answer->fine = false;
            (void)snprintf(answer->text, sizeof answer->text,
                "%s: no %s of %" PRIu64 " after %u s",
                edri_node_name(self->members[i].node),
                order->kind == ORDER_HEARD ? "event" : order->text,
                order->number, order->seconds);
            return;
        }
    }
}

static int
run_house(void *arg)
{
    house_t *self = arg;
    order_t order;
    self->members = calloc(self->count, sizeof *self->members);
    while (read(self->fd, &order, sizeof order) == (ssize_t)sizeof order) {
        answer_t answer = {.fine = true};
        switch (order.kind) {
        case ORDER_START:
            start_members(self, &order, &answer);
            break;
        case ORDER_EMIT:
            emit(self, order.number, &answer);
            break;
        case ORDER_AWAIT:
        case ORDER_HEARD:
            await(self, &order, &answer);
            break;
        }
        if (write(self->fd, &answer, sizeof answer) != sizeof answer) {
            return 1;
        }
    }
    return 0;
}

// ----- in the bench

// check_descriptors raises what a process may have open, and fails when the crowd's
// processes, or the switch, need more.
static void
check_descriptors(const crowd_plan_t *plan)
{
    struct rlimit limit = {0};
    unsigned many = plan->nodes < CROWD_NODES ? plan->nodes : CROWD_NODES;
    rlim_t house = many * NODE_DESCRIPTORS + OWN_DESCRIPTORS;
    rlim_t hub = plan->nodes + OWN_DESCRIPTORS;
    rlim_t most = house > hub ? house : hub;
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max < most) {
        bench_fail("%u nodes need %llu descriptors in a process, and %llu are "
                   "allowed: raise the hard limit (ulimit -Hn), or say fewer "
                   "--nodes",
            plan->nodes, (unsigned long long)most,
            (unsigned long long)limit.rlim_max);
    }
}

crowd_t *
crowd_begin(const crowd_plan_t *plan)
{
    check_descriptors(plan);
    crowd_t *self = calloc(1, sizeof *self);
    self->count = (plan->nodes + CROWD_NODES - 1) / CROWD_NODES;
    self->pids = calloc(self->count, sizeof *self->pids);
    self->fds = calloc(self->count, sizeof *self->fds);
    for (unsigned i = 0; i < self->count; i++) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
            bench_fail("no socket: %s", strerror(errno));
        }
        house_t house = {.plan = *plan, .fd = ends[1]};
        house.first = i * CROWD_NODES;
        house.count = plan->nodes - house.first;
        house.count = house.count < CROWD_NODES ? house.count : CROWD_NODES;
        self->pids[i] = bench_fork(run_house, &house);
        self->fds[i] = ends[0];
        (void)close(ends[1]);
    }
    return self;
}

void
crowd_end(crowd_t **self_p)
{
    crowd_t *self = *self_p;
    *self_p = NULL;
    for (unsigned i = 0; i < self->count; i++) {
        (void)kill(self->pids[i], SIGKILL);
        (void)waitpid(self->pids[i], NULL, 0);
        (void)close(self->fds[i]);
    }
    free(self->pids);
    free(self->fds);
    free(self);
}

// say gives an order to all processes, and waits until each has done it.
static void
say(crowd_t *self, const order_t *order)
{
    for (unsigned i = 0; i < self->count; i++) {
        if (write(self->fds[i], order, sizeof *order) != sizeof *order) {
            bench_fail("a process of nodes has ended");
        }
    }
    for (unsigned i = 0; i < self->count; i++) {
        answer_t answer = {0};
        struct pollfd item = {self->fds[i], POLLIN, 0};
        int wait_ms = (int)order->seconds * 1000 + ANSWER_MS;
        if (poll(&item, 1, wait_ms) != 1 ||
            read(self->fds[i], &answer, sizeof answer) != sizeof answer) {
            bench_fail("a process of nodes has ended, or does not answer");
        }
        if (!answer.fine) {
            bench_fail("%s", answer.text);
        }
    }
}

void
crowd_start(crowd_t *self, const char *endpoint, unsigned seconds)
{
    order_t order = {.kind = ORDER_START, .seconds = seconds};
    (void)snprintf(order.text, sizeof order.text, "%s", endpoint);
    say(self, &order);
}

void
crowd_await(
    crowd_t *self, const char *counter, uint64_t least, unsigned seconds)
{
    order_t order = {.kind = ORDER_AWAIT, .number = least, .seconds = seconds};
    (void)snprintf(order.text, sizeof order.text, "%s", counter);
    say(self, &order);
}

void
crowd_call(crowd_t *self, unsigned seconds)
{
    order_t order = {.kind = ORDER_EMIT,
        .number = ++self->calls,
        .count = self->count,
        .seconds = seconds};
    say(self, &order);
    order.kind = ORDER_HEARD;
    say(self, &order);
}

size_t
crowd_pids(const crowd_t *self, const pid_t **pids_p)
{
    *pids_p = self->pids;
    return self->count;
}
