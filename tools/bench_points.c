// SPDX-License-Identifier: MIT
// bench_points.c - edri bench growth: one point of an axis.
//
// DESIGN
// A rig is one node, or two and a switch, and managers that count.  The emitter sends
// a batch and waits until everybody has all of it; batches grow until one takes long
// enough, so those before it have warmed everything up.  Events are numbered and the
// numbers summed, so a point at which one is lost or doubled fails.

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "bench.edri.h"
#include "bench.h"
#include "bench_growth.h"

#define LONG_ENOUGH_S 0.25
#define AIM_S         0.5
#define WAIT_S        120 // for a batch
#define BATCHES_MAX   30
#define SIZE          64 // of an event, where the axis is another

// meter_t is what the managers of a rig have in common.
typedef struct meter {
    pthread_mutex_t lock;
    pthread_cond_t done;
    size_t open;                  // managers that miss some; under the lock
    double last;                  // when the last one had all; under the lock
    atomic_uint_least64_t wanted; // events so far, of each
} meter_t;

// tally_t is what one manager has counted, in its thread.
typedef struct tally {
    meter_t *meter;
    uint64_t count;
    uint64_t sum;
} tally_t;

typedef struct rig {
    meter_t meter;
    tally_t *tallies; // one for each manager
    size_t managers;
    edri_node_t *sink;    // has the managers
    edri_node_t *emitter; // NULL: the same
    pid_t hub;            // 0: no switch
    char endpoint[128];
    edri_port_t *port;
    const made_types_t *types; // NULL: Ping
    uint64_t random;
    Edri__Bench__Ping ping;
} rig_t;

// ----- counting

static void
tell_done(meter_t *meter)
{
    (void)pthread_mutex_lock(&meter->lock);
    meter->last = bench_now();
    if (--meter->open == 0) {
        (void)pthread_cond_signal(&meter->done);
    }
    (void)pthread_mutex_unlock(&meter->lock);
}

static edri_err_t
on_ping(edri_task_t *task, const Edri__Bench__Ping *ping)
{
    tally_t *tally = edri_task_state(task);
    tally->sum += ping->number;
    if (++tally->count == atomic_load(&tally->meter->wanted)) {
        tell_done(tally->meter);
    }
    return EDRI_OK;
}

static edri_err_t
call_ping(edri_fn_t handler, edri_task_t *task, const ProtobufCMessage *event,
    ProtobufCMessage *reply)
{
    (void)handler;
    (void)reply;
    return on_ping(task, (const Edri__Bench__Ping *)(const void *)event);
}

static void
meter_init(meter_t *meter)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&meter->done, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_init(&meter->lock, NULL);
}

// await waits until every manager has all.  Returns when the last one had.
static double
await(rig_t *rig)
{
    meter_t *meter = &rig->meter;
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_S;
    (void)pthread_mutex_lock(&meter->lock);
    while (meter->open > 0) {
        if (pthread_cond_timedwait(&meter->done, &meter->lock, &until) ==
            ETIMEDOUT) {
            bench_fail("%zu of %zu managers still miss events after %d s",
                meter->open, rig->managers, WAIT_S);
        }
    }
    double last = meter->last;
    (void)pthread_mutex_unlock(&meter->lock);
    return last;
}

// check_all makes sure that every event came once to every manager; its node has
// ended.
static void
check_all(const rig_t *rig)
{
    uint64_t n = rig->ping.number;
    for (size_t i = 0; i < rig->managers; i++) {
        const tally_t *tally = &rig->tallies[i];
        if (tally->count != n || tally->sum != n * (n + 1) / 2) {
            bench_fail("%" PRIu64 " of %" PRIu64 " events came to manager %zu",
                tally->count, n, i);
        }
    }
}

// ----- batches

// next_type picks the type of the next event: any of them, by xorshift64 (G.
// Marsaglia, 2003) from a fixed seed.
static const edri_type_t *
next_type(rig_t *rig)
{
    if (rig->types == NULL) {
        return &edri_bench_ping_type;
    }
    rig->random ^= rig->random << 13;
    rig->random ^= rig->random >> 7;
    rig->random ^= rig->random << 17;
    return &rig->types->items[rig->random % rig->types->count].type;
}

