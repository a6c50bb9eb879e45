// SPDX-License-Identifier: MIT
// supervision.c - processes that end when they should not, and those that end
// when they should: supervision CASE.
//
// A case has a node of its own, and workers start this program again, so each
// case is a run.

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "site.h"

static size_t
open_descriptors(void)
{
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory != NULL && readdir(directory) != NULL) {
        count++;
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
    return count;
}

// expect_death asks for something that ends the worker.
static void
expect_death(site_t *site, const char *what, const char *text)
{
    edri_err_t err = site_do(site, what, 0, NULL);
    const char *said = edri_port_error(site->port);
    check(err == EDRI_WORKER_DIED, "%s: %s", edri_err_name(err), said);
    check(strstr(said, "worker ") != NULL && strstr(said, " of duty.Do ") &&
              strstr(said, text) != NULL,
        "%s", said);
    check(site_do(site, "echo", 1, NULL) == EDRI_OK, "the next: %s",
        edri_port_error(site->port));
}

static void
a_worker_that_is_killed_is_replaced(site_t *site)
{
    site_start(site);
    check(site_do(site, "echo", 1, NULL) == EDRI_OK, "echo");
    wait_for(site_counter(site, "workers.started") == 5); // all pools
    size_t before = open_descriptors();
    for (int i = 0; i < 3; i++) {
        expect_death(site, "kill", "was killed by signal 9 (Killed)");
        expect_death(
            site, "segv", "was killed by signal 11 (Segmentation fault)");
        expect_death(site, "exit", "exited with status 3");
        expect_death(site, "garbage", "was ended: not 1 to 3 parts");
    }
    check(open_descriptors() == before, "descriptors: %zu, then %zu", before,
        open_descriptors());
    check(site_counter(site, "workers.died") == 12, "counted");
    check(site_counter(site, "events.worker_died") == 12, "counted");
}

static void
a_notification_that_ends_its_worker_is_counted(site_t *site)
{
    site_start(site);
    site_note(site, "kill", 0);
    site_note(site, "see", 1);
    check(site_wait(site, "noted", 1), "the next one");
    check(site_counter(site, "events.worker_died") == 1, "not counted");
}

static void
an_idle_worker_that_ends_is_replaced(site_t *site)
{
    Duty__Done *done = NULL;
    site_start(site);
    check(site_do(site, "echo", 1, &done) == EDRI_OK, "echo");
    check(kill((pid_t)done->pid, SIGKILL) == 0, "kill");
    duty_do_reply_free(&done);
    // Nothing asks for it: the pool sees to it by itself.
    wait_for(site_counter(site, "workers.died") == 1);
    check(site_counter(site, "workers.died") == 1, "it was not seen");
    wait_for(site_counter(site, "workers.started") == 6);
    check(site_counter(site, "workers.started") == 6, "it was not replaced");
    check(site_do(site, "echo", 1, NULL) == EDRI_OK, "%s",
        edri_port_error(site->port));
}

// again asks for what may be tried again.
static edri_err_t
again(site_t *site, const char *what, uint64_t *redelivered)
{
    Duty__Again request = DUTY__AGAIN__INIT;
    Duty__Done *done = NULL;
    char *copy = str_dup(what);
    request.what = copy;
    edri_err_t err = duty_again_request(site->port, &request, 0, &done);
    *redelivered = done != NULL ? done->number : 0;
    duty_again_reply_free(&done);
    free(copy);
    return err;
}

static void
an_event_that_ends_its_workers_is_quarantined(site_t *site)
{
    uint64_t redelivered = 0;
    site_start(site);
    edri_err_t err = again(site, "kill", &redelivered);
    check(err == EDRI_QUARANTINED, "%s: %s", edri_err_name(err),
        edri_port_error(site->port));
    check(site_counter(site, "workers.died") == 3, "%d died",
        (int)site_counter(site, "workers.died"));
    check(site_counter(site, "events.quarantined") == 1, "not counted");
    check(again(site, "echo", &redelivered) == EDRI_OK, "another one: %s",
        edri_port_error(site->port));
    check(redelivered == 0, "another one is none of these");
}

static void
a_barred_event_leaves_the_next_worker_alone(site_t *site)
{
    uint64_t redelivered = 0;
    site_start(site);
    check(again(site, "exit", &redelivered) == EDRI_QUARANTINED, "%s",
        edri_port_error(site->port));
    // What the proxy said for it does not take the ids of the process.
    check(again(site, "work", &redelivered) == EDRI_OK, "%s",
        edri_port_error(site->port));
    check(site_wait(site, "ended", 1), "nothing was emitted");
    check(site_counter(site, "workers.died") == 3, "one more died");
}

