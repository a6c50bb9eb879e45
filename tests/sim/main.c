// SPDX-License-Identifier: MIT
// main.c - edri-sim: plays seeds of the simulation and says which broke what.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

static const char usage[] =
    "usage: edri-sim [--seed S] [--seeds COUNT] [--steps N] [--faults N]\n"
    "                [--twice] [--verbose]\n\n"
    "Nodes, switches and a faulty network in one process, on virtual time; "
    "the\n"
    "real code runs.  Everything follows from the seed.\n\n"
    "  --seed S        the first seed (1)\n"
    "  --seeds COUNT   how many, one after the other (1)\n"
    "  --steps N       end a run after so many steps, unchecked; 0: at its "
    "end\n"
    "  --faults N      at most so many in a run (8)\n"
    "  --twice         play each seed twice: both runs must be the same\n"
    "  --verbose       tell what happens\n";

typedef struct options {
    uint64_t seed;
    uint64_t seeds;
    uint64_t steps;
    uint64_t faults;
    bool twice;
    bool verbose;
} options_t;

static bool
read_number(const char *text, uint64_t *out)
{
    char *end = NULL;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return false;
    }
    *out = strtoull(text, &end, 10);
    return *end == '\0';
}

static bool
read_options(int argc, char **argv, options_t *out)
{
    for (int i = 1; i < argc; i++) {
        const struct {
            const char *flag;
            uint64_t *number;
        } numbers[] = {{"--seed", &out->seed}, {"--seeds", &out->seeds},
            {"--steps", &out->steps}, {"--faults", &out->faults}};
        bool known = false;
        for (int j = 0; j < 4; j++) {
            if (strcmp(argv[i], numbers[j].flag) == 0) {
                known = read_number(
                    i + 1 < argc ? argv[i + 1] : NULL, numbers[j].number);
                i++;
                break;
            }
        }
        if (i < argc && strcmp(argv[i], "--verbose") == 0) {
            known = out->verbose = true;
        } else if (i < argc && strcmp(argv[i], "--twice") == 0) {
            known = out->twice = true;
        }
        if (!known) {
            return false;
        }
    }
    return true;
}

// play plays one seed.  Returns false when it broke something.
static bool
play(const options_t *options, uint64_t seed, result_t *sum)
{
    result_t result = {0};
    result_t again = {0};
    char *why = NULL;
    bool fine = world_run(
        seed, options->faults, options->steps, options->verbose, &result, &why);
    if (fine && options->twice) {
        fine = world_run(seed, options->faults, options->steps, false, &again,
                   &why) &&
               again.hash == result.hash;
    }
    if (!fine) {
        printf("seed %llu: %s\n    repeat with: edri-sim --seed %llu "
               "--faults %llu --verbose\n",
            (unsigned long long)seed,
            why != NULL ? why : "two runs were not the same",
            (unsigned long long)seed, (unsigned long long)options->faults);
        (void)fflush(stdout);
    }
    free(why);
    sum->events += result.events;
    sum->begun += result.begun;
    sum->marked += result.marked;
    sum->missing += result.missing;
    sum->requests += result.requests;
    sum->cancelled += result.cancelled;
    sum->tunnels += result.tunnels;
    sum->messages += result.messages;
    sum->whole += result.whole;
    sum->faults += result.faults;
    sum->steps += result.steps;
    return fine;
}

int
main(int argc, char **argv)
{
    options_t options = {.seed = 1, .seeds = 1, .faults = 8};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        printf("%s", usage);
        return 0;
    }
    if (!read_options(argc, argv, &options)) {
        fprintf(stderr, "%s", usage);
        return 2;
    }
    result_t sum = {0};
    uint64_t failed = 0;
    for (uint64_t i = 0; i < options.seeds; i++) {
        failed += !play(&options, options.seed + i, &sum);
    }
    printf("%llu seeds: %llu events, %llu begun (%llu marked), %llu requests "
           "(%llu cancelled), %llu tunnels with %llu messages (%llu ends in "
           "peace), %llu faults, %llu copies missing at managers in "
           "doubt, "
           "%llu steps; "
           "%llu failed\n",
        (unsigned long long)options.seeds, (unsigned long long)sum.events,
        (unsigned long long)sum.begun, (unsigned long long)sum.marked,
        (unsigned long long)sum.requests, (unsigned long long)sum.cancelled,
        (unsigned long long)sum.tunnels, (unsigned long long)sum.messages,
        (unsigned long long)sum.whole, (unsigned long long)sum.faults,
        (unsigned long long)sum.missing, (unsigned long long)sum.steps,
        (unsigned long long)failed);
    return failed == 0 ? 0 : 1;
}
