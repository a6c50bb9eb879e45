// SPDX-License-Identifier: MIT
// node/gather.h - questions that the switch passes on to nodes, and all their
// answers.

#ifndef NODE_GATHER_H
#define NODE_GATHER_H

#include "node/network.h"

// gathered_t is the answers, the switch's first; texts are borrowed from them.
typedef struct gathered {
    Edri__Link__Answer **answers;
    size_t count;
    const char **silent; // nodes that did not answer
    size_t silent_count;
} gathered_t;

// gather asks and waits for the answers of all nodes that the switch has asked.
// Returns EDRI_OK, also when some are missing at the deadline; or as network_ask
// when the switch did not answer: *out is empty then.
edri_err_t gather(edri_node_t *node, Edri__Link__Ask *question, int timeout_ms,
    gathered_t *out) EDRI_MUST_CHECK;

void gathered_clear(gathered_t *self);

#endif
