// SPDX-License-Identifier: MIT
// test_keys.c - events of a key across a group whose members come and go.

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "support/network.h"
#include "turns.edri.h"

TestSuite(keys, .timeout = 60);

enum {
    ACCOUNTS = 60,
    NUMBERS = 200
};

// member_t is one node of the group.
typedef struct member {
    edri_node_t *node;
    atomic_uint begun;
    long pause_ns; // that an event takes
} member_t;

// What all members together have begun.
static struct {
    pthread_mutex_t lock;
    uint32_t next[ACCOUNTS];
    const member_t *owner[ACCOUNTS];
    uint32_t moves;
    uint32_t disorder;
    uint32_t begun;
    uint32_t marked;
} done = {.lock = PTHREAD_MUTEX_INITIALIZER};

static edri_err_t
on_shared(edri_task_t *task, const Turns__Shared *event)
{
    member_t *self = edri_task_state(task);
    pthread_mutex_lock(&done.lock);
    uint32_t account = event->account;
    done.marked += edri_task_redelivered(task);
    if (event->number != done.next[account]) {
        done.disorder++;
    }
    done.next[account] = event->number + 1;
    done.moves += done.owner[account] != NULL && done.owner[account] != self;
    done.owner[account] = self;
    done.begun++;
    pthread_mutex_unlock(&done.lock);
    self->begun++;
    struct timespec work = {.tv_nsec = self->pause_ns};
    (void)nanosleep(&work, NULL); // the work that it stands for
    return EDRI_OK;
}

static void
join(member_t *self, const hub_t *hub, const char *name)
{
    self->node = new_node(hub, name);
    edri_manager_t *desk = edri_node_manager(self->node, "desk");
    edri_manager_set_state(desk, self, NULL);
    turns_shared_handle(desk, on_shared, EDRI_THREADS(3));
    start(self->node);
}

static void
leave(member_t *self)
{
    cr_expect_eq(edri_node_stop(self->node, 20000), EDRI_OK);
    edri_node_destroy(&self->node);
}

static void
emit_all(edri_port_t *port, uint32_t from, uint32_t to)
{
    Turns__Shared event = TURNS__SHARED__INIT;
    for (event.number = from; event.number < to; event.number++) {
        for (event.account = 0; event.account < ACCOUNTS; event.account++) {
            cr_assert_eq(turns_shared_emit(port, &event), EDRI_OK);
        }
    }
}

static void
await_begun(uint32_t count)
{
    time_t end = time(NULL) + 40;
    uint32_t begun = 0;
    do {
        pthread_mutex_lock(&done.lock);
        begun = done.begun;
        pthread_mutex_unlock(&done.lock);
        struct timespec moment = {.tv_nsec = 1000000};
        (void)nanosleep(&moment, NULL);
    } while (begun < count && time(NULL) < end);
    cr_assert_eq(begun, count);
}

// play lets members come and go while events of all accounts are under way;
// 'self' (or NULL) is one on the emitter's own node.
static void
play(member_t *self)
{
    hub_t hub = start_switch();
    member_t members[3] = {
        {.pause_ns = 20000}, {.pause_ns = 20000}, {.pause_ns = 20000}};
    join(&members[0], &hub, "first");
    edri_node_t *source = new_node(&hub, "source");
    if (self != NULL) {
        edri_manager_t *desk = edri_node_manager(source, "desk");
        edri_manager_set_state(desk, self, NULL);
        turns_shared_handle(desk, on_shared, EDRI_THREADS(3));
    }
    start(source);
    edri_port_t *port = edri_node_port(source);
    emit_all(port, 0, NUMBERS / 4);
    join(&members[1], &hub, "second");
    emit_all(port, NUMBERS / 4, NUMBERS / 2);
    join(&members[2], &hub, "third");
    emit_all(port, NUMBERS / 2, 3 * NUMBERS / 4);
    leave(&members[0]);
    emit_all(port, 3 * NUMBERS / 4, NUMBERS);
    await_begun(ACCOUNTS * NUMBERS);
    cr_expect_eq(done.disorder, 0, "%u of order", done.disorder);
    cr_expect_eq(done.marked, 0);
    cr_expect_gt(done.moves, ACCOUNTS / 3, "%u moves", done.moves);
    cr_expect_leq(done.moves, 2 * ACCOUNTS, "a key stays where it is");
    for (int i = 0; i < 3; i++) {
        cr_expect_gt(members[i].begun, 0);
    }
    cr_expect(self == NULL || self->begun > 0);
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(source, 10000), EDRI_OK);
    edri_node_destroy(&source);
    leave(&members[1]);
    leave(&members[2]);
    stop_switch(&hub);
}

Test(keys, example)
{
    play(NULL);
}

Test(keys, a_member_on_the_emitters_own_node)
{
    play(&(member_t){.pause_ns = 20000});
}
