// SPDX-License-Identifier: MIT
// edri/node.h - a node: one router, its managers, its links to the switches.

#ifndef EDRI_NODE_H
#define EDRI_NODE_H

#include <stdint.h>

#include "edri/err.h"
#include "edri/manager.h"
#include "edri/port.h"

typedef struct edri_node edri_node_t;

// edri_node_new reads the settings (defaults, then the file named by --config
// FILE or EDRI_CONFIG, then the environment, then --set NAME=VALUE flags; see
// docs/settings.md) and creates a node that is not started yet.  Flags it does
// not know stay for the program: see edri_node_args.
// Never returns NULL.  What is wrong with the settings, and every later
// mistake in setting the node up, is kept: edri_node_start and edri_node_run
// report the first one.  So a main() need not check each call.
// argc 0 and argv NULL are fine: file and environment only.  argv is borrowed
// for the node's life.  Caller owns the result.  One thread sets a node up.
edri_node_t *edri_node_new(int argc, char **argv);

// edri_node_destroy frees the node with all its managers and sets *self_p to
// NULL.  If it runs it is drained first, for at most node.drain_timeout (to
// stop at once: edri_node_stop(self, 0) before).  Ports are destroyed by their
// owners before.  Safe on NULL and safe to call twice.
void edri_node_destroy(edri_node_t **self_p);

// edri_node_set changes a setting before start, as --set NAME=VALUE would.
// Returns EDRI_OK; EDRI_NOT_FOUND for an unknown name, EDRI_INVAL for a value
// that does not fit (edri_node_error says what fits), EDRI_STATE after start.
edri_err_t edri_node_set(
    edri_node_t *self, const char *name, const char *value);

// edri_node_args gives the arguments that were not for the node, the first
// being the program's name.  *argv_p is borrowed from the node.
int edri_node_args(const edri_node_t *self, char ***argv_p);

// edri_node_manager creates a manager.  Its name is its group: managers of the
// same name on different nodes share GROUP events.  Letters, digits, '-', '_'
// and '.', at most 64.  The node owns the result.  A bad or doubled name, a
// started node, or a call from edri_plugin, is kept as the node's error, and the
// result is a manager that takes every call and never runs.
edri_manager_t *edri_node_manager(edri_node_t *self, const char *name);

// edri_node_load loads a plugin (a shared object that defines edri_plugin, see
// edri/plugin.h) and lets it set up the manager 'name'.
// Returns EDRI_OK; EDRI_NOT_FOUND when the file cannot be loaded or has no such
// symbol, EDRI_INVAL when the manager's section is wrong, or what the plugin
// returned.  edri_node_error says what and where.
edri_err_t edri_node_load(
    edri_node_t *self, const char *name, const char *path);

// edri_node_load_plugins loads every plugin that the settings name:
// managers/NAME/plugin = PATH.  Returns EDRI_OK or the first error.
edri_err_t edri_node_load_plugins(edri_node_t *self);

// edri_node_start starts router, managers and workers and returns when the
// node's demands are in force: an event that any connected node emits after
// that reaches them.  Then it waits for the managers' hooks (edri_hooks_t).
// Blocks at most node.start_timeout, and as long as these take.
// Returns EDRI_OK; the error of the setting-up; EDRI_UNREACHABLE when a switch
// did not answer in time; EDRI_EXISTS when another live node has the name;
// EDRI_MISMATCH when a type differs from what the network knows; or what a
// hook, or a worker's own state (edri_manager_worker_state) returned.  After an
// error the node is stopped; edri_node_error says more.
// In a process that runs handlers for a node (EDRI_PROCESSES) it does not
// return: it runs them, and ends the process.
edri_err_t edri_node_start(edri_node_t *self) EDRI_MUST_CHECK;

// edri_node_stop ends a started node.  With drain_ms > 0 it first withdraws its
// demands, finishes what it has begun or queued and sends what it has emitted,
// for at most drain_ms; with 0 it stops at once.  Returns EDRI_OK, EDRI_STATE
// when it does not run, EDRI_DEADLINE when something was left (counted, logged).
// Blocks.  Call it from the thread that started the node.
edri_err_t edri_node_stop(edri_node_t *self, int drain_ms);

// edri_node_run starts the node, waits for SIGTERM or SIGINT, drains for at
// most node.drain_timeout and returns the exit code of the program: 0, 1 after
// an error at run time, 2 after wrong use.  Errors go to stderr in one line.
// A second signal stops at once.  --help is answered here, and --health: 0
// when a node with these settings runs and is ready (asked at its node.ipc).
int edri_node_run(edri_node_t *self);

// edri_node_wait blocks until SIGTERM or SIGINT came (edri_node_start catches
// neither by itself), edri_node_quit was called, or the node lost its name.
// Returns EDRI_OK, or EDRI_REPLACED.
edri_err_t edri_node_wait(edri_node_t *self);

// edri_node_quit makes edri_node_run and edri_node_wait return.  Any thread;
// may be called from a handler.
void edri_node_quit(edri_node_t *self);

// edri_node_port attaches the calling thread to the node: it can then emit and
// request.  Only the thread that created a port may use it.  The node must be
// started (else NULL, and edri_node_error says so).  The caller owns the port
// and destroys it with edri_port_destroy before the node.
edri_port_t *edri_node_port(edri_node_t *self);

// edri_node_name and edri_node_life tell who this is.  Name is borrowed.
const char *edri_node_name(const edri_node_t *self);
uint64_t edri_node_life(const edri_node_t *self);

// edri_node_error returns what the last failed call of this node says, or "".
// Borrowed until the next call on the node.
const char *edri_node_error(const edri_node_t *self);

// edri_node_counter returns a counter of the running node, such as
// "events.delivered"; docs/counters.md lists them.  *value is 0 for an unknown
// name, and the result is EDRI_NOT_FOUND.  Any thread; never blocks.
edri_err_t edri_node_counter(
    const edri_node_t *self, const char *name, uint64_t *value);

#endif
