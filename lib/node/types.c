// SPDX-License-Identifier: MIT
// types.c - the event types that a node handles or emits, and their gates.

#include "node/types.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "schema/schema.h"

edri_err_t
types_add(shared_map_t *types, const edri_type_t *type, typeref_t **ref_p,
    char *why, size_t why_size)
{
    *ref_p = NULL;
    if (type == NULL || edri_type_check(type) != EDRI_OK) {
        snprintf(why, why_size, "%s: not a usable event type",
            type != NULL && type->name != NULL ? type->name : "(null)");
        return EDRI_INVAL;
    }
    typeref_t *ref = shared_map_get(types, type->id);
    if (ref == NULL) {
        typeref_t *mine = mem_new(sizeof *mine);
        mine->type = type;
        mine->key = type->key != NULL
                        ? protobuf_c_message_descriptor_get_field_by_name(
                              type->message, type->key)
                        : NULL;
        ref = shared_map_add(types, type->id, mine);
        if (ref != mine) {
            free(mine);
        }
    }
    // The same type may come from several plugins; it must be the same.
    if (ref->type != type) {
        if (!streq(ref->type->name, type->name)) {
            snprintf(why, why_size, "%s: its id collides with that of %s",
                type->name, ref->type->name);
            return EDRI_MISMATCH;
        }
        edri_err_t err = schema_compatible(ref->type, type, why, why_size);
        if (err != EDRI_OK) {
            return err;
        }
    }
    *ref_p = ref;
    return EDRI_OK;
}
