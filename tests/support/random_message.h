// SPDX-License-Identifier: MIT
// random_message.h - random bytes that are a message of a given type.

#ifndef SUPPORT_RANDOM_MESSAGE_H
#define SUPPORT_RANDOM_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct out {
    uint8_t data[1 << 16];
    size_t size;
} out_t;

static inline void
out_varint(out_t *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        out->data[out->size++] = (uint8_t)(value | 0x80);
    }
    out->data[out->size++] = (uint8_t)value;
}

static inline uint64_t
random_number(unsigned *seed)
{
    uint64_t bits = (uint64_t)rand_r(seed) << 33 ^ (uint64_t)rand_r(seed);
    return rand_r(seed) % 3 == 0 ? bits % 4 : bits >> (rand_r(seed) % 64);
}

static inline void random_fields(out_t *out,
    const ProtobufCMessageDescriptor *type, unsigned *seed, int depth);

static inline void
random_value(out_t *out, const ProtobufCFieldDescriptor *field, unsigned *seed,
    int depth)
{
    uint64_t number = random_number(seed);
    double real = (double)(int64_t)number / 8;
    float small = (float)(rand_r(seed) % 1000) / 16;
    size_t size = (size_t)rand_r(seed) % 12;
    switch (field->type) {
    case PROTOBUF_C_TYPE_DOUBLE:
        real = rand_r(seed) % 9 == 0 ? 1e308 * 10 : real;
        memcpy(out->data + out->size, &real, 8);
        out->size += 8;
        break;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        memcpy(out->data + out->size, &number, 8);
        out->size += 8;
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        memcpy(out->data + out->size, &small, 4);
        out->size += 4;
        break;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
        memcpy(out->data + out->size, &number, 4);
        out->size += 4;
        break;
    case PROTOBUF_C_TYPE_BOOL:
        out_varint(out, number & 1);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        out_varint(out, number % 5);
        break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_SINT32:
        out_varint(out, number & UINT32_MAX);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_SINT64:
        out_varint(out, number);
        break;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
        out_varint(out, size);
        for (size_t i = 0; i < size; i++) {
            out->data[out->size++] =
                (uint8_t)(field->type == PROTOBUF_C_TYPE_STRING
                              ? ' ' + rand_r(seed) % 95
                              : rand_r(seed));
        }
        break;
    case PROTOBUF_C_TYPE_MESSAGE: {
        out_t *inner = calloc(1, sizeof *inner);
        random_fields(inner, field->descriptor, seed, depth + 1);
        out_varint(out, inner->size);
        memcpy(out->data + out->size, inner->data, inner->size);
        out->size += inner->size;
        free(inner);
        break;
    }
    }
}

static inline unsigned
wire_type_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return 1;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return 5;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return 2;
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SINT64:
        break;
    }
    return 0;
}

// random_fields writes a random choice of the type's fields; entries of maps
// and required fields whole.
static inline void
random_fields(out_t *out, const ProtobufCMessageDescriptor *type,
    unsigned *seed, int depth)
{
    bool entry = strstr(type->name, "Entry") != NULL;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        bool message = field->type == PROTOBUF_C_TYPE_MESSAGE;
        int count = rand_r(seed) % 2;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            bool is_map =
                message &&
                strstr(((const ProtobufCMessageDescriptor *)field->descriptor)
                           ->name,
                    "Entry") != NULL;
            count = rand_r(seed) % (is_map ? 2 : 4);
        }
        if (message && depth >= 3) {
            count = 0;
        }
        if (entry || field->label == PROTOBUF_C_LABEL_REQUIRED) {
            count = 1;
        }
        for (int j = 0; j < count; j++) {
            out_varint(
                out, (uint64_t)field->id << 3 | wire_type_of(field->type));
            random_value(out, field, seed, depth);
        }
    }
}

#endif
