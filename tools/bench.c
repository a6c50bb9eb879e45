// SPDX-License-Identifier: MIT
// bench.c - edri bench: the command and its scenarios.

#include "bench.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_crowd.h"
#include "bench_growth.h"
#include "words.h"

// ----- the command

static void
print_json(const result_t *r)
{
    printf("{\"scenario\":\"%s\",\"against\":\"%s\",\"size\":%zu,"
           "\"count\":%" PRIu64
           ",\"events_per_s\":%.0f,\"baseline_per_s\":%.0f,\"ratio\":%.3f",
        r->scenario, r->against, r->size, r->count, r->events_per_s,
        r->baseline_per_s, r->ratio);
    if (r->request) {
        printf(",\"outstanding\":%u,\"p50_us\":%.1f,\"p99_us\":%.1f,"
               "\"p999_us\":%.1f,\"baseline_p50_us\":%.1f,"
               "\"baseline_p99_us\":%.1f",
            r->outstanding, r->mine.p50, r->mine.p99, r->mine.p999,
            r->baseline.p50, r->baseline.p99);
    }
    if (r->wakeups > 0) {
        printf(",\"wakeups\":%.1f,\"baseline_wakeups\":%.1f", r->wakeups,
            r->baseline_wakeups);
    }
    if (r->peak_kib > 0) {
        printf(",\"peak_kib\":%ld", r->peak_kib);
    }
    printf("}\n");
}

static void
print_request(const result_t *r)
{
    printf("%s: %zu bytes, %" PRIu64 " round trips: p50 %.1f us, p99 %.1f us, "
           "p99.9 %.1f us; %s p50 %.1f us, p99 %.1f us; ratio %.2f\n",
        r->scenario, r->size, r->count, r->mine.p50, r->mine.p99, r->mine.p999,
        r->against, r->baseline.p50, r->baseline.p99,
        r->mine.p50 / r->baseline.p50);
    if (r->outstanding > 1) {
        printf("%u at a time: %.0f a second; %s %.0f a second; ratio %.2f\n",
            r->outstanding, r->events_per_s, r->against, r->baseline_per_s,
            r->ratio);
    }
    if (r->wakeups > 0) {
        printf("threads woken for a round trip: %.1f", r->wakeups);
        if (r->baseline_wakeups > 0) {
            printf("; %s %.1f", r->against, r->baseline_wakeups);
        }
        printf("\n");
    }
}

