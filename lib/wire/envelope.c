// SPDX-License-Identifier: MIT
// envelope.c - the hot path's view of a Batch: routing fields and slices.
//
// DESIGN
// A Batch is a row of items: tag 0x0a, length, Envelope.  Our own writer puts
// the routing fields first, of fixed width:
//
//   byte  0   0x09  type       8 bytes, little-endian
//   byte  9   0x11  id         8
//   byte 18   0x1d  flags      4       absent when 0, as every zero
//   then      0x25  ttl_ms     4
//             0x29  request    8
//             0x31  to         8
//             0x39  key        8
//             0x45  error      4
//   then the others in the order of their numbers, body (0x7a) last
//
// The reader loads what stands where we write it and takes every other field in
// a general loop; so foreign encoders are read as well, only slower.  A routing
// field that occurs twice is malformed: two readers might believe different
// ones.

#include "wire/envelope.h"

#include <string.h>

#include "base/alloc.h"
#include "wire/field.h"

// Field numbers of Envelope.
enum {
    TYPE = 1,
    ID,
    FLAGS,
    TTL,
    REQUEST,
    TO,
    KEY,
    ERROR,
    TRACE,
    CAUSE,
    CAUSE_LIFE,
    TEXT,
    ATTEMPT,
    POSITION,
    BODY
};

// ----- Batch

bool
batch_next(slice_t *batch, slice_t *item, slice_t *content)
{
    const uint8_t *at = batch->data;
    const uint8_t *end = at + batch->len;
    while (at < end) {
        const uint8_t *start = at;
        field_t field;
        // The common case, spelt out: an envelope.  About 2 ns.
        if (*at == 0x0a) {
            uint64_t len;
            at++;
            if (!read_short(&at, end, &len) || len > (uint64_t)(end - at)) {
                return false;
            }
            *content = (slice_t){at, (size_t)len};
            at += len;
            *item = (slice_t){start, (size_t)(at - start)};
            *batch = (slice_t){at, (size_t)(end - at)};
            return true;
        }
        if (!read_field(&at, end, &field) || field.number == 1) {
            return false;
        }
        *batch = (slice_t){at, (size_t)(end - at)};
    }
    return false;
}

size_t
batch_count(slice_t batch)
{
    slice_t item;
    slice_t content;
    size_t count = 0;
    while (batch_next(&batch, &item, &content)) {
        count++;
    }
    return count;
}

// ----- Envelope, reading

// store keeps one routing field.  False: wrong wire type, or seen before.
static inline bool
store_routing(const field_t *field, envelope_t *out, uint32_t *seen)
{
    static const uint8_t wires[] = {0, FIXED64, FIXED64, FIXED32, FIXED32,
        FIXED64, FIXED64, FIXED64, FIXED32};
    uint32_t bit = 1u << field->number;
    if (field->wire != wires[field->number] || (*seen & bit) != 0) {
        return false;
    }
    *seen |= bit;
    switch (field->number) {
    case TYPE:
        out->type = field->value;
        break;
    case ID:
        out->id = field->value;
        break;
    case FLAGS:
        out->flags = (uint32_t)field->value;
        break;
    case TTL:
        out->ttl_ms = (uint32_t)field->value;
        break;
    case REQUEST:
        out->request = field->value;
        break;
    case TO:
        out->to = field->value;
        break;
    case KEY:
        out->key = field->value;
        break;
    default:
        out->error = (uint32_t)field->value;
        break;
    }
    return true;
}

