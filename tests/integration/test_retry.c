// SPDX-License-Identifier: MIT
// test_retry.c - requests whose type says 'retry'.

#include <criterion/criterion.h>
#include <stdatomic.h>

#include "continuity.edri.h"
#include "support/network.h"

TestSuite(retry, .timeout = 60);

typedef struct adder {
    atomic_uint calls;
    unsigned failures; // the first so many calls fail
    edri_err_t err;
    atomic_uint marked;
} adder_t;

static edri_err_t
on_sum(edri_task_t *task, const Continuity__Sum *sum, Continuity__Total *total)
{
    adder_t *self = edri_task_state(task);
    self->marked += edri_task_redelivered(task);
    if (self->calls++ < self->failures) {
        return edri_task_fail(task, self->err, "not today");
    }
    total->total = sum->a + sum->b;
    return EDRI_OK;
}

// adders makes a node with one.
static edri_node_t *
adders(const hub_t *hub, const char *name, adder_t *state)
{
    edri_node_t *node = new_node(hub, name);
    edri_manager_t *manager = edri_node_manager(node, "adder");
    edri_manager_set_state(manager, state, NULL);
    continuity_sum_handle(manager, on_sum, EDRI_METHOD);
    start(node);
    return node;
}

static uint64_t
counted(const edri_node_t *node, const char *name)
{
    uint64_t value = 0;
    cr_assert_eq(edri_node_counter(node, name, &value), EDRI_OK);
    return value;
}

Test(retry, example)
{
    hub_t hub = start_switch();
    adder_t state = {.failures = 2, .err = EDRI_FAILED};
    edri_node_t *node = adders(&hub, "adder", &state);
    edri_node_t *client = new_node(&hub, "client");
    start(client);
    edri_port_t *port = edri_node_port(client);
    Continuity__Sum sum = CONTINUITY__SUM__INIT;
    Continuity__Total *total = NULL;
    sum.a = 2;
    sum.b = 3;
    cr_assert_eq(continuity_sum_request(port, &sum, 0, &total), EDRI_OK, "%s",
        edri_port_error(port));
    cr_expect_eq(total->total, 5);
    cr_expect_eq(state.calls, 3);
    cr_expect_eq(state.marked, 2, "may have been begun before");
    cr_expect_eq(counted(client, "requests.retried"), 2);
    continuity_sum_reply_free(&total);
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    edri_node_destroy(&node);
    stop_switch(&hub);
}

Test(retry, the_last_error_is_the_answer)
{
    adder_t state = {.failures = 100, .err = EDRI_FAILED};
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "adder");
    edri_manager_set_state(manager, &state, NULL);
    continuity_sum_handle(manager, on_sum, EDRI_THREADS(2));
    start(node);
    edri_port_t *port = edri_node_port(node);
    Continuity__Sum sum = CONTINUITY__SUM__INIT;
    Continuity__Total *total = NULL;
    cr_expect_eq(continuity_sum_request(port, &sum, 0, &total), EDRI_FAILED);
    cr_expect_not_null(strstr(edri_port_error(port), "not today"), "%s",
        edri_port_error(port));
    cr_expect_eq(state.calls, 3);
    // What another try cannot cure is not tried again.
    state.err = EDRI_NOT_FOUND;
    cr_expect_eq(continuity_sum_request(port, &sum, 0, &total), EDRI_NOT_FOUND);
    cr_expect_eq(state.calls, 4);
    // Nor what would be too late.
    state.err = EDRI_FAILED;
    cr_expect_eq(continuity_sum_request(port, &sum, 5, &total), EDRI_FAILED);
    cr_expect_eq(state.calls, 5);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

Test(retry, nobody_there_is_said_at_once)
{
    adder_t state = {.failures = 0};
    edri_node_t *node = edri_node_new(0, NULL);
    start(node);
    edri_port_t *port = edri_node_port(node);
    Continuity__Sum sum = CONTINUITY__SUM__INIT;
    Continuity__Total *total = NULL;
    cr_expect_eq(
        continuity_sum_request(port, &sum, 0, &total), EDRI_NO_RESPONDER);
    cr_expect_eq(state.calls, 0);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

// A responder that is killed in the middle: another answers.
Test(retry, an_ended_responder_is_replaced)
{
    hub_t hub = start_switch();
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        // It says every time that it cannot now.
        edri_node_t *node = new_node(&hub, "first");
        edri_manager_t *manager = edri_node_manager(node, "adder");
        adder_t state = {.failures = 100, .err = EDRI_DRAINING};
        edri_manager_set_state(manager, &state, NULL);
        continuity_sum_handle(manager, on_sum, EDRI_METHOD);
        if (edri_node_start(node) != EDRI_OK || write(ready[1], "x", 1) != 1) {
            _exit(1);
        }
        edri_node_wait(node);
        _exit(0);
    }
    char byte = 0;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    edri_node_t *client = new_node(&hub, "client");
    cr_assert_eq(edri_node_set(client, "gone.closed", "700ms"), EDRI_OK);
    cr_assert_eq(edri_node_set(client, "flow.fence", "300ms"), EDRI_OK);
    start(client);
    edri_port_t *port = edri_node_port(client);
    Continuity__Sum sum = CONTINUITY__SUM__INIT;
    Continuity__Total *total = NULL;
    // Known, then killed: what is asked of it now goes to the dead.
    cr_expect_eq(continuity_sum_request(port, &sum, 0, &total), EDRI_DRAINING);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    adder_t state = {.failures = 0};
    edri_node_t *second = adders(&hub, "second", &state);
    sum.a = 40;
    sum.b = 2;
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(continuity_sum_request(port, &sum, 0, &total), EDRI_OK,
            "%s", edri_port_error(port));
        cr_expect_eq(total->total, 42);
        continuity_sum_reply_free(&total);
    }
    cr_expect_geq(counted(client, "requests.responder_died"), 1,
        "some of them had gone to the one that was killed");
    edri_port_destroy(&port);
    edri_node_destroy(&client);
    edri_node_destroy(&second);
    stop_switch(&hub);
}
