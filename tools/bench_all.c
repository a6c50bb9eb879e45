// SPDX-License-Identifier: MIT
// bench_all.c - edri bench --all: the table of docs/performance.md.
//
// Each run is a process of its own, this program again with --json.  Runs of different
// rows take turns, so that an hour in which the machine is busy hits all of them.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define RUNS_MAX 25

// row_t is one line: a command, and what is asked of its ratio.
typedef struct row {
    const char *name;
    const char *arguments; // of edri bench
    double bar;
    bool at_most;       // the ratio is; else at least
    bool latency;       // the figure is p50, not a rate
    const char *figure; // of the JSON, that the bar is for; NULL: the ratio
    const char *unit;   // its
} row_t;

static const row_t rows[] = {
    {.name = "local", .arguments = "local", .bar = 0.8},
    {.name = "switch, 64 B", .arguments = "switch --against nats", .bar = 2.0},
    {.name = "switch, 256 B",
        .arguments = "switch --size 256 --against nats",
        .bar = 1.5},
    {.name = "switch, 1 KiB",
        .arguments = "switch --size 1024 --against nats",
        .bar = 1.5},
    {.name = "switch, 16 KiB",
        .arguments = "switch --size 16384 --against nats",
        .bar = 1.5},
    {.name = "fan-out to 8 nodes",
        .arguments = "fanout --nodes 8 --against nats",
        .bar = 1.5},
    {.name = "request",
        .arguments = "request",
        .bar = 1.4,
        .at_most = true,
        .latency = true},
    {.name = "request, beside NATS",
        .arguments = "request --against nats",
        .bar = 1.0,
        .at_most = true,
        .latency = true},
    {.name = "the same, switch.spin=200",
        .arguments = "request --against nats --spin 200",
        .bar = 1.0,
        .at_most = true,
        .latency = true},
    {.name = "64 requests at a time",
        .arguments = "request --outstanding 64 --against nats",
        .bar = 3.0},
    {.name = "request in one node",
        .arguments = "request --local",
        .bar = 3.0,
        .at_most = true,
        .latency = true},
    {.name = "keys, 1 % poisoned", .arguments = "keys", .bar = 0.95},
    {.name = "tunnel, 64 KiB", .arguments = "tunnel", .bar = 0.8},
    {.name = "idle node",
        .arguments = "memory",
        .bar = 4096,
        .at_most = true,
        .figure = "node_kib",
        .unit = "KiB"},
    {.name = "idle node at the switch",
        .arguments = "memory",
        .bar = 128,
        .at_most = true,
        .figure = "switch_kib_per_node",
        .unit = "KiB"},
    {.name = "1,000 nodes: in force",
        .arguments = "scale",
        .bar = 10,
        .at_most = true,
        .figure = "confirmed_s",
        .unit = "s"},
    {.name = "1,000 nodes: again in force",
        .arguments = "scale",
        .bar = 10,
        .at_most = true,
        .figure = "resumed_s",
        .unit = "s"},
    {.name = "1,000 nodes: speed", .arguments = "scale", .bar = 0.8},
};

enum {
    ROWS = sizeof rows / sizeof rows[0]
};

// runs_t is what the runs of a row have said.
typedef struct runs {
    char *lines[RUNS_MAX];
    double judged[RUNS_MAX]; // what the bar is for
    double mine[RUNS_MAX];
    double baselines[RUNS_MAX];
    char against[32];
} runs_t;

// number_in reads a member of the JSON that print_json has written.
static double
number_in(const char *json, const char *name)
{
    char key[48];
    (void)snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(json, key);
    return at != NULL ? strtod(at + strlen(key), NULL) : 0;
}

// run_command runs edri bench with the row's arguments.  Returns the line that it prints,
// to be freed.
static char *
run_command(const row_t *row)
{
    char program[512];
    char command[768];
    char line[1024] = "";
    bench_beside_us(program, sizeof program, "edri");
    (void)snprintf(command, sizeof command, "'%s' bench %s --json", program,
        row->arguments);
    FILE *out = popen(command, "r");
    bool fine = out != NULL && fgets(line, sizeof line, out) != NULL;
    if (out == NULL || pclose(out) != 0 || !fine) {
        bench_fail("'edri bench %s' failed", row->arguments);
    }
    line[strcspn(line, "\n")] = '\0';
    return strdup(line);
}

// note_run keeps what a run has said, whose line is taken over.
static void
note_run(const row_t *row, runs_t *runs, unsigned run, char *line)
{
    const char *against = strstr(line, "\"against\":\"");
    runs->lines[run] = line;
    runs->judged[run] =
        number_in(line, row->figure != NULL ? row->figure : "ratio");
    runs->mine[run] = number_in(line, row->latency ? "p50_us" : "events_per_s");
    runs->baselines[run] =
        number_in(line, row->latency ? "baseline_p50_us" : "baseline_per_s");
    (void)snprintf(runs->against, sizeof runs->against, "%.*s",
        against != NULL ? (int)strcspn(against + 11, "\"") : 0,
        against != NULL ? against + 11 : "");
}

