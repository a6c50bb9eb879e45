// SPDX-License-Identifier: MIT
// test_cancel.c - deadlines that go down with requests, and cancels: on one
// node, and across two and a switch.

#include <criterion/criterion.h>

#include "node/node.h"
#include "support/network.h"
#include "support/raw.h"
#include "support/work.h"

TestSuite(cancel, .timeout = 60);

// bench_t is a network: a client, a node that handles jobs, one that handles
// what they ask below; or all of it on one node.
typedef struct bench {
    hub_t hub;
    edri_node_t *client;
    edri_node_t *upper;
    edri_node_t *lower;
    work_t above;
    work_t below;
    work_t side; // of a third manager, on the node of the first
    edri_port_t *port;
} bench_t;

static void
add_lower(bench_t *self, edri_workers_t workers)
{
    edri_manager_t *lower = edri_node_manager(self->lower, "lower");
    edri_manager_set_state(lower, &self->below, NULL);
    work_below_handle(lower, work_on_below, workers);
}

static void
add_upper(bench_t *self, edri_workers_t workers)
{
    edri_manager_t *upper = edri_node_manager(self->upper, "upper");
    edri_manager_set_state(upper, &self->above, NULL);
    work_job_handle(upper, work_on_job, workers);
    edri_manager_t *side = edri_node_manager(self->upper, "side");
    edri_manager_set_state(side, &self->side, NULL);
    work_note_handle(side, work_on_note, EDRI_METHOD);
}

static void
begin_alone(bench_t *self, edri_workers_t workers)
{
    self->client = self->upper = self->lower = edri_node_new(0, NULL);
    add_upper(self, workers);
    add_lower(self, workers);
    start(self->client);
    self->port = edri_node_port(self->client);
}

// begin_with begins three nodes and a switch; 'queue' is the limit of what waits
// for a manager of the upper one.
static void
begin_with(bench_t *self, edri_workers_t workers, const char *queue)
{
    self->hub = start_switch();
    self->lower = new_node(&self->hub, "lower");
    add_lower(self, workers);
    start(self->lower);
    self->upper = new_node(&self->hub, "upper");
    cr_assert_eq(
        edri_node_set(self->upper, "node.manager_queue", queue), EDRI_OK);
    add_upper(self, workers);
    start(self->upper);
    self->client = new_node(&self->hub, "client");
    start(self->client);
    self->port = edri_node_port(self->client);
}

static void
begin_apart(bench_t *self, edri_workers_t workers)
{
    begin_with(self, workers, "8M");
}

static void
end(bench_t *self)
{
    self->above.go = self->below.go = true;
    edri_port_destroy(&self->port);
    edri_node_t *nodes[] = {self->client, self->upper, self->lower};
    for (int i = 0; i < 3; i++) {
        if (nodes[i] != NULL && (i == 0 || nodes[i] != self->client)) {
            cr_expect_eq(edri_node_stop(nodes[i], 5000), EDRI_OK);
            cr_expect_eq(requests_count(&nodes[i]->requests), 0);
            edri_node_destroy(&nodes[i]);
        }
    }
    if (self->hub.pid != 0) {
        stop_switch(&self->hub);
    }
}

static uint64_t
counted(const edri_node_t *node, const char *name)
{
    uint64_t value = 0;
    cr_assert_eq(edri_node_counter(node, name, &value), EDRI_OK);
    return value;
}

// answers_t counts the ends of requests.
typedef struct answers {
    unsigned ended;
    unsigned cancelled;
    edri_err_t err;
    uint64_t request;
} answers_t;

static void
on_answer(const edri_answer_t *answer, const Work__Result *result, void *arg)
{
    answers_t *self = arg;
    (void)result;
    self->ended += answer->last;
    self->cancelled += answer->err == EDRI_CANCELLED;
    self->err = answer->err;
    self->request = answer->request;
}

