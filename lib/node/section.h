// SPDX-License-Identifier: MIT
// node/section.h - a manager's section in the configuration file.

#ifndef NODE_SECTION_H
#define NODE_SECTION_H

#include "node/node.h"
#include "node/work/workers.h"

// section_t is managers/NAME; what is borrowed lives as long as the node.
typedef struct section {
    const char *plugin;  // a shared object; NULL: none
    const char *program; // runs its handlers; NULL: this one
    bool watched;        // reloaded when its file changes
    bool has_run;
    bool apart; // in a process of its own
    bool has_mode;
    edri_workers_t mode; // of all its handlers
    int64_t queue;       // bytes; -1: not said
    int64_t limit_ms;    // of a task; 0: none, -1: not said
    int64_t tunnels;     // open at once; -1: not said
} section_t;

// Limits of what may be said there, and in code.
#define QUEUE_MIN   ((int64_t)4096)
#define QUEUE_MAX   ((int64_t)1 << 34)
#define TUNNELS_MAX ((int64_t)1 << 24)
#define TIME_MAX_MS ((int64_t)86400000)

// section_read reads the section of a manager; without one all is empty.
// Returns EDRI_OK, or EDRI_INVAL: the node's error names file and line.
// Setting-up thread only.
edri_err_t section_read(
    edri_node_t *node, const char *name, section_t *self) EDRI_MUST_CHECK;

// section_refuse says what is wrong with managers/NAME, or (not NULL) KEY in
// it, and where that stands.  Returns EDRI_INVAL.
edri_err_t section_refuse(
    edri_node_t *node, const char *name, const char *key, const char *what);

#endif
