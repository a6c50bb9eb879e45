// SPDX-License-Identifier: MIT
// flat.c - messages that hold nothing but single values, packed and unpacked fast.

#include "wire/flat.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "wire/field.h"

// Tags of two bytes at most.
#define NUMBER_MAX 2047

// How a field lies in memory and on the wire.
typedef enum form {
    FORM_VARINT32, // uint32
    FORM_SIGNED32, // int32, enum: ten bytes when negative
    FORM_ZIGZAG32,
    FORM_VARINT64, // uint64, int64
    FORM_ZIGZAG64,
    FORM_BOOL,
    FORM_FIXED32,
    FORM_FIXED64,
    FORM_FLOAT, // as FIXED, but -0.0 is nothing, too
    FORM_DOUBLE,
    FORM_STRING,
    FORM_BYTES
} form_t;

typedef struct place {
    form_t form;
    uint32_t tag; // number and wire type
    unsigned offset;
} place_t;

struct flat {
    size_t count;
    place_t places[]; // by number
};

// ----- the table

// form_of says how a field is written; wire type in *wire.
static form_t
form_of(ProtobufCType type, uint32_t *wire)
{
    static const struct {
        form_t form;
        uint32_t wire;
    } forms[] = {
        [PROTOBUF_C_TYPE_INT32] = {FORM_SIGNED32, VARINT},
        [PROTOBUF_C_TYPE_SINT32] = {FORM_ZIGZAG32, VARINT},
        [PROTOBUF_C_TYPE_SFIXED32] = {FORM_FIXED32, FIXED32},
        [PROTOBUF_C_TYPE_INT64] = {FORM_VARINT64, VARINT},
        [PROTOBUF_C_TYPE_SINT64] = {FORM_ZIGZAG64, VARINT},
        [PROTOBUF_C_TYPE_SFIXED64] = {FORM_FIXED64, FIXED64},
        [PROTOBUF_C_TYPE_UINT32] = {FORM_VARINT32, VARINT},
        [PROTOBUF_C_TYPE_FIXED32] = {FORM_FIXED32, FIXED32},
        [PROTOBUF_C_TYPE_UINT64] = {FORM_VARINT64, VARINT},
        [PROTOBUF_C_TYPE_FIXED64] = {FORM_FIXED64, FIXED64},
        [PROTOBUF_C_TYPE_FLOAT] = {FORM_FLOAT, FIXED32},
        [PROTOBUF_C_TYPE_DOUBLE] = {FORM_DOUBLE, FIXED64},
        [PROTOBUF_C_TYPE_BOOL] = {FORM_BOOL, VARINT},
        [PROTOBUF_C_TYPE_ENUM] = {FORM_SIGNED32, VARINT},
        [PROTOBUF_C_TYPE_STRING] = {FORM_STRING, BYTES},
        [PROTOBUF_C_TYPE_BYTES] = {FORM_BYTES, BYTES},
    };
    *wire = forms[type].wire;
    return forms[type].form;
}

static bool
is_flat(const ProtobufCMessageDescriptor *type)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (field->label != PROTOBUF_C_LABEL_NONE ||
            field->type == PROTOBUF_C_TYPE_MESSAGE ||
            (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 ||
            field->id > NUMBER_MAX) {
            return false;
        }
    }
    return type->message_init != NULL;
}

flat_t *
flat_new(const ProtobufCMessageDescriptor *type)
{
    if (type == NULL || !is_flat(type)) {
        return NULL;
    }
    flat_t *self =
        mem_new(sizeof *self + type->n_fields * sizeof self->places[0]);
    self->count = type->n_fields;
    for (size_t i = 0; i < self->count; i++) { // protobuf-c sorts by number
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        place_t *place = &self->places[i];
        uint32_t wire = 0;
        place->form = form_of(field->type, &wire);
        place->tag = field->id << 3 | wire;
        place->offset = field->offset;
    }
    return self;
}

