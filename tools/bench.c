// SPDX-License-Identifier: MIT
// bench.c - edri bench: throughput, and what the scenarios share.

#include "bench.h"

#include <inttypes.h>
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

#include "bench.edri.h"
#include "words.h"

// ----- shared

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
bench_pin(void)
{
    cpu_set_t all;
    cpu_set_t two;
    CPU_ZERO(&all);
    CPU_ZERO(&two);
    (void)sched_getaffinity(0, sizeof all, &all);
    for (int cpu = 0, found = 0; cpu < CPU_SETSIZE && found < 2; cpu++) {
        if (CPU_ISSET(cpu, &all)) {
            CPU_SET(cpu, &two);
            found++;
        }
    }
    (void)sched_setaffinity(0, sizeof two, &two);
}

pid_t
bench_switch(char *endpoint, size_t size)
{
    char program[512];
    char line[256] = "";
    int pipes[2];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 32);
    program[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(program, '/');
    strcpy(slash != NULL ? slash : program, "/edri-switch");
    if (pipe(pipes) != 0) {
        bench_fail("no pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(pipes[1], STDOUT_FILENO);
        (void)close(pipes[0]);
        execl(program, program, "--set", "switch.bind=tcp://127.0.0.1:*",
            (char *)NULL);
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

// ----- throughput

typedef struct counted {
    uint64_t count;
    uint64_t sum;
    double first;
    double last;
    uint64_t wanted;
    edri_node_t *node;
} counted_t;

static edri_err_t
on_ping(edri_task_t *task, const Edri__Bench__Ping *ping)
{
    counted_t *counted = edri_task_state(task);
    counted->sum += ping->number;
    if (counted->count++ == 0) {
        counted->first = bench_now();
    }
    if (counted->count == counted->wanted) {
        counted->last = bench_now();
        edri_node_quit(counted->node);
    }
    return EDRI_OK;
}

static void
emit_all(edri_port_t *port, size_t size, uint64_t count)
{
    Edri__Bench__Ping ping = EDRI__BENCH__PING__INIT;
    ping.padding.len = size > 12 ? size - 12 : 0; // number and tags: 64 in all
    ping.padding.data = calloc(1, size + 1);
    for (uint64_t i = 1; i <= count; i++) {
        ping.number = i;
        if (edri_bench_ping_emit(port, &ping) != EDRI_OK) {
            bench_fail("%s", edri_port_error(port));
        }
    }
    free(ping.padding.data);
}

// rate_of checks that every event came once and says how fast.
static double
rate_of(const counted_t *counted)
{
    uint64_t n = counted->wanted;
    if (counted->count != n || counted->sum != n * (n + 1) / 2) {
        bench_fail("%" PRIu64 " of %" PRIu64 " events came", counted->count, n);
    }
    return (double)(n - 1) / (counted->last - counted->first);
}

static double
bench_local(size_t size, uint64_t count)
{
    counted_t counted = {.wanted = count};
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "sink");
    counted.node = node;
    (void)edri_manager_set_state(manager, &counted, NULL);
    (void)edri_bench_ping_handle(manager, on_ping, EDRI_METHOD);
    if (edri_node_start(node) != EDRI_OK) {
        bench_fail("%s", edri_node_error(node));
    }
    edri_port_t *port = edri_node_port(node);
    emit_all(port, size, count);
    (void)edri_node_wait(node);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
    return rate_of(&counted);
}

typedef struct emitter {
    const char *endpoint;
    size_t size;
    uint64_t count;
} emitter_t;

static int
run_emitter(void *arg)
{
    emitter_t *self = arg;
    edri_node_t *node = bench_node("emitter", self->endpoint);
    edri_port_t *port = edri_node_port(node);
    emit_all(port, self->size, self->count);
    bool fine = edri_port_flush(port, 60000) == EDRI_OK;
    edri_port_destroy(&port);
    fine = edri_node_stop(node, 60000) == EDRI_OK && fine;
    edri_node_destroy(&node);
    return fine ? 0 : 1;
}

static double
bench_through_switch(size_t size, uint64_t count)
{
    char endpoint[128];
    pid_t hub = bench_switch(endpoint, sizeof endpoint);
    emitter_t emitter = {endpoint, size, count};
    counted_t counted = {.wanted = count};
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "sink");
    counted.node = node;
    (void)edri_manager_set_state(manager, &counted, NULL);
    (void)edri_bench_ping_handle(manager, on_ping, EDRI_METHOD);
    (void)edri_node_set(node, "node.name", "sink");
    (void)edri_node_set(node, "node.switch", endpoint);
    if (edri_node_start(node) != EDRI_OK) {
        bench_fail("%s", edri_node_error(node));
    }
    pid_t child = bench_fork(run_emitter, &emitter);
    (void)edri_node_wait(node);
    bench_join(child);
    edri_node_destroy(&node);
    (void)kill(hub, SIGTERM);
    (void)waitpid(hub, NULL, 0);
    return rate_of(&counted);
}

// ----- the command

static void
print_result(const result_t *r, bool json)
{
    if (json) {
        printf("{\"scenario\":\"%s\",\"size\":%zu,\"count\":%" PRIu64
               ",\"events_per_s\":%.0f,\"baseline_per_s\":%.0f,\"ratio\":%.3f",
            r->scenario, r->size, r->count, r->events_per_s, r->baseline_per_s,
            r->ratio);
        if (r->request) {
            printf(",\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,"
                   "\"baseline_p50_us\":%.1f",
                r->mine.p50, r->mine.p99, r->mine.p999, r->baseline.p50);
        }
        if (r->peak_kib > 0) {
            printf(",\"peak_kib\":%ld", r->peak_kib);
        }
        printf("}\n");
    } else if (r->request) {
        printf("%s: %zu bytes, %" PRIu64 " round trips: p50 %.1f us, p99 "
               "%.1f us, p99.9 %.1f us; %s p50 %.1f us, p99 %.1f us; ratio "
               "%.2f\n",
            r->scenario, r->size, r->count, r->mine.p50, r->mine.p99,
            r->mine.p999, r->beside, r->baseline.p50, r->baseline.p99,
            r->ratio);
    } else {
        printf("%s: %zu bytes, %" PRIu64 " events: %.0f a second; %s %.0f a "
               "second; ratio %.2f\n",
            r->scenario, r->size, r->count, r->events_per_s, r->against,
            r->baseline_per_s, r->ratio);
        if (r->peak_kib > 0) {
            printf("%.0f MB a second, at most %ld KiB of memory in a process\n",
                r->events_per_s * (double)r->size / 1e6, r->peak_kib);
        }
    }
}

static bool
read_count(const char *text, uint64_t *number)
{
    char *end = NULL;
    *number = strtoull(text, &end, 10);
    return end != text && *end == '\0' && *number >= 1;
}

typedef struct options {
    uint64_t size;
    uint64_t count;   // 0: as the scenario likes
    uint64_t open;    // tunnels at once
    uint64_t stopped; // seconds beside one whose reader stands
    bool json;
    bool has_mode; // then:
    edri_workers_t mode;
} options_t;

// read_options reads what stands behind the scenario's name.  Returns the first
// argument that does not fit, or NULL.
static const char *
read_options(int argc, char **argv, options_t *options)
{
    for (int i = 2; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--json") == 0) {
            options->json = true;
        } else if (strcmp(argv[i], "--size") == 0 && more &&
                   read_count(argv[i + 1], &options->size) &&
                   options->size <= 8 << 20) {
            i++;
        } else if (strcmp(argv[i], "--count") == 0 && more &&
                   read_count(argv[i + 1], &options->count)) {
            i++;
        } else if (strcmp(argv[i], "--open") == 0 && more &&
                   strcmp(argv[1], "tunnel") == 0 &&
                   read_count(argv[i + 1], &options->open)) {
            i++;
        } else if (strcmp(argv[i], "--stopped") == 0 && more &&
                   strcmp(argv[1], "tunnel") == 0 &&
                   read_count(argv[i + 1], &options->stopped)) {
            i++;
        } else if (strcmp(argv[i], "--mode") == 0 && more &&
                   strcmp(argv[1], "request") == 0 &&
                   bench_mode_read(argv[i + 1], &options->mode)) {
            options->has_mode = true;
            i++;
        } else {
            return argv[i];
        }
    }
    return NULL;
}