static void
print_result(const result_t *r, bool json)
{
    if (json) {
        print_json(r);
    } else if (r->request) {
        print_request(r);
    } else if (r->baseline_per_s == 0) {
        printf("%s: %zu bytes, %" PRIu64 " events: %.0f a second\n",
            r->scenario, r->size, r->count, r->events_per_s);
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

// options_t is what stands behind the scenario's name.
typedef struct options {
    uint64_t size;
    uint64_t count; // 0: as the scenario likes
    bool json;
    bool nats;            // beside NATS
    uint64_t nodes;       // of fanout, scale, memory
    uint64_t types;       // that each demands, of scale
    uint64_t heartbeats;  // that each sends, of memory
    uint64_t outstanding; // requests at a time
    uint64_t pairs;       // nodes that ask, and as many that answer
    uint64_t spin;        // us; the switch's switch.spin
    bool local;           // requests in one node
    bool alone;           // no baseline
    uint64_t open;        // tunnels at once
    uint64_t stopped;     // seconds beside one whose reader stands
    bool has_mode;        // then:
    edri_workers_t mode;
} options_t;

// ----- scenarios

static void
run_local(const options_t *options, result_t *result)
{
    result->count = options->count > 0 ? options->count : 5000000;
    if (!options->alone) {
        result->baseline_per_s = raw_inproc(options->size, result->count);
    }
    result->events_per_s = bench_local(options->size, result->count);
}

// usual_count is less of what is large: some 2 GB at most.
static uint64_t
usual_count(const options_t *options, uint64_t usual)
{
    uint64_t most = (UINT64_C(2) << 30) / (options->size + 64);
    usual = usual < most ? usual : most;
    return options->count > 0 ? options->count : usual;
}

static void
run_switch(const options_t *options, result_t *result)
{
    result->count = usual_count(options, 2000000);
    result->against = options->nats ? "NATS" : "raw";
    if (!options->alone) {
        result->baseline_per_s =
            options->nats ? nats_events(options->size, result->count, 1)
                          : raw_switch(options->size, result->count);
    }
    result->events_per_s = bench_through_switch(options->size, result->count);
}

static void
run_fanout(const options_t *options, result_t *result)
{
    unsigned nodes = options->nodes > 0 ? (unsigned)options->nodes : 8;
    if (!options->nats) {
        bench_fail("fanout is measured beside NATS: --against nats");
    }
    result->count = usual_count(options, 500000);
    result->against = "NATS";
    result->baseline_per_s = nats_events(options->size, result->count, nodes);
    result->events_per_s = bench_fanout(options->size, result->count, nodes);
}

static void
run_request(const options_t *options, result_t *result)
{
    ask_t ask = {.size = options->size,
        .count = options->count,
        .outstanding =
            options->outstanding > 0 ? (unsigned)options->outstanding : 1,
        .local = options->local,
        .nats = options->nats};
    char spin_us[24];
    (void)snprintf(spin_us, sizeof spin_us, "%" PRIu64, options->spin);
    if (options->spin > 0 && (options->local || options->has_mode)) {
        bench_fail("--spin is for the switch: not with --local or --mode");
    }
    if (options->spin > 0) {
        (void)setenv("EDRI_SWITCH_SPIN", spin_us, 1);
    }
    if (options->pairs > 0 &&
        (options->nats || ask.outstanding > 1 || ask.local ||
            options->has_mode || options->spin > 0)) {
        bench_fail("--pairs goes alone: beside threads that may not huddle");
    }
    if (options->pairs > 0) {
        bench_pairs(
            (unsigned)options->pairs, options->size, options->count, result);
    } else if (options->has_mode) {
        bench_mode(options->mode, options->size, options->count, result);
    } else if (ask.local && (ask.nats || ask.outstanding > 1)) {
        bench_fail("--local goes alone: one at a time, beside raw inproc");
    } else {
        bench_request(&ask, result);
    }
}

static void
run_keys(const options_t *options, result_t *result)
{
    bench_keys(options->count > 0 ? options->count : 4000000, result);
}

static void
run_tunnel(const options_t *options, result_t *result)
{
    if (options->stopped > 0) {
        bench_beside(options->size, options->stopped, result);
    } else {
        bench_tunnel(
            options->size, options->count > 0 ? options->count : 16384, result);
    }
}

// print_scale and print_memory have rows of their own.
static void
print_scale(const options_t *options)
{
    bench_scale(options->nodes > 0 ? (unsigned)options->nodes : 1000,
        options->types > 0 ? (unsigned)options->types : 10,
        usual_count(options, 2000000), options->json);
}

static void
print_memory(const options_t *options)
{
    bench_memory(options->nodes > 0 ? (unsigned)options->nodes : 200,
        options->heartbeats > 0 ? options->heartbeats : 1000, options->json);
}

static const struct scenario {
    const char *name;
    void (*run)(const options_t *options, result_t *result);
    void (*print)(const options_t *options); // instead of run
    size_t size;                             // as a rule
    const char *options;                     // that fit
    int nodes_least;                         // of --nodes
} scenarios[] = {
    {"local", run_local, NULL, 64, " --size --count --alone", 0},
    {"switch", run_switch, NULL, 64, " --size --count --against --alone", 0},
    {"fanout", run_fanout, NULL, 64, " --size --count --against --nodes", 1},
    {"request", run_request, NULL, 64,
        " --size --count --against --outstanding --pairs --spin --local --mode",
        0},
    {"keys", run_keys, NULL, 64, " --size --count", 0},
    {"tunnel", run_tunnel, NULL, 65536, " --size --count --open --stopped", 0},
    {"scale", NULL, print_scale, 64, " --count --nodes --types", 2},
    {"memory", NULL, print_memory, 64, " --nodes --heartbeats", 1},
};

static const struct scenario *
find_scenario(const char *name)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (strcmp(scenarios[i].name, name) == 0) {
            return &scenarios[i];
        }
    }
    return NULL;
}

// ----- the command line

bool
bench_read_count(const char *text, uint64_t *number)
{
    char *end = NULL;
    *number = strtoull(text, &end, 10);
    return end != text && *end == '\0' && *number >= 1;
}

// read_against reads what the baseline is.
static bool
read_against(const char *text, options_t *options)
{
    options->nats = strcmp(text, "nats") == 0;
    return options->nats || strcmp(text, "raw") == 0;
}

// numbers are the options whose value is one.
static const struct number {
    const char *name;
    size_t at; // in options_t
    uint64_t most;
} numbers[] = {
    {"--size", offsetof(options_t, size), 8 << 20},
    {"--count", offsetof(options_t, count), UINT64_MAX},
    {"--open", offsetof(options_t, open), 1000000},
    {"--stopped", offsetof(options_t, stopped), 1000000},
    {"--nodes", offsetof(options_t, nodes), 1000000},
    {"--types", offsetof(options_t, types), CROWD_TYPES_MAX},
    {"--heartbeats", offsetof(options_t, heartbeats), 1000000},
    {"--outstanding", offsetof(options_t, outstanding), 1000000},
    {"--pairs", offsetof(options_t, pairs), 1000},
    {"--spin", offsetof(options_t, spin), 1000000},
};