static void
a_try_that_ends_its_worker_is_made_again(site_t *site)
{
    Duty__Try event = DUTY__TRY__INIT;
    site_start(site);
    event.what = (char[]){"exit"};
    check(duty_try_emit(site->port, &event) == EDRI_OK, "emit");
    check(site_wait(site, "tried", 1), "not tried often enough");
    check(site_counter(site, "workers.died") == 2, "two died");
    check(site_counter(site, "events.dead") == 0, "nothing is dead");
}

static void
on_end(const edri_answer_t *answer, const Duty__Done *done, void *arg)
{
    (void)done;
    *(edri_err_t *)arg = answer->err;
}

static void
a_task_that_nobody_waits_for_ends_its_worker(site_t *site)
{
    Duty__Do request = DUTY__DO__INIT;
    edri_err_t err = EDRI_OK;
    (void)edri_node_set(site->node, "worker.grace", "500ms");
    site_start(site);
    request.what = (char[]){"work"};
    request.number = 60000; // and does not look whether it is wanted
    check(
        duty_do_request_async(site->port, &request, 0, on_end, &err) == EDRI_OK,
        "request");
    check(site_wait(site, "begun", 1), "not begun");
    check(edri_request_cancel(site->port, edri_port_last_request(site->port)) ==
              EDRI_OK,
        "cancel");
    wait_for(site_counter(site, "workers.died") == 1);
    check(site_counter(site, "workers.died") == 1, "after a cancel");
    check(site_do(site, "echo", 1, NULL) == EDRI_OK, "another took its place");
    check(duty_do_request(site->port, &request, 1000, NULL) == EDRI_DEADLINE,
        "a deadline");
    wait_for(site_counter(site, "workers.died") == 2);
    check(site_counter(site, "workers.died") == 2, "after the deadline");
    check(site_do(site, "echo", 1, NULL) == EDRI_OK, "%s",
        edri_port_error(site->port));
    check(site_counter(site, "events.quarantined") == 0, "none is to blame");
}

static void
a_task_beyond_its_time_limit_ends_its_worker(site_t *site)
{
    (void)edri_node_set(site->node, "worker.grace", "500ms");
    site_start(site); // the file says managers/work/time_limit
    site_note(site, "work", 60000);
    site_note(site, "see", 1);
    check(site_wait(site, "noted", 1), "the next one");
    check(site_counter(site, "workers.died") == 1, "not ended");
    check(site_counter(site, "events.dead") == 1, "it is a dead letter");
    edri_err_t err = site_do(site, "work", 60000, NULL);
    check(err == EDRI_WORKER_DIED, "%s", edri_err_name(err));
    check(strstr(edri_port_error(site->port), "its time was over") != NULL,
        "%s", edri_port_error(site->port));
}

static void
a_worker_that_never_is_ready_is_given_up(site_t *site)
{
    (void)setenv("WORK_END_AT_START", "1", 1);
    site_start(site);
    edri_err_t err = site_do(site, "echo", 1, NULL);
    check(err == EDRI_WORKER_DIED, "%s", edri_err_name(err));
    check(strstr(edri_port_error(site->port), "exited with status 7") != NULL,
        "%s", edri_port_error(site->port));
    check(site_do(site, "echo", 1, NULL) == EDRI_WORKER_DIED, "again");
    // Four pools, back-off from 50 ms on: no spinning.
    check(site_counter(site, "workers.started") < 80, "it spins");
    (void)unsetenv("WORK_END_AT_START");
}

static void
a_program_that_does_not_exist_is_said(site_t *site)
{
    site_start(site);
    edri_err_t err = site_do(site, "echo", 1, NULL);
    check(err == EDRI_WORKER_DIED, "%s", edri_err_name(err));
    check(strstr(edri_port_error(site->port), "No such file") != NULL, "%s",
        edri_port_error(site->port));
}

static void
signals_to_the_group_leave_workers_to_the_node(site_t *site)
{
    check(setpgid(0, 0) == 0, "a group of our own");
    site_start(site);
    site_note(site, "work", 300);
    check(site_wait(site, "begun", 1), "not begun");
    (void)signal(SIGTERM, SIG_IGN); // the node's own: a program drains now
    (void)signal(SIGINT, SIG_IGN);
    check(kill(0, SIGTERM) == 0 && kill(0, SIGINT) == 0, "kill");
    check(edri_node_stop(site->node, 10000) == EDRI_OK, "not drained");
    check(site_seen(site, "ended") == 1, "it was cut off");
    check(site_counter(site, "workers.died") == 0, "workers died");
}

static void
a_stop_at_once_ends_what_runs(site_t *site)
{
    (void)edri_node_set(site->node, "worker.grace", "500ms");
    site_start(site);
    site_note(site, "work", 60000);
    check(site_wait(site, "begun", 1), "not begun");
    check(edri_node_stop(site->node, 0) == EDRI_OK, "stop");
    check(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD,
        "children are left");
}

