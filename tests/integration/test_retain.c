// SPDX-License-Identifier: MIT
// test_retain.c - types that are kept for those who come late.

#include <criterion/criterion.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "continuity.edri.h"
#include "support/network.h"
#include "support/wire.h"

TestSuite(retain, .timeout = 60);

enum {
    SEEN_MAX = 4096
};

// seen_t is what a manager got, in order.
typedef struct seen {
    atomic_size_t count;
    uint64_t numbers[SEEN_MAX];
    atomic_size_t marked;
} seen_t;

static edri_err_t
note(edri_task_t *task, uint64_t number)
{
    seen_t *self = edri_task_state(task);
    self->marked += edri_task_redelivered(task);
    if (self->count < SEEN_MAX) {
        self->numbers[self->count] = number;
    }
    self->count++;
    return EDRI_OK;
}

static edri_err_t
on_tick(edri_task_t *task, const Continuity__Tick *tick)
{
    return note(task, tick->number);
}

static edri_err_t
on_recent(edri_task_t *task, const Continuity__Recent *recent)
{
    return note(task, recent->number);
}

static edri_err_t
on_job(edri_task_t *task, const Continuity__Job *job)
{
    return note(task, job->number);
}

static edri_err_t
on_once(edri_task_t *task, const Continuity__Once *once)
{
    return note(task, once->number);
}

enum {
    ALL_THERE_IS = 0,
    NOTHING = -1
};

// subscriber makes a node with a manager for ticks.
static edri_node_t *
subscriber(const hub_t *hub, const char *name, seen_t *seen, int64_t age_ms)
{
    edri_node_t *node = new_node(hub, name);
    edri_manager_t *manager = edri_node_manager(node, "log");
    edri_manager_set_state(manager, seen, NULL);
    continuity_tick_handle(manager, on_tick, EDRI_METHOD);
    if (age_ms != NOTHING) {
        cr_assert_eq(edri_manager_replay(
                         manager, &continuity_tick_type, (uint32_t)age_ms),
            EDRI_OK);
    }
    start(node);
    return node;
}

static bool
await(seen_t *seen, size_t count)
{
    int64_t end = clock_ms() + 10000;
    while (seen->count < count && clock_ms() < end) {
        sched_yield();
    }
    return seen->count >= count;
}

static void
tick(edri_port_t *port, uint64_t from, uint64_t below)
{
    Continuity__Tick event = CONTINUITY__TICK__INIT;
    for (uint64_t i = from; i < below; i++) {
        event.number = i;
        cr_assert_eq(continuity_tick_emit(port, &event), EDRI_OK);
    }
}

static void
expect_row(const seen_t *seen, size_t at, uint64_t from, uint64_t below)
{
    for (uint64_t i = from; i < below; i++, at++) {
        cr_assert_eq(seen->numbers[at], i, "at %zu: %lu instead of %lu", at,
            (unsigned long)seen->numbers[at], (unsigned long)i);
    }
}

static uint64_t
counted(const edri_node_t *node, const char *name)
{
    uint64_t value = 0;
    cr_assert_eq(edri_node_counter(node, name, &value), EDRI_OK);
    return value;
}

Test(retain, example)
{
    hub_t hub = start_switch();
    static seen_t early, late, silent;
    edri_node_t *first = subscriber(&hub, "first", &early, NOTHING);
    edri_node_t *source = new_node(&hub, "source");
    start(source);
    edri_port_t *port = edri_node_port(source);
    tick(port, 0, 250);
    cr_assert(await(&early, 250));
    edri_node_t *second = subscriber(&hub, "second", &late, ALL_THERE_IS);
    edri_node_t *third = subscriber(&hub, "third", &silent, NOTHING);
    tick(port, 250, 300);
    cr_assert(await(&late, 150) && await(&early, 300) && await(&silent, 50));
    expect_row(&early, 0, 0, 300);
    expect_row(&late, 0, 150, 300); // the newest 100, then live ones
    expect_row(&silent, 0, 250, 300);
    cr_expect_eq(late.count, 150);
    cr_expect_eq(silent.count, 50);
    cr_expect_eq(late.marked, 0, "nobody had begun them for it");
    cr_expect_eq(counted(source, "events.replayed"), 100);
    edri_port_destroy(&port);
    edri_node_destroy(&source);
    edri_node_destroy(&third);
    edri_node_destroy(&second);
    edri_node_destroy(&first);
    stop_switch(&hub);
}

