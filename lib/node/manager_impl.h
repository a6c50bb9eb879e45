// SPDX-License-Identifier: MIT
// node/manager_impl.h - what a manager is made of, for those who are part of it:
// setup.c, manager.c, pools.c, renew.c, retire.c and turn.c.

#ifndef NODE_MANAGER_IMPL_H
#define NODE_MANAGER_IMPL_H

#include "base/queue.h"
#include "node/edition.h"
#include "node/manager.h"
#include "node/section.h"

struct edri_manager {
    edri_node_t *node;
    char *name;
    bool dead;          // was refused: takes calls, never runs
    edition_t *now;     // what its code has set up
    edition_t *draft;   // what is being set up: 'now', or (renew.h) the next
    edition_t *ending;  // those before, of which something still runs
    crew_t crew;        // of those that run elsewhere
    faults_t faults;    // of its handlers
    section_t section;  // of the configuration
    const char *failed; // what fails if the start does now
    char *error;        // what the user's code said of it
    char *why;          // it was closed before its node stopped
    demand_t *demands;
    pthread_t thread;
    bool running;
    queue_t *started; // the thread says how its start, and its hook, went
    queue_t *orders;  // closed, or one word: the node is ready
    edri_err_t err;   // of the thread's start or hook
    // the thread's
    edri_port_t *port;
    arena_t *arena;
    struct house *house; // its own process, or NULL
    int wake_fd; // rung by those who look after processes, and by threads that
                 // leave; -1: none
    struct watch *watch; // of the file that it runs, or NULL
    bool renewing;       // its processes are being started anew
    uint32_t editions;   // so many were set up
    handler_t **inmates; // what its own thread runs there
    int64_t watch_ms; // when to look at the pools; -1: they have nothing to do
    agenda_t *agenda; // jobs for the methods, when they cannot be run at once
    bool ranked;      // events for methods have several priorities
    jobs_t held;      // what the fences of their sources hold back in pools
    jobs_t waiting;   // and here: nobody else uses it
    spares_t spares;  // of all jobs
    load_t load;      // being worked off
    pool_t *given_to; // of it, what goes to a pool, not yet put there
    job_t *given;
    job_t *given_last;
    size_t given_count;
    bool replies_done;
    clock_tick_t clock;
    token_t *token; // of the events that were begun last and not told yet
    uint32_t begun; // so many
};

// What is said when setup_configure fails.
#define SETUP_PROGRAM                                                        \
    "handlers in processes are expected; add 'mode = processes:N', 'mode = " \
    "fresh' or 'run = process'"

// setup_configure lets the configuration have its say on what code has set up.
// Returns EDRI_OK, or EDRI_INVAL: it names a program that nobody would run.
edri_err_t setup_configure(
    edri_manager_t *self, edition_t *edition) EDRI_MUST_CHECK;

#endif
