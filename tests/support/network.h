// SPDX-License-Identifier: MIT
// network.h - a real edri-switch, and nodes that it joins, for tests.

#ifndef SUPPORT_NETWORK_H
#define SUPPORT_NETWORK_H

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edri/edri.h"

// ----- a switch as a child process

typedef struct hub {
    pid_t pid;
    char endpoint[256];
} hub_t;

static inline hub_t
start_switch_with(const char *endpoint, const char *settle)
{
    hub_t hub = {0};
    char bind[160];
    char settle_after[64];
    snprintf(settle_after, sizeof settle_after, "switch.settle=%s", settle);
    snprintf(bind, sizeof bind, "switch.bind=%.140s", endpoint);
    int pipes[2];
    char program[512];
    const char *bin = getenv("EDRI_BIN");
    snprintf(program, sizeof program, "%s/edri-switch",
        bin != NULL ? bin : "build/bin");
    cr_assert_eq(pipe(pipes), 0);
    hub.pid = fork();
    if (hub.pid == 0) {
        // A test that fails must not leave it behind.
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(pipes[1], STDOUT_FILENO);
        close(pipes[0]);
        execl(program, program, "--set", bind, "--set", settle_after, "--set",
            "link.heartbeat=50ms", (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    FILE *out = fdopen(pipes[0], "r");
    char line[256] = "";
    cr_assert_not_null(fgets(line, sizeof line, out), "no switch: %s", program);
    cr_assert_eq(
        sscanf(line, "edri-switch switch listening on %127s", hub.endpoint), 1,
        "%s", line);
    fclose(out);
    return hub;
}

static inline hub_t
start_switch(void)
{
    return start_switch_with("tcp://127.0.0.1:*", "100ms");
}

// start_switch_at starts one where another was: it knows that others come back.
static inline hub_t
start_switch_at(const char *endpoint)
{
    return start_switch_with(endpoint, "3s");
}

static inline void
stop_switch(hub_t *hub)
{
    int status = 0;
    kill(hub->pid, SIGTERM);
    waitpid(hub->pid, &status, 0);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static inline edri_node_t *
new_node(const hub_t *hub, const char *name)
{
    edri_node_t *node = edri_node_new(0, NULL);
    cr_assert_eq(edri_node_set(node, "node.name", name), EDRI_OK);
    cr_assert_eq(edri_node_set(node, "node.switch", hub->endpoint), EDRI_OK);
    return node;
}

static inline void
start(edri_node_t *node)
{
    cr_assert_eq(edri_node_start(node), EDRI_OK, "%s", edri_node_error(node));
}

#endif
