// SPDX-License-Identifier: MIT
// stress_huddle.c - two nodes ask each other through a switch, now and then or as fast
// as they can, so that threads stay on one processor at times (base/huddle.h).
//
// usage: stress_huddle SWITCH-PROGRAM
//
// It sees that libzmq's threads of both nodes and the threads of the switch do so while
// little is asked, and no longer while much is; that no handler and no asker ever runs
// where it may not run anywhere, as whatever they start would be kept there, too; and
// that none does so where node.huddle and switch.huddle say no, or threads spin.

#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "edri/edri.h"
#include "work.edri.h"

#include "hub.h"
#include "stress.h"

enum {
    THREADS = 8,       // that are looked at
    MANY = 64,         // requests at a time
    LARGE = 16 * 1024, // bytes of one
    SECONDS = 60,
    CALM = 500 // requests, after which they would huddle
};

static cpu_set_t everywhere;
static atomic_uint_fast64_t confined; // user's code that was kept somewhere
static unsigned answered;

// look_here is called where user's code runs.
static void
look_here(void)
{
    cpu_set_t mine;
    (void)sched_getaffinity(0, sizeof mine, &mine);
    confined += !CPU_EQUAL(&mine, &everywhere);
}

static edri_err_t
on_job(edri_task_t *task, const Work__Job *job, Work__Result *result)
{
    (void)task;
    (void)job;
    (void)result;
    look_here();
    return EDRI_OK;
}

static edri_node_t *
start_node(const char *name, bool handles)
{
    edri_node_t *node = edri_node_new(0, NULL);
    (void)edri_node_set(node, "node.name", name);
    (void)edri_node_set(node, "node.switch", endpoint);
    (void)edri_node_set(node, "node.start_timeout", "60s");
    if (handles) {
        work_job_handle(edri_node_manager(node, "upper"), on_job, EDRI_METHOD);
    }
    check(edri_node_start(node) == EDRI_OK, edri_node_error(node));
    return node;
}

// ----- threads

typedef struct looked {
    pid_t threads[THREADS];
    bool kept[THREADS]; // was kept on a processor, since it is looked at
    bool is_kept[THREADS];
    unsigned count;
} looked_t;

static bool
is_named(pid_t process, const char *task, const char *name)
{
    char path[300];
    char comm[32] = "";
    (void)snprintf(
        path, sizeof path, "/proc/%d/task/%s/comm", (int)process, task);
    FILE *file = fopen(path, "r");
    bool read = file != NULL && fgets(comm, sizeof comm, file) != NULL;
    if (file != NULL) {
        (void)fclose(file);
    }
    comm[strcspn(comm, "\n")] = '\0';
    size_t length = strlen(comm);
    size_t end = strlen(name);
    return read && length >= end && strcmp(comm + length - end, name) == 0;
}

// add_threads adds the threads of a process whose names end so.
static void
add_threads(looked_t *self, pid_t process, const char *name)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)process);
    DIR *tasks = opendir(path);
    const struct dirent *entry = NULL;
    check(tasks != NULL, path);
    while ((entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] != '.' && is_named(process, entry->d_name, name)) {
            check(self->count < THREADS, "more threads than expected");
            self->threads[self->count++] =
                (pid_t)strtol(entry->d_name, NULL, 10);
        }
    }
    (void)closedir(tasks);
}

static void
look(looked_t *self)
{
    for (unsigned i = 0; i < self->count; i++) {
        cpu_set_t its;
        check(sched_getaffinity(self->threads[i], sizeof its, &its) == 0,
            "a thread has ended");
        self->is_kept[i] = CPU_COUNT(&its) == 1;
        self->kept[i] = self->kept[i] || self->is_kept[i];
        check(self->is_kept[i] || CPU_EQUAL(&its, &everywhere),
            "a thread is kept on some processors");
    }
}

static unsigned
count(const bool *which, unsigned of)
{
    unsigned count = 0;
    for (unsigned i = 0; i < of; i++) {
        count += which[i];
    }
    return count;
}

// ----- requests

static void
on_result(const edri_answer_t *answer, const Work__Result *result, void *arg)
{
    (void)result;
    (void)arg;
    check(answer->err == EDRI_OK, edri_err_text(answer->err));
    look_here();
    answered++;
}