static uint64_t
ask(bench_t *self, Work__How how, Work__How below, uint32_t timeout_ms,
    answers_t *answers)
{
    Work__Job job = WORK__JOB__INIT;
    job.how = how;
    job.below = below;
    cr_assert_eq(work_job_request_async(
                     self->port, &job, timeout_ms, on_answer, answers),
        EDRI_OK);
    return edri_port_last_request(self->port);
}

static edri_err_t
ask_and_wait(bench_t *self, Work__How how, Work__How below, uint32_t timeout_ms,
    int64_t *left_ms)
{
    Work__Job job = WORK__JOB__INIT;
    Work__Result *result = NULL;
    job.how = how;
    job.below = below;
    edri_err_t err = work_job_request(self->port, &job, timeout_ms, &result);
    *left_ms = result != NULL ? result->left_ms : -1;
    work_job_reply_free(&result);
    return err;
}

// await_words waits until the upper node has heard that so many were cancelled: what
// the client's router has heard before it takes an event is not overtaken by that.
static void
await_words(bench_t *self, unsigned count)
{
    Work__Note note = WORK__NOTE__INIT;
    UNTIL(counted(self->client, "requests.cancelled") == count);
    cr_assert_eq(work_note_emit(self->port, &note), EDRI_OK);
    UNTIL(self->side.notes == 1);
}

static void
await_answer(bench_t *self, const answers_t *answers)
{
    while (answers->ended == 0) {
        cr_assert_neq(edri_port_poll(self->port, 10000), EDRI_AGAIN);
    }
}

// in_both_worlds runs a test on one node and across three, with methods and
// with pools.
static void
in_both_worlds(void (*test)(bench_t *))
{
    for (int i = 0; i < 4; i++) {
        bench_t bench = {0};
        edri_workers_t workers = i % 2 == 0 ? EDRI_METHOD : EDRI_THREADS(2);
        if (i < 2) {
            begin_alone(&bench, workers);
        } else {
            begin_apart(&bench, workers);
        }
        test(&bench);
        end(&bench);
    }
}

// ----- deadlines

static void
goes_down(bench_t *self)
{
    int64_t left_ms = -1;
    cr_expect_eq(
        ask_and_wait(self, WORK__HOW__ASK, WORK__HOW__AT_ONCE, 3000, &left_ms),
        EDRI_OK, "%s", edri_port_error(self->port));
    cr_expect(left_ms > 0 && left_ms <= 3000, "%ld", left_ms);
    cr_expect_eq(ask_and_wait(self, WORK__HOW__ASK_LATER, WORK__HOW__AT_ONCE,
                     3000, &left_ms),
        EDRI_OK);
    cr_expect(left_ms > 0 && left_ms <= 3000, "of a callback: %ld", left_ms);
}

Test(cancel, what_is_left_of_a_deadline_goes_down_with_requests)
{
    in_both_worlds(goes_down);
}

static void
is_over(bench_t *self)
{
    int64_t left_ms = -1;
    edri_err_t err = ask_and_wait(
        self, WORK__HOW__TOO_LATE, WORK__HOW__AT_ONCE, 100, &left_ms);
    // Its reply comes at the very end of its time.
    if (err != EDRI_OK) {
        cr_assert_eq(edri_port_poll(self->port, 10000), EDRI_OK);
    }
    UNTIL(self->above.ended == 1);
    cr_expect_eq(self->above.below[EDRI_DEADLINE], 1);
    cr_expect_str_eq(self->above.text,
        "work.Below: not asked: the task's deadline has passed");
    cr_expect_eq(self->below.begun, 0);
}

Test(cancel, a_request_without_time_left_is_not_asked)
{
    in_both_worlds(is_over);
}

