// SPDX-License-Identifier: MIT
// test_asking.c - requests from wherever one can ask, in every way; and how a
// request to many says that it ended.

#include <criterion/criterion.h>

#include "support/network.h"
#include "support/raw.h"
#include "support/work.h"

TestSuite(asking, .timeout = 60);

enum {
    MANY = 50,
    RESPONDERS = 4 // two on each of two nodes
};

// ----- every way to ask

typedef struct many {
    unsigned answered;
    unsigned ended;
} many_t;

static void
count(const edri_answer_t *answer, const Work__Result *result, void *arg)
{
    many_t *many = arg;
    many->answered += answer->err == EDRI_OK && result != NULL;
    many->ended += answer->last;
}

// ask_in_every_way waits for one reply, for many at once, and for everybody's.
// Returns how many of the three went well.
static unsigned
ask_in_every_way(edri_port_t *port)
{
    unsigned fine = 0;
    Work__Below below = WORK__BELOW__INIT;
    Work__Result *result = NULL;
    fine += work_below_request(port, &below, 0, &result) == EDRI_OK;
    work_below_reply_free(&result);
    many_t many = {0};
    for (int i = 0; i < MANY; i++) {
        (void)work_below_request_async(port, &below, 0, count, &many);
    }
    while (many.ended < MANY && edri_port_poll(port, 5000) == EDRI_OK) {
    }
    fine += many.answered == MANY;
    uint32_t asked = 0;
    uint32_t answered = 0;
    many = (many_t){0};
    fine += work_below_request_all(
                port, &below, 0, count, &many, &asked, &answered) == EDRI_OK &&
            asked == RESPONDERS && answered == RESPONDERS &&
            many.answered == RESPONDERS && many.ended == 1;
    return fine;
}

// ----- the places

// place_t is where somebody asks, and how often it has gone well.
typedef struct place {
    atomic_uint fine;
    atomic_uint times;
} place_t;

static struct {
    place_t handler;
    place_t callback;
    place_t observer;
    place_t started;
    place_t draining;
} places;

static void
ask_at(place_t *place, edri_port_t *port)
{
    place->fine += ask_in_every_way(port);
    place->times++;
}

static void
ask_in_callback(
    const edri_answer_t *answer, const Work__Result *result, void *arg)
{
    (void)answer;
    (void)result;
    ask_at(&places.callback, arg);
}

static edri_err_t
on_job(edri_task_t *task, const Work__Job *job, Work__Result *result)
{
    edri_port_t *port = edri_task_port(task);
    Work__Below below = WORK__BELOW__INIT;
    (void)job;
    (void)result;
    ask_at(&places.handler, port);
    // Its callback runs when the handler has returned.
    return work_below_request_async(port, &below, 0, ask_in_callback, port);
}

static void
on_observed(edri_task_t *task, const Work__Result *result)
{
    (void)result;
    ask_at(&places.observer, edri_task_port(task));
}

static edri_err_t
on_started(edri_manager_t *manager, edri_port_t *port, void *state)
{
    (void)manager;
    (void)state;
    ask_at(&places.started, port);
    return EDRI_OK;
}

static void
on_draining(edri_manager_t *manager, edri_port_t *port, void *state)
{
    (void)manager;
    (void)state;
    ask_at(&places.draining, port);
}

// add_responders adds two managers that answer what is asked below.
static void
add_responders(edri_node_t *node, work_t *work)
{
    edri_manager_t *left = edri_node_manager(node, "left");
    edri_manager_t *right = edri_node_manager(node, "right");
    edri_manager_set_state(left, work, NULL);
    edri_manager_set_state(right, work, NULL);
    work_below_handle(left, work_on_below, EDRI_METHOD);
    work_below_handle(right, work_on_below, EDRI_THREADS(2));
}

static void
expect(const place_t *place, unsigned times, const char *where)
{
    cr_expect_eq(place->times, times, "%s: %u times", where, place->times);
    cr_expect_eq(
        place->fine, 3 * times, "%s: %u of %u", where, place->fine, 3 * times);
}

