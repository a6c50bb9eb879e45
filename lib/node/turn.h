// SPDX-License-Identifier: MIT
// node/turn.h - what a manager's thread runs next.
//
// DESIGN
// An event whose handler is a method is run as it is read, unless something
// waits: then it waits, too, on the manager's agenda (core/agenda.h), and so does
// what must be tried again or is more urgent than another.  What a fence holds
// back stands aside until the fence opens.  Events for pools are handed on.
//
// struct edri_manager is for setup.c, manager.c, turn.c and retire.c alone.

#ifndef NODE_TURN_H
#define NODE_TURN_H

#include "base/queue.h"
#include "node/manager.h"
#include "node/work/job.h"
#include "node/work/pool.h"

struct edri_manager {
    edri_node_t *node;
    char *name;
    bool dead; // was refused: takes calls, never runs
    bool lossy;
    size_t queue;      // limit of what waits for it; 0: node.manager_queue
    uint32_t limit_ms; // of a task; 0: none
    crew_t crew;
    faults_t faults; // of its handlers
    void (*destroy_state)(void *state);
    edri_hooks_t hooks;
    const char *failed; // what fails if the start does now
    char *error;        // what the user's code said of it
    char *why;          // it was closed before its node stopped
    handler_t **handlers;
    size_t handler_count;
    bool apart;          // runs in a process of its own
    const char *program; // which is another one; NULL: this
    demand_t *demands;
    pthread_t thread;
    bool running;
    queue_t *started; // the thread says how its start, and its hook, went
    queue_t *orders;  // closed, or one word: the node is ready
    edri_err_t err;   // of the thread's start or hook
    // the thread's
    edri_port_t *port;
    arena_t *arena;
    void *worker;   // its own, for methods
    bool is_ready;  // its hook has returned EDRI_OK
    pool_t **pools; // of handlers; the first is the own process's, if any
    size_t pool_count;
    struct house *house; // its own process, or NULL
    int wake_fd;         // rung by those who look after processes; -1: none
    struct watch *watch; // of the file that its processes run, or NULL
    bool renewing;       // its processes are being started anew
    handler_t **inmates; // what its own thread runs there
    int64_t watch_ms; // when to look at the pools; -1: they have nothing to do
    map_t *by_type;   // type id → handler
    map_t *observers; // type id → observer
    agenda_t *agenda; // jobs for the methods, when they cannot be run at once
    bool ranked;      // events for methods have several priorities
    jobs_t held;      // what the fences of their sources hold back in pools
    jobs_t waiting;   // and here: nobody else uses it
    load_t load;      // being worked off
    bool replies_done;
    clock_tick_t clock;
    token_t *token; // of the events that were begun last and not told yet
    uint32_t begun; // so many
};

// turn_load runs or hands on the events of self->load.
void turn_load(edri_manager_t *self);

// turn_next does what comes next on the agenda, until something comes that may be
// more urgent.  Returns false when nothing was ready.
bool turn_next(edri_manager_t *self);

// turn_resume puts back what a fence has held, in order: it may be begun now.
void turn_resume(edri_manager_t *self);

#endif
