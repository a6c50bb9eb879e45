// SPDX-License-Identifier: MIT
// used.c - the types that a port's owner emits and asks with.

#include "node/used.h"

#include <stdlib.h>

#include "base/alloc.h"

static uint64_t
key_of(const edri_type_t *type)
{
    return (uint64_t)(uintptr_t)type;
}

static edri_err_t
add(edri_port_t *port, const edri_type_t *type, used_t **used_p)
{
    typeref_t *ref = NULL;
    char why[256];
    edri_err_t err = types_add(port->node, type, &ref, why, sizeof why);
    if (err != EDRI_OK) {
        return port_fail(port, err, "%s", why);
    }
    used_t *used = mem_new(sizeof *used);
    *used = (used_t){.ref = ref,
        .message = flat_new(type->message),
        .reply = flat_new(type->reply)};
    (void)map_put(port->types, key_of(type), used);
    if (port->bell->use != NULL) {
        port->bell->use(port, type);
    }
    *used_p = used;
    return EDRI_OK;
}

edri_err_t
used_find(edri_port_t *port, const edri_type_t *type, used_t **used_p)
{
    if (type == port->last_type && type != NULL) {
        *used_p = port->last_used;
        return EDRI_OK;
    }
    *used_p = map_get(port->types, key_of(type));
    edri_err_t err = *used_p == NULL ? add(port, type, used_p) : EDRI_OK;
    if (err == EDRI_OK) {
        port->last_type = type;
        port->last_used = *used_p;
    }
    return err;
}

const flat_t *
used_reply(const edri_port_t *port, const edri_type_t *type)
{
    const used_t *used = map_get(port->types, key_of(type));
    return used != NULL ? used->reply : NULL;
}

void
used_clear(edri_port_t *port)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(port->types, &cursor, NULL, &value)) {
        used_t *used = value;
        flat_destroy(&used->message);
        flat_destroy(&used->reply);
        free(used);
    }
    map_destroy(&port->types);
    port->types = map_new();
    port->last_type = NULL;
    port->last_used = NULL;
}