static void
ask_everywhere(edri_workers_t workers)
{
    hub_t hub = start_switch();
    work_t work = {.go = false};
    memset(&places, 0, sizeof places);
    edri_node_t *other = new_node(&hub, "other");
    add_responders(other, &work);
    start(other);
    edri_node_t *node = new_node(&hub, "node");
    add_responders(node, &work);
    edri_manager_t *manager = edri_node_manager(node, "asker");
    edri_hooks_t hooks = {.started = on_started, .draining = on_draining};
    edri_manager_hooks(manager, &hooks);
    work_job_handle(manager, on_job, workers);
    work_job_observe(edri_node_manager(node, "observer"), on_observed);
    start(node);
    expect(&places.started, 1, "started");

    edri_port_t *port = edri_node_port(node);
    Work__Job job = WORK__JOB__INIT;
    Work__Result *result = NULL;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(work_job_request(port, &job, 0, &result), EDRI_OK, "%s",
            edri_port_error(port));
        work_job_reply_free(&result);
    }
    cr_expect_eq(
        ask_in_every_way(port), 3, "a plain thread: %s", edri_port_error(port));
    edri_port_destroy(&port);
    UNTIL(places.callback.times == 3 && places.observer.times == 3);
    cr_expect_eq(edri_node_stop(node, 5000), EDRI_OK);
    expect(&places.handler, 3, "handler");
    expect(&places.callback, 3, "callback");
    expect(&places.observer, 3, "observer");
    expect(&places.draining, 1, "draining");
    edri_node_destroy(&node);
    cr_expect_eq(edri_node_stop(other, 5000), EDRI_OK);
    edri_node_destroy(&other);
    stop_switch(&hub);
}

Test(asking, from_everywhere_with_a_method)
{
    ask_everywhere(EDRI_METHOD);
}

Test(asking, from_everywhere_with_a_pool)
{
    ask_everywhere(EDRI_THREADS(2));
}

Test(asking, from_the_callback_of_a_plain_port)
{
    work_t work = {.go = false};
    hub_t hub = start_switch();
    edri_node_t *nodes[2];
    for (int i = 0; i < 2; i++) {
        nodes[i] = new_node(&hub, i == 0 ? "other" : "node");
        add_responders(nodes[i], &work);
        start(nodes[i]);
    }
    memset(&places, 0, sizeof places);
    edri_port_t *port = edri_node_port(nodes[1]);
    Work__Below below = WORK__BELOW__INIT;
    cr_assert_eq(
        work_below_request_async(port, &below, 0, ask_in_callback, port),
        EDRI_OK);
    while (places.callback.times == 0) {
        cr_assert_eq(edri_port_poll(port, 10000), EDRI_OK);
    }
    expect(&places.callback, 1, "callback");
    edri_port_destroy(&port);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(edri_node_stop(nodes[1 - i], 5000), EDRI_OK);
        edri_node_destroy(&nodes[1 - i]);
    }
    stop_switch(&hub);
}

// ----- how a request to many says that it ended

static edri_err_t
ask_all(edri_port_t *port, Work__How how, uint32_t timeout_ms, many_t *many)
{
    Work__Below below = WORK__BELOW__INIT;
    below.how = how;
    return work_below_request_all(
        port, &below, timeout_ms, count, many, NULL, NULL);
}

static edri_err_t
on_below_fine(edri_task_t *task, const Work__Below *below, Work__Result *result)
{
    (void)task;
    (void)below;
    (void)result;
    return EDRI_OK;
}

