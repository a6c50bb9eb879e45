// SPDX-License-Identifier: MIT
// flat_agrees.h - wire/flat.h and protobuf-c must take and make the same bytes.

#ifndef SUPPORT_FLAT_AGREES_H
#define SUPPORT_FLAT_AGREES_H

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "types.edri.h"
#include "wire/flat.h"

static inline void *
agrees_take(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static inline void
agrees_keep(void *arena, void *data)
{
    (void)arena;
    (void)data;
}

// packs_alike says whether both make these bytes of a message.
static inline bool
packs_alike(const flat_t *flat, const ProtobufCMessage *message,
    const uint8_t *bytes, size_t size)
{
    uint8_t *mine = malloc(size + 1);
    mine[size] = 0xa5;
    bool alike = flat_size(flat, message) == size;
    if (alike) {
        flat_pack(flat, message, mine);
        alike = memcmp(mine, bytes, size) == 0 && mine[size] == 0xa5;
    }
    free(mine);
    return alike;
}

// flat_agrees compares them over any bytes as a types.Flat: NULL, or what is wrong.
static inline const char *
flat_agrees(slice_t bytes)
{
    const ProtobufCMessageDescriptor *type = &types__flat__descriptor;
    ProtobufCMessage *reference =
        protobuf_c_message_unpack(type, NULL, bytes.len, bytes.data);
    flat_t *flat = flat_new(type);
    arena_t *arena = arena_new();
    ProtobufCAllocator pool = {agrees_take, agrees_keep, arena};
    ProtobufCMessage *owned = flat_unpack(flat, type, bytes, NULL);
    ProtobufCMessage *pooled = flat_unpack(flat, type, bytes, &pool);
    const char *wrong = NULL;
    if ((reference == NULL) != (owned == NULL) ||
        (reference == NULL) != (pooled == NULL)) {
        wrong = "one takes the bytes, the other does not";
    } else if (reference != NULL) {
        size_t size = protobuf_c_message_get_packed_size(reference);
        uint8_t *packed = malloc(size + 1);
        (void)protobuf_c_message_pack(reference, packed);
        wrong = !packs_alike(flat, reference, packed, size)
                    ? "they pack differently"
                : !packs_alike(NULL, owned, packed, size) ||
                        !packs_alike(flat, owned, packed, size)
                    ? "they unpack differently"
                : !packs_alike(NULL, pooled, packed, size)
                    ? "they unpack differently in an arena"
                    : NULL;
        free(packed);
    }
    if (reference != NULL) {
        protobuf_c_message_free_unpacked(reference, NULL);
    }
    if (owned != NULL) {
        protobuf_c_message_free_unpacked(owned, NULL);
    }
    arena_destroy(&arena);
    flat_destroy(&flat);
    return wrong;
}

#endif
