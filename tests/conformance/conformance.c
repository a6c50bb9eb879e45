// SPDX-License-Identifier: MIT
// conformance.c - the same handlers, whoever runs them.
//
// A program and not a Criterion suite: workers in processes start it again.

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "node/work/workers.h"
#include "site.h"

// The manager has a process of its own.
static bool own;

static bool
is_far(edri_workers_t workers)
{
    return own || workers.kind == WORKERS_PROCESSES ||
           workers.kind == WORKERS_FRESH;
}

// read_mode reads "own", "own:MODE" or "MODE".
static bool
read_mode(const char *text, edri_workers_t *workers)
{
    own = strncmp(text, "own", 3) == 0;
    text += own ? strlen("own") : 0;
    text += own && text[0] == ':';
    return workers_read(text[0] == '\0' ? "method" : text, workers);
}

// is_alone says whether one event at a time is handled.
static bool
is_alone(edri_workers_t workers)
{
    return workers.count == 1;
}

// ----- cases

static void
a_request_is_answered(site_t *site, edri_workers_t workers)
{
    Duty__Done *done = NULL;
    check(site_do(site, "echo", 42, &done) == EDRI_OK, "%s",
        edri_port_error(site->port));
    check(done->number == 42 && streq(done->text, "echo"), "wrong reply");
    check(is_far(workers) == (done->pid != (uint64_t)getpid()),
        "handled in process %d", (int)done->pid);
    duty_do_reply_free(&done);
}

static void
a_notification_is_handled(site_t *site, edri_workers_t workers)
{
    (void)workers;
    size_t before = site_seen(site, "noted");
    site_note(site, "see", 7);
    check(site_wait(site, "noted", before + 1), "not handled");
}

static void
an_error_comes_with_its_text(site_t *site, edri_workers_t workers)
{
    (void)workers;
    check(site_do(site, "fail", 9, NULL) == EDRI_NOT_FOUND, "%s",
        edri_port_error(site->port));
    check(streq(edri_port_error(site->port), "duty.Do: not found: no number 9"),
        "%s", edri_port_error(site->port));
    uint64_t failed = site_counter(site, "events.failed");
    site_note(site, "fail", 9);
    check(site_do(site, "echo", 0, NULL) == EDRI_OK, "the next one");
    // One worker has ended the note before it took the request.
    check(!is_alone(workers) || site_counter(site, "events.failed") >= failed,
        "not counted");
}

static void
what_a_handler_emits_comes_in_order(site_t *site, edri_workers_t workers)
{
    (void)workers;
    size_t before = site_seen(site, "row");
    check(site_do(site, "emit", 2000, NULL) == EDRI_OK, "%s",
        edri_port_error(site->port));
    check(site_wait(site, "row", before + 2000), "%zu came",
        site_seen(site, "row") - before);
    uint64_t next = 0;
    for (size_t i = 0; i < site->count; i++) {
        if (streq(site->seen[i].what, "row")) {
            check(site->seen[i].number == next, "disorder at %d", (int)next);
            next = (next + 1) % 2000;
        }
    }
}

static void
a_type_that_only_the_handler_knows_is_emitted(
    site_t *site, edri_workers_t workers)
{
    (void)workers;
    uint64_t before = site_counter(site, "events.unclaimed");
    for (uint64_t i = 1; i <= 3; i++) {
        check(site_do(site, "lonely", 0, NULL) == EDRI_OK, "%s",
            edri_port_error(site->port));
        check(site_counter(site, "events.unclaimed") == before + i,
            "it did not come");
    }
}

static void
a_handler_may_ask(site_t *site, edri_workers_t workers)
{
    (void)workers;
    Duty__Done *done = NULL;
    check(site_do(site, "ask", 10, &done) == EDRI_OK, "%s",
        edri_port_error(site->port));
    check(done->number == 11, "the wrong answer");
    duty_do_reply_free(&done);
    size_t before = site_seen(site, "answered");
    check(site_do(site, "ask_async", 20, NULL) == EDRI_OK, "async");
    check(site_wait(site, "answered", before + 1), "no callback");
    check(site_do(site, "ask_all", 30, &done) == EDRI_OK, "all");
    check(done->number == 11, "1 asked, 1 answered");
    duty_do_reply_free(&done);
    check(site_do(site, "nobody", 0, &done) == EDRI_OK, "nobody");
    check(streq(done->text, "NO_RESPONDER"), "%s", done->text);
    duty_do_reply_free(&done);
}