void
flat_destroy(flat_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

// ----- packing

static inline uint64_t
zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

// number_of is what a field holds, as it is written; 0 is not written.
static inline uint64_t
number_of(const place_t *place, const uint8_t *member)
{
    switch (place->form) {
    case FORM_SIGNED32:
        return (uint64_t)(int64_t)(int32_t)load32(member);
    case FORM_ZIGZAG32:
        return zigzag((int32_t)load32(member));
    case FORM_ZIGZAG64:
        return zigzag((int64_t)load64(member));
    case FORM_VARINT64:
    case FORM_FIXED64:
        return load64(member);
    case FORM_BOOL:
        return load32(member) != 0;
    case FORM_FLOAT:
        return load32(member) << 1 == 0 ? 0 : load32(member);
    case FORM_DOUBLE:
        return load64(member) << 1 == 0 ? 0 : load64(member);
    case FORM_VARINT32:
    case FORM_FIXED32:
    case FORM_STRING:
    case FORM_BYTES:
        break;
    }
    return load32(member);
}

// text_of is what a field of text or bytes holds.
static inline slice_t
text_of(const place_t *place, const uint8_t *member)
{
    if (place->form == FORM_BYTES) {
        ProtobufCBinaryData data;
        memcpy(&data, member, sizeof data);
        return (slice_t){data.data, data.len};
    }
    const char *text;
    memcpy(&text, member, sizeof text);
    return (slice_t){(const uint8_t *)text, text != NULL ? strlen(text) : 0};
}

static inline size_t
varint_size(uint64_t value)
{
    return (size_t)(70 - __builtin_clzll(value | 1)) / 7;
}

static inline uint8_t *
put_varint(uint8_t *out, uint64_t value)
{
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

static size_t
size_of(const place_t *place, const uint8_t *member)
{
    size_t tag = place->tag < 0x80 ? 1 : 2;
    switch (place->tag & 7) {
    case BYTES: {
        size_t len = text_of(place, member).len;
        return len > 0 ? tag + varint_size(len) + len : 0;
    }
    case FIXED32:
        return number_of(place, member) != 0 ? tag + 4 : 0;
    case FIXED64:
        return number_of(place, member) != 0 ? tag + 8 : 0;
    default: {
        uint64_t number = number_of(place, member);
        return number != 0 ? tag + varint_size(number) : 0;
    }
    }
}

size_t
flat_size(const flat_t *self, const ProtobufCMessage *message)
{
    if (self == NULL || message->n_unknown_fields > 0) {
        return protobuf_c_message_get_packed_size(message);
    }
    size_t size = 0;
    for (size_t i = 0; i < self->count; i++) {
        const place_t *place = &self->places[i];
        size += size_of(place, (const uint8_t *)message + place->offset);
    }
    return size;
}

static uint8_t *
put(const place_t *place, const uint8_t *member, uint8_t *out)
{
    if ((place->tag & 7) == BYTES) {
        slice_t text = text_of(place, member);
        if (text.len > 0) {
            out = put_varint(put_varint(out, place->tag), text.len);
            memcpy(out, text.data, text.len);
        }
        return out + text.len;
    }
    uint64_t number = number_of(place, member);
    if (number == 0) {
        return out;
    }
    out = put_varint(out, place->tag);
    switch (place->tag & 7) {
    case FIXED32:
        memcpy(out, &number, 4); // little-endian: see wire/field.h
        return out + 4;
    case FIXED64:
        memcpy(out, &number, 8);
        return out + 8;
    default:
        return put_varint(out, number);
    }
}

void
flat_pack(const flat_t *self, const ProtobufCMessage *message, uint8_t *out)
{
    if (self == NULL || message->n_unknown_fields > 0) {
        (void)protobuf_c_message_pack(message, out);
        return;
    }
    for (size_t i = 0; i < self->count; i++) {
        const place_t *place = &self->places[i];
        out = put(place, (const uint8_t *)message + place->offset, out);
    }
}

// ----- unpacking

static inline void
store32(uint8_t *member, uint32_t value)
{
    memcpy(member, &value, 4);
}

static inline void
store64(uint8_t *member, uint64_t value)
{
    memcpy(member, &value, 8);
}

static void
store_number(const place_t *place, uint8_t *member, uint64_t value)
{
    switch (place->form) {
    case FORM_ZIGZAG32: {
        uint32_t low = (uint32_t)value;
        store32(member, low >> 1 ^ (0 - (low & 1)));
        break;
    }
    case FORM_ZIGZAG64:
        store64(member, value >> 1 ^ (0 - (value & 1)));
        break;
    case FORM_BOOL:
        store32(member, value != 0);
        break;
    case FORM_VARINT64:
    case FORM_FIXED64:
    case FORM_DOUBLE:
        store64(member, value);
        break;
    case FORM_VARINT32:
    case FORM_SIGNED32:
    case FORM_FIXED32:
    case FORM_FLOAT:
    case FORM_STRING:
    case FORM_BYTES:
        store32(member, (uint32_t)value);
        break;
    }
}

static void *
take(const ProtobufCAllocator *from, size_t size)
{
    return from != NULL ? from->alloc(from->allocator_data, size)
                        : malloc(size);
}

// store_text keeps text or bytes.  False: there is no memory.
static bool
store_text(const place_t *place, uint8_t *member, slice_t text,
    const ProtobufCAllocator *allocator)
{
    bool bytes = place->form == FORM_BYTES;
    uint8_t *data = NULL;
    if (!bytes || text.len > 0) {
        data = take(allocator, text.len + !bytes);
        if (data == NULL) {
            return false;
        }
        memcpy(data, text.data, text.len);
    }
    if (bytes) {
        memcpy(member, &(ProtobufCBinaryData){text.len, data},
            sizeof(ProtobufCBinaryData));
    } else {
        data[text.len] = '\0';
        memcpy(member, &data, sizeof data);
    }
    return true;
}

// read_tag reads a tag of two bytes at most; 0: there is none.
static inline uint32_t
read_tag(const uint8_t **at_p, const uint8_t *end)
{
    const uint8_t *at = *at_p;
    uint32_t tag = *at++;
    if (tag >= 0x80) {
        if (at == end || *at >= 0x80) {
            return 0;
        }
        tag = (tag & 0x7f) | (uint32_t)*at++ << 7;
    }
    *at_p = at;
    return tag;
}

// read_value reads one value.  False: something is unusual.
static inline bool
read_value(const place_t *place, const uint8_t **at_p, const uint8_t *end,
    uint8_t *member, const ProtobufCAllocator *allocator)
{
    uint64_t value = 0;
    size_t left = (size_t)(end - *at_p);
    switch (place->tag & 7) {
    case FIXED32:
        if (left < 4) {
            return false;
        }
        store32(member, load32(*at_p));
        *at_p += 4;
        return true;
    case FIXED64:
        if (left < 8) {
            return false;
        }
        store64(member, load64(*at_p));
        *at_p += 8;
        return true;
    case BYTES:
        if (!read_short(at_p, end, &value) || value > (uint64_t)(end - *at_p)) {
            return false;
        }
        *at_p += value;
        return store_text(
            place, member, (slice_t){*at_p - value, (size_t)value}, allocator);
    default:
        if (!read_varint(at_p, end, &value)) {
            return false;
        }
        store_number(place, member, value);
        return true;
    }
}

// read_fields reads what stands in the order of the numbers, each at most once.
static bool
read_fields(const flat_t *self, slice_t bytes, ProtobufCMessage *message,
    const ProtobufCAllocator *allocator)
{
    const uint8_t *at = bytes.data;
    const uint8_t *end = at + bytes.len;
    const place_t *place = self->places;
    const place_t *last = place + self->count;
    while (at < end) {
        uint32_t tag = read_tag(&at, end);
        while (place < last && place->tag != tag) {
            place++;
        }
        if (place == last ||
            !read_value(place, &at, end, (uint8_t *)message + place->offset,
                allocator)) {
            return false;
        }
        place++;
    }
    return true;
}

ProtobufCMessage *
flat_unpack(const flat_t *self, const ProtobufCMessageDescriptor *type,
    slice_t bytes, ProtobufCAllocator *allocator)
{
    ProtobufCMessage *message =
        self != NULL ? take(allocator, type->sizeof_message) : NULL;
    if (message != NULL) {
        type->message_init(message);
        if (read_fields(self, bytes, message, allocator)) {
            return message;
        }
        protobuf_c_message_free_unpacked(message, allocator);
    }
    return protobuf_c_message_unpack(type, allocator, bytes.len, bytes.data);
}