static void
emit_one(rig_t *rig, const edri_type_t *type)
{
    rig->ping.base.descriptor = type->message;
    rig->ping.number++;
    if (edri_emit(rig->port, type, &rig->ping.base, NULL) != EDRI_OK) {
        bench_fail("%s", edri_port_error(rig->port));
    }
}

static double
begin_batch(rig_t *rig, uint64_t count)
{
    rig->meter.open = rig->managers;
    atomic_store(&rig->meter.wanted, rig->ping.number + count);
    return bench_now();
}

// run_batch emits so many events and waits for all.  Returns the seconds.
static double
run_batch(rig_t *rig, uint64_t count)
{
    double begin = begin_batch(rig, count);
    for (uint64_t i = 0; i < count; i++) {
        emit_one(rig, next_type(rig));
    }
    return await(rig) - begin;
}

// run_first emits one event of each type.
static double
run_first(rig_t *rig)
{
    double begin = begin_batch(rig, rig->types->count);
    for (size_t i = 0; i < rig->types->count; i++) {
        emit_one(rig, &rig->types->items[i].type);
    }
    return await(rig) - begin;
}

// cpu_seconds is the processor time of this process so far.
static double
cpu_seconds(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

// measure notes what an event takes.
static void
measure(rig_t *rig, uint64_t count, double figures[FIGURES])
{
    double seconds = 0;
    double cpu = 0;
    uint64_t n = count > 0 ? count : 1;
    (void)run_batch(rig, n);
    for (int i = 0; i < BATCHES_MAX; i++) {
        cpu = cpu_seconds();
        seconds = run_batch(rig, n);
        cpu = cpu_seconds() - cpu;
        if (count > 0 || seconds >= LONG_ENOUGH_S) {
            break;
        }
        double more = AIM_S / (seconds + 1e-6);
        n = (uint64_t)((double)n * (more < 8 ? more : 8)) + 1;
    }
    figures[EVENT_NS] = seconds * 1e9 / (double)n;
    figures[CPU_NS] = cpu * 1e9 / (double)n;
}

// ----- rigs

// fill makes the event 'size' bytes, packed, or as small as it can be.
static void
fill(Edri__Bench__Ping *ping, size_t size)
{
    edri__bench__ping__init(ping);
    ping->padding.len = size;
    ping->padding.data = calloc(1, size);
    ping->number = UINT64_C(1) << 20; // few points have more; then 1 byte more
    size_t packed = edri__bench__ping__get_packed_size(ping);
    size_t over = packed - size;
    ping->padding.len = size > over ? size - over : 0;
    ping->number = 0;
}

// add_manager adds one that handles all types of the rig.
static void
add_manager(rig_t *rig, size_t number)
{
    char name[32];
    tally_t *tally = &rig->tallies[number];
    tally->meter = &rig->meter;
    (void)snprintf(name, sizeof name, "sink-%zu", number);
    edri_manager_t *manager = edri_node_manager(rig->sink, name);
    (void)edri_manager_set_state(manager, tally, NULL);
    size_t types = rig->types != NULL ? rig->types->count : 1;
    for (size_t i = 0; i < types; i++) {
        (void)edri_manager_handle(manager,
            rig->types != NULL ? &rig->types->items[i].type
                               : &edri_bench_ping_type,
            call_ping, (edri_fn_t)on_ping, EDRI_METHOD);
    }
}

static edri_node_t *
new_node(const rig_t *rig, const char *name)
{
    edri_node_t *node = edri_node_new(0, NULL);
    (void)edri_node_set(
        node, "emit.wait", "60s"); // large bodies take their time
    (void)edri_node_set(node, "node.start_timeout", "60s");
    if (rig->hub != 0) {
        (void)edri_node_set(node, "node.name", name);
        (void)edri_node_set(node, "node.switch", rig->endpoint);
    }
    return node;
}

static void
start(edri_node_t *node)
{
    if (edri_node_start(node) != EDRI_OK) {
        bench_fail("%s", edri_node_error(node));
    }
}

// bytes_in_use is what malloc has given out.
static double
bytes_in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return (double)info.uordblks + (double)info.hblkhd;
}