static const size_t sizes[] = {0, 24 << 10, (24 << 10) + 1, 200 << 10, 3 << 20};

static void
its_hook_has_been_called(site_t *site, edri_workers_t workers)
{
    (void)workers;
    check(site_wait(site, "started", 1), "it has not emitted");
    check(site_seen(site, "started") == 1, "more than once");
    check(site->seen[0].number == 1, "it was not answered");
}

static void
an_observer_sees_replies(site_t *site, edri_workers_t workers)
{
    (void)workers;
    size_t before = site_seen(site, "observed");
    Duty__Inner inner = DUTY__INNER__INIT;
    check(duty_inner_request(site->port, &inner, 0, NULL) == EDRI_OK, "%s",
        edri_port_error(site->port));
    check(site_wait(site, "observed", before + 1), "it was not shown");
}

static void
large_bodies_go_both_ways(site_t *site, edri_workers_t workers)
{
    (void)workers;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        Duty__Do request = DUTY__DO__INIT;
        Duty__Done *done = NULL;
        uint8_t *data = site_data(sizes[i]);
        request.what = (char[]){"echo"};
        request.data = (ProtobufCBinaryData){sizes[i], data};
        check(duty_do_request(site->port, &request, 0, &done) == EDRI_OK,
            "%zu: %s", sizes[i], edri_port_error(site->port));
        check(done->data.len == sizes[i] &&
                  site_whole(done->data.data, done->data.len),
            "%zu bytes came damaged", sizes[i]);
        duty_do_reply_free(&done);
        free(data);
    }
}

static void
large_bodies_are_emitted(site_t *site, edri_workers_t workers)
{
    (void)workers;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t before = site_seen(site, "large");
        check(site_do(site, "emit_large", sizes[i], NULL) == EDRI_OK, "emit");
        check(site_wait(site, "large", before + 1), "not emitted");
    }
    for (size_t i = 0; i < site->count; i++) {
        check(site->seen[i].whole, "an emitted body came damaged");
    }
}

static void
a_task_knows_its_facts(site_t *site, edri_workers_t workers)
{
    (void)workers;
    // Twice: the memory of one task is not the next one's.
    uint64_t ids[2] = {0};
    for (int i = 0; i < 2; i++) {
        Duty__Done *done = NULL;
        check(site_do(site, "facts", 0, &done) == EDRI_OK, "%s",
            edri_port_error(site->port));
        check(streq(done->text, "redelivered=0 missed=0 mine=1 sender=site "
                                "attempt=0 own=1 type=duty.Do in_time=1"),
            "%s", done->text);
        ids[i] = done->number;
        duty_do_reply_free(&done);
    }
    check(ids[0] != 0 && ids[0] != ids[1], "ids");
}

static void
one_worker_keeps_the_order(site_t *site, edri_workers_t workers)
{
    uint64_t count = workers.kind == WORKERS_FRESH ? 20 : 500;
    size_t before = site_seen(site, "noted");
    size_t from = site->count;
    for (uint64_t i = 0; i < count; i++) {
        site_note(site, "see", i);
    }
    check(site_wait(site, "noted", before + count), "not all came");
    uint64_t next = 0;
    for (size_t i = from; i < site->count && is_alone(workers); i++) {
        if (streq(site->seen[i].what, "noted")) {
            check(site->seen[i].number == next++, "disorder");
        }
    }
}

static void
who_waits_for_itself_is_told(site_t *site, edri_workers_t workers)
{
    Duty__Done *done = NULL;
    check(site_do(site, "ask_self", 0, &done) == EDRI_OK, "%s",
        edri_port_error(site->port));
    check(streq(done->text, is_alone(workers) ? "DEADLOCK" : "OK"), "%s",
        done->text);
    duty_do_reply_free(&done);
}

static edri_tunnel_t *
open_flow(site_t *site, const char *what, edri_err_t expected)
{
    Duty__Flow flow = DUTY__FLOW__INIT;
    edri_tunnel_t *tunnel = NULL;
    char *copy = str_dup(what);
    flow.what = copy;
    edri_err_t err = duty_flow_open(site->port, &flow, 0, &tunnel);
    check(err == expected, "%s: %s: %s", what, edri_err_name(err),
        edri_port_error(site->port));
    free(copy);
    return tunnel;
}

