// SPDX-License-Identifier: MIT
// hub.h - the switch that a stress program starts, kills and starts again.

#ifndef STRESS_HUB_H
#define STRESS_HUB_H

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char program[512]; // edri-switch
static char endpoint[96]; // where it listens
static pid_t hub;

static void
start_switch(void)
{
    char bind_to[160];
    (void)snprintf(bind_to, sizeof bind_to, "switch.bind=%s", endpoint);
    hub = fork();
    if (hub == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl(program, program, "--set", bind_to, (char *)NULL);
        _exit(127);
    }
}

static void
end_switch(int number)
{
    (void)kill(hub, number);
    (void)waitpid(hub, NULL, 0);
}

#endif
