// SPDX-License-Identifier: MIT
// node/edition.h - what a manager's code has set up: handlers, hooks, state.
//
// DESIGN
// A manager outlives its code.  When its plugin has changed, the new one sets up
// another edition beside the one in force (renew.h): new events are the new one's;
// the old one ends, and is unloaded, when nothing of it runs or is waited for.

#ifndef NODE_EDITION_H
#define NODE_EDITION_H

#include "node/library.h"
#include "node/work/pool.h"

typedef struct edition {
    struct edition *next; // among those that end
    uint32_t number;      // 0, 1, ...: marks its requests (port.h)
    library_t *library;   // its code; NULL: the program's
    handler_t **handlers;
    size_t handler_count;
    map_t *by_type;   // type id → handler
    map_t *observers; // type id → observer
    crew_t crew;      // of those that run here
    void (*destroy_state)(void *state);
    edri_hooks_t hooks;
    bool lossy;
    bool apart;              // runs in a process of its own
    size_t queue;            // limit of what waits for the manager; 0: as usual
    uint32_t limit_ms;       // of a task; 0: none
    edri_err_t err;          // the first of its set-up
    edri_manager_t **others; // that it has asked for: dead
    size_t other_count;
    // the manager thread's
    bool is_ready;   // its hook has returned EDRI_OK
    tenant_t tenant; // the port's, until it is in force
    void *worker;    // its own, for methods
    pool_t **pools;  // of handlers; the first is the own process's, if any
    size_t pool_count;
} edition_t;

// edition_new makes an empty one.  edition_destroy frees it, with its state and its
// code: all of its threads have ended.
edition_t *edition_new(const crew_t *crew, uint32_t number);
void edition_destroy(edition_t **self_p);

// edition_handler returns what it does with events of a type, or with the replies
// to them ('observes'); NULL: nothing.
handler_t *edition_handler(const edition_t *self, uint64_t type, bool observes);

// edition_add takes a handler over.  Returns EDRI_OK, or EDRI_EXISTS.
edri_err_t edition_add(edition_t *self, handler_t *handler) EDRI_MUST_CHECK;

// edition_lives_here says whether anything of it runs in the node itself.
bool edition_lives_here(const edition_t *self);

// edition_follows says whether it may come after 'before' in a manager that runs:
// it handles the same types, with the same kind of workers.  Returns EDRI_OK, or
// EDRI_MISMATCH with a text in 'why'.
edri_err_t edition_follows(const edition_t *self, const edition_t *before,
    char *why, size_t why_size) EDRI_MUST_CHECK;

// edition_begin_worker makes what the manager's thread has for itself, if it runs
// anything; in that thread.  Returns EDRI_OK, or what the user's code did.
edri_err_t edition_begin_worker(edition_t *self) EDRI_MUST_CHECK;

// The hooks, which may be none; in the manager's thread, or the first thread of its
// own process.
edri_err_t edition_call_started(
    edition_t *self, edri_port_t *port) EDRI_MUST_CHECK;
void edition_call_draining(edition_t *self, edri_port_t *port);
void edition_call_stopped(edition_t *self);

// edition_adopt takes the handlers in processes of 'before', with their pools: what
// runs there is not the node's code.
void edition_adopt(edition_t *self, edition_t *before);

#endif