// Emitted when nobody was there: not lost, and nobody is asked to wait.
Test(retain, before_anybody_came)
{
    hub_t hub = start_switch();
    static seen_t seen;
    edri_node_t *source = new_node(&hub, "source");
    start(source);
    edri_port_t *port = edri_node_port(source);
    tick(port, 0, 130);
    cr_assert_eq(edri_port_flush(port, 5000), EDRI_OK);
    edri_node_t *node = subscriber(&hub, "late", &seen, ALL_THERE_IS);
    tick(port, 130, 140);
    cr_assert(await(&seen, 110));
    expect_row(&seen, 0, 30, 140);
    cr_expect_eq(
        counted(source, "events.unclaimed"), 30, "what nobody ever got");
    edri_port_destroy(&port);
    edri_node_destroy(&source);
    edri_node_destroy(&node);
    stop_switch(&hub);
}

Test(retain, on_the_emitters_own_node)
{
    static seen_t seen;
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "log");
    edri_manager_set_state(manager, &seen, NULL);
    continuity_tick_handle(manager, on_tick, EDRI_METHOD);
    cr_assert_eq(
        edri_manager_replay(manager, &continuity_tick_type, 0), EDRI_OK);
    start(node);
    edri_port_t *port = edri_node_port(node);
    tick(port, 0, 1000);
    cr_assert(await(&seen, 1000));
    expect_row(&seen, 0, 0, 1000);
    cr_expect_eq(seen.count, 1000);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

Test(retain, by_age)
{
    hub_t hub = start_switch();
    static seen_t seen;
    edri_node_t *source = new_node(&hub, "source");
    start(source);
    edri_port_t *port = edri_node_port(source);
    Continuity__Recent event = CONTINUITY__RECENT__INIT;
    for (event.number = 0; event.number < 10; event.number++) {
        cr_assert_eq(continuity_recent_emit(port, &event), EDRI_OK);
    }
    cr_assert_eq(edri_port_flush(port, 5000), EDRI_OK);
    // Until they are older than the type keeps them.
    int64_t end = clock_ms() + 350;
    while (clock_ms() < end) {
        sched_yield();
    }
    for (; event.number < 20; event.number++) {
        cr_assert_eq(continuity_recent_emit(port, &event), EDRI_OK);
    }
    edri_node_t *node = new_node(&hub, "late");
    edri_manager_t *manager = edri_node_manager(node, "log");
    edri_manager_set_state(manager, &seen, NULL);
    continuity_recent_handle(manager, on_recent, EDRI_METHOD);
    cr_assert_eq(
        edri_manager_replay(manager, &continuity_recent_type, 60000), EDRI_OK);
    start(node);
    for (; event.number < 25; event.number++) {
        cr_assert_eq(continuity_recent_emit(port, &event), EDRI_OK);
    }
    cr_assert(await(&seen, 5));
    while (seen.numbers[seen.count - 1] != 24 && clock_ms() < end + 10000) {
        sched_yield();
    }
    // All of the second ten, unless this machine stood still meanwhile.
    cr_expect(seen.count <= 15 && seen.numbers[0] >= 10, "%zu from %lu",
        (size_t)seen.count, (unsigned long)seen.numbers[0]);
    edri_port_destroy(&port);
    edri_node_destroy(&source);
    edri_node_destroy(&node);
    stop_switch(&hub);
}

// groups makes a node with a manager for jobs and what only one gets.
static edri_node_t *
groups(const hub_t *hub, const char *name, const char *group, seen_t *jobs,
    seen_t *onces)
{
    edri_node_t *node = new_node(hub, name);
    edri_manager_t *manager = edri_node_manager(node, group);
    edri_manager_set_state(manager, jobs, NULL);
    continuity_job_handle(manager, on_job, EDRI_METHOD);
    cr_assert_eq(
        edri_manager_replay(manager, &continuity_job_type, 0), EDRI_OK);
    char other[64];
    snprintf(other, sizeof other, "%s-once", group);
    manager = edri_node_manager(node, other);
    edri_manager_set_state(manager, onces, NULL);
    continuity_once_handle(manager, on_once, EDRI_METHOD);
    cr_assert_eq(
        edri_manager_replay(manager, &continuity_once_type, 0), EDRI_OK);
    start(node);
    return node;
}

static void
work(edri_port_t *port, uint64_t from, uint64_t below)
{
    for (uint64_t i = from; i < below; i++) {
        Continuity__Job job = CONTINUITY__JOB__INIT;
        Continuity__Once once = CONTINUITY__ONCE__INIT;
        job.number = once.number = i;
        cr_assert_eq(continuity_job_emit(port, &job), EDRI_OK);
        cr_assert_eq(continuity_once_emit(port, &once), EDRI_OK);
    }
}

