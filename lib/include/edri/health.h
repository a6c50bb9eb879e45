// SPDX-License-Identifier: MIT
// edri/health.h - how the managers of the running system are.
//
// A node probes each of its managers through the way that events take, and looks
// whether work goes on.  What changes is an event, too: edri.ManagerDown and
// edri.ManagerUp (edri/system.proto).

#ifndef EDRI_HEALTH_H
#define EDRI_HEALTH_H

#include <stddef.h>
#include <stdint.h>

#include "edri/node.h"

typedef struct edri_health edri_health_t;

// edri_fault_t is one error that a handler returned.
typedef struct edri_fault {
    const char *type;
    edri_err_t err;
    const char *text;
    uint64_t at_us; // since 1970-01-01 UTC
} edri_fault_t;

typedef struct edri_health_manager {
    const char *node;
    const char *manager;
    const char *state;          // "ok", "slow" or "stuck"
    uint64_t since_ms;          // for how long
    uint64_t delay_ms;          // that the last probe took, or has been waiting
    uint64_t bytes;             // that wait for it, or are being worked on
    const edri_fault_t *faults; // the last ones, the newest first
    size_t fault_count;
} edri_health_manager_t;

// edri_health_new asks the nodes how their managers are, waiting at most
// timeout_ms: 'of' names one node, NULL means all.  Caller owns *result_p.
// Returns EDRI_OK, also when some node has not answered (edri_health_silent);
// EDRI_NOT_FOUND when there is no such node; EDRI_DEADLINE, EDRI_UNREACHABLE (no
// switch), EDRI_STATE.  Blocks.
edri_err_t edri_health_new(edri_node_t *node, const char *of, int timeout_ms,
    edri_health_t **result_p) EDRI_MUST_CHECK;

// edri_health_destroy frees it with all that was borrowed from it.
void edri_health_destroy(edri_health_t **self_p);

// edri_health_managers gives them, borrowed, by node and name, and returns how
// many; _silent the nodes that did not answer in time.
size_t edri_health_managers(
    const edri_health_t *self, const edri_health_manager_t **managers_p);
size_t edri_health_silent(
    const edri_health_t *self, const char *const **names_p);

#endif
