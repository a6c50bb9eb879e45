// SPDX-License-Identifier: MIT
// schema.c - any bytes as a FileDescriptorSet; every type that comes out is
// used: unpacked from the same bytes, packed, compared.

#include <stdlib.h>

#include "schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
use(const edri_type_t *type, slice_t bytes)
{
    char why[256];
    ProtobufCMessage *message =
        protobuf_c_message_unpack(type->message, NULL, bytes.len, bytes.data);
    if (message != NULL) {
        size_t size = protobuf_c_message_get_packed_size(message);
        uint8_t *packed = malloc(size + 1);
        if (protobuf_c_message_pack(message, packed) != size) {
            abort();
        }
        free(packed);
        protobuf_c_message_free_unpacked(message, NULL);
    }
    if (schema_compatible(type, type, why, sizeof why) != EDRI_OK) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[256] = "";
    schema_t *schema = NULL;
    schema_t *twin = NULL;
    if (schema_new((slice_t){data, size}, &schema, why, sizeof why) !=
        EDRI_OK) {
        if (why[0] == '\0') {
            abort();
        }
        return 0;
    }
    if (schema_new((slice_t){data, size}, &twin, why, sizeof why) != EDRI_OK) {
        abort();
    }
    const edri_type_t *const *types = NULL;
    size_t count = schema_types(schema, &types);
    for (size_t i = 0; i < count && i < 20; i++) {
        const edri_type_t *other = schema_type(twin, types[i]->name);
        if (other == NULL ||
            schema_compatible(types[i], other, why, sizeof why) != EDRI_OK) {
            abort();
        }
        use(types[i], (slice_t){data, size < 2000 ? size : 2000});
    }
    schema_destroy(&schema);
    schema_destroy(&twin);
    return 0;
}