// idle_bytes is what a node takes that handles one type.
static double
idle_bytes(const rig_t *like)
{
    double memory = bytes_in_use();
    rig_t rig = {.hub = like->hub};
    tally_t tally = {0};
    rig.tallies = &tally;
    memcpy(rig.endpoint, like->endpoint, sizeof rig.endpoint);
    rig.sink = new_node(&rig, "idle");
    add_manager(&rig, 0);
    start(rig.sink);
    memory = bytes_in_use() - memory;
    (void)edri_node_stop(rig.sink, 0); // nothing is left to do
    edri_node_destroy(&rig.sink);
    return memory;
}

// start_sink starts the node with the managers, and notes what that takes.
static void
start_sink(rig_t *rig, double figures[FIGURES])
{
    double idle = 0;
    // What a program takes once is there after the first of two.
    for (int i = 0; i < 2 && rig->types != NULL; i++) {
        idle = idle_bytes(rig);
    }
    double memory = bytes_in_use();
    double begin = bench_now();
    rig->sink = new_node(rig, "sink");
    for (size_t i = 0; i < rig->managers; i++) {
        add_manager(rig, i);
    }
    figures[REGISTER_S] = bench_now() - begin;
    begin = bench_now();
    start(rig->sink);
    figures[START_S] = bench_now() - begin;
    if (rig->types != NULL) {
        figures[TYPE_BYTES] =
            (bytes_in_use() - memory - idle) / (double)rig->types->count;
    }
}

// rig_begin starts what a point needs.
static void
rig_begin(rig_t *rig, const point_t *point, size_t managers, size_t size,
    double figures[FIGURES])
{
    struct rlimit files = {0};
    // A thread of a node has a socket, and that two descriptors.
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    meter_init(&rig->meter);
    rig->random = UINT64_C(0x9E3779B97F4A7C15);
    rig->managers = managers;
    rig->tallies = calloc(managers, sizeof *rig->tallies);
    fill(&rig->ping, size);
    if (point->hub) {
        rig->hub = bench_switch(rig->endpoint, sizeof rig->endpoint);
    }
    start_sink(rig, figures);
    if (point->hub) {
        rig->emitter = new_node(rig, "emitter");
        start(rig->emitter);
    }
    rig->port = edri_node_port(rig->emitter != NULL ? rig->emitter : rig->sink);
}

// check_link makes sure that the emitter's link has held: what an outage takes is no
// cost of an event.
static void
check_link(const rig_t *rig)
{
    uint64_t links = 0;
    (void)edri_node_counter(rig->emitter, "links.up", &links);
    if (links != 1) {
        bench_fail("the link to the switch was lost %" PRIu64
                   " times: a machine with less to do is needed",
            links - 1);
    }
}

static void
rig_end(rig_t *rig)
{
    if (rig->emitter != NULL) {
        check_link(rig);
    }
    edri_port_destroy(&rig->port);
    edri_node_destroy(&rig->emitter);
    edri_node_destroy(&rig->sink);
    check_all(rig);
    if (rig->hub != 0) {
        (void)kill(rig->hub, SIGTERM);
        (void)waitpid(rig->hub, NULL, 0);
    }
    free(rig->ping.padding.data);
    free(rig->tallies);
    (void)pthread_cond_destroy(&rig->meter.done);
    (void)pthread_mutex_destroy(&rig->meter.lock);
}

// ----- points

void
growth_types(const point_t *point, double figures[FIGURES])
{
    made_types_t types = made_types_new(point->at);
    rig_t rig = {.types = &types};
    rig_begin(&rig, point, 1, SIZE, figures);
    figures[FIRST_NS] = run_first(&rig) * 1e9 / (double)point->at;
    measure(&rig, point->count, figures);
    rig_end(&rig);
    made_types_end(&types);
}

void
growth_subscribers(const point_t *point, double figures[FIGURES])
{
    rig_t rig = {0};
    rig_begin(&rig, point, point->at, SIZE, figures);
    measure(&rig, point->count, figures);
    figures[DELIVERY_NS] = figures[EVENT_NS] / (double)point->at;
    rig_end(&rig);
}

void
growth_payload(const point_t *point, double figures[FIGURES])
{
    rig_t rig = {0};
    rig_begin(&rig, point, 1, point->at, figures);
    measure(&rig, point->count, figures);
    figures[MB_PER_S] = (double)point->at * 1e3 / figures[EVENT_NS];
    rig_end(&rig);
}
