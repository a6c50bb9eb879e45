// SPDX-License-Identifier: MIT
// bench_growth.c - edri bench growth: what an event costs with ever more types,
// subscribers, bytes or nodes.
//
// DESIGN
// An axis is a list of points.  Each is measured several times, each time in a process
// of its own; the runs of all points take turns, so that a time in which the machine is
// busy hits all of them.  What is shown is the median, and of the cost of an event the
// lowest and the highest, too.

#include "bench_growth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define RUNS_MAX   25
#define POINTS_MAX 32

// column_t is how a figure is shown.
typedef struct column {
    figure_t figure;
    const char *name; // in JSON
    const char *unit;
    double scale; // of 'unit'
    int digits;   // behind the point, of 'unit'
} column_t;

static const column_t columns[] = {
    {EVENT_NS, "event_ns", "ns per event", 1, 0},
    {CPU_NS, "cpu_ns", "ns of processor time", 1, 0},
    {DELIVERY_NS, "delivery_ns", "ns per delivery", 1, 0},
    {MB_PER_S, "mb_per_s", "MB/s", 1, 1},
    {FIRST_NS, "first_ns", "ns for the first of a type", 1, 0},
    {REGISTER_S, "register_s", "ms to register", 1e3, 3},
    {START_S, "start_s", "ms to start", 1e3, 1},
    {TYPE_BYTES, "type_bytes", "bytes per type", 1, 0},
    {CONFIRMED_S, "confirmed_s", "s until all are confirmed", 1, 2},
    {RESUMED_S, "resumed_s", "s until all are back", 1, 2},
};

#define COLUMNS (sizeof columns / sizeof columns[0])

typedef struct axis {
    const char *name;
    const char *key; // what is counted, in JSON
    void (*run)(const point_t *point, double figures[FIGURES]);
    uint64_t points[16];
    bool alone;         // measured in one node
    uint64_t hub_most;  // the largest point that is measured through a switch
    unsigned runs;      // as a rule
    unsigned figures;   // bits: which it has
    bool counts_events; // --count fits
} axis_t;

#define HAS(figure) (1u << (figure))

static void growth_nodes(const point_t *point, double figures[FIGURES]);

static const axis_t axes[] = {
    {"types", "types", growth_types, {10, 100, 1000, 10000, 100000}, true,
        10000, 3,
        HAS(EVENT_NS) | HAS(CPU_NS) | HAS(FIRST_NS) | HAS(REGISTER_S) |
            HAS(START_S) | HAS(TYPE_BYTES),
        true},
    {"subscribers", "subscribers", growth_subscribers,
        {1, 3, 10, 30, 100, 300, 1000}, true, 0, 3,
        HAS(EVENT_NS) | HAS(CPU_NS) | HAS(DELIVERY_NS) | HAS(START_S), true},
    {"nodes", "nodes", growth_nodes, {2, 10, 30, 100, 300, 1000}, false, 1000,
        1, HAS(EVENT_NS) | HAS(CONFIRMED_S) | HAS(RESUMED_S), false},
    {"payload", "bytes", growth_payload,
        {16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20,
            4 << 20, 16 << 20, 64 << 20},
        true, 64 << 20, 3, HAS(EVENT_NS) | HAS(CPU_NS) | HAS(MB_PER_S), true},
};

typedef struct options {
    const axis_t *axis;
    uint64_t least;
    uint64_t most;
    uint64_t count;
    uint64_t runs;
    bool json;
} options_t;

// ----- nodes: edri bench scale, this program again

// read_member reads a number of its JSON.
static double
read_member(const char *json, const char *name)
{
    char key[48];
    (void)snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(json, key);
    double value = at != NULL ? strtod(at + strlen(key), NULL) : 0;
    if (value <= 0) {
        bench_fail("'edri bench scale' gave no %s: %s", name, json);
    }
    return value;
}

static void
growth_nodes(const point_t *point, double figures[FIGURES])
{
    char program[512];
    char command[640];
    char line[2048] = "";
    bench_beside_us(program, sizeof program, "edri");
    (void)snprintf(command, sizeof command,
        "'%s' bench scale --nodes %" PRIu64 " --json", program, point->at);
    FILE *out = popen(command, "r");
    bool fine = out != NULL && fgets(line, sizeof line, out) != NULL;
    int status = out != NULL ? pclose(out) : -1;
    if (!fine || status != 0) {
        bench_fail("%s failed (status %d)%s", command,
            WIFEXITED(status) ? WEXITSTATUS(status) : status,
            fine ? "" : ": it printed nothing");
    }
    line[strcspn(line, "\n")] = '\0';
    figures[EVENT_NS] = 1e9 / read_member(line, "events_per_s");
    figures[CONFIRMED_S] = read_member(line, "confirmed_s");
    figures[RESUMED_S] = read_member(line, "resumed_s");
}

// ----- runs

typedef struct run {
    const axis_t *axis;
    const point_t *point;
    int fd; // takes the figures
} run_t;

static int
run_child(void *arg)
{
    const run_t *run = arg;
    double figures[FIGURES] = {0};
    run->axis->run(run->point, figures);
    return write(run->fd, figures, sizeof figures) == (ssize_t)sizeof figures
               ? 0
               : 1;
}

// run_point measures a point once.
static void
run_point(const axis_t *axis, const point_t *point, double figures[FIGURES])
{
    int pipes[2];
    if (pipe(pipes) != 0) {
        bench_fail("no pipe");
    }
    run_t run = {axis, point, pipes[1]};
    pid_t child = bench_fork(run_child, &run);
    (void)close(pipes[1]);
    ssize_t size = read(pipes[0], figures, FIGURES * sizeof *figures);
    (void)close(pipes[0]);
    bench_join(child);
    if (size != (ssize_t)(FIGURES * sizeof *figures)) {
        bench_fail("%s, %" PRIu64 ": no figures came", axis->name, point->at);
    }
}