Test(cancel, a_request_waits_for_room_no_longer_than_it_has_time)
{
    bench_t self = {0};
    answers_t answers = {0};
    self.client = self.upper = self.lower = edri_node_new(0, NULL);
    edri_node_set(self.client, "node.manager_queue", "16K");
    add_upper(&self, EDRI_METHOD);
    start(self.client);
    self.port = edri_node_port(self.client);
    ask(&self, WORK__HOW__HELD, 0, 0, &answers);
    UNTIL(self.above.begun == 1);
    Work__Job job = WORK__JOB__INIT;
    uint8_t zeros[6000] = {0};
    job.padding = (ProtobufCBinaryData){sizeof zeros, zeros};
    edri_err_t err = EDRI_OK;
    int64_t began_ms = clock_ms();
    for (int i = 0; i < 10000 && err == EDRI_OK; i++) {
        err = work_job_request_async(self.port, &job, 100, on_answer, &answers);
    }
    cr_expect_eq(err, EDRI_DEADLINE);
    cr_expect_lt(clock_ms() - began_ms, 4000, "emit.wait is 5 s");
    cr_expect_not_null(
        strstr(edri_port_error(self.port), " is full, and the deadline has"),
        "%s", edri_port_error(self.port));
    end(&self);
}

static edri_err_t
emit_note(edri_task_t *task, const Work__Job *job, Work__Result *result)
{
    Work__Note note = WORK__NOTE__INIT;
    (void)job;
    (void)result;
    return work_note_emit(edri_task_port(task), &note);
}

Test(cancel, a_notification_does_not_inherit_the_deadline)
{
    work_t work = {.note_left_ms = 0};
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "notes");
    edri_manager_set_state(manager, &work, NULL);
    work_note_handle(manager, work_on_note, EDRI_METHOD);
    work_job_handle(manager, emit_note, EDRI_METHOD);
    start(node);
    bench_t bench = {.port = edri_node_port(node)};
    int64_t left_ms = 0;
    cr_expect_eq(ask_and_wait(&bench, 0, 0, 1000, &left_ms), EDRI_OK);
    UNTIL(work.notes == 1);
    cr_expect_eq(work.note_left_ms, -1);
    edri_port_destroy(&bench.port);
    edri_node_destroy(&node);
}

// ----- cancels

static void
example(bench_t *self)
{
    answers_t answers = {0};
    uint64_t request =
        ask(self, WORK__HOW__UNTIL_WANTED, WORK__HOW__AT_ONCE, 0, &answers);
    UNTIL(self->above.begun == 1);
    cr_expect_eq(answers.ended, 0);
    cr_assert_eq(edri_request_cancel(self->port, request), EDRI_OK);
    cr_expect_eq(answers.ended, 1);
    cr_expect_eq(answers.err, EDRI_CANCELLED);
    cr_expect_eq(answers.request, request);
    UNTIL(self->above.ended == 1);
    cr_expect_eq(self->above.unwanted, 1);
    // What it answers is late, and nobody gets it.
    UNTIL(counted(self->client, "replies.late") == 1);
    cr_expect_eq(edri_port_poll(self->port, 0), EDRI_AGAIN);
    cr_expect_eq(edri_request_cancel(self->port, request), EDRI_NOT_FOUND);
    cr_expect_eq(counted(self->client, "requests.cancelled"), 1);
    cr_expect_eq(answers.ended, 1);
}

Test(cancel, example)
{
    in_both_worlds(example);
}

static void
takes_all(bench_t *self)
{
    answers_t answers = {0};
    int64_t began_ms = clock_ms();
    uint64_t request =
        ask(self, WORK__HOW__ASK, WORK__HOW__UNTIL_WANTED, 0, &answers);
    UNTIL(self->below.begun == 1);
    cr_assert_eq(edri_request_cancel(self->port, request), EDRI_OK);
    UNTIL(self->below.ended == 1 && self->above.ended == 1);
    cr_expect_eq(self->below.unwanted, 1);
    cr_expect_eq(self->above.below[EDRI_CANCELLED], 1, "its wait ended");
    cr_expect_lt(clock_ms() - began_ms, 9000);
    UNTIL(counted(self->client, "replies.late") >= 1);
}

Test(cancel, a_cancel_takes_what_was_asked_below)
{
    in_both_worlds(takes_all);
}

