// SPDX-License-Identifier: MIT
// node/types.h - the event types that a node handles or emits, and their gates.
//
// DESIGN
// A gate is how a full receiver pushes back on those who emit to it and on
// nobody else: the router closes the gate of a type when those who would get
// its next event are full, and opens it when they have caught up.  A port looks
// at the gate, one load, before it emits.

#ifndef NODE_TYPES_H
#define NODE_TYPES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/shared_map.h"
#include "edri/err.h"
#include "edri/node.h"
#include "edri/type.h"

// typeref_t is one type as this node knows it; it lives as long as the node, and so
// does what 'type' points to: of a plugin, which may be unloaded, it is a copy.
typedef struct typeref {
    const edri_type_t *type;
    const ProtobufCFieldDescriptor *key; // the key field, or NULL
    atomic_bool closed;                  // the gate; written by the router
    atomic_bool handled;                 // some manager here demands it
} typeref_t;

// types_add makes a type known to the node and returns its entry in *ref_p.
// Returns EDRI_OK; EDRI_INVAL for an unusable descriptor; EDRI_MISMATCH when
// the node knows the same name with another shape: 'why' says which field.
// Any thread.
edri_err_t types_add(edri_node_t *node, const edri_type_t *type,
    typeref_t **ref_p, char *why, size_t why_size) EDRI_MUST_CHECK;

#endif