Test(asking, who_did_not_answer_is_named)
{
    work_t work = {.go = false};
    many_t many = {0};
    edri_node_t *node = edri_node_new(0, NULL);
    edri_node_set(node, "node.name", "here");
    edri_manager_t *manager = edri_node_manager(node, "works");
    edri_manager_set_state(manager, &work, NULL);
    work_below_handle(manager, work_on_below, EDRI_THREADS(1));
    work_below_handle(
        edri_node_manager(node, "fine"), on_below_fine, EDRI_METHOD);
    start(node);
    edri_port_t *port = edri_node_port(node);
    cr_expect_eq(ask_all(port, WORK__HOW__AT_ONCE, 0, &many), EDRI_OK);
    cr_expect_eq(ask_all(port, WORK__HOW__FAIL, 0, &many), EDRI_FAILED);
    cr_expect_str_eq(edri_port_error(port),
        "work.Below: 1 of 2 answered; here/works: handler failed: as it was "
        "told");
    cr_expect_eq(ask_all(port, WORK__HOW__HELD, 50, &many), EDRI_DEADLINE);
    cr_expect_str_eq(edri_port_error(port),
        "work.Below: 1 of 2 answered; here/works: deadline passed");
    work.go = true;
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(node, 5000), EDRI_OK);
    edri_node_destroy(&node);
}

Test(asking, everybody_may_be_nobody)
{
    many_t many = {0};
    edri_node_t *node = edri_node_new(0, NULL);
    start(node);
    edri_port_t *port = edri_node_port(node);
    cr_expect_eq(
        ask_all(port, WORK__HOW__AT_ONCE, 0, &many), EDRI_NO_RESPONDER);
    cr_expect_str_eq(
        edri_port_error(port), "work.Below: nobody handles this request");
    cr_expect_eq(many.ended, 1);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

static void
cancel_at_first(
    const edri_answer_t *answer, const Work__Result *result, void *arg)
{
    (void)result;
    if (answer->err == EDRI_OK) {
        (void)edri_request_cancel(arg, answer->request);
    }
}

Test(asking, the_first_answer_may_be_enough)
{
    work_t work = {.go = false};
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "works");
    edri_manager_set_state(manager, &work, NULL);
    work_below_handle(manager, work_on_below, EDRI_THREADS(1));
    work_below_handle(
        edri_node_manager(node, "fine"), on_below_fine, EDRI_METHOD);
    start(node);
    edri_port_t *port = edri_node_port(node);
    Work__Below below = WORK__BELOW__INIT;
    uint32_t asked = 0;
    uint32_t answered = 0;
    below.how = WORK__HOW__UNTIL_WANTED;
    cr_expect_eq(work_below_request_all(
                     port, &below, 0, cancel_at_first, port, &asked, &answered),
        EDRI_CANCELLED);
    cr_expect_eq(asked, 2);
    cr_expect_eq(answered, 1);
    cr_expect_str_eq(
        edri_port_error(port), "work.Below: 1 of 2 answered; works: cancelled");
    UNTIL(work.begun == work.ended);
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(node, 5000), EDRI_OK);
    edri_node_destroy(&node);
}

// end_at_first lets a responder that has the request end, when the first of the
// others has answered.
static void
end_at_first(const edri_answer_t *answer, const Work__Result *result, void *arg)
{
    raw_t **peer_p = arg;
    received_t got = {0};
    (void)answer;
    (void)result;
    if (*peer_p != NULL) {
        cr_assert(raw_await_frame(*peer_p, &got));
        raw_simple(*peer_p, EDRI__LINK__CONTROL__WORD_BYE);
        *peer_p = NULL;
        head_free(&got.head);
    }
}

Test(asking, a_responder_that_ends_is_named)
{
    hub_t hub = start_switch();
    work_t work = {.go = false};
    received_t got = {0};
    edri_node_t *client = new_node(&hub, "client");
    add_responders(client, &work);
    start(client);
    raw_t peer = raw_open(hub.endpoint);
    raw_t *peer_p = &peer;
    raw_hello(&peer, "node-3", 4711, false);
    cr_assert_not_null(RAW_AWAIT(&peer, &got, WELCOME));
    raw_demand(&peer, 1, work_below_type.id, 77, true);
    cr_assert_not_null(RAW_AWAIT(&peer, &got, IN_FORCE));
    head_free(&got.head);
    edri_port_t *port = edri_node_port(client);
    Work__Below below = WORK__BELOW__INIT;
    uint32_t asked = 0;
    uint32_t answered = 0;
    cr_expect_eq(work_below_request_all(
                     port, &below, 0, end_at_first, &peer_p, &asked, &answered),
        EDRI_RESPONDER_DIED);
    cr_expect_eq(asked, 3);
    cr_expect_eq(answered, 2);
    cr_expect_str_eq(edri_port_error(port),
        "work.Below: 2 of 3 answered; node-3/raw: responder ended, outcome "
        "unknown");
    edri_port_destroy(&port);
    raw_close(&peer);
    cr_expect_eq(edri_node_stop(client, 5000), EDRI_OK);
    edri_node_destroy(&client);
    stop_switch(&hub);
}

