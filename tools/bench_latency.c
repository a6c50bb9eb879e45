// SPDX-License-Identifier: MIT
// bench_latency.c - edri bench latency: how long events take under load.
//
// First the highest rate of the scenario, as the scenario of that name measures it;
// then load at a share of that, offered by a schedule whatever comes back (open loop).
// The latency of an event counts from when it was due, not from when it was sent: Gil
// Tene, "How NOT to Measure Latency", and his wrk2; see pace.h.  It ends where the
// handler is entered, of a request where its reply is.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

// What is offered first, and not measured.
#define WARM_S 0.5

#define RECEIVERS   8
#define OUTSTANDING 64

// What the run for the highest rate may take, as one node would: seconds, and bytes.
#define HIGHEST_S  1.0
#define MOST_BYTES (UINT64_C(1) << 30)

static const struct kind {
    const char *name;
    uint64_t count;     // of the run for the highest rate
    unsigned receivers; // 0: in the emitter's node
    bool request;
    bool has_nats;
} kinds[] = {
    {"local", 4000000, 0, false, false},
    {"switch", 2000000, 1, false, true},
    {"fanout", 300000, RECEIVERS, false, false},
    {"request", 60000, 1, true, true},
};

typedef struct options {
    const struct kind *kind;
    uint64_t size;
    uint64_t load;     // percent; 0: 50 and 90
    uint64_t seconds;  // to measure
    uint64_t stall_ms; // one handler stands so long
    bool nats;
    bool json;
} options_t;

// rates_t is how many events a second are possible.
typedef struct rates {
    double edri;
    double nats; // 0: not measured
} rates_t;

// row_t is one line that is printed.
typedef struct row {
    const options_t *options;
    const char *system; // whose latencies these are
    const char *of;     // of whose highest rate the load is a share
    uint64_t load;      // percent
    double highest;     // of the system
    double rate;
} row_t;

// ----- the highest rates

static rates_t
request_rates(const options_t *options, uint64_t count)
{
    result_t result = {.scenario = "request"};
    ask_t ask = {.size = options->size,
        .count = count,
        .outstanding = OUTSTANDING,
        .nats = options->nats};
    bench_request(&ask, &result);
    return (rates_t){
        result.events_per_s, options->nats ? result.baseline_per_s : 0};
}

static double
event_rate(const options_t *options, uint64_t count)
{
    unsigned receivers = options->kind->receivers;
    if (receivers == 0) {
        return bench_local(options->size, count);
    }
    return receivers == 1
               ? bench_through_switch(options->size, count)
               : bench_fanout(options->size, count, receivers) / receivers;
}

// usual_count is how many events tell the highest rate: fewer where they are large, or
// where even one node takes long for them.
static uint64_t
usual_count(const options_t *options)
{
    uint64_t most = MOST_BYTES / (options->size + 64);
    uint64_t usual = options->kind->count;
    uint64_t count = usual < most ? usual : most;
    double rate = bench_local(options->size, count / 20 + 2);
    uint64_t soon = (uint64_t)(rate * HIGHEST_S) + 2;
    return count < soon ? count : soon;
}

static rates_t
find_rates(const options_t *options)
{
    uint64_t count = usual_count(options);
    if (options->kind->request) {
        return request_rates(options, count);
    }
    return (rates_t){event_rate(options, count),
        options->nats ? nats_events(options->size, count, 1) : 0};
}

// ----- what is printed

static double
us_at(const track_t *track, double share)
{
    return (double)histogram_at(&track->late, share) * 1e-3;
}

static unsigned
places(const row_t *row)
{
    unsigned receivers = row->options->kind->receivers;
    return receivers > 0 ? receivers : 1;
}

static uint64_t
lost(const row_t *row, const paced_t *paced)
{
    return paced->pace.count * places(row) - paced->handled.count;
}

static void
print_json(const row_t *row, const paced_t *paced)
{
    const track_t *handled = &paced->handled;
    const track_t *offered = &paced->offered;
    printf(",\"reached\":true,\"count\":%" PRIu64 ",\"offered_per_s\":%.0f,"
           "\"handled_per_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"p999_us\":%.1f,\"max_us\":%.1f,\"generator_late_p50_us\":%.1f,"
           "\"generator_late_us\":%.1f,\"lost\":%" PRIu64,
        handled->late.total, track_rate(offered, 1),
        track_rate(handled, places(row)), us_at(handled, 0.5),
        us_at(handled, 0.99), us_at(handled, 0.999), us_at(handled, 1),
        us_at(offered, 0.5), us_at(offered, 1), lost(row, paced));
}

