// SPDX-License-Identifier: MIT
// key.c - the key of an event: the hash of one field's value.

#include "node/key.h"

#include <stdbool.h>
#include <string.h>

static uint64_t
hash(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint64_t sum = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < size; i++) {
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001B3);
    }
    return sum;
}

static uint64_t
hash_number(uint64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> 8 * i);
    }
    return hash(bytes, sizeof bytes);
}

// is_text says whether the field is a string or bytes.
static bool
is_text(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_STRING ||
           field->type == PROTOBUF_C_TYPE_BYTES;
}

// is_wide says whether the field's C type has 64 bits, is_signed whether what
// has 32 is extended with its sign.
static bool
is_wide(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_INT64 ||
           field->type == PROTOBUF_C_TYPE_SINT64 ||
           field->type == PROTOBUF_C_TYPE_SFIXED64 ||
           field->type == PROTOBUF_C_TYPE_UINT64 ||
           field->type == PROTOBUF_C_TYPE_FIXED64;
}

static bool
is_signed(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_INT32 ||
           field->type == PROTOBUF_C_TYPE_SINT32 ||
           field->type == PROTOBUF_C_TYPE_SFIXED32 ||
           field->type == PROTOBUF_C_TYPE_ENUM;
}

uint64_t
key_of_message(
    const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
    const uint8_t *place = (const uint8_t *)message + field->offset;
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text = *(char *const *)(const void *)place;
        return hash(text, text != NULL ? strlen(text) : 0);
    }
    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        const ProtobufCBinaryData *data = (const void *)place;
        return hash(data->data, data->len);
    }
    if (is_wide(field)) {
        uint64_t wide;
        memcpy(&wide, place, sizeof wide);
        return hash_number(wide);
    }
    uint32_t value;
    memcpy(&value, place, sizeof value);
    return hash_number(
        is_signed(field) ? (uint64_t)(int64_t)(int32_t)value : value);
}

// ----- packed

typedef struct walk {
    const uint8_t *at;
    const uint8_t *end;
} walk_t;

static bool
read_varint(walk_t *self, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && self->at < self->end; shift += 7) {
        uint8_t byte = *self->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

static bool
read_fixed(walk_t *self, size_t size, uint64_t *value)
{
    if ((size_t)(self->end - self->at) < size) {
        return false;
    }
    *value = 0;
    for (size_t i = 0; i < size; i++) {
        *value |= (uint64_t)self->at[i] << 8 * i;
    }
    self->at += size;
    return true;
}

// read_field reads one field; *text is set for those with a length, and *value
// is then that.
static bool
read_field(walk_t *self, uint64_t *tag, uint64_t *value, const uint8_t **text)
{
    *text = NULL;
    if (!read_varint(self, tag)) {
        return false;
    }
    switch (*tag & 7) {
    case 0:
        return read_varint(self, value);
    case 1:
        return read_fixed(self, 8, value);
    case 5:
        return read_fixed(self, 4, value);
    case 2:
        if (!read_varint(self, value) ||
            *value > (uint64_t)(self->end - self->at)) {
            return false;
        }
        *text = self->at;
        self->at += *value;
        return true;
    default:
        return false;
    }
}

// as_c makes of a number on the wire what stands in the message.
static uint64_t
as_c(const ProtobufCFieldDescriptor *field, uint64_t value)
{
    if (field->type == PROTOBUF_C_TYPE_SINT32 ||
        field->type == PROTOBUF_C_TYPE_SINT64) {
        value = value >> 1 ^ (~(value & 1) + 1);
    }
    if (field->type == PROTOBUF_C_TYPE_BOOL) {
        return value != 0;
    }
    if (is_wide(field)) {
        return value;
    }
    return is_signed(field) ? (uint64_t)(int64_t)(int32_t)(uint32_t)value
                            : (uint32_t)value;
}

uint64_t
key_of_body(
    const ProtobufCFieldDescriptor *field, const void *body, size_t size)
{
    walk_t walk = {body, size > 0 ? (const uint8_t *)body + size : body};
    uint64_t key = is_text(field) ? hash(NULL, 0) : hash_number(0);
    uint64_t tag = 0;
    uint64_t value = 0;
    const uint8_t *text = NULL;
    // The last one counts, as protobuf says.
    while (walk.at < walk.end && read_field(&walk, &tag, &value, &text)) {
        if (tag >> 3 == field->id && is_text(field) == (text != NULL)) {
            key = text != NULL ? hash(text, value)
                               : hash_number(as_c(field, value));
        }
    }
    return key;
}
