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
    bool at_most; // the ratio is; else at least
    bool latency; // the figure is p50, not a rate
} row_t;

static const row_t rows[] = {
    {"local", "local", 0.8, false, false},
    {"switch, 64 B", "switch --against nats", 2.0, false, false},
    {"switch, 256 B", "switch --size 256 --against nats", 1.5, false, false},
    {"switch, 1 KiB", "switch --size 1024 --against nats", 1.5, false, false},
    {"switch, 16 KiB", "switch --size 16384 --against nats", 1.5, false, false},
    {"fan-out to 8 nodes", "fanout --nodes 8 --against nats", 1.5, false,
        false},
    {"request", "request", 1.4, true, true},
    {"request, beside NATS", "request --against nats", 1.0, true, true},
    {"64 requests at a time", "request --outstanding 64 --against nats", 3.0,
        false, false},
    {"request in one node", "request --local", 3.0, true, true},
    {"keys, 1 % poisoned", "keys", 0.95, false, false},
    {"tunnel, 64 KiB", "tunnel", 0.8, false, false},
};

enum {
    ROWS = sizeof rows / sizeof rows[0]
};

// runs_t is what the runs of a row have said.
typedef struct runs {
    char *lines[RUNS_MAX];
    double ratios[RUNS_MAX];
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

static void
run_row(const row_t *row, runs_t *runs, unsigned run)
{
    char program[512];
    char command[768];
    char line[1024] = "";
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    (void)snprintf(command, sizeof command, "'%s' bench %s --json", program,
        row->arguments);
    FILE *out = popen(command, "r");
    bool fine = out != NULL && fgets(line, sizeof line, out) != NULL;
    if (out == NULL || pclose(out) != 0 || !fine) {
        bench_fail("'edri bench %s' failed", row->arguments);
    }
    line[strcspn(line, "\n")] = '\0';
    runs->lines[run] = strdup(line);
    runs->ratios[run] = number_in(line, "ratio");
    runs->mine[run] = number_in(line, row->latency ? "p50_us" : "events_per_s");
    runs->baselines[run] =
        number_in(line, row->latency ? "baseline_p50_us" : "baseline_per_s");
    const char *against = strstr(line, "\"against\":\"");
    (void)snprintf(runs->against, sizeof runs->against, "%.*s",
        against != NULL ? (int)strcspn(against + 11, "\"") : 0,
        against != NULL ? against + 11 : "");
}

static void
print_row(const row_t *row, runs_t *runs, unsigned count)
{
    double ratio = bench_percentiles(runs->ratios, count).p50;
    bool met = row->at_most ? ratio <= row->bar : ratio >= row->bar;
    const char *unit = row->latency ? "us" : "/s";
    printf("| %-22s | %9.0f %s | %9.0f %s %-14s | %5.2f | %s %.2f | %s |\n",
        row->name, bench_percentiles(runs->mine, count).p50, unit,
        bench_percentiles(runs->baselines, count).p50, unit, runs->against,
        ratio, row->at_most ? "<=" : ">=", row->bar, met ? "yes" : "no ");
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
            fprintf(stderr, "run %u of %u: edri bench %s\n", run + 1, count,
                rows[i].arguments);
            run_row(&rows[i], &all[i], run);
        }
    }
    printf(
        "| scenario               | EDRI         | beside                      "
        "    | ratio | bar     | met |\n"
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