Test(asking, many_responders_do_not_fit_into_an_envelope)
{
    enum {
        MANAGERS = 200
    };
    many_t many = {0};
    edri_node_t *node = edri_node_new(0, NULL);
    edri_node_set(node, "node.name",
        "a-node-with-a-name-that-is-quite-long-and-comes-often");
    for (int i = 0; i < MANAGERS; i++) {
        char name[8];
        snprintf(name, sizeof name, "m%d", i);
        work_below_handle(
            edri_node_manager(node, name), on_below_fine, EDRI_METHOD);
    }
    start(node);
    edri_port_t *port = edri_node_port(node);
    uint32_t asked = 0;
    uint32_t answered = 0;
    Work__Below below = WORK__BELOW__INIT;
    cr_expect_eq(work_below_request_all(
                     port, &below, 0, count, &many, &asked, &answered),
        EDRI_OK);
    cr_expect_eq(asked, MANAGERS);
    cr_expect_eq(answered, MANAGERS);
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(node, 5000), EDRI_OK);
    edri_node_destroy(&node);
}

// ----- deadlocks

// A hall of mirrors: each asks the next, and waits.
typedef struct mirror {
    const edri_type_t *next; // Job or Below
    bool later;              // does not wait
    edri_err_t err;          // how that ended
    char text[256];
} mirror_t;

static void
on_mirrored(const edri_answer_t *answer, const Work__Result *got, void *arg)
{
    (void)got;
    ((mirror_t *)arg)->err = answer->err;
}

static edri_err_t
reflect(edri_task_t *task)
{
    mirror_t *self = edri_task_state(task);
    edri_port_t *port = edri_task_port(task);
    Work__Job job = WORK__JOB__INIT;
    Work__Below below = WORK__BELOW__INIT;
    if (self->later) {
        self->later = false;
        return work_job_request_async(port, &job, 0, on_mirrored, self);
    }
    if (self->next == NULL) {
        return EDRI_OK;
    }
    self->err = self->next == &work_job_type
                    ? work_job_request(port, &job, 0, NULL)
                    : work_below_request(port, &below, 0, NULL);
    snprintf(self->text, sizeof self->text, "%s", edri_port_error(port));
    return self->err;
}

static edri_err_t
reflect_job(edri_task_t *task, const Work__Job *job, Work__Result *result)
{
    (void)job;
    (void)result;
    return reflect(task);
}

static edri_err_t
reflect_below(edri_task_t *task, const Work__Below *job, Work__Result *result)
{
    (void)job;
    (void)result;
    return reflect(task);
}

// see_deadlock asks Job, whose handler asks 'first'; Below's handler asks
// 'second'.
static void
see_deadlock(mirror_t *one, mirror_t *two, edri_workers_t workers,
    edri_err_t expected, uint64_t deadlocks)
{
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *first = edri_node_manager(node, "first");
    edri_manager_t *second = edri_node_manager(node, "second");
    uint64_t value = 0;
    edri_manager_set_state(first, one, NULL);
    edri_manager_set_state(second, two, NULL);
    work_job_handle(first, reflect_job, workers);
    work_below_handle(second, reflect_below, workers);
    start(node);
    edri_port_t *port = edri_node_port(node);
    Work__Job job = WORK__JOB__INIT;
    int64_t start_ms = clock_ms();
    edri_err_t err = work_job_request(port, &job, 0, NULL);
    cr_expect_eq(
        err, expected, "%s: %s", edri_err_name(err), edri_port_error(port));
    cr_expect_lt(clock_ms() - start_ms, 5000, "not by its deadline");
    cr_assert_eq(
        edri_node_counter(node, "requests.deadlocked", &value), EDRI_OK);
    cr_expect_eq(value, deadlocks);
    // It goes on.
    one->next = two->next = NULL;
    cr_expect_eq(work_job_request(port, &job, 0, NULL), EDRI_OK, "%s",
        edri_port_error(port));
    edri_port_destroy(&port);
    cr_expect_eq(edri_node_stop(node, 5000), EDRI_OK);
    edri_node_destroy(&node);
}

