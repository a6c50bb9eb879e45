// SPDX-License-Identifier: MIT
// edri/audit.h - the books of the running system: what waits where, with its
// bound, what was sent and what came, what was dropped.

#ifndef EDRI_AUDIT_H
#define EDRI_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edri/node.h"

typedef struct edri_audit edri_audit_t;

// edri_audit_queue_t is one place where events wait.
typedef struct edri_audit_queue {
    const char *node; // or the switch's name
    bool of_switch;
    const char *name; // "manager stock", "to counter/stock", "port 3", ...
    uint64_t bytes;
    uint64_t limit;
} edri_audit_queue_t;

// edri_audit_flow_t is what went from one node to another in one lane, by the
// books of both ends.
typedef struct edri_audit_flow {
    const char *from;
    const char *to;
    const char *lane;   // "events", "replies", "bodies"
    uint64_t sent;      // frames' events, each once
    uint64_t unsettled; // bytes that the source keeps
    bool compared;      // both ends have answered, and nothing was under way
    uint64_t differ;    // frames before which the two books differed
} edri_audit_flow_t;

typedef struct edri_audit_drop {
    const char *node;
    const char *type; // "" various
    const char *peer; // whom they were for: "node/manager", or a manager there
    edri_err_t reason;
    uint64_t events;
} edri_audit_drop_t;

// edri_audit_new asks the switch and every node that it knows for their books,
// waiting at most timeout_ms for all.  Caller owns *result_p.
// Returns EDRI_OK, also when some node has not answered (see edri_audit_silent);
// EDRI_DEADLINE, EDRI_UNREACHABLE (no switch), EDRI_STATE.  Blocks.
edri_err_t edri_audit_new(
    edri_node_t *node, int timeout_ms, edri_audit_t **result_p) EDRI_MUST_CHECK;

// edri_audit_destroy frees it with all that was borrowed from it.
void edri_audit_destroy(edri_audit_t **self_p);

// These give what was found, borrowed; the count is returned.
size_t edri_audit_queues(
    const edri_audit_t *self, const edri_audit_queue_t **queues_p);
size_t edri_audit_flows(
    const edri_audit_t *self, const edri_audit_flow_t **flows_p);
size_t edri_audit_drops(
    const edri_audit_t *self, const edri_audit_drop_t **drops_p);

// edri_audit_nodes is how many nodes have answered; edri_audit_silent gives the
// names of those that have not.
size_t edri_audit_nodes(const edri_audit_t *self);
size_t edri_audit_silent(const edri_audit_t *self, const char *const **names_p);

// edri_audit_difference is the first place where two books differ, as a text,
// or NULL.
const char *edri_audit_difference(const edri_audit_t *self);

#endif
