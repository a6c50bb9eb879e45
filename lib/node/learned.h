// SPDX-License-Identifier: MIT
// node/learned.h - event types whose descriptors are the node's own: others
// described them, a switch or a worker, or the code that has them may be unloaded.

#ifndef NODE_LEARNED_H
#define NODE_LEARNED_H

#include <pthread.h>

#include "edri/node.h"
#include "schema/schema.h"
#include "wire/frame.h"

// learned_t keeps what they were built from as long as the node lives.
typedef struct learned {
    pthread_mutex_t lock;
    schema_t **schemas;
    size_t count;
} learned_t;

void learned_init(learned_t *self);
void learned_clear(learned_t *self);

// learned_keep takes a schema over.  Any thread.
void learned_keep(learned_t *self, schema_t *schema);

// learned_copy returns a type of the node's own that says the same as 'type', made
// from the file that declares it; NULL, with a text in 'why', when that file is
// unusable.  Any thread.
const edri_type_t *learned_copy(
    learned_t *self, const edri_type_t *type, char *why, size_t why_size);

// learned_offer makes the types that a worker's process emits known to the node;
// the head has their files, unless the node knows these.  Any thread.  Returns
// EDRI_OK, or an error with a text in 'why'.
edri_err_t learned_offer(edri_node_t *node, const head_t *head,
    const Edri__Link__Offer *offer, char *why, size_t why_size) EDRI_MUST_CHECK;

#endif
