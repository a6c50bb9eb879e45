// SPDX-License-Identifier: MIT
// own_process.c - a manager in a process of its own, which ends: own_process CASE.
//
// Each case is a run, as in supervision.c.

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <edri/reload.h>

#include "base/alloc.h"
#include "edri/system.edri.h"
#include "site.h"

// pid_of asks the process for its number.
static pid_t
pid_of(site_t *site)
{
    Duty__Done *done = NULL;
    check(site_do(site, "echo", 1, &done) == EDRI_OK, "%s",
        edri_port_error(site->port));
    pid_t pid = (pid_t)done->pid;
    duty_do_reply_free(&done);
    check(pid != getpid(), "it is the node's");
    return pid;
}

static void
it_is_started_again(site_t *site)
{
    site_start(site);
    const char *ends[] = {"kill", "segv", "exit"};
    const char *texts[] = {"was killed by signal 9 (Killed)",
        "was killed by signal 11 (Segmentation fault)", "exited with status 3"};
    for (size_t i = 0; i < 3; i++) {
        pid_t pid = pid_of(site);
        edri_err_t err = site_do(site, ends[i], 0, NULL);
        const char *said = edri_port_error(site->port);
        check(err == EDRI_WORKER_DIED && strstr(said, texts[i]) != NULL &&
                  strstr(said, " of work ") != NULL,
            "%s: %s", edri_err_name(err), said);
        check(pid_of(site) != pid, "it is the same");
        check(site_wait(site, "started", i + 2), "its hook was not called");
    }
    check(site_counter(site, "workers.died") == 3, "counted");
}

static void
what_waits_is_for_the_next_life(site_t *site)
{
    site_start(site);
    site_note(site, "kill", 0);
    for (uint64_t i = 0; i < 100; i++) {
        site_note(site, "see", i);
    }
    check(site_wait(site, "noted", 100), "only %zu", site_seen(site, "noted"));
    uint64_t next = 0;
    for (size_t i = 0; i < site->count; i++) {
        if (streq(site->seen[i].what, "noted")) {
            check(site->seen[i].number == next++, "disorder");
        }
    }
    check(site_counter(site, "events.worker_died") == 1, "only what was begun");
}

static void
on_end(const edri_answer_t *answer, const Duty__Done *done, void *arg)
{
    (void)done;
    *(edri_err_t *)arg = answer->err;
}

// ask_work asks for work that takes long; *err_p becomes how it ends.
static void
ask_work(site_t *site, edri_err_t *err_p)
{
    Duty__Do request = DUTY__DO__INIT;
    request.what = (char[]){"work"};
    request.number = 60000;
    *err_p = EDRI_AGAIN;
    check(duty_do_request_async(site->port, &request, 0, on_end, err_p) ==
              EDRI_OK,
        "%s", edri_port_error(site->port));
}

static void
all_its_threads_end_with_it(site_t *site)
{
    edri_err_t ends[2];
    site_start(site);
    ask_work(site, &ends[0]);
    ask_work(site, &ends[1]);
    check(site_wait(site, "begun", 2), "not begun");
    check(kill(pid_of(site), SIGKILL) == 0, "kill");
    while (ends[0] == EDRI_AGAIN || ends[1] == EDRI_AGAIN) {
        check(edri_port_poll(site->port, 10000) == EDRI_OK, "no end");
    }
    check(ends[0] == EDRI_WORKER_DIED && ends[1] == EDRI_WORKER_DIED, "%s %s",
        edri_err_name(ends[0]), edri_err_name(ends[1]));
    (void)pid_of(site);
    check(site_counter(site, "workers.died") == 1, "it is one");
}

