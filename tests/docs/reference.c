// SPDX-License-Identifier: MIT
// reference.c - writes docs/settings.md or docs/counters.md from the tables
// in the code: reference settings|counters.

#include <stdio.h>

#include "base/alloc.h"
#include "hub.h"
#include "node/counters.h"
#include "node/node.h"

static void
print_settings(void)
{
    printf("# Settings\n\n"
           "Made from the tables in the code by `scripts/docs`; "
           "`--help` prints the same.\n\n"
           "A setting comes from, later ones winning: its default, the file "
           "that `--config FILE` or\n`EDRI_CONFIG` names, the environment, "
           "`--set NAME=VALUE`. The file is ZPL, a section for each\nword of "
           "the name:\n\n"
           "```\nnode\n    name = counter-1\n"
           "    switch = tcp://10.0.0.1:5590\n```\n\n"
           "Durations are `150ms`, `2s`, `1m`, `1h`; sizes `4096`, `64K`, "
           "`8M`, `1G`. A name or value that does\nnot fit is an error that "
           "names file and line, variable or flag, and what fits.\n\n");
    settings_print_markdown(
        node_rows, "Node: edri-node, and every program with a node", stdout);
    printf(
        "\nIn the file, `managers` may hold a section for each manager, and "
        "does for each plugin that\n`edri-node` loads:\n\n"
        "```\nmanagers\n    counter\n        plugin = libcounter.so\n"
        "        watch = 1\n        run = process\n"
        "        mode = processes:2\n        queue = 1M\n"
        "        time_limit = 10s\n        set\n            limit = 10\n"
        "```\n\n"
        "`plugin` is the path of the shared object (a plain name is looked "
        "for as `dlopen` does). `watch = 1`\nlets the manager go over to "
        "new code when that file becomes another one (`edri reload` does so "
        "by\nhand). `run` is `node` or `process`: the manager has one of "
        "its own. `mode` says\nwho runs its handlers, "
        "whatever the code says: `method`, `threads:N`, `processes:N`, "
        "`fresh` or\n`fresh:N` (a process for each event, N at once). "
        "`program` is another program, with arguments,\nthat runs them in "
        "these processes (see [protocol.md](protocol.md)). `queue` is the "
        "manager's own `node.manager_queue`,\n`time_limit` how long a handler "
        "may take for one event (`edri_manager_time_limit`; 0: no limit),\n"
        "`tunnels` how many its workers may have open at once.\n"
        "What stands below `set` is the manager's own, see "
        "`edri_manager_setting`.\n\n");
    settings_print_markdown(switch_rows, "Switch: edri-switch", stdout);
}

static void
print_counters(void)
{
    printf("# Counters\n\nMade from the table in the code by `scripts/docs`. "
           "Read them with `edri_node_counter`;\n`edri nodes` shows those of "
           "every node's links.\n\n| counter | counts |\n|---|---|\n");
    for (int i = 0; i < COUNTER_COUNT; i++) {
        printf("| `%s` | %s |\n", counter_name((counter_t)i),
            counter_help((counter_t)i));
    }
}

int
main(int argc, char **argv)
{
    if (argc == 2 && streq(argv[1], "settings")) {
        print_settings();
    } else if (argc == 2 && streq(argv[1], "counters")) {
        print_counters();
    } else {
        fprintf(stderr, "usage: reference settings|counters\n");
        return 2;
    }
    return 0;
}
