// SPDX-License-Identifier: MIT
// node/used.h - the types that a port's owner emits and asks with.

#ifndef NODE_USED_H
#define NODE_USED_H

#include "node/port.h"
#include "wire/flat.h"

// used_t is one of them: the node's entry, and how the owner's messages lie in memory,
// which may differ from what others have compiled.
typedef struct used {
    typeref_t *ref;
    flat_t *message; // NULL: not flat
    flat_t *reply;   // likewise, or there is none
} used_t;

// used_find returns a type's entry in *used_p, made at its first use; the port's.  Returns
// as types_add, with the text in edri_port_error.
edri_err_t used_find(edri_port_t *port, const edri_type_t *type,
    used_t **used_p) EDRI_MUST_CHECK;

// used_reply is how replies of a type lie in memory, or NULL: not flat, or it is not in
// use any more.
const flat_t *used_reply(const edri_port_t *port, const edri_type_t *type);

// used_clear forgets all.
void used_clear(edri_port_t *port);

#endif
