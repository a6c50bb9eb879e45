// SPDX-License-Identifier: MIT
// bench_shared.c - edri bench: what the scenarios share.

#include "bench.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double
bench_now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

void
bench_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "edri bench: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

static int
by_value(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

percentiles_t
bench_percentiles(double *us, size_t count)
{
    qsort(us, count, sizeof *us, by_value);
    return (percentiles_t){
        us[count / 2], us[count * 99 / 100], us[count * 999 / 1000]};
}

pid_t
bench_fork(int (*work)(void *arg), void *arg)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        bench_fail("fork failed");
    }
    if (pid == 0) {
        // Nothing of a bench outlives it.
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(work(arg));
    }
    return pid;
}

void
bench_join(pid_t pid)
{
    int status = 0;
    (void)waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        bench_fail("a child failed");
    }
}

void
bench_pin(int count)
{
    cpu_set_t all;
    cpu_set_t some;
    CPU_ZERO(&all);
    CPU_ZERO(&some);
    (void)sched_getaffinity(0, sizeof all, &all);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&some) < count; cpu++) {
        if (CPU_ISSET(cpu, &all)) {
            CPU_SET(cpu, &some);
        }
    }
    (void)sched_setaffinity(0, sizeof some, &some);
}

void
bench_beside_us(char *path, size_t size, const char *name)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    path[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(path, '/');
    size_t at = slash != NULL ? (size_t)(slash + 1 - path) : 0;
    (void)snprintf(path + at, size - at, "%s", name);
}

// start_switch starts the edri-switch beside this program, and gives where it listens.
static pid_t
start_switch(const char *bind, char *endpoint, size_t size)
{
    char program[512];
    char setting[160];
    char line[256] = "";
    int pipes[2];
    bench_beside_us(program, sizeof program, "edri-switch");
    (void)snprintf(setting, sizeof setting, "switch.bind=%s", bind);
    if (pipe(pipes) != 0) {
        bench_fail("no pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(pipes[1], STDOUT_FILENO);
        (void)close(pipes[0]);
        execl(program, program, "--set", setting, (char *)NULL);
        _exit(127);
    }
    (void)close(pipes[1]);
    FILE *out = fdopen(pipes[0], "r");
    const char *found = NULL;
    if (out != NULL && fgets(line, sizeof line, out) != NULL) {
        found = strstr(line, "tcp://");
    }
    if (found == NULL) {
        bench_fail("%s did not start", program);
    }
    snprintf(endpoint, size, "%.*s", (int)strcspn(found, "\n"), found);
    (void)fclose(out);
    return pid;
}

pid_t
bench_switch(char *endpoint, size_t size)
{
    return start_switch("tcp://127.0.0.1:*", endpoint, size);
}

pid_t
bench_switch_at(const char *endpoint)
{
    char bound[128];
    return start_switch(endpoint, bound, sizeof bound);
}

edri_node_t *
bench_node(const char *name, const char *endpoint)
{
    edri_node_t *node = edri_node_new(0, NULL);
    (void)edri_node_set(node, "node.name", name);
    if (endpoint != NULL) {
        (void)edri_node_set(node, "node.switch", endpoint);
    }
    if (edri_node_start(node) != EDRI_OK) {
        bench_fail("%s", edri_node_error(node));
    }
    return node;
}

void
bench_stall(const bench_stall_t *self, uint64_t number)
{
    if (self != NULL && self->ms > 0 && number == self->at) {
        struct timespec pause = {.tv_sec = (time_t)(self->ms / 1000),
            .tv_nsec = (long)(self->ms % 1000) * 1000000};
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
}

uint64_t
bench_wakeups(const pid_t *pids, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pids[i]);
        DIR *tasks = opendir(path);
        const struct dirent *task = NULL;
        while (tasks != NULL && (task = readdir(tasks)) != NULL) {
            if (task->d_name[0] == '.') {
                continue; // ".." is the process, its first thread again
            }
            char status[400];
            char line[128];
            unsigned long long slept = 0;
            (void)snprintf(
                status, sizeof status, "%s/%s/status", path, task->d_name);
            FILE *file = fopen(status, "re");
            while (file != NULL && fgets(line, sizeof line, file) != NULL) {
                if (sscanf(line, "voluntary_ctxt_switches: %llu", &slept) ==
                    1) {
                    sum += slept;
                }
            }
            if (file != NULL) {
                (void)fclose(file);
            }
        }
        if (tasks != NULL) {
            (void)closedir(tasks);
        }
    }
    return sum;
}