static void
print_text(const row_t *row, const paced_t *paced)
{
    const track_t *handled = &paced->handled;
    const track_t *offered = &paced->offered;
    printf("p50 %.1f us, p99 %.1f us, p99.9 %.1f us, at most %.1f us\n",
        us_at(handled, 0.5), us_at(handled, 0.99), us_at(handled, 0.999),
        us_at(handled, 1));
    printf("    due %.0f a second, offered %.0f, handled %.0f%s; generator "
           "late by %.1f us (p50), %.1f us at most",
        row->rate, track_rate(offered, 1), track_rate(handled, places(row)),
        places(row) > 1 ? " at each node" : "", us_at(offered, 0.5),
        us_at(offered, 1));
    if (lost(row, paced) > 0) {
        printf("; LOST %" PRIu64, lost(row, paced));
    }
    printf("\n");
}

// print_row prints a row; paced NULL: that rate was not reached.
static void
print_row(const row_t *row, const paced_t *paced)
{
    const options_t *options = row->options;
    const char *name = options->kind->name;
    if (options->json) {
        printf(
            "{\"scenario\":\"latency %s\",\"system\":\"%s\",\"size\":%" PRIu64
            ",\"load\":%" PRIu64 ",\"load_of\":\"%s\",\"highest_per_s\":%.0f"
            ",\"rate\":%.0f",
            name, row->system, options->size, row->load, row->of, row->highest,
            row->rate);
        if (paced != NULL) {
            print_json(row, paced);
        } else {
            printf(",\"reached\":false");
        }
        printf("}\n");
    } else {
        printf("latency %s, %s, %" PRIu64 " bytes, %" PRIu64
               " %% of %s's highest rate: ",
            name, row->system, options->size, row->load, row->of);
        if (paced != NULL) {
            print_text(row, paced);
        } else {
            printf("%.0f a second, %s reaches %.0f\n", row->rate, row->system,
                row->highest);
        }
    }
    (void)fflush(stdout);
}

// ----- runs

static void
run_row(const row_t *row)
{
    const options_t *options = row->options;
    if (row->rate > row->highest) {
        print_row(row, NULL);
        return;
    }
    paced_t *paced = calloc(1, sizeof *paced);
    paced->size = options->size;
    paced->nodes = options->kind->receivers;
    paced->pace = pace_at(row->rate, WARM_S, (double)options->seconds);
    paced->stall.at = (paced->pace.warm + paced->pace.count) / 2;
    paced->stall.ms = (unsigned)options->stall_ms;
    if (strcmp(row->system, "NATS") == 0) {
        nats_paced(options->kind->request, paced);
    } else if (options->kind->request) {
        bench_paced_requests(paced);
    } else {
        bench_paced_events(paced);
    }
    print_row(row, paced);
    free(paced);
}

static void
run_load(const options_t *options, const rates_t *rates, uint64_t load)
{
    double share = (double)load / 100;
    row_t row = {
        options, "EDRI", "EDRI", load, rates->edri, rates->edri * share};
    run_row(&row);
    if (rates->nats > 0) {
        row.system = "NATS";
        row.highest = rates->nats;
        run_row(&row); // at the same rate
        row.of = "NATS";
        row.rate = rates->nats * share;
        run_row(&row);
    }
}

// ----- the command line

static bool
read_value(const char *name, const char *value, options_t *options)
{
    if (strcmp(name, "--size") == 0) {
        return bench_read_count(value, &options->size) &&
               options->size <= 8 << 20;
    }
    if (strcmp(name, "--load") == 0) {
        return bench_read_count(value, &options->load) && options->load <= 100;
    }
    if (strcmp(name, "--seconds") == 0) {
        return bench_read_count(value, &options->seconds) &&
               options->seconds <= 600;
    }
    if (strcmp(name, "--stall") == 0) {
        return bench_read_count(value, &options->stall_ms) &&
               options->stall_ms <= 10000;
    }
    options->nats = strcmp(name, "--against") == 0 &&
                    strcmp(value, "nats") == 0 && options->kind->has_nats;
    return options->nats;
}

// read_options returns the first argument that does not fit, or NULL.
static const char *
read_options(char **arguments, options_t *options)
{
    for (; *arguments != NULL; arguments++) {
        if (strcmp(*arguments, "--json") == 0) {
            options->json = true;
        } else if (arguments[1] != NULL &&
                   read_value(arguments[0], arguments[1], options)) {
            arguments++;
        } else {
            return *arguments;
        }
    }
    return options->nats && options->stall_ms > 0 ? "--stall" : NULL;
}

static const struct kind *
find_kind(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (name != NULL && strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

bool
bench_latency(char **arguments)
{
    options_t options = {
        .kind = find_kind(arguments[0]), .size = 64, .seconds = 3};
    if (options.kind == NULL) {
        return false;
    }
    const char *wrong = read_options(arguments + 1, &options);
    if (wrong != NULL) {
        fprintf(stderr,
            "edri bench latency %s: %s does not fit here, or its value\n",
            options.kind->name, wrong);
        return false;
    }
    // A link that was lost explains a latency of seconds.
    edri_log_set(edri_log_stderr, NULL, EDRI_LOG_WARN);
    rates_t rates = find_rates(&options);
    if (options.load > 0) {
        run_load(&options, &rates, options.load);
    } else {
        run_load(&options, &rates, 50);
        run_load(&options, &rates, 90);
    }
    return true;
}