static void
takes_callbacks(bench_t *self)
{
    answers_t answers = {0};
    uint64_t request =
        ask(self, WORK__HOW__ASK_LATER, WORK__HOW__UNTIL_WANTED, 0, &answers);
    // The first below answers at once, the callback asks another.
    UNTIL(self->below.begun == 2);
    cr_assert_eq(edri_request_cancel(self->port, request), EDRI_OK);
    UNTIL(self->below.ended == 2 && self->above.ended == 1);
    cr_expect_eq(self->above.below[EDRI_OK], 1);
    cr_expect_eq(self->above.below[EDRI_CANCELLED], 1);
    UNTIL(counted(self->client, "replies.late") >= 1);
}

Test(cancel, a_cancel_takes_what_a_callback_asked)
{
    in_both_worlds(takes_callbacks);
}

static void
port_ends(bench_t *self)
{
    answers_t answers = {0};
    ask(self, WORK__HOW__ASK, WORK__HOW__UNTIL_WANTED, 0, &answers);
    UNTIL(self->below.begun == 1);
    edri_port_destroy(&self->port);
    cr_expect_eq(answers.err, EDRI_CANCELLED);
    cr_expect_eq(answers.ended, 1);
    UNTIL(self->below.ended == 1 && self->above.ended == 1);
    cr_expect_eq(self->below.unwanted, 1);
    UNTIL(counted(self->client, "replies.late") >= 1);
}

Test(cancel, the_end_of_a_port_cancels_what_it_asked)
{
    in_both_worlds(port_ends);
}

static void
is_queued(bench_t *self)
{
    enum {
        COUNT = 20
    };
    answers_t held = {0};
    answers_t answers = {0};
    uint64_t requests[COUNT];
    // Two threads or one method are held: the others wait.
    ask(self, WORK__HOW__HELD, 0, 0, &held);
    ask(self, WORK__HOW__HELD, 0, 0, &held);
    UNTIL(self->above.begun >= 1);
    for (int i = 0; i < COUNT; i++) {
        requests[i] = ask(self, WORK__HOW__AT_ONCE, 0, 0, &answers);
    }
    cr_assert_eq(edri_port_flush(self->port, 5000), EDRI_OK);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(edri_request_cancel(self->port, requests[i]), EDRI_OK);
    }
    cr_expect_eq(answers.cancelled, COUNT);
    await_words(self, COUNT);
    self->above.go = true;
    while (held.ended < 2) {
        cr_assert_eq(edri_port_poll(self->port, 10000), EDRI_OK);
    }
    UNTIL(counted(self->upper, "requests.not_begun") == COUNT);
    cr_expect_eq(self->above.begun, 2);
    cr_expect_eq(answers.ended, COUNT);
}

Test(cancel, what_waits_is_not_begun)
{
    in_both_worlds(is_queued);
}

Test(cancel, the_end_of_a_node_cancels_what_it_asked)
{
    bench_t self = {0};
    begin_apart(&self, EDRI_THREADS(2));
    answers_t answers = {0};
    ask(&self, WORK__HOW__ASK, WORK__HOW__UNTIL_WANTED, 0, &answers);
    UNTIL(self.below.begun == 1);
    edri_port_destroy(&self.port);
    cr_expect_eq(edri_node_stop(self.client, 0), EDRI_OK);
    UNTIL(self.below.ended == 1 && self.above.ended == 1);
    cr_expect_eq(self.below.unwanted, 1);
    edri_node_destroy(&self.client);
    self.client = NULL;
    end(&self);
}

