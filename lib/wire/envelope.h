// SPDX-License-Identifier: MIT
// wire/envelope.h - the hot path's view of a Batch: routing fields and slices.
//
// One function writes envelopes, one reads them; see proto/edri/wire.proto for
// the meaning of the fields.  No allocation, no protobuf-c, no clock.

#ifndef WIRE_ENVELOPE_H
#define WIRE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "edri/err.h"
#include "edri/type.h"

// Limits (docs/protocol.md).
#define WIRE_BATCH_MAX    (128 * 1024) // a frame's batch, in bytes
#define WIRE_MESSAGE_MAX  (256 * 1024) // a ZeroMQ message on TCP
#define WIRE_INLINE_MAX   (24 * 1024)  // a larger body is an attachment
#define WIRE_BODY_MAX     (1024u * 1024 * 1024) // hard limit of a body
#define WIRE_TYPES_MAX    16                    // distinct types in a frame
#define WIRE_TEXT_MAX     4096                  // an error's text
#define WIRE_TRACE_SIZE   24                    // trace id and parent
#define WIRE_ENVELOPE_MAX (WIRE_INLINE_MAX + WIRE_TEXT_MAX + 512) // without
// its attachment

#define WIRE_ATTACHED    0x80u
#define WIRE_REDELIVERED 0x100u
#define WIRE_NODE_ONLY   0x200u
#define WIRE_DURABLE     0x400u
#define WIRE_KEYED       0x800u
#define WIRE_OBSERVED    0x1000u
#define WIRE_LAST        0x2000u
#define WIRE_ASKED       0x4000u
#define WIRE_PROGRESS    0x8000u
#define WIRE_OPENED      0x10000u // of a tunnel, with those below
#define WIRE_CREDIT      0x20000u
#define WIRE_END         0x40000u
#define WIRE_CLOSE       0x80000u

// envelope_t is one envelope, read: routing fields by value, the rest borrowed
// from the bytes it was read from.
typedef struct envelope {
    uint64_t type;
    uint64_t id;
    uint32_t flags;
    uint32_t ttl_ms;
    uint64_t request;
    uint64_t to;
    uint64_t key;
    uint32_t error;
    uint32_t attempt;
    uint64_t cause;
    uint64_t cause_life;
    uint64_t position;
    slice_t trace;
    slice_t text;
    slice_t body;
} envelope_t;

static inline edri_kind_t
envelope_kind(uint32_t flags)
{
    return (edri_kind_t)(flags & 3u);
}

static inline edri_deliver_t
envelope_deliver(uint32_t flags)
{
    return (edri_deliver_t)(flags >> 2 & 3u);
}

static inline uint8_t
envelope_priority(uint32_t flags)
{
    return (uint8_t)(flags >> 4 & 7u);
}

static inline uint32_t
envelope_flags(edri_kind_t kind, edri_deliver_t deliver, uint8_t priority)
{
    return (uint32_t)kind | (uint32_t)deliver << 2 | (uint32_t)priority << 4;
}

// envelope_movable says whether the event may go to another member when its
// receiver ends: the source keeps it until it is settled.
static inline bool
envelope_movable(uint32_t flags)
{
    return envelope_kind(flags) == EDRI_NOTIFICATION &&
           envelope_deliver(flags) != EDRI_ALL && (flags & WIRE_OBSERVED) == 0;
}

// batch_next takes the next envelope off the front of 'batch'.
// *item is the envelope with its tag and length, ready to be copied into
// another batch; *content is the envelope message alone.
// Returns true; false at the end or when the rest is malformed: then
// batch->len is 0 at a clean end and not 0 when malformed.  Unknown fields of
// Batch are skipped.
bool batch_next(slice_t *batch, slice_t *item, slice_t *content);

// batch_wrap makes a batch of one envelope; the caller frees it.
uint8_t *batch_wrap(slice_t content, size_t *size_p);

// batch_count counts the envelopes of a batch, as far as it is well-formed.
size_t batch_count(slice_t batch);

// envelope_route reads the routing fields (1 to 8) only and stops as early as
// our own writer's order allows; the other members of *out are not touched.
// About 4 ns for a notification with a 64-byte body (a loop over 1,000
// envelopes, -O2, a 3 GHz x86-64).
// Returns EDRI_OK, or EDRI_PROTO: truncated, wrong wire type, or a routing
// field that occurs twice.
edri_err_t envelope_route(slice_t content, envelope_t *out) EDRI_MUST_CHECK;

// envelope_read reads every field; those absent are zero or empty.
// Returns EDRI_OK or EDRI_PROTO.
edri_err_t envelope_read(slice_t content, envelope_t *out) EDRI_MUST_CHECK;

// envelope_size returns how many bytes envelope_write needs for 'env' with a
// body of body_len, including the Batch tag and length.
size_t envelope_size(const envelope_t *env, size_t body_len);

// envelope_write writes tag, length and envelope up to where the body begins,
// and returns the place for body_len bytes of body; the caller writes them.
// env->body is not used.  'size' is what envelope_size returned; 'out' must
// have that room.  The result is out + size - body_len.
uint8_t *envelope_write(
    const envelope_t *env, size_t body_len, uint8_t *out, size_t size);

// envelope_copy writes a whole envelope, env->body included, as an item of a
// batch of *size_p bytes, which the caller frees.
uint8_t *envelope_copy(const envelope_t *env, size_t *size_p);

#endif