// GROUP and ONE: only what no member was given.
Test(retain, groups_get_what_nobody_had)
{
    hub_t hub = start_switch();
    static seen_t a[2], b[2], c[2];
    edri_node_t *source = new_node(&hub, "source");
    start(source);
    edri_port_t *port = edri_node_port(source);
    work(port, 0, 50);
    cr_assert_eq(edri_port_flush(port, 5000), EDRI_OK);
    edri_node_t *one = groups(&hub, "one", "stock", &a[0], &a[1]);
    cr_assert(await(&a[0], 50) && await(&a[1], 50), "%zu %zu",
        (size_t)a[0].count, (size_t)a[1].count);
    // Another of the same group: nothing.  A new group: all of GROUP, not of ONE.
    edri_node_t *two = groups(&hub, "two", "stock", &b[0], &b[1]);
    edri_node_t *three = groups(&hub, "three", "audit", &c[0], &c[1]);
    cr_assert(await(&c[0], 50));
    work(port, 50, 250);
    cr_assert(await(&c[0], 250));
    int64_t end = clock_ms() + 10000;
    while ((a[0].count + b[0].count < 250 ||
               a[1].count + b[1].count + c[1].count < 250) &&
           clock_ms() < end) {
        sched_yield();
    }
    cr_expect_eq(a[0].count + b[0].count, 250);
    cr_expect_eq(a[1].count + b[1].count + c[1].count, 250);
    cr_expect(b[0].count == 0 || b[0].numbers[0] >= 50);
    expect_row(&c[0], 0, 0, 250);
    edri_port_destroy(&port);
    edri_node_destroy(&source);
    edri_node_destroy(&three);
    edri_node_destroy(&two);
    edri_node_destroy(&one);
    stop_switch(&hub);
}

// A node that was given up while it could not be reached, and comes back in the
// same life: what it missed is there, and nothing comes twice.
Test(retain, ones_own_position_after_an_outage)
{
    cr_assert_eq(setenv("EDRI_GONE_SILENT", "1s", 1), 0);
    hub_t hub = start_switch(); // gives up sooner
    cr_assert_eq(unsetenv("EDRI_GONE_SILENT"), 0);
    static seen_t seen;
    wire_t wire = wire_open(hub.endpoint);
    hub_t through = {0};
    snprintf(through.endpoint, sizeof through.endpoint, "%s", wire.endpoint);
    edri_node_t *node = subscriber(&through, "late", &seen, 3600000);
    edri_node_t *source = new_node(&hub, "source");
    cr_assert_eq(edri_node_set(source, "gone.closed", "2500ms"), EDRI_OK);
    cr_assert_eq(edri_node_set(source, "flow.fence", "400ms"), EDRI_OK);
    start(source);
    edri_port_t *port = edri_node_port(source);
    tick(port, 0, 50);
    cr_assert(await(&seen, 50));
    wire_cut(&wire);
    // Long enough for the switch to say that it has gone.
    tick(port, 50, 60);
    int64_t end = clock_ms() + 20000;
    while (counted(source, "events.lost") == 0 && clock_ms() < end) {
        sched_yield();
    }
    cr_assert_geq(counted(source, "events.lost"), 1, "it was given up");
    tick(port, 60, 80);
    wire_mend(&wire);
    cr_assert(await(&seen, 80), "%zu", (size_t)seen.count);
    tick(port, 80, 90);
    cr_assert(await(&seen, 90));
    expect_row(&seen, 0, 0, 90);
    cr_expect_eq(seen.count, 90);
    cr_expect_eq(seen.marked, 0);
    edri_port_destroy(&port);
    edri_node_destroy(&source);
    edri_node_destroy(&node);
    wire_close(&wire);
    stop_switch(&hub);
}

Test(retain, wrong_wishes_are_said)
{
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "log");
    cr_expect_eq(
        edri_manager_replay(manager, &continuity_tick_type, 0), EDRI_INVAL);
    cr_expect_not_null(strstr(edri_node_error(node), "handle the type before"),
        "%s", edri_node_error(node));
    continuity_tick_handle(manager, on_tick, EDRI_METHOD);
    cr_expect_eq(
        edri_manager_replay(manager, &continuity_tick_type, 0), EDRI_OK);
    edri_node_destroy(&node);
}