// pour sends so many messages of that size, and expects them back.
static void
pour(site_t *site, edri_tunnel_t *tunnel, size_t size, unsigned count)
{
    uint8_t *data = site_data(size);
    edri_bytes_t bytes;
    unsigned sent = 0;
    unsigned came = 0;
    while (came < count) {
        edri_err_t err = EDRI_OK;
        while (sent < count && sent < came + 20 && err == EDRI_OK) {
            err = duty_flow_send_up(tunnel, data, size, 0);
            sent += err == EDRI_OK;
        }
        check(err == EDRI_OK || err == EDRI_AGAIN, "%s",
            edri_port_error(site->port));
        err = duty_flow_receive_down(tunnel, 10000, &bytes);
        check(err == EDRI_OK && bytes.size == size &&
                  site_whole(bytes.data, size),
            "%u of %u: %s", came, count, edri_err_name(err));
        edri_bytes_free(&bytes);
        came++;
    }
    free(data);
}

static void
tunnels_go_both_ways(site_t *site, edri_workers_t workers)
{
    static const char *const ways[] = {"echo", "calls"};
    (void)workers;
    for (int i = 0; i < 2; i++) {
        edri_bytes_t bytes;
        edri_tunnel_t *tunnel = open_flow(site, ways[i], EDRI_OK);
        pour(site, tunnel, 10, 3000);
        pour(site, tunnel, 50000, 100);
        pour(site, tunnel, 2000000, 3);
        check(edri_tunnel_finish(tunnel) == EDRI_OK, "finish");
        edri_err_t err = duty_flow_receive_down(tunnel, 10000, &bytes);
        check(err == EDRI_END, "%s: %s", ways[i], edri_err_name(err));
        edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    }
    check(open_flow(site, "refuse", EDRI_DENIED) == NULL, "a tunnel");
    check(strstr(edri_port_error(site->port), "not now") != NULL, "%s",
        edri_port_error(site->port));
}

// open_after_end opens one when a process has just ended; NULL: it ended with that.
static edri_tunnel_t *
open_after_end(site_t *site)
{
    Duty__Flow flow = DUTY__FLOW__INIT;
    edri_tunnel_t *tunnel = NULL;
    flow.what = (char[]){"echo"};
    edri_err_t err = duty_flow_open(site->port, &flow, 0, &tunnel);
    check(err == EDRI_OK || err == EDRI_WORKER_DIED, "echo: %s: %s",
        edri_err_name(err), edri_port_error(site->port));
    return tunnel;
}

static void
a_process_that_ends_closes_its_tunnel(site_t *site, edri_workers_t workers)
{
    edri_bytes_t bytes;
    if (!is_far(workers)) {
        return;
    }
    edri_tunnel_t *tunnel = open_flow(site, "die", EDRI_OK);
    check(duty_flow_send_up(tunnel, "x", 1, 10000) == EDRI_OK, "sent");
    edri_err_t err = duty_flow_receive_down(tunnel, 10000, &bytes);
    check(err == EDRI_WORKER_DIED, "%s: %s", edri_err_name(err),
        edri_tunnel_text(tunnel));
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    // Others are opened, all the same.  Of a process with several threads another seat
    // may have handed it one that has come before the end was noticed there.
    for (int i = 0; i < 2 && (tunnel = open_after_end(site)) == NULL; i++) {
    }
    check(tunnel != NULL, "echo: %s", edri_port_error(site->port));
    pour(site, tunnel, 100, 10);
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
}

static void
what_is_too_late_is_not_begun(site_t *site, edri_workers_t workers)
{
    if (!is_alone(workers)) {
        return;
    }
    size_t begun = site_seen(site, "begun");
    size_t noted = site_seen(site, "noted");
    uint64_t expired = site_counter(site, "events.expired");
    Duty__Note note = DUTY__NOTE__INIT;
    site_note(site, "work", 100);
    check(site_wait(site, "begun", begun + 1), "not begun");
    note.what = (char[]){"see"};
    edri_emit_options_t options = {.ttl_ms = 20};
    check(
        edri_emit(site->port, &duty_note_type, &note.base, &options) == EDRI_OK,
        "emit");
    site_note(site, "see", 1); // behind it
    check(site_wait(site, "noted", noted + 1), "the one behind");
    check(site_seen(site, "noted") == noted + 1, "it was begun");
    check(site_counter(site, "events.expired") == expired + 1, "not counted");
}