Test(asking, a_method_that_waits_for_itself)
{
    mirror_t one = {.next = &work_job_type};
    mirror_t two = {0};
    see_deadlock(&one, &two, EDRI_METHOD, EDRI_DEADLOCK, 1);
    cr_expect_not_null(
        strstr(one.text, "of manager first, waits for what"), "%s", one.text);
}

Test(asking, methods_that_wait_for_each_other)
{
    mirror_t one = {.next = &work_below_type};
    mirror_t two = {.next = &work_job_type};
    see_deadlock(&one, &two, EDRI_METHOD, EDRI_DEADLOCK, 1);
    cr_expect_eq(two.err, EDRI_DEADLOCK, "%s", edri_err_name(two.err));
}

Test(asking, pools_of_one_thread_that_wait_for_each_other)
{
    mirror_t one = {.next = &work_below_type};
    mirror_t two = {.next = &work_job_type};
    see_deadlock(&one, &two, EDRI_THREADS(1), EDRI_DEADLOCK, 1);
    cr_expect_eq(two.err, EDRI_DEADLOCK, "%s", edri_err_name(two.err));
}

Test(asking, who_does_not_wait_is_in_no_deadlock)
{
    mirror_t one = {.next = &work_below_type};
    mirror_t two = {.later = true};
    see_deadlock(&one, &two, EDRI_METHOD, EDRI_OK, 0);
}

// ----- progress

static edri_err_t
on_long_job(edri_task_t *task, const Work__Job *job, Work__Result *result)
{
    (void)job;
    (void)result;
    edri_task_progress(task, 1, 2, "half");
    edri_task_progress(task, 1, 2, "too soon after the last");
    edri_task_progress(task, 2, 2, NULL);
    return EDRI_OK;
}

typedef struct told {
    uint64_t life;
    uint64_t request;
    unsigned count;
    char text[64];
} told_t;

static void
on_told(const edri_progress_t *progress, void *arg)
{
    told_t *self = arg;
    size_t size = strlen(self->text);
    self->life = progress->life;
    self->request = progress->request;
    self->count++;
    (void)snprintf(self->text + size, sizeof self->text - size, "%d/%d %s;",
        (int)progress->done, (int)progress->total, progress->text);
}

Test(asking, progress_comes_from_another_node)
{
    hub_t hub = start_switch();
    edri_node_t *other = new_node(&hub, "other");
    work_job_handle(
        edri_node_manager(other, "worker"), on_long_job, EDRI_THREADS(1));
    start(other);
    edri_node_t *node = new_node(&hub, "node");
    start(node);
    edri_port_t *port = edri_node_port(node);
    told_t told = {0};
    Work__Job job = WORK__JOB__INIT;
    cr_assert_eq(edri_port_on_progress(port, on_told, &told), EDRI_OK);
    cr_assert_eq(work_job_request(port, &job, 0, NULL), EDRI_OK, "%s",
        edri_port_error(port));
    cr_expect_str_eq(told.text, "1/2 half;2/2 ;");
    cr_expect_eq(told.life, edri_node_life(other));
    cr_expect_eq(told.request, edri_port_last_request(port));
    edri_port_destroy(&port);
    edri_node_destroy(&node);
    edri_node_destroy(&other);
    stop_switch(&hub);
}