Test(cancel, what_waits_at_its_source_does_not_leave)
{
    enum {
        COUNT = 100
    };
    bench_t self = {0};
    begin_with(&self, EDRI_METHOD, "16K");
    answers_t held = {0};
    answers_t answers = {0};
    uint64_t requests[COUNT];
    ask(&self, WORK__HOW__HELD, 0, 0, &held);
    UNTIL(self.above.begun == 1);
    Work__Job job = WORK__JOB__INIT;
    uint8_t zeros[6000] = {0};
    job.padding = (ProtobufCBinaryData){sizeof zeros, zeros};
    for (int i = 0; i < COUNT; i++) { // much more than the credit
        cr_assert_eq(
            work_job_request_async(self.port, &job, 0, on_answer, &answers),
            EDRI_OK);
        requests[i] = edri_port_last_request(self.port);
    }
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(edri_request_cancel(self.port, requests[i]), EDRI_OK);
    }
    await_words(&self, COUNT);
    self.above.go = true;
    await_answer(&self, &held);
    UNTIL(counted(self.upper, "requests.not_begun") +
              counted(self.client, "requests.not_begun") ==
          COUNT);
    cr_expect_gt(counted(self.client, "requests.not_begun"), 0);
    cr_expect_eq(self.above.begun, 1);
    end(&self);
}

Test(cancel, what_waits_for_somebody_to_be_known_does_not_leave)
{
    bench_t self = {0};
    answers_t cancelled = {0};
    answers_t answers = {0};
    begin_apart(&self, EDRI_METHOD);
    stop_switch(&self.hub);
    uint64_t request = ask(&self, WORK__HOW__AT_ONCE, 0, 0, &cancelled);
    cr_assert_eq(edri_request_cancel(self.port, request), EDRI_OK);
    cr_expect_eq(cancelled.cancelled, 1);
    ask(&self, WORK__HOW__AT_ONCE, 0, 0, &answers);
    self.hub = start_switch_at(self.hub.endpoint);
    await_answer(&self, &answers);
    cr_expect_eq(answers.err, EDRI_OK);
    cr_expect_eq(self.above.begun, 1);
    cr_expect_eq(counted(self.client, "requests.cancelled"), 1);
    end(&self);
}

// ----- callbacks that do not give up

static atomic_uint asked_again;

static void
ask_again(const edri_answer_t *answer, const Work__Result *result, void *arg)
{
    Work__Below below = WORK__BELOW__INIT;
    (void)answer;
    (void)result;
    below.how = WORK__HOW__UNTIL_WANTED;
    asked_again++;
    (void)work_below_request_async(arg, &below, 0, ask_again, arg);
}

static edri_err_t
never_give_up(edri_task_t *task, const Work__Job *job, Work__Result *result)
{
    (void)job;
    (void)result;
    ask_again(NULL, NULL, edri_task_port(task));
    work_spin(task, edri_task_state(task), false);
    return EDRI_CANCELLED;
}

Test(cancel, a_callback_cannot_ask_again_for_a_cancelled_task)
{
    for (int i = 0; i < 2; i++) {
        bench_t self = {0};
        answers_t answers = {0};
        asked_again = 0;
        self.client = self.upper = self.lower = edri_node_new(0, NULL);
        edri_manager_t *upper = edri_node_manager(self.upper, "upper");
        edri_manager_set_state(upper, &self.above, NULL);
        work_job_handle(
            upper, never_give_up, i == 0 ? EDRI_METHOD : EDRI_THREADS(1));
        add_lower(&self, EDRI_THREADS(2));
        start(self.client);
        self.port = edri_node_port(self.client);
        uint64_t request = ask(&self, 0, 0, 0, &answers);
        UNTIL(self.below.begun == 1);
        cr_assert_eq(edri_request_cancel(self.port, request), EDRI_OK);
        UNTIL(self.below.ended == 1 && asked_again == 2);
        end(&self);
        cr_expect_eq(asked_again, 2, "its callback, once");
    }
}

// ----- hostile words

static void
send_cancels(raw_t *peer, uint64_t to_life, uint64_t *ids, size_t count)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    Edri__Wire__Destination to = EDRI__WIRE__DESTINATION__INIT;
    Edri__Wire__Destination *tos[] = {&to};
    to.life = to_life;
    head.to = tos;
    head.n_to = 1;
    head.cancels = ids;
    head.n_cancels = count;
    raw_send_head(peer, &head, false);
}