static void
a_stop_lets_what_was_begun_end(site_t *site)
{
    site_start(site);
    site_note(site, "work", 300);
    check(site_wait(site, "begun", 1), "not begun");
    for (uint64_t i = 0; i < 5; i++) {
        site_note(site, "see", i); // wait behind it
    }
    check(edri_node_stop(site->node, 0) == EDRI_OK, "stop");
    check(site_counter(site, "events.handled") >= 1, "it was cut off");
    check(site_counter(site, "events.dead") == 0, "%d dead",
        (int)site_counter(site, "events.dead"));
    check(site_counter(site, "events.worker_died") == 0, "none died");
}

// children_of gives the processes that a process has started.
static size_t
children_of(pid_t parent, pid_t *pids, size_t most)
{
    size_t count = 0;
    DIR *directory = opendir("/proc");
    struct dirent *entry = NULL;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char path[300];
        int of = 0;
        (void)snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file != NULL && fscanf(file, "%*d (%*[^)]) %*c %d", &of) == 1 &&
            of == parent && count < most) {
            pids[count++] = (pid_t)atoi(entry->d_name);
        }
        if (file != NULL) {
            (void)fclose(file);
        }
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
    return count;
}

// is_gone says whether a process has ended; when it is reaped is not ours.
static bool
is_gone(pid_t pid)
{
    char path[64];
    char state = 'Z';
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        (void)!fscanf(file, "%*d (%*[^)]) %c", &state);
        (void)fclose(file);
    }
    return state == 'Z';
}

static void
a_node_that_is_killed_takes_its_workers_along(site_t *site)
{
    int pipes[2];
    char byte = 0;
    pid_t pids[16];
    check(pipe(pipes) == 0, "pipe");
    pid_t child = fork(); // before the node starts: there is one thread
    if (child == 0) {
        // They are killed while they end by themselves: not in a look for leaks.
        check(setenv("ASAN_OPTIONS", "detect_leaks=0", 1) == 0, "setenv");
        site_start(site);
        check(site_do(site, "echo", 1, NULL) == EDRI_OK, "echo");
        site_note(site, "work", 60000); // one is idle, another busy
        check(site_wait(site, "begun", 1), "not begun");
        wait_for(site_counter(site, "workers.started") == 5);
        check(write(pipes[1], "x", 1) == 1, "write");
        (void)poll(NULL, 0, -1);
    }
    check(read(pipes[0], &byte, 1) == 1, "read");
    size_t count = children_of(child, pids, 16);
    check(count == 5, "%zu workers of 5 pools", count);
    check(
        kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child, "kill");
    for (size_t i = 0; i < count; i++) {
        wait_for(is_gone(pids[i]));
        check(is_gone(pids[i]), "worker %d is left", pids[i]);
    }
    (void)close(pipes[0]);
    (void)close(pipes[1]);
}

// ----- running

typedef struct test_case {
    const char *name;
    void (*run)(site_t *site);
} test_case_t;

#define CASE(name)  \
    {               \
#name, name \
    }

// clang-format off
static const test_case_t cases[] = {
    CASE(a_worker_that_is_killed_is_replaced),
    CASE(a_notification_that_ends_its_worker_is_counted),
    CASE(an_idle_worker_that_ends_is_replaced),
    CASE(an_event_that_ends_its_workers_is_quarantined),
    CASE(a_barred_event_leaves_the_next_worker_alone),
    CASE(a_try_that_ends_its_worker_is_made_again),
    CASE(a_task_that_nobody_waits_for_ends_its_worker),
    CASE(a_task_beyond_its_time_limit_ends_its_worker),
    CASE(a_worker_that_never_is_ready_is_given_up),
    CASE(a_program_that_does_not_exist_is_said),
    CASE(signals_to_the_group_leave_workers_to_the_node),
    CASE(a_stop_at_once_ends_what_runs),
    CASE(a_stop_lets_what_was_begun_end),
    CASE(a_node_that_is_killed_takes_its_workers_along),
};
// clang-format on

int
main(int argc, char **argv)
{
    if (getenv("WORK_END_AT_START") != NULL && getenv("EDRI_WORKER") != NULL) {
        return 7;
    }
    edri_log_set(edri_log_stderr, NULL, EDRI_LOG_ERROR);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (argc >= 2 && streq(argv[1], cases[i].name)) {
            site_t *site = site_new(argc, argv, EDRI_PROCESSES(1));
            if (getenv("EDRI_WORKER") != NULL) {
                site_start(site); // does not return
            }
            cases[i].run(site);
            site_free(&site);
            printf("ok %s\n", argv[1]);
            return 0;
        }
    }
    fprintf(stderr, "usage: supervision CASE [--config FILE]\n");
    return 2;
}