// read_number reads an option that is a number.  Returns false when it is none, or the
// value does not fit.
static bool
read_number(const char *name, const char *value, options_t *options)
{
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(numbers[i].name, name) == 0) {
            uint64_t *number = (uint64_t *)((char *)options + numbers[i].at);
            return bench_read_count(value, number) &&
                   *number <= numbers[i].most;
        }
    }
    return false;
}

// read_value reads an option that has a value.  Returns false when there is no such,
// or the value does not fit.
static bool
read_value(const struct scenario *scenario, const char *name, const char *value,
    options_t *options)
{
    char mine[32];
    (void)snprintf(mine, sizeof mine, " %s", name);
    if (strstr(scenario->options, mine) == NULL) {
        return false;
    }
    if (strcmp(name, "--mode") == 0) {
        options->has_mode = bench_mode_read(value, &options->mode);
        return options->has_mode;
    }
    if (strcmp(name, "--against") == 0) {
        return read_against(value, options);
    }
    if (strcmp(name, "--nodes") == 0 && atoi(value) < scenario->nodes_least) {
        return false;
    }
    return read_number(name, value, options);
}

// read_options reads what stands behind the scenario's name.  Returns the first
// argument that does not fit, or NULL.
static const char *
read_options(const struct scenario *scenario, char **argv, options_t *options)
{
    for (; *argv != NULL; argv++) {
        if (strcmp(*argv, "--json") == 0) {
            options->json = true;
        } else if (strcmp(*argv, "--local") == 0 &&
                   strstr(scenario->options, " --local") != NULL) {
            options->local = true;
        } else if (strcmp(*argv, "--alone") == 0 &&
                   strstr(scenario->options, " --alone") != NULL) {
            options->alone = true;
        } else if (argv[1] != NULL &&
                   read_value(scenario, argv[0], argv[1], options)) {
            argv++;
        } else {
            return *argv;
        }
    }
    return NULL;
}

static int
usage(void)
{
    fprintf(stderr,
        "usage: edri bench local|switch|fanout|request|keys|tunnel "
        "[--size BYTES] [--count N] [--json]\n"
        "           local:   --alone, without a baseline\n"
        "           switch:  --against raw|nats; --alone\n"
        "           fanout:  --against nats, --nodes N\n"
        "           request: --against raw|nats, --outstanding N, "
        "--pairs N, --spin US; --local; --mode "
        "method|threads:N|processes:N|fresh[:N]\n"
        "           tunnel:  --open N, --stopped SECONDS\n"
        "       edri bench latency local|switch|fanout|request "
        "[--size BYTES] [--load PERCENT] [--seconds N] [--stall MS] [--json]\n"
        "           switch, request: --against nats\n"
        "       edri bench scale [--nodes N] [--types T] [--count N] [--json]\n"
        "       edri bench memory [--nodes N] [--heartbeats N] [--json]\n"
        "       edri bench growth types|subscribers|nodes|payload "
        "[--least N] [--most N] [--count N] [--runs N] [--json]\n"
        "       edri bench --all [--runs N] [--out FILE]\n");
    return 2;
}

int
word_bench(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--all") == 0) {
        return bench_all(argv + 2) ? 0 : usage();
    }
    if (argc > 1 && strcmp(argv[1], "latency") == 0) {
        return bench_latency(argv + 2) ? 0 : usage();
    }
    if (argc > 1 && strcmp(argv[1], "growth") == 0) {
        return bench_growth(argv + 2) ? 0 : usage();
    }
    const struct scenario *scenario = argc > 1 ? find_scenario(argv[1]) : NULL;
    if (scenario == NULL) {
        return usage();
    }
    options_t options = {.size = scenario->size};
    const char *wrong = read_options(scenario, argv + 2, &options);
    if (wrong != NULL) {
        fprintf(stderr, "edri bench %s: %s does not fit here, or its value\n",
            scenario->name, wrong);
        return usage();
    }
    if (options.open > 0) {
        bench_tunnels(options.open, options.json);
        return 0;
    }
    if (scenario->print != NULL) {
        scenario->print(&options);
        return 0;
    }
    result_t result = {
        .scenario = scenario->name, .against = "raw", .size = options.size};
    scenario->run(&options, &result);
    if (result.ratio == 0 && !options.alone) {
        result.ratio = result.events_per_s / result.baseline_per_s;
    }
    print_result(&result, options.json);
    return 0;
}
