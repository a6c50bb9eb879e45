// SPDX-License-Identifier: MIT
// test_hooks.c - what surrounds handlers: hooks, workers with something of their
// own, and threads that are stuck.

#include <criterion/criterion.h>
#include <pthread.h>

#include "support/network.h"
#include "support/work.h"

TestSuite(hooks, .timeout = 60);

// ----- hooks

typedef struct life {
    work_t work; // first: what work_do takes
    atomic_uint started;
    atomic_uint draining;
    atomic_uint stopped;
    atomic_uint early; // events handled before 'started' had returned
    edri_err_t fails;
    bool asks;
    int64_t asked_left_ms;
    pthread_t thread;
    bool strange; // not all in one thread
} life_t;

static edri_err_t
on_started(edri_manager_t *manager, edri_port_t *port, void *state)
{
    life_t *self = state;
    Work__Note note = WORK__NOTE__INIT;
    self->thread = pthread_self();
    if (self->fails != EDRI_OK) {
        return edri_manager_fail(manager, self->fails, "no %s today", "tea");
    }
    edri_err_t err = work_note_emit(port, &note);
    if (self->asks && err == EDRI_OK) {
        Work__Below below = WORK__BELOW__INIT;
        Work__Result *result = NULL;
        err = work_below_request(port, &below, 0, &result);
        self->asked_left_ms = result != NULL ? result->left_ms : -1;
        work_below_reply_free(&result);
    }
    self->started++;
    return err;
}

static void
on_draining(edri_manager_t *manager, edri_port_t *port, void *state)
{
    life_t *self = state;
    Work__Note note = WORK__NOTE__INIT;
    (void)manager;
    (void)work_note_emit(port, &note);
    self->strange =
        self->strange || !pthread_equal(self->thread, pthread_self());
    self->draining++;
}

static void
on_stopped(edri_manager_t *manager, void *state)
{
    life_t *self = state;
    (void)manager;
    self->strange =
        self->strange || !pthread_equal(self->thread, pthread_self());
    self->stopped++;
}

static const edri_hooks_t hooks = {
    .started = on_started, .draining = on_draining, .stopped = on_stopped};

static edri_err_t
on_job(edri_task_t *task, const Work__Job *job, Work__Result *result)
{
    life_t *self = edri_task_state(task);
    (void)job;
    (void)result;
    self->early += self->started == 0;
    self->work.begun++;
    return EDRI_OK;
}

static edri_manager_t *
add_life(edri_node_t *node, life_t *state)
{
    edri_manager_t *manager = edri_node_manager(node, "life");
    edri_manager_set_state(manager, state, NULL);
    edri_manager_hooks(manager, &hooks);
    work_job_handle(manager, on_job, EDRI_METHOD);
    return manager;
}

static edri_manager_t *
add_worker(edri_node_t *node, work_t *state)
{
    edri_manager_t *manager = edri_node_manager(node, "other");
    edri_manager_set_state(manager, state, NULL);
    work_note_handle(manager, work_on_note, EDRI_METHOD);
    work_below_handle(manager, work_on_below, EDRI_METHOD);
    return manager;
}

Test(hooks, example)
{
    hub_t hub = start_switch();
    life_t life = {.asks = true};
    work_t work = {.notes = 0};
    edri_node_t *other = new_node(&hub, "other");
    add_worker(other, &work);
    start(other);
    edri_node_t *node = new_node(&hub, "node");
    add_life(node, &life);
    start(node);
    cr_expect_eq(life.started, 1);
    cr_expect_gt(life.asked_left_ms, 0);
    UNTIL(work.notes == 1);
    cr_expect_eq(life.draining, 0);
    cr_expect_eq(edri_node_stop(node, 5000), EDRI_OK);
    cr_expect_eq(life.draining, 1);
    cr_expect_eq(life.stopped, 1);
    cr_expect_not(life.strange);
    UNTIL(work.notes == 2); // what it emits while it drains still goes out
    edri_node_destroy(&node);
    cr_expect_eq(edri_node_stop(other, 5000), EDRI_OK);
    edri_node_destroy(&other);
    stop_switch(&hub);
}

Test(hooks, an_error_fails_the_start_with_its_text)
{
    life_t life = {.fails = EDRI_NOT_FOUND};
    edri_node_t *node = edri_node_new(0, NULL);
    add_life(node, &life);
    cr_expect_eq(edri_node_start(node), EDRI_NOT_FOUND);
    cr_expect_str_eq(edri_node_error(node),
        "manager life: its hook, started, failed: not found: no tea today");
    cr_expect_eq(life.stopped, 0, "it was never started");
    edri_node_destroy(&node);
}

