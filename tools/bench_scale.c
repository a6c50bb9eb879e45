// SPDX-License-Identifier: MIT
// bench_scale.c - edri bench scale: many nodes at one switch.
//
// How soon all are there, how soon all are back when the switch was killed and started
// again, and how fast events go between two nodes meanwhile, beside the same two alone.

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "bench_crowd.h"

// Far above what it should take: what is slow is measured, what hangs ends.
#define DEADLINE_S 120

#define EVENT_SIZE 64
#define RUNS       3

typedef struct scale {
    unsigned nodes;
    unsigned types;
    double confirmed_s;
    double resumed_s;
    double alone_per_s;
    double among_per_s;
    double idle_cpu; // processors that the crowd takes meanwhile
} scale_t;

// cpu_s is the processor time of a process so far.
static double
cpu_s(pid_t pid)
{
    char path[64];
    unsigned long user = 0;
    unsigned long kernel = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL ||
        fscanf(file,
            "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
            "%lu %lu",
            &user, &kernel) != 2) {
        bench_fail("%s says nothing", path);
    }
    (void)fclose(file);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static double
crowd_cpu_s(const crowd_t *crowd)
{
    const pid_t *pids = NULL;
    size_t count = crowd_pids(crowd, &pids);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += cpu_s(pids[i]);
    }
    return sum;
}

// run_pair lets the two nodes run, and puts the rates behind those that are there.
static void
run_pair(double *rates, size_t *count, const char *endpoint, uint64_t events)
{
    for (int i = 0; i < RUNS; i++) {
        rates[(*count)++] = bench_between(endpoint, EVENT_SIZE, events);
    }
}

static void
end_switch(pid_t hub, int signal)
{
    (void)kill(hub, signal);
    (void)waitpid(hub, NULL, 0);
}

// run_alone is the same pair with nobody else.
static void
run_alone(double *rates, size_t *count, uint64_t events)
{
    char endpoint[128];
    pid_t hub = bench_switch(endpoint, sizeof endpoint);
    run_pair(rates, count, endpoint, events);
    end_switch(hub, SIGTERM);
}

// run_crowd measures everything with the crowd; the events between two nodes last.
static void
run_crowd(scale_t *self, crowd_t *crowd, uint64_t events)
{
    char endpoint[128];
    double rates[RUNS];
    size_t count = 0;
    double begin = bench_now();
    pid_t hub = bench_switch(endpoint, sizeof endpoint);
    crowd_start(crowd, endpoint, DEADLINE_S);
    self->confirmed_s = bench_now() - begin;
    crowd_call(crowd, DEADLINE_S);
    begin = bench_now();
    end_switch(hub, SIGKILL);
    hub = bench_switch_at(endpoint);
    crowd_await(crowd, "links.in_force", 2, DEADLINE_S);
    self->resumed_s = bench_now() - begin;
    crowd_call(crowd, DEADLINE_S);
    begin = bench_now();
    double cpu = crowd_cpu_s(crowd);
    run_pair(rates, &count, endpoint, events);
    self->idle_cpu = (crowd_cpu_s(crowd) - cpu) / (bench_now() - begin);
    self->among_per_s = bench_percentiles(rates, count).p50;
    end_switch(hub, SIGTERM);
}

static void
print(const scale_t *self, bool json)
{
    double ratio = self->among_per_s / self->alone_per_s;
    if (json) {
        printf("{\"scenario\":\"scale\",\"nodes\":%u,\"types\":%u,"
               "\"confirmed_s\":%.2f,\"resumed_s\":%.2f,\"events_per_s\":%.0f,"
               "\"baseline_per_s\":%.0f,\"ratio\":%.3f,\"idle_cpu\":%.2f}\n",
            self->nodes, self->types, self->confirmed_s, self->resumed_s,
            self->among_per_s, self->alone_per_s, ratio, self->idle_cpu);
        return;
    }
    printf("scale: %u nodes with %u types each: all there %.2f s after the "
           "switch's start, all back %.2f s after its end\n",
        self->nodes, self->types, self->confirmed_s, self->resumed_s);
    printf("between two nodes %.0f events a second meanwhile; alone %.0f; "
           "ratio %.2f; the others take %.2f processors\n",
        self->among_per_s, self->alone_per_s, ratio, self->idle_cpu);
}

void
bench_scale(unsigned nodes, unsigned types, uint64_t events, bool json)
{
    scale_t self = {.nodes = nodes, .types = types};
    crowd_plan_t plan = {.nodes = nodes - 2, .types = types};
    double alone[2 * RUNS];
    size_t count = 0;
    bench_pin(2);
    crowd_t *crowd = crowd_begin(&plan);
    run_alone(alone, &count, events);
    run_crowd(&self, crowd, events);
    crowd_end(&crowd);
    run_alone(alone, &count, events); // before and behind: machines drift
    self.alone_per_s = bench_percentiles(alone, count).p50;
    print(&self, json);
}