static void
print_row(const row_t *row, runs_t *runs, unsigned count)
{
    double judged = bench_percentiles(runs->judged, count).p50;
    bool met = row->at_most ? judged <= row->bar : judged >= row->bar;
    const char *unit = row->latency ? "us" : "/s";
    char mine[32] = "";
    char beside[64] = "";
    char ratio[32] = "";
    if (row->figure != NULL) {
        (void)snprintf(mine, sizeof mine, "%.*f %s", judged < 100 ? 1 : 0,
            judged, row->unit);
    } else {
        (void)snprintf(mine, sizeof mine, "%.0f %s",
            bench_percentiles(runs->mine, count).p50, unit);
        (void)snprintf(beside, sizeof beside, "%.0f %s %s",
            bench_percentiles(runs->baselines, count).p50, unit, runs->against);
        (void)snprintf(ratio, sizeof ratio, "%.2f", judged);
    }
    printf("| %-26s | %-12s | %-24s | %-5s | %s %.*f %s | %s |\n", row->name,
        mine, beside, ratio, row->at_most ? "at most" : "at least",
        row->figure != NULL ? 0 : 2, row->bar,
        row->figure != NULL ? row->unit : "", met ? "yes" : "no");
}

static void
write_json(const char *path, const runs_t *all, unsigned count)
{
    FILE *out = fopen(path, "w");
    struct utsname machine;
    char date[32];
    time_t now = time(NULL);
    struct tm utc;
    if (out == NULL) {
        bench_fail("%s cannot be written", path);
    }
    (void)uname(&machine);
    (void)strftime(date, sizeof date, "%Y-%m-%d", gmtime_r(&now, &utc));
    fprintf(out,
        "{\"date\":\"%s\",\"machine\":\"%s %s, %ld processors\",\"rows\":[",
        date, machine.sysname, machine.machine, sysconf(_SC_NPROCESSORS_ONLN));
    for (unsigned i = 0; i < ROWS; i++) {
        fprintf(out,
            "%s\n{\"name\":\"%s\",\"command\":\"edri bench %s\","
            "\"bar\":%.2f,\"at_most\":%s,\"runs\":[",
            i > 0 ? "," : "", rows[i].name, rows[i].arguments, rows[i].bar,
            rows[i].at_most ? "true" : "false");
        for (unsigned run = 0; run < count; run++) {
            fprintf(out, "%s\n  %s", run > 0 ? "," : "", all[i].lines[run]);
        }
        fprintf(out, "]}");
    }
    fprintf(out, "]}\n");
    if (fclose(out) != 0) {
        bench_fail("%s cannot be written", path);
    }
}

static void
measure(unsigned count, const char *path)
{
    runs_t *all = calloc(ROWS, sizeof *all);
    for (unsigned run = 0; run < count; run++) {
        for (unsigned i = 0; i < ROWS; i++) {
            // Rows of one command share its run.
            bool same =
                i > 0 && strcmp(rows[i].arguments, rows[i - 1].arguments) == 0;
            if (!same) {
                fprintf(stderr, "run %u of %u: edri bench %s\n", run + 1, count,
                    rows[i].arguments);
            }
            note_run(&rows[i], &all[i], run,
                same ? strdup(all[i - 1].lines[run]) : run_command(&rows[i]));
        }
    }
    printf("| scenario | EDRI | beside | ratio | bar | met |\n"
           "|---|---|---|---|---|---|\n");
    for (unsigned i = 0; i < ROWS; i++) {
        print_row(&rows[i], &all[i], count);
    }
    if (path != NULL) {
        write_json(path, all, count);
    }
    for (unsigned i = 0; i < ROWS; i++) {
        for (unsigned run = 0; run < count; run++) {
            free(all[i].lines[run]);
        }
    }
    free(all);
}

bool
bench_all(char **arguments)
{
    unsigned count = 5;
    const char *path = NULL;
    char end = '\0';
    for (; *arguments != NULL; arguments += 2) {
        if (arguments[1] == NULL) {
            return false;
        }
        if (strcmp(arguments[0], "--out") == 0) {
            path = arguments[1];
        } else if (strcmp(arguments[0], "--runs") != 0 ||
                   sscanf(arguments[1], "%u%c", &count, &end) != 1 ||
                   count < 1 || count > RUNS_MAX) {
            return false;
        }
    }
    measure(count, path);
    return true;
}
