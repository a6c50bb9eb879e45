// SPDX-License-Identifier: MIT
// main.c - edri: the command line.

#include <stdio.h>
#include <string.h>

#include "words.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;
} words[] = {
    {"types", word_types,
        "types                    every event type, who "
        "handles and emits it"},
    {"nodes", word_nodes,
        "nodes                    every node, its managers, "
        "frames, queue"},
    {"audit", word_audit,
        "audit                    the books: what waits where, "
        "with its bound;\n"
        "                                what both ends of each flow say; "
        "what was dropped"},
    {"health", word_health,
        "health [NODE]            how every manager is, and its last errors"},
    {"reload", word_reload,
        "reload NODE [MANAGER]    go over to new code, nothing is lost"},
    {"dead", word_dead,
        "dead list [NODE]         events whose handlers failed for good\n"
        "  edri dead show NODE NUMBER\n"
        "  edri dead retry|drop NODE NUMBER|all"},
    {"emit", word_emit, "emit TYPE JSON           send a notification"},
    {"request", word_request, "request TYPE JSON        ask, print the reply"},
    {"listen", word_listen,
        "listen TYPE [COUNT]      print events as they "
        "come, a line each"},
    {"tunnel", word_tunnel,
        "tunnel open TYPE [JSON]  a tunnel as a pipe: stdin goes, what comes "
        "is "
        "printed;\n"
        "                                messages are JSON, a line each\n"
        "  edri tunnel list [NODE]       those that are open"},
    {"bench", word_bench,
        "bench local|switch|request|keys|tunnel [--size N] [--count N] "
        "[--mode MODE]\n"
        "                                [--open N] [--stopped SECONDS] "
        "[--json]"},
};

#define WORDS (sizeof words / sizeof words[0])

static void
print_usage(FILE *out)
{
    fprintf(out, "usage: edri WORD ...\n\n");
    for (size_t i = 0; i < WORDS; i++) {
        fprintf(out, "  edri %s\n", words[i].usage);
    }
    fprintf(out,
        "\nThe switch is tcp://127.0.0.1:5590, or EDRI_NODE_SWITCH, or\n"
        "--set node.switch=ENDPOINT behind the word.  JSON is that of "
        "proto3.\n");
}

int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        print_usage(stdout);
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < WORDS; i++) {
        if (strcmp(argv[1], words[i].name) == 0) {
            return words[i].run(argc - 1, argv + 1);
        }
    }
    if (argc > 1) {
        fprintf(stderr, "edri: %s: no such word\n", argv[1]);
    }
    print_usage(stderr);
    return 2;
}
