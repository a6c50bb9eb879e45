// SPDX-License-Identifier: MIT
// types.c - the event types that a node handles or emits, and their gates.

#include "node/types.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "node/node.h"
#include "schema/schema.h"

// object_of returns what was loaded that an address is in; NULL: it is no part of
// anything.
static const struct link_map *
object_of(const void *address)
{
    Dl_info info;
    void *map = NULL;
    return dladdr1(address, &info, &map, RTLD_DL_LINKMAP) != 0 ? map : NULL;
}

// may_be_unloaded says whether a type is in a shared object that the node does not
// stand on: the program (whose name is empty) and this library stay.
static bool
may_be_unloaded(const edri_type_t *type)
{
    static const char here;
    const struct link_map *object = object_of(type);
    return object != NULL && object->l_name[0] != '\0' &&
           object != object_of(&here);
}

// add enters a type that the node has not known.
static edri_err_t
add(edri_node_t *node, const edri_type_t *type, typeref_t **ref_p, char *why,
    size_t why_size)
{
    if (may_be_unloaded(type)) {
        char reason[200] = "";
        const edri_type_t *copy =
            learned_copy(&node->learned, type, reason, sizeof reason);
        if (copy == NULL) {
            (void)snprintf(why, why_size, "%s: %s", type->name, reason);
            return EDRI_INVAL;
        }
        type = copy;
    }
    typeref_t *mine = mem_new(sizeof *mine);
    mine->type = type;
    mine->key = type->key != NULL
                    ? protobuf_c_message_descriptor_get_field_by_name(
                          type->message, type->key)
                    : NULL;
    *ref_p = shared_map_add(node->types, type->id, mine);
    if (*ref_p != mine) {
        free(mine);
    }
    return EDRI_OK;
}

edri_err_t
types_add(edri_node_t *node, const edri_type_t *type, typeref_t **ref_p,
    char *why, size_t why_size)
{
    *ref_p = NULL;
    if (type == NULL || edri_type_check(type) != EDRI_OK) {
        (void)snprintf(why, why_size, "%s: not a usable event type",
            type != NULL && type->name != NULL ? type->name : "(null)");
        return EDRI_INVAL;
    }
    typeref_t *ref = shared_map_get(node->types, type->id);
    edri_err_t err =
        ref == NULL ? add(node, type, &ref, why, why_size) : EDRI_OK;
    // The same type may come from several plugins; it must be the same.
    if (err == EDRI_OK && ref->type != type) {
        if (!streq(ref->type->name, type->name)) {
            (void)snprintf(why, why_size, "%s: its id collides with that of %s",
                type->name, ref->type->name);
            return EDRI_MISMATCH;
        }
        err = schema_compatible(ref->type, type, why, why_size);
    }
    *ref_p = err == EDRI_OK ? ref : NULL;
    return err;
}