Test(hooks, a_node_that_fails_to_start_stops_those_that_had_begun)
{
    life_t fails = {.fails = EDRI_FAILED};
    life_t fine = {.fails = EDRI_OK};
    edri_node_t *node = edri_node_new(0, NULL);
    add_life(node, &fails);
    edri_manager_t *manager = edri_node_manager(node, "fine");
    edri_manager_set_state(manager, &fine, NULL);
    edri_manager_hooks(manager, &hooks);
    cr_expect_eq(edri_node_start(node), EDRI_FAILED);
    cr_expect_eq(fine.stopped, fine.started);
    cr_expect_eq(fine.draining, 0, "it stopped at once");
    edri_node_destroy(&node);
}

Test(hooks, a_start_that_finds_no_switch_calls_none)
{
    hub_t nowhere = {.endpoint = "tcp://127.0.0.1:9"};
    life_t life = {.fails = EDRI_OK};
    edri_node_t *node = new_node(&nowhere, "node");
    edri_node_set(node, "node.start_timeout", "100ms");
    add_life(node, &life);
    cr_expect_eq(edri_node_start(node), EDRI_UNREACHABLE);
    cr_expect_eq(life.started + life.stopped, 0);
    edri_node_destroy(&node);
}

static void
count_answer(const edri_answer_t *answer, const Work__Result *result, void *arg)
{
    (void)result;
    *(unsigned *)arg += answer->err == EDRI_OK;
}

// on_slow_start waits for an event to be in the manager's queue.
static edri_err_t
on_slow_start(edri_manager_t *manager, edri_port_t *port, void *state)
{
    life_t *self = state;
    Work__Job job = WORK__JOB__INIT;
    static unsigned answered;
    (void)manager;
    edri_err_t err =
        work_job_request_async(port, &job, 0, count_answer, &answered);
    if (err == EDRI_OK) {
        err = edri_port_flush(port, 5000);
    }
    self->asked_left_ms = answered;
    self->started++;
    return err;
}

Test(hooks, nothing_is_handled_before_started_has_returned)
{
    life_t life = {.fails = EDRI_OK};
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = add_life(node, &life);
    edri_manager_hooks(manager, &(edri_hooks_t){.started = on_slow_start});
    start(node);
    UNTIL(life.work.begun == 1);
    cr_expect_eq(life.early, 0);
    cr_expect_eq(life.asked_left_ms, 0);
    edri_node_destroy(&node);
}

// ----- what workers have of their own

typedef struct own {
    atomic_uint begun;
    atomic_uint ended;
    atomic_uint strange; // tasks in another thread than what they have
    unsigned fails_from; // that many begin; 0: all
} own_t;

typedef struct mine {
    own_t *of;
    pthread_t thread;
} mine_t;

static edri_err_t
begin_mine(edri_manager_t *manager, void *state, void **worker_p)
{
    own_t *own = state;
    if (own->fails_from > 0 && own->begun >= own->fails_from) {
        return edri_manager_fail(manager, EDRI_SYSTEM, "no more chairs");
    }
    own->begun++;
    mine_t *mine = calloc(1, sizeof *mine);
    *mine = (mine_t){own, pthread_self()};
    *worker_p = mine;
    return EDRI_OK;
}

static void
end_mine(void *worker)
{
    mine_t *mine = worker;
    mine->of->strange += !pthread_equal(mine->thread, pthread_self());
    mine->of->ended++;
    free(mine);
}

static edri_err_t
use_mine(edri_task_t *task, const Work__Job *job, Work__Result *result)
{
    own_t *own = edri_task_state(task);
    mine_t *mine = edri_task_worker_state(task);
    (void)job;
    (void)result;
    own->strange +=
        mine == NULL || !pthread_equal(mine->thread, pthread_self());
    return EDRI_OK;
}

static edri_err_t
use_mine_below(
    edri_task_t *task, const Work__Below *below, Work__Result *result)
{
    (void)below;
    return use_mine(task, NULL, result);
}

Test(hooks, every_worker_has_something_of_its_own)
{
    own_t own = {0};
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "own");
    edri_manager_set_state(manager, &own, NULL);
    edri_manager_worker_state(manager, begin_mine, end_mine);
    work_job_handle(manager, use_mine, EDRI_THREADS(3));
    work_below_handle(manager, use_mine_below, EDRI_METHOD);
    start(node);
    cr_expect_eq(own.begun, 4);
    edri_port_t *port = edri_node_port(node);
    for (int i = 0; i < 100; i++) {
        Work__Job job = WORK__JOB__INIT;
        Work__Below below = WORK__BELOW__INIT;
        Work__Result *result = NULL;
        cr_assert_eq(work_job_request(port, &job, 0, &result), EDRI_OK);
        work_job_reply_free(&result);
        cr_assert_eq(work_below_request(port, &below, 0, &result), EDRI_OK);
        work_below_reply_free(&result);
    }
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(node, 5000), EDRI_OK);
    cr_expect_eq(own.ended, 4);
    cr_expect_eq(own.strange, 0);
    edri_node_destroy(&node);
}

