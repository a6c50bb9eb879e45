// SPDX-License-Identifier: MIT
// test_limits.c - what a manager's own limits do: of its queue, and of the time
// that its handlers may take.

#include <criterion/criterion.h>

#include "support/network.h"
#include "support/work.h"

TestSuite(limits, .timeout = 60);

static uint64_t
counted(const edri_node_t *node, const char *name)
{
    uint64_t value = 0;
    cr_assert_eq(edri_node_counter(node, name, &value), EDRI_OK);
    return value;
}

// on_held_note begins, and ends when the test lets it.
static edri_err_t
on_held_note(edri_task_t *task, const Work__Note *note)
{
    work_t *self = edri_task_state(task);
    (void)note;
    self->note_left_ms = edri_task_remaining_ms(task);
    self->notes++;
    work_spin(task, self, true);
    self->ended++;
    return EDRI_OK;
}

static void
end(edri_node_t *node, edri_port_t *port)
{
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(node, 5000), EDRI_OK);
    edri_node_destroy(&node);
}

// ----- time

static void
see_limit(edri_workers_t workers)
{
    work_t work = {.go = false};
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "short");
    edri_manager_set_state(manager, &work, NULL);
    cr_assert_eq(edri_manager_time_limit(manager, 50), EDRI_OK);
    work_job_handle(manager, work_on_job, workers);
    start(node);
    edri_port_t *port = edri_node_port(node);
    Work__Job job = WORK__JOB__INIT;
    job.how = WORK__HOW__UNTIL_WANTED;
    int64_t start_ms = clock_ms();
    cr_expect_eq(work_job_request(port, &job, 0, NULL), EDRI_OK, "%s",
        edri_port_error(port));
    cr_expect_geq(clock_ms() - start_ms, 49);
    cr_expect_lt(clock_ms() - start_ms, 9000, "it did not see the limit");
    cr_expect(work.left_ms > 0 && work.left_ms <= 50, "left: %d ms",
        (int)work.left_ms);
    // A deadline that is sooner stays.
    (void)work_job_request(port, &job, 20, NULL);
    cr_expect_leq(work.left_ms, 20);
    end(node, port);
}

Test(limits, a_method_sees_its_time_limit)
{
    see_limit(EDRI_METHOD);
}

Test(limits, a_thread_sees_its_time_limit)
{
    see_limit(EDRI_THREADS(2));
}

Test(limits, a_thread_beyond_its_time_limit_is_replaced)
{
    work_t work = {.go = false};
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "short");
    edri_manager_set_state(manager, &work, NULL);
    cr_assert_eq(edri_manager_time_limit(manager, 30), EDRI_OK);
    cr_assert_eq(edri_node_set(node, "worker.grace", "50ms"), EDRI_OK);
    work_note_handle(manager, on_held_note, EDRI_THREADS(1));
    start(node);
    edri_port_t *port = edri_node_port(node);
    Work__Note note = WORK__NOTE__INIT;
    cr_assert_eq(work_note_emit(port, &note), EDRI_OK);
    cr_assert_eq(work_note_emit(port, &note), EDRI_OK);
    UNTIL(work.notes == 2); // the second needs another thread
    cr_expect_geq(counted(node, "workers.stuck"), 1);
    cr_expect(work.note_left_ms >= 0 && work.note_left_ms <= 30);
    work.go = true;
    UNTIL(work.ended == 2);
    end(node, port);
}

Test(limits, a_time_to_live_is_no_time_limit)
{
    work_t work = {.go = false};
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "long");
    edri_manager_set_state(manager, &work, NULL);
    cr_assert_eq(edri_node_set(node, "worker.grace", "10ms"), EDRI_OK);
    work_note_handle(manager, on_held_note, EDRI_THREADS(1));
    work_job_handle(manager, work_on_job, EDRI_THREADS(1));
    start(node);
    edri_port_t *port = edri_node_port(node);
    Work__Note note = WORK__NOTE__INIT;
    Work__Job job = WORK__JOB__INIT;
    edri_emit_options_t options = {.ttl_ms = 1000};
    cr_assert_eq(
        edri_emit(port, &work_note_type, &note.base, &options), EDRI_OK);
    UNTIL(work.notes == 1);
    int64_t begun_ms = clock_ms();
    // The pools are looked at while this one is on its way.
    job.how = WORK__HOW__HELD;
    cr_expect_eq(work_job_request(port, &job, 20, NULL), EDRI_DEADLINE);
    UNTIL(counted(node, "workers.stuck") == 1);
    UNTIL(clock_ms() > begun_ms + 1100);
    work.go = true;
    UNTIL(work.ended == 2);
    cr_expect_eq(counted(node, "workers.stuck"), 1);
    end(node, port);
}

// ----- queues

// fill emits until it is too much for the manager.  Returns how many went.
static size_t
fill(size_t queue)
{
    work_t work = {.go = false};
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "small");
    uint8_t data[1000] = {0};
    edri_manager_set_state(manager, &work, NULL);
    cr_assert_eq(edri_manager_queue(manager, queue), EDRI_OK);
    cr_assert_eq(edri_node_set(node, "emit.wait", "100ms"), EDRI_OK);
    cr_assert_eq(edri_node_set(node, "node.port_queue", "16K"), EDRI_OK);
    work_job_handle(manager, work_on_job, EDRI_METHOD);
    start(node);
    edri_port_t *port = edri_node_port(node);
    Work__Job job = WORK__JOB__INIT;
    unsigned answered = 0;
    size_t count = 0;
    job.how = WORK__HOW__HELD;
    job.padding = (ProtobufCBinaryData){sizeof data, data};
    edri_err_t err = EDRI_OK;
    while (err == EDRI_OK && count < 2000) {
        err = work_job_request_async(port, &job, 0, work_count, &answered);
        count += err == EDRI_OK;
    }
    cr_expect(
        err == EDRI_OK || err == EDRI_OVERLOADED, "%s", edri_err_name(err));
    work.go = true;
    while (answered < count) {
        cr_assert_eq(edri_port_poll(port, 10000), EDRI_OK);
    }
    end(node, port);
    return count;
}

Test(limits, a_queue_of_its_own_pushes_back)
{
    size_t small = fill(8192);
    size_t large = fill((size_t)4 << 20);
    cr_expect(small >= 8 && small < 200, "%zu events of 1 KB in 8 KiB", small);
    cr_expect_eq(large, 2000, "%zu events of 1 KB in 4 MiB", large);
}

Test(limits, what_is_no_limit_is_refused)
{
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "odd");
    cr_expect_eq(edri_manager_queue(manager, 100), EDRI_INVAL);
    cr_expect_str_eq(edri_node_error(node),
        "manager odd: a queue of 100 bytes: 4 KiB to 16 GiB are expected");
    cr_expect_eq(edri_manager_time_limit(manager, UINT32_MAX), EDRI_INVAL);
    cr_expect_eq(edri_manager_queue(NULL, 8192), EDRI_STATE);
    cr_expect_eq(edri_manager_time_limit(NULL, 1), EDRI_STATE);
    edri_node_destroy(&node);
}
