// SPDX-License-Identifier: MIT
// test_turns.c - what comes next for a worker: priorities, keys, retries.

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "edri/edri.h"
#include "turns.edri.h"

TestSuite(turns, .timeout = 60);

enum {
    ACCOUNTS = 100,
    NOTES_MAX = 4096
};

// log_t is what the handlers have done, in their order.
typedef struct done {
    pthread_mutex_t lock;
    pthread_cond_t more;
    uint32_t notes[NOTES_MAX];
    size_t count;
    bool open; // handlers that wait at the gate go on
    size_t at_gate;
    bool busy[ACCOUNTS];
    uint32_t next[ACCOUNTS];
    uint32_t disorder;
    uint32_t together; // two of one account at once
    uint32_t failures; // the poisoned account fails so many times
    uint32_t marked;
    uint32_t attempts; // sum of edri_task_attempt
} done_t;

static done_t done;

static void
reset(void)
{
    memset(&done, 0, sizeof done);
    pthread_mutex_init(&done.lock, NULL);
    pthread_cond_init(&done.more, NULL);
    done.open = true;
}

static void
note(uint32_t what)
{
    done.notes[done.count++ % NOTES_MAX] = what;
    pthread_cond_broadcast(&done.more);
}

// pass waits until the gate is open.
static void
pass(void)
{
    done.at_gate++;
    pthread_cond_broadcast(&done.more);
    while (!done.open) {
        pthread_cond_wait(&done.more, &done.lock);
    }
}

static void
await_count(const size_t *what, size_t count)
{
    pthread_mutex_lock(&done.lock);
    while (*what < count) {
        pthread_cond_wait(&done.more, &done.lock);
    }
    pthread_mutex_unlock(&done.lock);
}

static void
open_gate(void)
{
    pthread_mutex_lock(&done.lock);
    done.open = true;
    pthread_cond_broadcast(&done.more);
    pthread_mutex_unlock(&done.lock);
}

// begin_step notes that a step of an account is being done; end_step that it
// is.
static void
begin_step(uint32_t account, uint32_t number)
{
    done.together += done.busy[account];
    done.busy[account] = true;
    done.disorder += number != done.next[account];
}

static void
end_step(uint32_t account)
{
    done.busy[account] = false;
    done.next[account]++;
    note(account);
}

static edri_err_t
on_step(edri_task_t *task, const Turns__Step *step)
{
    pthread_mutex_lock(&done.lock);
    begin_step(step->account, step->number);
    pthread_mutex_unlock(&done.lock);
    sched_yield(); // others may find it busy
    pthread_mutex_lock(&done.lock);
    bool fails = step->account == 0 && done.failures > 0;
    done.marked += edri_task_redelivered(task);
    done.attempts += edri_task_attempt(task);
    if (fails) {
        done.failures--;
        done.busy[step->account] = false;
    } else {
        end_step(step->account);
    }
    pthread_mutex_unlock(&done.lock);
    return fails ? edri_task_fail(task, EDRI_FAILED, "not today") : EDRI_OK;
}

static edri_err_t
on_bulk(edri_task_t *task, const Turns__Bulk *event)
{
    (void)task;
    pthread_mutex_lock(&done.lock);
    pass();
    note(event->number);
    pthread_mutex_unlock(&done.lock);
    return EDRI_OK;
}

static edri_err_t
on_urgent(edri_task_t *task, const Turns__Urgent *event)
{
    (void)task;
    pthread_mutex_lock(&done.lock);
    note(1000 + event->number);
    pthread_mutex_unlock(&done.lock);
    return EDRI_OK;
}

static edri_err_t
on_fragile(edri_task_t *task, const Turns__Fragile *event)
{
    bool fails = event->account == 0;
    pthread_mutex_lock(&done.lock);
    note(event->account);
    pthread_mutex_unlock(&done.lock);
    return fails ? edri_task_fail(task, EDRI_FAILED, "it broke") : EDRI_OK;
}

static edri_node_t *
new_node(edri_manager_t **manager_p)
{
    edri_node_t *node = edri_node_new(0, NULL);
    reset();
    *manager_p = edri_node_manager(node, "desk");
    return node;
}

static edri_port_t *
start(edri_node_t *node)
{
    cr_assert_eq(edri_node_start(node), EDRI_OK, "%s", edri_node_error(node));
    return edri_node_port(node);
}