Test(hooks, a_worker_that_cannot_begin_fails_the_start)
{
    for (unsigned i = 1; i <= 3; i++) {
        own_t own = {.fails_from = i};
        edri_node_t *node = edri_node_new(0, NULL);
        edri_manager_t *manager = edri_node_manager(node, "own");
        edri_manager_set_state(manager, &own, NULL);
        edri_manager_worker_state(manager, begin_mine, end_mine);
        work_below_handle(manager, use_mine_below, EDRI_METHOD);
        work_job_handle(manager, use_mine, EDRI_THREADS(3));
        cr_expect_eq(edri_node_start(node), EDRI_SYSTEM);
        cr_expect_str_eq(edri_node_error(node),
            "manager own: cannot be started: operating system error: no more "
            "chairs");
        cr_expect_eq(own.begun, i);
        cr_expect_eq(own.ended, i);
        edri_node_destroy(&node);
    }
}

// ----- threads that are stuck

static uint64_t
counted(const edri_node_t *node, const char *name)
{
    uint64_t value = 0;
    cr_assert_eq(edri_node_counter(node, name, &value), EDRI_OK);
    return value;
}

static atomic_uint told;
static char line[256];

static void
note_stuck(edri_log_level_t level, const char *id, const char *text, void *arg)
{
    (void)level;
    (void)arg;
    if (strcmp(id, "WORKER-STUCK") == 0) {
        snprintf(line, sizeof line, "%s", text);
        told++;
    }
}

static edri_node_t *
start_pool(work_t *work, unsigned threads, const char *grace)
{
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "pool");
    edri_manager_set_state(manager, work, NULL);
    cr_assert_eq(edri_node_set(node, "worker.grace", grace), EDRI_OK);
    work_job_handle(manager, work_on_job, EDRI_THREADS((uint16_t)threads));
    start(node);
    return node;
}

Test(hooks, a_thread_that_is_stuck_is_replaced)
{
    work_t work = {.go = false};
    edri_log_set(note_stuck, NULL, EDRI_LOG_WARN);
    edri_node_t *node = start_pool(&work, 1, "50ms");
    edri_port_t *port = edri_node_port(node);
    unsigned answered = 0;
    Work__Job job = WORK__JOB__INIT;
    Work__Result *result = NULL;
    job.how = WORK__HOW__HELD;
    cr_expect_eq(work_job_request(port, &job, 20, &result), EDRI_DEADLINE);
    cr_assert_eq(work_job_request_async(port, &job, 0, count_answer, &answered),
        EDRI_OK);
    uint64_t request = edri_port_last_request(port);
    UNTIL(counted(node, "workers.stuck") == 1); // its deadline had passed
    UNTIL(work.begun == 2);
    cr_assert_eq(edri_request_cancel(port, request), EDRI_OK);
    UNTIL(counted(node, "workers.stuck") == 2);
    job.how = WORK__HOW__AT_ONCE;
    cr_expect_eq(work_job_request(port, &job, 0, &result), EDRI_OK, "%s",
        edri_port_error(port));
    work_job_reply_free(&result);
    char begins[64];
    snprintf(begins, sizeof begins, "manager=pool type=work.Job task=%016lx ",
        request);
    cr_expect_eq(strncmp(line, begins, strlen(begins)), 0, "%s", line);
    work.go = true;
    UNTIL(work.ended == 3);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(work_job_request(port, &job, 0, &result), EDRI_OK);
        work_job_reply_free(&result);
    }
    cr_expect_eq(told, 2, "once each");
    edri_log_set(NULL, NULL, EDRI_LOG_NONE);
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(node, 5000), EDRI_OK);
    edri_node_destroy(&node);
}

Test(hooks, who_keeps_to_its_time_is_not_stuck)
{
    work_t work = {.go = false};
    edri_node_t *node = start_pool(&work, 4, "3s");
    edri_port_t *port = edri_node_port(node);
    Work__Job job = WORK__JOB__INIT;
    Work__Result *result = NULL;
    job.how = WORK__HOW__UNTIL_WANTED;
    for (int i = 0; i < 20; i++) {
        (void)work_job_request(port, &job, 10, &result);
        work_job_reply_free(&result);
    }
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(node, 5000), EDRI_OK);
    cr_expect_eq(counted(node, "workers.stuck"), 0);
    edri_node_destroy(&node);
}

// ----- senders and traces

