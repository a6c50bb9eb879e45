// SPDX-License-Identifier: MIT
// nesting.c - how deep messages stand in each other.

#include "wire/nesting.h"

#include "wire/field.h"

static bool
has_messages(const ProtobufCMessageDescriptor *type)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE) {
            return true;
        }
    }
    return false;
}

// fits looks at the fields that are messages; 'left' levels may follow.
static bool
fits(const ProtobufCMessageDescriptor *type, slice_t bytes, size_t left)
{
    // A level takes two bytes at least: what is shorter cannot be too deep.
    if (bytes.len < 2 * left || !has_messages(type)) {
        return true;
    }
    const uint8_t *at = bytes.data;
    const uint8_t *end = at + bytes.len;
    field_t field;
    while (at < end && read_field(&at, end, &field)) {
        const ProtobufCFieldDescriptor *known =
            field.wire == BYTES
                ? protobuf_c_message_descriptor_get_field(type, field.number)
                : NULL;
        if (known != NULL && known->type == PROTOBUF_C_TYPE_MESSAGE &&
            (left == 0 || !fits(known->descriptor, field.bytes, left - 1))) {
            return false;
        }
    }
    return true;
}

bool
nesting_fits(const ProtobufCMessageDescriptor *type, slice_t bytes)
{
    return fits(type, bytes, NESTING_MAX);
}