static void
what_fails_is_tried_again(site_t *site, edri_workers_t workers)
{
    Duty__Try event = DUTY__TRY__INIT;
    (void)workers;
    size_t before = site_seen(site, "tried");
    uint64_t retried = site_counter(site, "events.retried");
    check(duty_try_emit(site->port, &event) == EDRI_OK, "emit");
    check(site_wait(site, "tried", before + 1), "not tried often enough");
    check(site_counter(site, "events.retried") == retried + 2, "not counted");
}

static void
on_end(const edri_answer_t *answer, const Duty__Done *done, void *arg)
{
    (void)done;
    *(edri_err_t *)arg = answer->err;
}

static void
a_cancel_reaches_the_handler(site_t *site, edri_workers_t workers)
{
    Duty__Do request = DUTY__DO__INIT;
    edri_err_t err = EDRI_OK;
    (void)workers;
    size_t begun = site_seen(site, "begun");
    size_t unwanted = site_seen(site, "unwanted");
    request.what = (char[]){"until_unwanted"};
    check(
        duty_do_request_async(site->port, &request, 0, on_end, &err) == EDRI_OK,
        "request");
    check(site_wait(site, "begun", begun + 1), "not begun");
    check(edri_request_cancel(site->port, edri_port_last_request(site->port)) ==
              EDRI_OK,
        "cancel");
    check(err == EDRI_CANCELLED, "%s", edri_err_name(err));
    check(site_wait(site, "unwanted", unwanted + 1), "it was not told");
    check(duty_do_request(site->port, &request, 50, NULL) == EDRI_DEADLINE,
        "a deadline");
    check(site_wait(site, "unwanted", unwanted + 2), "it does not see that");
}

typedef struct heard {
    size_t count;
    uint64_t done;
    bool wrong;
} heard_t;

static void
on_progress(const edri_progress_t *progress, void *arg)
{
    heard_t *self = arg;
    self->wrong = self->wrong || progress->total != 3 ||
                  !streq(progress->text, "counting") ||
                  (self->count > 0 && progress->done <= self->done) ||
                  progress->request == 0 || progress->life == 0;
    self->done = progress->done;
    self->count++;
}

static void
progress_is_told_to_who_wants_it(site_t *site, edri_workers_t workers)
{
    (void)workers;
    heard_t heard = {0};
    check(edri_port_on_progress(site->port, on_progress, &heard) == EDRI_OK,
        "%s", edri_port_error(site->port));
    check(site_do(site, "progress", 3, NULL) == EDRI_OK, "%s",
        edri_port_error(site->port));
    check(heard.count >= 2 && heard.done == 3 && !heard.wrong, "%zu, %d",
        heard.count, (int)heard.done);
    check(edri_port_on_progress(site->port, NULL, NULL) == EDRI_OK, "off");
    heard.count = 0;
    check(site_do(site, "progress", 1, NULL) == EDRI_OK, "%s",
        edri_port_error(site->port));
    check(heard.count == 0, "nobody wants to know");
}

static void
a_full_receiver_pushes_back(site_t *site, edri_workers_t workers)
{
    (void)workers;
    Duty__Done *done = NULL;
    site_hold(site, true);
    check(site_do(site, "flood_no_wait", 0, &done) == EDRI_OK, "%s",
        edri_port_error(site->port));
    check(streq(done->text, "AGAIN"), "%s", done->text);
    duty_do_reply_free(&done);
    check(site_do(site, "flood", 0, &done) == EDRI_OK, "%s",
        edri_port_error(site->port));
    check(streq(done->text, "OVERLOADED"), "%s", done->text);
    duty_do_reply_free(&done);
    site_hold(site, false);
    check(site_do(site, "echo", 0, NULL) == EDRI_OK, "after that");
}

static void
a_handler_may_end_the_node(site_t *site, edri_workers_t workers)
{
    (void)workers;
    check(site_do(site, "quit", 0, NULL) == EDRI_OK, "quit");
    check(edri_node_wait(site->node) == EDRI_OK, "wait");
}