static void
one_that_is_stuck_is_ended(site_t *site)
{
    edri_err_t err;
    (void)edri_node_set(site->node, "worker.grace", "500ms");
    site_start(site);
    ask_work(site, &err);
    check(site_wait(site, "begun", 1), "not begun");
    check(edri_request_cancel(site->port, edri_port_last_request(site->port)) ==
              EDRI_OK,
        "%s", edri_port_error(site->port));
    (void)pid_of(site);
    check(site_counter(site, "workers.died") == 1, "it went on");
    check(site_wait(site, "started", 2), "its hook");
}

static void
one_whose_work_stands_still_is_ended(site_t *site)
{
    (void)edri_node_set(site->node, "health.probe", "100ms");
    (void)edri_node_set(site->node, "health.slow", "200ms");
    (void)edri_node_set(site->node, "health.stuck", "400ms");
    site_start(site);
    edri_err_t err = site_do(site, "work", 60000, NULL); // no time limit
    check(err == EDRI_WORKER_DIED &&
              strstr(edri_port_error(site->port), "it was stuck") != NULL,
        "%s", edri_port_error(site->port));
    (void)pid_of(site);
    check(site_wait(site, "started", 2), "its hook");
}

static void
one_that_cannot_start_fails_the_node(site_t *site)
{
    check(setenv("WORK_FAILS_TO_START", "1", 1) == 0, "setenv");
    edri_err_t err = edri_node_start(site->node);
    check(err == EDRI_NOT_FOUND, "%s", edri_err_name(err));
    check(
        strstr(edri_node_error(site->node),
            "manager work: its process could not begin: not found: worker ") !=
                NULL &&
            strstr(edri_node_error(site->node), "no such luck") != NULL,
        "%s", edri_node_error(site->node));
}

// ----- what ends too often

static edri_err_t
on_down(edri_task_t *task, const Edri__ManagerDown *event)
{
    Duty__Seen seen = DUTY__SEEN__INIT;
    seen.what = event->state;
    return streq(event->manager, "work")
               ? duty_seen_emit(edri_task_port(task), &seen)
               : EDRI_OK;
}

static void
one_that_ends_too_often_is_closed(site_t *site)
{
    edri_manager_t *watch = edri_node_manager(site->node, "watch");
    check(edri_manager_down_handle(watch, on_down, EDRI_METHOD) == EDRI_OK,
        "%s", edri_node_error(site->node));
    (void)edri_node_set(site->node, "worker.restarts", "2");
    (void)edri_node_set(site->node, "worker.backoff_min", "1ms");
    site_start(site);
    for (int i = 0; i < 2; i++) {
        check(site_do(site, "kill", 0, NULL) == EDRI_WORKER_DIED, "%s",
            edri_port_error(site->port));
        (void)pid_of(site);
    }
    edri_err_t err;
    pid_t pid = pid_of(site);
    ask_work(site, &err); // what comes behind it waits
    check(site_wait(site, "begun", 1), "not begun");
    for (uint64_t i = 0; i < 10; i++) {
        site_note(site, "see", i);
    }
    edri_err_t waits;
    ask_work(site, &waits);
    check(edri_port_flush(site->port, 10000) == EDRI_OK, "flush");
    check(kill(pid, SIGKILL) == 0, "kill");
    while (err == EDRI_AGAIN || waits == EDRI_AGAIN) {
        check(edri_port_poll(site->port, 10000) == EDRI_OK, "no end");
    }
    check(err == EDRI_WORKER_DIED && waits == EDRI_WORKER_DIED, "%s %s",
        edri_err_name(err), edri_err_name(waits));
    check(site_wait(site, "dead", 1), "nobody was told");
    wait_for(site_counter(site, "events.dead") == 10);
    check(site_counter(site, "events.dead") == 10, "%d dead letters",
        (int)site_counter(site, "events.dead"));
    err = site_do(site, "echo", 0, NULL);
    check(err == EDRI_NO_RESPONDER, "%s", edri_err_name(err));
}

// ----- and others take its place