// store_other keeps one of the other fields; a later one wins, as in protobuf.
static bool
store_other(const field_t *field, envelope_t *out)
{
    static const uint8_t wires[] = {[TRACE] = BYTES,
        [CAUSE] = FIXED64,
        [CAUSE_LIFE] = FIXED64,
        [TEXT] = BYTES,
        [ATTEMPT] = VARINT,
        [POSITION] = VARINT,
        [BODY] = BYTES};
    if (field->number > BODY) {
        return true; // of a later version
    }
    if (field->wire != wires[field->number]) {
        return false;
    }
    switch (field->number) {
    case TRACE:
        out->trace = field->bytes;
        break;
    case CAUSE:
        out->cause = field->value;
        break;
    case CAUSE_LIFE:
        out->cause_life = field->value;
        break;
    case TEXT:
        out->text = field->bytes;
        break;
    case ATTEMPT:
        out->attempt = (uint32_t)field->value;
        break;
    case POSITION:
        out->position = field->value;
        break;
    default:
        out->body = field->bytes;
        break;
    }
    return true;
}

static inline void
clear_routing(envelope_t *out)
{
    out->type = out->id = out->request = out->to = out->key = 0;
    out->flags = out->ttl_ms = out->error = 0;
}

// read_head takes the fields that stand where our writer puts them.
static inline const uint8_t *
read_head(slice_t content, envelope_t *out, uint32_t *seen)
{
    const uint8_t *at = content.data;
    if (content.len < 23 || at[0] != 0x09 || at[9] != 0x11 || at[18] != 0x1d) {
        return at;
    }
    out->type = load64(at + 1);
    out->id = load64(at + 10);
    out->flags = load32(at + 19);
    *seen = 1u << TYPE | 1u << ID | 1u << FLAGS;
    at += 23;
    if (content.len >= 28 && at[0] == 0x25) {
        out->ttl_ms = load32(at + 1);
        *seen |= 1u << TTL;
        at += 5;
    }
    return at;
}

// is_body says whether the rest is the body and nothing else, as in nearly all
// notifications and requests of our own writer.
static inline bool
is_body(const uint8_t *at, const uint8_t *end, slice_t *body)
{
    if (end - at < 3 || at[0] != 0x7a) {
        return false;
    }
    size_t len = at[1];
    at += 2;
    if (len >= 0x80) {
        if (*at >= 0x80) {
            return false;
        }
        len = (len & 0x7f) | (size_t)*at++ << 7;
    }
    *body = (slice_t){at, len};
    return len == (size_t)(end - at);
}

edri_err_t
envelope_route(slice_t content, envelope_t *out)
{
    uint32_t seen = 0;
    clear_routing(out);
    const uint8_t *end = content.data + content.len;
    const uint8_t *at = read_head(content, out, &seen);
    slice_t body;
    if (is_body(at, end, &body)) {
        return EDRI_OK;
    }
    while (at < end) {
        field_t field = {0};
        if (!read_field(&at, end, &field)) {
            return EDRI_PROTO;
        }
        if (field.number <= ERROR && !store_routing(&field, out, &seen)) {
            return EDRI_PROTO;
        }
    }
    return EDRI_OK;
}

edri_err_t
envelope_read(slice_t content, envelope_t *out)
{
    uint32_t seen = 0;
    *out = (envelope_t){0};
    const uint8_t *end = content.data + content.len;
    const uint8_t *at = read_head(content, out, &seen);
    if (is_body(at, end, &out->body)) {
        return EDRI_OK;
    }
    out->body = (slice_t){NULL, 0};
    while (at < end) {
        field_t field = {0};
        if (!read_field(&at, end, &field)) {
            return EDRI_PROTO;
        }
        bool fine = field.number <= ERROR ? store_routing(&field, out, &seen)
                                          : store_other(&field, out);
        if (!fine) {
            return EDRI_PROTO;
        }
    }
    return EDRI_OK;
}

// ----- Envelope, writing

static size_t
varint_size(uint64_t value)
{
    return value < 0x80 ? 1 : (size_t)(70 - __builtin_clzll(value)) / 7;
}

static size_t
bytes_size(size_t len)
{
    return len > 0 ? 1 + varint_size(len) + len : 0;
}