static void
draining_finishes_what_was_begun(site_t *site, edri_workers_t workers)
{
    (void)workers;
    size_t begun = site_seen(site, "begun");
    size_t ended = site_seen(site, "ended");
    char line[16] = "";
    const char *stopped_path = getenv("WORK_STOPPED");
    int fd = open(stopped_path, O_RDONLY | O_CLOEXEC);
    check(fd >= 0, "%s", stopped_path);
    site_note(site, "work", 200);
    site_note(site, "work", 201); // at one worker: queued
    check(site_wait(site, "begun", begun + 1), "not begun");
    check(edri_node_stop(site->node, 10000) == EDRI_OK, "not drained");
    check(site_seen(site, "ended") == ended + 2, "it was cut off");
    check(site_seen(site, "draining") == 1, "the hook was not called");
    check(read(fd, line, sizeof line) == 8, "nor that of the end");
    (void)close(fd);
    (void)unlink(stopped_path);
}

// ----- running

typedef struct test_case {
    const char *name;
    void (*run)(site_t *site, edri_workers_t workers);
} test_case_t;

#define CASE(name)  \
    {               \
#name, name \
    }

// clang-format off
static const test_case_t cases[] = {
    CASE(its_hook_has_been_called),
    CASE(a_request_is_answered),
    CASE(a_notification_is_handled),
    CASE(an_error_comes_with_its_text),
    CASE(what_a_handler_emits_comes_in_order),
    CASE(a_type_that_only_the_handler_knows_is_emitted),
    CASE(a_handler_may_ask),
    CASE(an_observer_sees_replies),
    CASE(large_bodies_go_both_ways),
    CASE(large_bodies_are_emitted),
    CASE(a_task_knows_its_facts),
    CASE(one_worker_keeps_the_order),
    CASE(who_waits_for_itself_is_told),
    CASE(what_is_too_late_is_not_begun),
    CASE(what_fails_is_tried_again),
    CASE(a_cancel_reaches_the_handler),
    CASE(progress_is_told_to_who_wants_it),
    CASE(a_full_receiver_pushes_back),
    CASE(tunnels_go_both_ways),
    CASE(a_process_that_ends_closes_its_tunnel),
    CASE(a_handler_may_end_the_node),
    CASE(draining_finishes_what_was_begun), // last: it ends the node
};
// clang-format on

// is_wanted says whether a case was named, or none.
static bool
is_wanted(const site_t *site, const char *name)
{
    char **args = NULL;
    int count = edri_node_args(site->node, &args);
    bool wanted = count == 2;
    for (int i = 2; i < count; i++) {
        wanted = wanted || streq(args[i], name);
    }
    return wanted;
}

// name_stopped_file makes the file that the hook 'stopped' writes to, wherever it
// runs.
static void
name_stopped_file(void)
{
    char path[] = "/tmp/edri-stopped-XXXXXX";
    if (getenv("WORK_STOPPED") == NULL) { // else a process of it
        int fd = mkstemp(path);
        check(fd >= 0 && setenv("WORK_STOPPED", path, 1) == 0, "%s", path);
        (void)close(fd);
    }
}

int
main(int argc, char **argv)
{
    edri_workers_t workers;
    if (argc < 2 || !read_mode(argv[1], &workers)) {
        fprintf(stderr, "usage: conformance MODE [--config FILE] [CASE]...\n");
        return 2;
    }
    edri_log_set(edri_log_stderr, NULL, EDRI_LOG_ERROR);
    name_stopped_file();
    // With a file it says the kind, and the code another.
    bool configured = argc > 2 && streq(argv[2], "--config");
    site_t *site = site_new(argc, argv, configured ? EDRI_THREADS(2) : workers);
    if (is_wanted(site, "tunnels_go_both_ways")) { // a program may have none
        (void)duty_flow_handle(
            site->work, site_on_flow, configured ? EDRI_THREADS(2) : workers);
    }
    if (own && !configured) {
        (void)edri_manager_own_process(site->work);
    }
    (void)edri_node_set(site->node, "node.name", "site");
    (void)edri_node_set(site->node, "emit.wait", "300ms");
    (void)edri_node_set(site->node, "node.manager_queue", "64K");
    (void)edri_node_set(site->node, "node.port_queue", "64K");
    site_start(site);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (is_wanted(site, cases[i].name)) {
            cases[i].run(site, workers);
            printf("ok %s: %s\n", argv[1], cases[i].name);
            (void)fflush(stdout);
        }
    }
    site_free(&site);
    (void)unlink(getenv("WORK_STOPPED"));
    return 0;
}