// median_of sorts the runs of one figure of a point into sorted[].
static double
median_of(double (*runs)[FIGURES], uint64_t count, figure_t figure,
    double sorted[RUNS_MAX])
{
    for (uint64_t i = 0; i < count; i++) {
        sorted[i] = runs[i][figure];
    }
    return bench_percentiles(sorted, count).p50;
}

static const char *
place_of(const point_t *point)
{
    return point->hub ? "switch" : "node";
}

static void
print_json(
    const options_t *options, const point_t *point, double (*runs)[FIGURES])
{
    const axis_t *axis = options->axis;
    double sorted[RUNS_MAX];
    printf("{\"axis\":\"%s\",\"where\":\"%s\",\"%s\":%" PRIu64
           ",\"runs\":%" PRIu64,
        axis->name, place_of(point), axis->key, point->at, options->runs);
    for (size_t i = 0; i < COLUMNS; i++) {
        const column_t *column = &columns[i];
        if ((axis->figures & HAS(column->figure)) != 0) {
            printf(",\"%s\":%.9g", column->name,
                median_of(runs, options->runs, column->figure, sorted));
        }
    }
    (void)median_of(runs, options->runs, EVENT_NS, sorted);
    printf(",\"event_ns_low\":%.9g,\"event_ns_high\":%.9g}\n", sorted[0],
        sorted[options->runs - 1]);
}

static void
print_text(
    const options_t *options, const point_t *point, double (*runs)[FIGURES])
{
    double sorted[RUNS_MAX];
    const char *separator = ": ";
    printf("%" PRIu64 " %s, %s", point->at, options->axis->key,
        point->hub ? "through a switch" : "one node");
    for (size_t i = 0; i < COLUMNS; i++) {
        const column_t *column = &columns[i];
        if ((options->axis->figures & HAS(column->figure)) != 0) {
            double median =
                median_of(runs, options->runs, column->figure, sorted);
            printf("%s%.*f %s", separator, column->digits,
                median * column->scale, column->unit);
            separator = ", ";
        }
    }
    printf("\n");
}

// list_points gives those that are asked for, in one node first.
static size_t
list_points(const options_t *options, point_t points[POINTS_MAX])
{
    const axis_t *axis = options->axis;
    size_t count = 0;
    for (int hub = 0; hub < 2; hub++) {
        uint64_t most = hub ? axis->hub_most : UINT64_MAX * axis->alone;
        most = most < options->most ? most : options->most;
        for (const uint64_t *at = axis->points; *at > 0 && *at <= most; at++) {
            if (*at >= options->least) {
                points[count++] = (point_t){*at, hub, options->count};
            }
        }
    }
    return count;
}

// run_axis returns false when there is no point.
static bool
run_axis(const options_t *options)
{
    static double runs[POINTS_MAX][RUNS_MAX][FIGURES];
    point_t points[POINTS_MAX];
    size_t count = list_points(options, points);
    if (count == 0) {
        fprintf(stderr,
            "edri bench growth %s: there is no point from %" PRIu64
            " to %" PRIu64 "\n",
            options->axis->name, options->least, options->most);
    }
    for (uint64_t run = 0; run < options->runs; run++) {
        for (size_t i = 0; i < count; i++) {
            fprintf(stderr,
                "run %" PRIu64 " of %" PRIu64 ": %" PRIu64 " %s, %s\n", run + 1,
                options->runs, points[i].at, options->axis->key,
                place_of(&points[i]));
            run_point(options->axis, &points[i], runs[i][run]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        (options->json ? print_json : print_text)(options, &points[i], runs[i]);
    }
    return count > 0;
}

// ----- the command line

static const axis_t *
find_axis(const char *name)
{
    for (size_t i = 0; i < sizeof axes / sizeof axes[0]; i++) {
        if (name != NULL && strcmp(axes[i].name, name) == 0) {
            return &axes[i];
        }
    }
    return NULL;
}

static bool
read_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    char *end = NULL;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return false;
    }
    *number = strtoull(text, &end, 10);
    return *end == '\0' && *number >= least && *number <= most;
}

static bool
read_value(const char *name, const char *value, options_t *options)
{
    if (strcmp(name, "--most") == 0) {
        return read_number(
            value, options->axis->points[0], UINT32_MAX, &options->most);
    }
    if (strcmp(name, "--least") == 0) {
        return read_number(value, 1, UINT32_MAX, &options->least);
    }
    if (strcmp(name, "--runs") == 0) {
        return read_number(value, 1, RUNS_MAX, &options->runs);
    }
    return strcmp(name, "--count") == 0 && options->axis->counts_events &&
           read_number(value, 1, 1000000000, &options->count);
}

bool
bench_growth(char **arguments)
{
    options_t options = {.axis = find_axis(*arguments), .most = UINT32_MAX};
    if (options.axis == NULL) {
        return false;
    }
    options.runs = options.axis->runs;
    while (*++arguments != NULL) {
        if (strcmp(*arguments, "--json") == 0) {
            options.json = true;
        } else if (read_value(arguments[0], arguments[1], &options)) {
            arguments++;
        } else {
            fprintf(stderr,
                "edri bench growth %s: %s does not fit here, or its value\n",
                options.axis->name, *arguments);
            return false;
        }
    }
    return run_axis(&options);
}
