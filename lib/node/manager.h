// SPDX-License-Identifier: MIT
// node/manager.h - the inside of a manager: its handlers and its thread.

#ifndef NODE_MANAGER_H
#define NODE_MANAGER_H

#include "edri/manager.h"
#include "node/library.h"
#include "node/node.h"

// manager_new makes a manager; name is copied.  'dead' managers take every
// call and never run.
edri_manager_t *manager_new(edri_node_t *node, const char *name, bool dead);

// manager_came_from says that its code is a library's, which it takes over: it sets
// the manager up next.
void manager_came_from(edri_manager_t *self, library_t *library);

// setup_by says that a manager's code sets it up in this thread from now on (NULL:
// none does); returns what was before.  setup_other refuses another manager that such
// code asks for: returns a dead one, or NULL when none sets up.
edri_manager_t *setup_by(edri_manager_t *manager);
edri_manager_t *setup_other(const char *name);

// manager_configure lets the configuration say who runs its handlers.  Returns
// EDRI_OK or EDRI_INVAL: the node's error names file and line.
edri_err_t manager_configure(edri_manager_t *self) EDRI_MUST_CHECK;

// manager_has_processes says whether anything of it runs in processes.
bool manager_has_processes(const edri_manager_t *self);

// manager_handler returns what it does with events of a type, or with the replies
// to them ('observes'); NULL: nothing.  manager_crew returns what its workers have.
const struct handler *manager_handler(
    const edri_manager_t *self, uint64_t type, bool observes);
const struct crew *manager_crew(const edri_manager_t *self);

// The hooks, which may be none: in the manager's thread, or the first thread of
// its own process.
edri_err_t manager_call_started(
    edri_manager_t *self, edri_port_t *port) EDRI_MUST_CHECK;
void manager_call_draining(edri_manager_t *self, edri_port_t *port);
void manager_call_stopped(edri_manager_t *self);

// manager_start starts its thread and pools and waits until all are attached.
// Returns EDRI_OK; EDRI_SYSTEM, or what the user's code for a worker's own state
// returned: see manager_why.
edri_err_t manager_start(edri_manager_t *self) EDRI_MUST_CHECK;

// manager_ready tells it that its demands are in force: it calls its hook, if it
// has one, and begins to handle events.  manager_await waits for the hook and
// returns its error.
void manager_ready(edri_manager_t *self);
edri_err_t manager_await(edri_manager_t *self) EDRI_MUST_CHECK;

// manager_why says why the start failed; to be freed by the caller.
char *manager_why(const edri_manager_t *self, edri_err_t err);

// What the thread consists of; the simulation calls it step by step instead.
// manager_open attaches the port and starts the pools, manager_step works off
// what has come (false: told to stop), manager_close drops what is left.
edri_err_t manager_open(edri_manager_t *self) EDRI_MUST_CHECK;
bool manager_step(edri_manager_t *self, bool may_wait);
void manager_close(edri_manager_t *self);

// manager_join waits for the thread, which ends when the router says that the
// node stops, or now, if it was never told that it is ready.
void manager_join(edri_manager_t *self);

// manager_destroy frees it with its state; the thread has been joined.
void manager_destroy(edri_manager_t **self_p);

#endif
