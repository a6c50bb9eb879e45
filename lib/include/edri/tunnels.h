// SPDX-License-Identifier: MIT
// edri/tunnels.h - the open tunnels of running nodes, for tools.

#ifndef EDRI_TUNNELS_H
#define EDRI_TUNNELS_H

#include <stddef.h>
#include <stdint.h>

#include "edri/node.h"

typedef struct edri_tunnels edri_tunnels_t;

// edri_tunnels_row_t is one end of a tunnel; texts are borrowed from the result.
typedef struct edri_tunnels_row {
    const char *node;
    const char *manager; // whose worker has it; "": none's
    const char *type;
    const char *peer; // the other end's node; "" when that is not known here
    int opener;       // 1: this end has opened it
    uint64_t id;
    uint64_t sent; // bytes, with 64 for each message
    uint64_t received;
    uint64_t may_send; // credit: so many more before it has to wait
    uint64_t may_receive;
    uint64_t age_ms;
    uint64_t idle_ms; // without a word
} edri_tunnels_row_t;

// edri_tunnels_new asks one node, or (of NULL) all, for the ends that are open there;
// 'node' is the caller's, connected to a switch; it waits up to timeout_ms.
// Returns EDRI_OK; EDRI_NOT_FOUND: there is no such node; EDRI_DEADLINE,
// EDRI_UNREACHABLE, EDRI_STATE.  edri_node_error says more.
edri_err_t edri_tunnels_new(edri_node_t *node, const char *of, int timeout_ms,
    edri_tunnels_t **result_p);
void edri_tunnels_destroy(edri_tunnels_t **self_p);

// edri_tunnels_rows gives the ends, by node, the oldest first; their number is
// returned.  A node tells of 1000; *more_p says how many there are beside those.
size_t edri_tunnels_rows(const edri_tunnels_t *self,
    const edri_tunnels_row_t **rows_p, uint64_t *more_p);

// edri_tunnels_silent gives the names of nodes that were asked and have not answered.
size_t edri_tunnels_silent(
    const edri_tunnels_t *self, const char *const **names_p);

#endif