static pid_t
start_switch(const char *endpoint)
{
    char bind[128];
    char program[512];
    const char *bin = getenv("EDRI_BIN");
    (void)snprintf(bind, sizeof bind, "switch.bind=%s", endpoint);
    (void)snprintf(program, sizeof program, "%s/edri-switch",
        bin != NULL ? bin : "build/bin");
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)!freopen("/dev/null", "w", stdout);
        execl(program, program, "--set", bind, "--set", "switch.settle=100ms",
            (char *)NULL);
        _exit(127);
    }
    return pid;
}

typedef struct other {
    edri_node_t *node;
    _Atomic(uint64_t) times[200]; // by number
    atomic_uint marked;
} other_t;

static edri_err_t
count_shared(edri_task_t *task, const Duty__Shared *event)
{
    other_t *self = edri_task_state(task);
    atomic_fetch_add(&self->times[event->number], 1);
    atomic_fetch_add(&self->marked, edri_task_redelivered(task));
    return EDRI_OK;
}

static edri_node_t *
start_node(const char *name, const char *endpoint, other_t *handles)
{
    edri_node_t *node = edri_node_new(0, NULL);
    (void)edri_node_set(node, "node.name", name);
    (void)edri_node_set(node, "node.switch", endpoint);
    if (handles != NULL) {
        edri_manager_t *work = edri_node_manager(node, "work");
        (void)edri_manager_set_state(work, handles, NULL);
        (void)duty_shared_handle(work, count_shared, EDRI_METHOD);
    }
    check(edri_node_start(node) == EDRI_OK, "%s", edri_node_error(node));
    return node;
}

static void
emit_shared(edri_port_t *port, uint64_t from, uint64_t end)
{
    Duty__Shared event = DUTY__SHARED__INIT;
    for (event.number = from; event.number < end; event.number++) {
        check(duty_shared_emit(port, &event) == EDRI_OK, "%s",
            edri_port_error(port));
    }
    check(edri_port_flush(port, 10000) == EDRI_OK, "flush");
}

static void
what_waits_goes_to_another_member(site_t *site)
{
    static other_t other;
    char endpoint[64];
    (void)snprintf(
        endpoint, sizeof endpoint, "ipc:///tmp/edri-own-%d", (int)getpid());
    pid_t hub = start_switch(endpoint);
    (void)edri_node_set(site->node, "node.switch", endpoint);
    (void)edri_node_set(site->node, "worker.restarts", "0");
    site_start(site);
    edri_node_t *node = start_node("other", endpoint, &other);
    edri_node_t *third = start_node("third", endpoint, NULL);
    edri_port_t *port = edri_node_port(third);
    pid_t pid = pid_of(site);
    site_note(site, "work", 60000); // what comes behind it waits
    check(site_wait(site, "begun", 1), "not begun");
    emit_shared(site->port, 0, 100); // here first
    emit_shared(port, 100, 200);     // to one of the two
    check(kill(pid, SIGKILL) == 0, "kill");
    for (uint64_t i = 0; i < 200; i++) {
        wait_for(atomic_load(&other.times[i]) > 0);
        check(atomic_load(&other.times[i]) == 1, "%d came %d times", (int)i,
            (int)atomic_load(&other.times[i]));
    }
    check(atomic_load(&other.marked) == 0, "nothing of it had been begun");
    check(site_seen(site, "shared") == 0, "nothing of it had been begun");
    check(site_counter(site, "events.lost") == 0, "lost");
    edri_port_destroy(&port);
    edri_node_destroy(&third);
    edri_node_destroy(&node);
    (void)kill(hub, SIGTERM);
    (void)waitpid(hub, NULL, 0);
}

// ----- reload

// reload lets "work" go over to a new process.  Returns how that went.
static edri_err_t
reload(edri_node_t *guest, const char *manager, char text[256])
{
    edri_reload_t *result = NULL;
    const edri_reload_row_t *rows = NULL;
    check(edri_reload_new(guest, "site", manager, 20000, &result) == EDRI_OK,
        "%s", edri_node_error(guest));
    check(edri_reload_rows(result, &rows) == 1, "one row");
    (void)snprintf(
        text, 256, "%s/%s: %s", rows[0].node, rows[0].manager, rows[0].text);
    edri_err_t err = rows[0].err;
    edri_reload_destroy(&result);
    return err;
}