static size_t
content_size(const envelope_t *env, size_t body_len)
{
    size_t size = 9u * (env->type != 0) + 9u * (env->id != 0) +
                  5u * (env->flags != 0) + 5u * (env->ttl_ms != 0);
    if ((env->request | env->to | env->key | env->error) != 0) {
        size += 9u * (env->request != 0) + 9u * (env->to != 0) +
                9u * (env->key != 0) + 5u * (env->error != 0);
    }
    if ((env->cause | env->cause_life | env->position | env->attempt) != 0) {
        size += 9u * (env->cause != 0) + 9u * (env->cause_life != 0);
        size += env->attempt != 0 ? 1 + varint_size(env->attempt) : 0;
        size += env->position != 0 ? 1 + varint_size(env->position) : 0;
    }
    return size + bytes_size(env->trace.len) + bytes_size(env->text.len) +
           bytes_size(body_len);
}

size_t
envelope_size(const envelope_t *env, size_t body_len)
{
    size_t size = content_size(env, body_len);
    return 1 + varint_size(size) + size;
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

static inline uint8_t *
put64(uint8_t *out, int field, uint64_t value)
{
    if (value != 0) {
        *out++ = (uint8_t)(field << 3 | FIXED64);
        memcpy(out, &value, 8);
        out += 8;
    }
    return out;
}

static inline uint8_t *
put32(uint8_t *out, int field, uint32_t value)
{
    if (value != 0) {
        *out++ = (uint8_t)(field << 3 | FIXED32);
        memcpy(out, &value, 4);
        out += 4;
    }
    return out;
}

static inline uint8_t *
put_small(uint8_t *out, int field, uint64_t value)
{
    if (value != 0) {
        *out++ = (uint8_t)(field << 3 | VARINT);
        out = put_varint(out, value);
    }
    return out;
}

static inline uint8_t *
put_bytes(uint8_t *out, int field, slice_t bytes)
{
    if (bytes.len > 0) {
        *out++ = (uint8_t)(field << 3 | BYTES);
        out = put_varint(out, bytes.len);
        memcpy(out, bytes.data, bytes.len);
        out += bytes.len;
    }
    return out;
}

uint8_t *
envelope_write(
    const envelope_t *env, size_t body_len, uint8_t *out, size_t size)
{
    // 'size' counts the tag and the length's own bytes: at most 6.
    size_t content = size - 2;
    while (1 + varint_size(content) + content > size) {
        content--;
    }
    *out++ = 0x0a;
    out = put_varint(out, content);
    out = put64(out, TYPE, env->type);
    out = put64(out, ID, env->id);
    out = put32(out, FLAGS, env->flags);
    out = put32(out, TTL, env->ttl_ms);
    out = put64(out, REQUEST, env->request);
    out = put64(out, TO, env->to);
    out = put64(out, KEY, env->key);
    out = put32(out, ERROR, env->error);
    out = put_bytes(out, TRACE, env->trace);
    out = put64(out, CAUSE, env->cause);
    out = put64(out, CAUSE_LIFE, env->cause_life);
    out = put_bytes(out, TEXT, env->text);
    out = put_small(out, ATTEMPT, env->attempt);
    out = put_small(out, POSITION, env->position);
    if (body_len > 0) {
        *out++ = BODY << 3 | BYTES;
        out = put_varint(out, body_len);
    }
    return out;
}

uint8_t *
envelope_copy(const envelope_t *env, size_t *size_p)
{
    size_t size = envelope_size(env, env->body.len);
    uint8_t *room = mem_resize(NULL, size);
    uint8_t *place = envelope_write(env, env->body.len, room, size);
    if (env->body.len > 0) {
        memcpy(place, env->body.data, env->body.len);
    }
    *size_p = size;
    return room;
}

uint8_t *
batch_wrap(slice_t content, size_t *size_p)
{
    *size_p = 1 + varint_size(content.len) + content.len;
    uint8_t *batch = mem_resize(NULL, *size_p);
    batch[0] = 0x0a;
    uint8_t *at = put_varint(batch + 1, content.len);
    memcpy(at, content.data, content.len);
    return batch;
}