static void
end(edri_node_t *node, edri_port_t *port)
{
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(node, 10000), EDRI_OK);
    edri_node_destroy(&node);
}

static void
emit_step(edri_port_t *port, uint32_t account, uint32_t number)
{
    Turns__Step step = TURNS__STEP__INIT;
    step.account = account;
    step.number = number;
    cr_assert_eq(turns_step_emit(port, &step), EDRI_OK);
}

static uint64_t
counted(const edri_node_t *node, const char *name)
{
    uint64_t value = 0;
    cr_assert_eq(edri_node_counter(node, name, &value), EDRI_OK);
    return value;
}

Test(turns, example)
{
    edri_manager_t *desk = NULL;
    edri_node_t *node = new_node(&desk);
    turns_step_handle(desk, on_step, EDRI_THREADS(8));
    edri_port_t *port = start(node);
    for (uint32_t number = 0; number < 30; number++) {
        for (uint32_t account = 0; account < ACCOUNTS; account++) {
            emit_step(port, account, number);
        }
    }
    await_count(&done.count, 30 * ACCOUNTS);
    cr_expect_eq(done.disorder, 0, "of one account in order");
    cr_expect_eq(done.together, 0, "and one at a time");
    end(node, port);
}

Test(turns, a_key_that_is_busy_holds_nobody_else_up)
{
    edri_manager_t *desk = NULL;
    edri_node_t *node = new_node(&desk);
    turns_bulk_handle(desk, on_bulk, EDRI_THREADS(4));
    turns_step_handle(desk, on_step, EDRI_THREADS(2));
    edri_port_t *port = start(node);
    done.failures = 2; // account 0 waits for its third try
    emit_step(port, 0, 0);
    emit_step(port, 0, 1);
    for (uint32_t number = 0; number < 20; number++) {
        emit_step(port, 1, number);
    }
    await_count(&done.count, 22);
    cr_expect_eq(done.disorder, 0);
    cr_expect_eq(done.notes[20], 0, "the parked key came last");
    cr_expect_eq(done.notes[21], 0);
    cr_expect_eq(done.marked, 2, "a second try says so");
    cr_expect_eq(done.attempts, 3, "1 and 2 before the last two");
    cr_expect_eq(counted(node, "events.retried"), 2);
    cr_expect_eq(counted(node, "events.dead"), 0);
    end(node, port);
}

// The same in the manager's own thread.
Test(turns, a_method_tries_again_and_parks_the_key)
{
    edri_manager_t *desk = NULL;
    edri_node_t *node = new_node(&desk);
    turns_step_handle(desk, on_step, EDRI_METHOD);
    edri_port_t *port = start(node);
    done.failures = 2;
    emit_step(port, 0, 0);
    emit_step(port, 0, 1);
    emit_step(port, 1, 0);
    emit_step(port, 1, 1);
    await_count(&done.count, 4);
    cr_expect_eq(done.disorder, 0);
    cr_expect_eq(done.notes[0], 1);
    cr_expect_eq(done.notes[1], 1);
    cr_expect_eq(done.marked, 2);
    cr_expect_eq(counted(node, "events.retried"), 2);
    end(node, port);
}

// await_counter waits until a counter has come to a value.
static void
await_counter(const edri_node_t *node, const char *name, uint64_t value)
{
    time_t end = time(NULL) + 20;
    while (counted(node, name) < value && time(NULL) < end) {
        (void)sched_yield();
    }
    cr_assert_eq(counted(node, name), value, "%s", name);
}

Test(turns, what_fails_for_good_is_a_dead_letter_and_its_key_goes_on)
{
    const edri_workers_t kinds[] = {EDRI_METHOD, EDRI_THREADS(3)};
    for (size_t i = 0; i < 2; i++) {
        edri_manager_t *desk = NULL;
        edri_node_t *node = new_node(&desk);
        turns_step_handle(desk, on_step, kinds[i]);
        turns_fragile_handle(desk, on_fragile, kinds[i]);
        edri_port_t *port = start(node);
        done.failures = 3;
        emit_step(port, 0, 0);
        emit_step(port, 0, 0); // what was to come behind it
        Turns__Fragile fragile = TURNS__FRAGILE__INIT;
        cr_assert_eq(turns_fragile_emit(port, &fragile), EDRI_OK);
        fragile.account = 7;
        cr_assert_eq(turns_fragile_emit(port, &fragile), EDRI_OK);
        await_count(&done.count, 3);
        await_counter(node, "events.dead", 2);
        cr_expect_eq(counted(node, "events.failed"), 4);
        cr_expect_eq(counted(node, "events.retried"), 2, "fragile was not");
        cr_expect_eq(done.disorder, 0);
        end(node, port);
    }
}