// start_linked starts the site beside a switch; *guest_p may ask it.
static pid_t
start_linked(site_t *site, edri_node_t **guest_p)
{
    char endpoint[64];
    (void)snprintf(
        endpoint, sizeof endpoint, "ipc:///tmp/edri-own-%d", (int)getpid());
    pid_t hub = start_switch(endpoint);
    (void)edri_node_set(site->node, "node.switch", endpoint);
    (void)edri_node_set(site->node, "worker.grace", "1s");
    site_start(site);
    *guest_p = edri_node_new(0, NULL);
    (void)edri_node_set(*guest_p, "node.switch", endpoint);
    check(
        edri_node_start(*guest_p) == EDRI_OK, "%s", edri_node_error(*guest_p));
    return hub;
}

static void
end_linked(pid_t hub, edri_node_t **guest_p)
{
    edri_node_destroy(guest_p);
    (void)kill(hub, SIGTERM);
    (void)waitpid(hub, NULL, 0);
}

typedef struct stream {
    site_t *site;
    edri_port_t *port;
    atomic_bool stop;
    uint64_t count;
} stream_t;

// emit_stream emits numbered notes until it is stopped.
static void *
emit_stream(void *arg)
{
    stream_t *self = arg;
    Duty__Note note = DUTY__NOTE__INIT;
    edri_port_t *port = edri_node_port(self->site->node);
    note.what = (char[]){"see"};
    while (!atomic_load(&self->stop) && self->count < 100000) {
        note.number = self->count++;
        check(duty_note_emit(port, &note) == EDRI_OK, "%s",
            edri_port_error(port));
        if (self->count % 16 == 0) {
            (void)poll(NULL, 0, 1);
        }
    }
    edri_port_destroy(&port);
    return NULL;
}

static void
reloads_lose_nothing(site_t *site, bool in_order)
{
    edri_node_t *guest = NULL;
    pthread_t thread;
    stream_t stream = {.site = site};
    char text[256];
    pid_t hub = start_linked(site, &guest);
    check(pthread_create(&thread, NULL, emit_stream, &stream) == 0, "thread");
    check(site_wait(site, "noted", 100), "no stream");
    for (int i = 0; i < 5; i++) {
        pid_t before = pid_of(site);
        check(reload(guest, "work", text) == EDRI_OK, "%s", text);
        check(in_order ? pid_of(site) != before : true, "it is the same");
    }
    atomic_store(&stream.stop, true);
    check(pthread_join(thread, NULL) == 0, "join");
    check(site_wait(site, "noted", stream.count), "%zu of %d came",
        site_seen(site, "noted"), (int)stream.count);
    check(site_seen(site, "noted") == stream.count, "some came twice");
    uint64_t next = 0;
    for (size_t i = 0; i < site->count && in_order; i++) {
        if (streq(site->seen[i].what, "noted")) {
            check(site->seen[i].number == next++, "disorder");
        }
    }
    check(site_counter(site, "workers.died") == 0, "some have died");
    end_linked(hub, &guest);
}

static void
its_reload_loses_nothing(site_t *site)
{
    reloads_lose_nothing(site, true);
    check(site_seen(site, "started") == 6, "its hook");
}

static void
that_of_its_threads_loses_nothing(site_t *site)
{
    reloads_lose_nothing(site, false);
}

