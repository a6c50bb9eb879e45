// SPDX-License-Identifier: MIT
// edri/reload.h - managers of running nodes go over to new code, for tools.
//
// What runs in processes (run = process, mode = processes:N, program) is started
// anew, from its file as it is now: the program's own, a plugin's, or another
// program.  The new process begins beside the old one; when it is ready, it gets
// the next events, and the old one ends when it has finished what it had begun.
//
// A plugin that runs in the node itself is loaded beside the old one: edri_plugin
// sets the manager up anew, with a state of its own; its hook 'started' runs, its
// threads begin, and it gets the next events.  Then the old one's hook 'draining'
// is called, what it had begun ends, and so do the requests that wait for answers;
// then come 'stopped', the end of its state, and it is unloaded.  Both run in the
// manager's thread: what 'started' waits for, the manager's events wait for.  The
// new one has to handle the same types with the same options, and with the same kind
// of workers; fields may be added to them.  What only a new start can change is
// refused, with a text that says so, and so is everything while the node drains.
// Where processes do a part of the manager's work, each part goes over by itself: the
// text says which has not.  Threads and ports that the plugin has made
// itself must have ended when 'stopped' returns.
//
// Nothing is lost, and nothing is handled twice.  A new process or plugin that
// cannot begin is ended, and the old one goes on.  Only what is part of the program
// that runs cannot be reloaded.
//
// Where the configuration says managers/NAME/watch = 1, that happens by itself when
// the file becomes another one; it may then be written to in place, too.  Else let
// another file take its place (mv, install, linkers do): the dynamic linker uses
// what stands there.

#ifndef EDRI_RELOAD_H
#define EDRI_RELOAD_H

#include <stddef.h>

#include "edri/node.h"

typedef struct edri_reload edri_reload_t;

// edri_reload_row_t is how it went with one manager; texts are borrowed from the
// result.
typedef struct edri_reload_row {
    const char *node;
    const char *manager;
    edri_err_t err; // EDRI_INVAL: it is part of the program that runs
    const char *text;
} edri_reload_row_t;

// edri_reload_new lets the managers of one node, or (of NULL) of all, go over to new
// code, or (manager not NULL) the one of that name, and waits until they have; old
// code may still be at work.
// 'node' is the caller's, connected to a switch; it waits up to timeout_ms.
// Returns EDRI_OK, also when some could not: see the rows.  EDRI_NOT_FOUND:
// there is no such node; EDRI_DEADLINE; EDRI_UNREACHABLE; EDRI_STATE.
// edri_node_error says more.
edri_err_t edri_reload_new(edri_node_t *node, const char *of,
    const char *manager, int timeout_ms, edri_reload_t **result_p);
void edri_reload_destroy(edri_reload_t **self_p);

// edri_reload_rows gives the managers, by node and name; their number is returned.
size_t edri_reload_rows(
    const edri_reload_t *self, const edri_reload_row_t **rows_p);

// edri_reload_silent gives the names of nodes that were asked and have not answered.
size_t edri_reload_silent(
    const edri_reload_t *self, const char *const **names_p);

#endif