// await_lease asks for a lease: what was said before has been heard then.
static void
await_lease(raw_t *peer, uint64_t life)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    Edri__Wire__Destination to = EDRI__WIRE__DESTINATION__INIT;
    Edri__Wire__Destination *tos[] = {&to};
    received_t got = {0};
    to.life = life;
    head.to = tos;
    head.n_to = 1;
    head.ask = 1;
    raw_send_head(peer, &head, false);
    do {
        cr_assert(raw_receive(peer, &got, RAW_WAIT_MS));
    } while (got.head->confirm == NULL);
    head_free(&got.head);
}

static void
send_job(raw_t *peer, uint64_t life, uint32_t target, uint64_t id)
{
    uint8_t batch[64];
    envelope_t env = {.type = work_job_type.id,
        .id = id,
        .flags = envelope_flags(EDRI_REQUEST, EDRI_ONE, 3),
        .ttl_ms = 10000};
    size_t size = envelope_size(&env, 0);
    (void)envelope_write(&env, 0, batch, size);
    head_t head = EDRI__WIRE__HEAD__INIT;
    Edri__Wire__Destination to = EDRI__WIRE__DESTINATION__INIT;
    Edri__Wire__Destination *tos[] = {&to};
    uint64_t types[] = {env.type};
    to.life = life;
    to.first = id;
    to.opens = true;
    to.targets = &target;
    to.n_targets = 1;
    head.lane = EDRI__WIRE__LANE__EVENT;
    head.path = id;
    head.events = 1;
    head.types = types;
    head.n_types = 1;
    head.to = tos;
    head.n_to = 1;
    raw_send_head(peer, &head, true);
    raw_send(peer, batch, size, false);
}

// hello makes the peer a node that knows who handles jobs; returns the target.
static uint32_t
hello(raw_t *peer)
{
    received_t got = {0};
    raw_hello(peer, "peer", 4711, false);
    cr_assert_not_null(RAW_AWAIT(peer, &got, WELCOME));
    raw_resolve(peer, work_job_type.id);
    const control_t *word = RAW_AWAIT(peer, &got, TABLE);
    cr_assert_not_null(word);
    uint32_t target = word->table->members[0]->target;
    head_free(&got.head);
    return target;
}

Test(cancel, only_the_life_that_asked_may_cancel)
{
    bench_t self = {0};
    begin_apart(&self, EDRI_THREADS(2));
    raw_t peer = raw_open(self.hub.endpoint);
    (void)hello(&peer);
    answers_t answers = {0};
    uint64_t ids[1000] = {
        ask(&self, WORK__HOW__UNTIL_WANTED, 0, 2000, &answers)};
    UNTIL(self.above.begun == 1);
    for (uint64_t i = 1; i < 1000; i++) {
        ids[i] = i * i;
    }
    uint64_t life = edri_node_life(self.upper);
    send_cancels(&peer, life, ids, 1000);
    send_cancels(&peer, life, &(uint64_t){0}, 1); // no request at all
    await_lease(&peer, life);
    cr_expect_eq(self.above.ended, 0);
    cr_assert_eq(edri_request_cancel(self.port, ids[0]), EDRI_OK);
    UNTIL(self.above.ended == 1);
    cr_expect_eq(self.above.unwanted, 1);
    raw_close(&peer);
    end(&self);
}

Test(cancel, a_cancel_that_overtakes_its_request_is_remembered)
{
    bench_t self = {0};
    begin_apart(&self, EDRI_THREADS(2));
    raw_t peer = raw_open(self.hub.endpoint);
    uint32_t target = hello(&peer);
    uint64_t life = edri_node_life(self.upper);
    send_cancels(&peer, life, &(uint64_t){1001}, 1);
    send_job(&peer, life, target, 1001);
    UNTIL(counted(self.upper, "requests.not_begun") == 1);
    int64_t left_ms = 0;
    cr_expect_eq(
        ask_and_wait(&self, WORK__HOW__AT_ONCE, 0, 0, &left_ms), EDRI_OK);
    cr_expect_eq(self.above.begun, 1);
    raw_close(&peer);
    end(&self);
}