static void
ask(edri_port_t *port, unsigned times, size_t size)
{
    static uint8_t padding[LARGE];
    Work__Job job = WORK__JOB__INIT;
    job.padding = (ProtobufCBinaryData){size, padding};
    answered = 0;
    for (unsigned i = 0; i < times; i++) {
        check(work_job_request_async(port, &job, 20000, on_result, NULL) ==
                  EDRI_OK,
            edri_port_error(port));
    }
    while (answered < times) {
        check(edri_port_poll(port, 20000) == EDRI_OK, edri_port_error(port));
    }
}

// little_then_much: one small request at a time, until every thread was kept; then many
// large ones, until none is.
static void
little_then_much(edri_port_t *port, looked_t *looked)
{
    int64_t begin_ms = clock_ms();
    unsigned long asked = 0;
    while (count(looked->kept, looked->count) < looked->count) {
        check(clock_ms() - begin_ms < SECONDS * 1000, "they do not huddle");
        ask(port, 1, 0);
        look(looked);
        asked++;
    }
    printf("huddled after %lu requests, %lld ms\n", asked,
        (long long)(clock_ms() - begin_ms));
    begin_ms = clock_ms();
    asked = 0;
    while (count(looked->is_kept, looked->count) > 0) {
        check(clock_ms() - begin_ms < SECONDS * 1000, "they huddle for ever");
        ask(port, MANY, LARGE);
        look(looked);
        asked += MANY;
    }
    printf("let go after %lu more, %lld ms\n", asked,
        (long long)(clock_ms() - begin_ms));
}

// run lets them ask; the settings that stand in the environment say whether they may
// huddle.
static void
run(bool may)
{
    looked_t looked = {0};
    start_switch();
    edri_node_t *here = start_node("here", false);
    edri_node_t *there = start_node("there", true);
    edri_port_t *port = edri_node_port(here);
    ask(port, 1, 0);
    add_threads(&looked, getpid(), "ZMQbg/IO/0");
    check(looked.count == 2, "one of libzmq's threads for each node");
    add_threads(&looked, hub, "ZMQbg/IO/0");
    check(looked.count == 3, "one of libzmq's threads in the switch");
    looked.threads[looked.count++] = hub; // its main thread
    for (int i = 0; may && i < 3; i++) {
        memset(looked.kept, 0, sizeof looked.kept);
        little_then_much(port, &looked);
    }
    for (int i = 0; !may && i < CALM; i++) {
        ask(port, 1, 0);
        look(&looked);
    }
    check(may || count(looked.kept, looked.count) == 0, "they may not huddle");
    check(confined == 0, "user's code was kept on a processor");
    edri_port_destroy(&port);
    edri_node_destroy(&here);
    edri_node_destroy(&there);
    end_switch(SIGTERM);
}

// free_port finds a port where nobody listens.
static int
free_port(void)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    check(fd >= 0 && bind(fd, (struct sockaddr *)&at, size) == 0 &&
              getsockname(fd, (struct sockaddr *)&at, &size) == 0,
        "no free port");
    (void)close(fd);
    return ntohs(at.sin_port);
}

static bool
counts_turns(void)
{
    unsigned long turns = 0;
    FILE *file = fopen("/proc/self/schedstat", "r");
    bool counts = file != NULL && fscanf(file, "%*u %*u %lu", &turns) == 1;
    if (file != NULL) {
        (void)fclose(file);
    }
    return counts && turns > 0;
}

int
main(int argc, char **argv)
{
    check(argc > 1, "usage: stress_huddle SWITCH-PROGRAM");
    (void)snprintf(program, sizeof program, "%s", argv[1]);
    (void)snprintf(
        endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", free_port());
    (void)sched_getaffinity(0, sizeof everywhere, &everywhere);
    if (CPU_COUNT(&everywhere) < 2 || !counts_turns()) {
        printf("skipped: one processor only, or the kernel counts no turns\n");
        return 77;
    }
    run(true);
    (void)setenv("EDRI_SWITCH_HUDDLE", "no", 1);
    (void)setenv("EDRI_NODE_HUDDLE", "no", 1);
    run(false);
    (void)unsetenv("EDRI_SWITCH_HUDDLE");
    (void)unsetenv("EDRI_NODE_HUDDLE");
    (void)setenv("EDRI_SWITCH_SPIN", "50", 1);
    (void)setenv("EDRI_NODE_SPIN", "50", 1);
    run(false); // who spins would keep others from the processor that they share
    return 0;
}