Test(turns, dead_letters_are_bounded)
{
    edri_manager_t *desk = NULL;
    edri_node_t *node = new_node(&desk);
    cr_assert_eq(edri_node_set(node, "node.letters", "1000"), EDRI_OK);
    turns_fragile_handle(desk, on_fragile, EDRI_METHOD);
    edri_port_t *port = start(node);
    Turns__Fragile fragile = TURNS__FRAGILE__INIT;
    for (fragile.number = 0; fragile.number < 100; fragile.number++) {
        cr_assert_eq(turns_fragile_emit(port, &fragile), EDRI_OK);
    }
    await_counter(node, "events.dead", 100);
    uint64_t dropped = counted(node, "letters.dropped");
    cr_expect(dropped > 80 && dropped < 100, "%lu", (unsigned long)dropped);
    end(node, port);
}

// queue_up lets one bulk event stand at the gate, and behind it others, then
// urgent ones.
static void
queue_up(edri_port_t *port)
{
    Turns__Bulk bulk = TURNS__BULK__INIT;
    Turns__Urgent urgent = TURNS__URGENT__INIT;
    done.open = false;
    cr_assert_eq(turns_bulk_emit(port, &bulk), EDRI_OK);
    await_count(&done.at_gate, 1);
    for (bulk.number = 1; bulk.number < 50; bulk.number++) {
        cr_assert_eq(turns_bulk_emit(port, &bulk), EDRI_OK);
    }
    for (urgent.number = 0; urgent.number < 10; urgent.number++) {
        cr_assert_eq(turns_urgent_emit(port, &urgent), EDRI_OK);
    }
    cr_assert_eq(edri_port_flush(port, 5000), EDRI_OK);
    open_gate();
}

Test(turns, a_manager_does_the_urgent_first_and_each_level_in_order)
{
    edri_manager_t *desk = NULL;
    edri_node_t *node = new_node(&desk);
    turns_bulk_handle(desk, on_bulk, EDRI_METHOD);
    turns_urgent_handle(desk, on_urgent, EDRI_METHOD);
    edri_port_t *port = start(node);
    queue_up(port);
    await_count(&done.count, 60);
    cr_expect_eq(done.notes[0], 0, "that was begun");
    for (uint32_t i = 0; i < 10; i++) {
        cr_expect_eq(done.notes[1 + i], 1000 + i);
    }
    for (uint32_t i = 1; i < 50; i++) {
        cr_expect_eq(done.notes[10 + i], i);
    }
    end(node, port);
}

Test(turns, an_event_may_be_more_urgent_than_its_type)
{
    const edri_workers_t kinds[] = {EDRI_METHOD, EDRI_THREADS(1)};
    for (size_t i = 0; i < 2; i++) {
        edri_manager_t *desk = NULL;
        edri_node_t *node = new_node(&desk);
        turns_bulk_handle(desk, on_bulk, kinds[i]);
        edri_port_t *port = start(node);
        done.open = false;
        Turns__Bulk bulk = TURNS__BULK__INIT;
        cr_assert_eq(turns_bulk_emit(port, &bulk), EDRI_OK);
        await_count(&done.at_gate, 1);
        for (bulk.number = 1; bulk.number < 20; bulk.number++) {
            edri_emit_options_t options = {
                .priority = bulk.number % 2 > 0 ? 0 : 1 + 7};
            cr_assert_eq(
                edri_emit(port, &turns_bulk_type, &bulk.base, &options),
                EDRI_OK);
        }
        cr_assert_eq(edri_port_flush(port, 5000), EDRI_OK);
        open_gate();
        await_count(&done.count, 20);
        for (uint32_t at = 1; at < 20; at++) {
            uint32_t wanted = at < 10 ? 2 * at : 2 * (at - 10) + 1;
            cr_expect_eq(done.notes[at], wanted, "%u: %u", at, done.notes[at]);
        }
        end(node, port);
    }
}