static void
what_was_begun_ends_in_the_old_one(site_t *site)
{
    edri_node_t *guest = NULL;
    char text[256];
    Duty__Do request = DUTY__DO__INIT;
    edri_err_t err = EDRI_AGAIN;
    pid_t hub = start_linked(site, &guest);
    pid_t before = pid_of(site);
    request.what = (char[]){"work"};
    request.number = 500;
    check(
        duty_do_request_async(site->port, &request, 0, on_end, &err) == EDRI_OK,
        "%s", edri_port_error(site->port));
    check(site_wait(site, "begun", 1), "not begun");
    check(reload(guest, "work", text) == EDRI_OK, "%s", text);
    check(pid_of(site) != before, "it is the same");
    while (err == EDRI_AGAIN) {
        check(edri_port_poll(site->port, 10000) == EDRI_OK, "no end");
    }
    check(err == EDRI_OK && site_seen(site, "begun") == 1, "%s",
        edri_err_name(err));
    wait_for(kill(before, 0) != 0); // and then it ends
    check(kill(before, 0) != 0, "the old one is left");
    end_linked(hub, &guest);
}

static void
a_reload_that_fails_changes_nothing(site_t *site)
{
    edri_node_t *guest = NULL;
    char text[256];
    pid_t hub = start_linked(site, &guest);
    pid_t before = pid_of(site);
    check(setenv("WORK_FAILS_TO_START", "1", 1) == 0, "setenv");
    check(reload(guest, "work", text) != EDRI_OK, "it went well");
    check(strstr(text, "no such luck") != NULL, "%s", text);
    check(pid_of(site) == before, "it is another one");
    check(unsetenv("WORK_FAILS_TO_START") == 0, "unsetenv");
    check(reload(guest, NULL, text) == EDRI_OK, "%s", text);
    check(pid_of(site) != before, "it is the same");
    check(reload(guest, "sink", text) == EDRI_INVAL, "%s", text);
    check(strstr(text, "part of the program") != NULL, "%s", text);
    check(reload(guest, "nobody", text) == EDRI_NOT_FOUND, "%s", text);
    end_linked(hub, &guest);
}

// ----- running

typedef struct test_case {
    const char *name;
    edri_workers_t workers;
    void (*run)(site_t *site);
} test_case_t;

#define CASE(name, workers)  \
    {                        \
#name, workers, name \
    }

// clang-format off
static const test_case_t cases[] = {
    CASE(it_is_started_again, EDRI_METHOD),
    CASE(what_waits_is_for_the_next_life, EDRI_METHOD),
    CASE(all_its_threads_end_with_it, EDRI_THREADS(3)),
    CASE(one_that_is_stuck_is_ended, EDRI_METHOD),
    CASE(one_whose_work_stands_still_is_ended, EDRI_METHOD),
    CASE(one_that_cannot_start_fails_the_node, EDRI_THREADS(2)),
    CASE(one_that_ends_too_often_is_closed, EDRI_METHOD),
    CASE(what_waits_goes_to_another_member, EDRI_METHOD),
    CASE(its_reload_loses_nothing, EDRI_METHOD),
    CASE(that_of_its_threads_loses_nothing, EDRI_THREADS(3)),
    CASE(what_was_begun_ends_in_the_old_one, EDRI_THREADS(2)),
    CASE(a_reload_that_fails_changes_nothing, EDRI_METHOD),
};
// clang-format on

int
main(int argc, char **argv)
{
    edri_log_set(edri_log_stderr, NULL,
        getenv("VERBOSE") ? EDRI_LOG_INFO : EDRI_LOG_ERROR);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (argc >= 2 && streq(argv[1], cases[i].name)) {
            site_t *site = site_new(argc, argv, cases[i].workers);
            (void)edri_node_set(site->node, "node.name", "site");
            (void)edri_manager_own_process(site->work);
            if (getenv("EDRI_WORKER") != NULL) {
                site_start(site); // does not return
            }
            cases[i].run(site);
            site_free(&site);
            printf("ok %s\n", argv[1]);
            return 0;
        }
    }
    fprintf(stderr, "usage: own_process CASE\n");
    return 2;
}