int
word_bench(int argc, char **argv)
{
    result_t result = {.scenario = argc > 1 ? argv[1] : "", .against = "raw"};
    bool tunnel = strcmp(result.scenario, "tunnel") == 0;
    options_t options = {.size = tunnel ? 65536 : 64};
    const char *wrong = read_options(argc, argv, &options);
    if (wrong != NULL) {
        fprintf(stderr,
            "edri bench: %s: --size N (to 8 MiB), --count N, --json, (of "
            "request) --mode method|threads:N|processes:N|fresh[:N] or (of "
            "tunnel) --open N, --stopped SECONDS is expected\n",
            wrong);
        return 2;
    }
    uint64_t size = options.size;
    uint64_t count = options.count;
    result.size = size;
    if (strcmp(result.scenario, "local") == 0) {
        result.count = count > 0 ? count : 5000000;
        result.baseline_per_s = raw_inproc(size, result.count);
        result.events_per_s = bench_local(size, result.count);
    } else if (strcmp(result.scenario, "switch") == 0) {
        result.count = count > 0 ? count : 2000000;
        result.baseline_per_s = raw_switch(size, result.count);
        result.events_per_s = bench_through_switch(size, result.count);
    } else if (options.open > 0) {
        bench_tunnels(options.open, options.json);
        return 0;
    } else if (options.stopped > 0) {
        bench_beside(size, options.stopped, &result);
    } else if (tunnel) {
        bench_tunnel(size, count > 0 ? count : 16384, &result);
    } else if (options.has_mode) {
        bench_mode(options.mode, size, count, &result);
    } else if (strcmp(result.scenario, "request") == 0) {
        bench_request(size, count > 0 ? count : 10000, &result);
    } else if (strcmp(result.scenario, "keys") == 0) {
        bench_keys(count > 0 ? count : 4000000, &result);
    } else {
        fprintf(stderr,
            "usage: edri bench local|switch|request|keys|tunnel [--size BYTES] "
            "[--count N] [--mode MODE] [--open N] [--stopped SECONDS] "
            "[--json]\n");
        return 2;
    }
    if (result.ratio == 0) {
        result.ratio = result.events_per_s / result.baseline_per_s;
    }
    print_result(&result, options.json);
    return 0;
}
