// SPDX-License-Identifier: MIT
// node/network.h - what others need of network.c.

#ifndef NODE_NETWORK_H
#define NODE_NETWORK_H

#include "edri/link.pb-c.h"
#include "edri/network.h"

// network_ask asks a switch; the question gets its number.  network_hear waits
// for one more answer to it.  Caller owns *answer_p.  Returns EDRI_OK,
// EDRI_DEADLINE, EDRI_UNREACHABLE, EDRI_STATE (the node does not run).
edri_err_t network_ask(edri_node_t *node, Edri__Link__Ask *question,
    int64_t deadline_ms, Edri__Link__Answer **answer_p);
edri_err_t network_hear(edri_node_t *node, int64_t deadline_ms, uint64_t number,
    Edri__Link__Answer **answer_p);

#endif
