// SPDX-License-Identifier: MIT
// bench_memory.c - edri bench memory: what an idle node takes, and what each takes at
// the switch.
//
// What counts for a node is private memory (Private_Clean and Private_Dirty of man 5
// proc, smaps_rollup): pages that nobody else has.  At the switch it is what was written
// to, Private_Dirty: pages of libraries are its own until nodes start and map them, too.

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "bench.h"
#include "bench_crowd.h"

// A node counts as idle after so many heartbeats.
#define IDLE_BEATS 10

#define START_S 60

static long
private_kib(pid_t pid, bool written)
{
    char path[64];
    char line[256];
    long sum = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        long kib = 0;
        if ((!written && sscanf(line, "Private_Clean: %ld kB", &kib) == 1) ||
            sscanf(line, "Private_Dirty: %ld kB", &kib) == 1) {
            sum += kib;
        }
    }
    if (file == NULL || sum == 0) {
        bench_fail("%s does not say what is private", path);
    }
    (void)fclose(file);
    return sum;
}

// measure_node is one node in a process of its own, with one type.
static long
measure_node(const char *endpoint)
{
    const pid_t *pids = NULL;
    crowd_plan_t plan = {.nodes = 1, .types = 1, .heartbeat = "100ms"};
    crowd_t *one = crowd_begin(&plan);
    (void)crowd_pids(one, &pids);
    crowd_start(one, endpoint, START_S);
    crowd_await(one, "links.heartbeats", IDLE_BEATS, START_S);
    long kib = private_kib(pids[0], false);
    crowd_end(&one);
    return kib;
}

void
bench_memory(unsigned nodes, uint64_t heartbeats, bool json)
{
    char endpoint[128];
    uint64_t early = heartbeats > 10 ? heartbeats / 10 : 1;
    unsigned seconds = START_S + (unsigned)(heartbeats / 20);
    crowd_plan_t plan = {.nodes = nodes, .types = 1, .heartbeat = "10ms"};
    crowd_t *crowd = crowd_begin(&plan);
    pid_t hub = bench_switch(endpoint, sizeof endpoint);
    long node_kib = measure_node(endpoint);
    long before = private_kib(hub, true);
    crowd_start(crowd, endpoint, START_S);
    crowd_await(crowd, "links.heartbeats", early, seconds);
    double first = (double)(private_kib(hub, true) - before) / nodes;
    crowd_await(crowd, "links.heartbeats", heartbeats, seconds);
    double last = (double)(private_kib(hub, true) - before) / nodes;
    crowd_end(&crowd);
    (void)kill(hub, SIGTERM);
    (void)waitpid(hub, NULL, 0);
    if (json) {
        printf("{\"scenario\":\"memory\",\"nodes\":%u,\"heartbeats\":%" PRIu64
               ",\"node_kib\":%ld,\"switch_kib\":%ld,"
               "\"early_kib_per_node\":%.1f,\"switch_kib_per_node\":%.1f}\n",
            nodes, heartbeats, node_kib, before, first, last);
    } else {
        printf("memory: an idle node takes %ld KiB; a switch %ld KiB, and for "
               "each of %u idle nodes %.1f KiB after %" PRIu64
               " heartbeats, %.1f KiB after %" PRIu64 "\n",
            node_kib, before, nodes, first, early, last, heartbeats);
    }
}