typedef struct seen {
    edri_trace_t trace;
    atomic_uint traced;
    atomic_uint plain;
    char sender[65];
} seen_t;

static void
look(edri_task_t *task, seen_t *seen)
{
    edri_trace_t trace;
    bool traced = edri_task_trace(task, &trace);
    snprintf(seen->sender, sizeof seen->sender, "%s", edri_task_sender(task));
    if (traced) {
        seen->trace = trace;
        seen->traced++;
    } else {
        seen->plain++;
    }
}

static seen_t notes_seen, jobs_seen, replies_seen;

static edri_err_t
see_note(edri_task_t *task, const Work__Note *note)
{
    (void)note;
    look(task, &notes_seen);
    return EDRI_OK;
}

static edri_err_t
see_job(edri_task_t *task, const Work__Job *job, Work__Result *result)
{
    Work__Note note = WORK__NOTE__INIT;
    (void)job;
    (void)result;
    look(task, &jobs_seen);
    return work_note_emit(edri_task_port(task), &note);
}

static void
see_reply(edri_task_t *task, const Work__Result *result)
{
    (void)result;
    look(task, &replies_seen);
}

Test(hooks, a_trace_goes_on_into_what_a_handler_emits)
{
    edri_trace_t trace = {{1, 2, 3}, {4, 5}};
    hub_t hub = start_switch();
    edri_node_t *lower = new_node(&hub, "lower");
    work_note_handle(edri_node_manager(lower, "notes"), see_note, EDRI_METHOD);
    work_job_observe(edri_node_manager(lower, "sees"), see_reply);
    start(lower);
    edri_node_t *upper = new_node(&hub, "upper");
    work_job_handle(edri_node_manager(upper, "jobs"), see_job, EDRI_THREADS(1));
    start(upper);
    edri_node_t *client = new_node(&hub, "client");
    work_below_handle(
        edri_node_manager(client, "any"), use_mine_below, EDRI_METHOD);
    start(client);
    edri_port_t *port = edri_node_port(client);
    Work__Job job = WORK__JOB__INIT;
    Work__Result *result = NULL;
    cr_assert_eq(edri_port_trace(port, &trace), EDRI_OK);
    cr_assert_eq(work_job_request(port, &job, 0, &result), EDRI_OK);
    work_job_reply_free(&result);
    UNTIL(notes_seen.traced == 1 && replies_seen.traced == 1);
    cr_expect_eq(memcmp(&jobs_seen.trace, &trace, sizeof trace), 0);
    cr_expect_eq(memcmp(&notes_seen.trace, &trace, sizeof trace), 0);
    cr_expect_eq(memcmp(&replies_seen.trace, &trace, sizeof trace), 0);
    cr_assert_eq(edri_port_trace(port, NULL), EDRI_OK);
    cr_assert_eq(work_job_request(port, &job, 0, &result), EDRI_OK);
    work_job_reply_free(&result);
    UNTIL(notes_seen.plain == 1 && replies_seen.plain == 1);
    cr_expect_eq(jobs_seen.traced, 1, "a thread forgets it with its task");
    edri_port_destroy(&port);
    edri_node_t *nodes[] = {client, upper, lower};
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(edri_node_stop(nodes[i], 5000), EDRI_OK);
        edri_node_destroy(&nodes[i]);
    }
    stop_switch(&hub);
}

Test(hooks, a_task_knows_who_sent_it)
{
    work_t work = {.go = false};
    hub_t hub = start_switch();
    edri_node_t *upper = new_node(&hub, "upper");
    work_job_handle(edri_node_manager(upper, "jobs"), see_job, EDRI_METHOD);
    start(upper);
    edri_node_t *client = new_node(&hub, "client");
    add_worker(client, &work); // gets the notes of the upper node
    start(client);
    edri_port_t *ports[] = {edri_node_port(upper), edri_node_port(client)};
    static const char *const senders[] = {"upper", "client"};
    Work__Job job = WORK__JOB__INIT;
    Work__Result *result = NULL;
    for (int i = 0; i < 4; i++) { // its node is known from the first note on
        cr_assert_eq(work_job_request(ports[i % 2], &job, 0, &result), EDRI_OK);
        work_job_reply_free(&result);
        UNTIL(work.notes == (unsigned)i + 1);
        cr_expect_str_eq(
            jobs_seen.sender, senders[i % 2], "%s", jobs_seen.sender);
    }
    edri_port_destroy(&ports[0]);
    edri_port_destroy(&ports[1]);
    cr_expect_eq(edri_node_stop(client, 5000), EDRI_OK);
    cr_expect_eq(edri_node_stop(upper, 5000), EDRI_OK);
    edri_node_destroy(&client);
    edri_node_destroy(&upper);
    stop_switch(&hub);
}
