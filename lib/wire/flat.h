// SPDX-License-Identifier: MIT
// wire/flat.h - messages that hold nothing but single values, packed and unpacked fast.
//
// DESIGN
// Most events are flat: proto3 messages of numbers, strings and bytes, none repeated, none
// in a oneof, no message inside.  For these a table of places and tags is made once, and
// one walk over it does what protobuf-c finds out anew each time, in a third of its
// instructions.  The bytes are the very same.  What is unusual is left to protobuf-c, which
// stays the judge: types that are not flat, and bytes that are not as protobuf's encoders
// write them (another order, a field twice, unknown ones).  Pure.

#ifndef WIRE_FLAT_H
#define WIRE_FLAT_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

// flat_t is how the messages of one type lie in memory.
typedef struct flat flat_t;

// flat_new makes one that the caller owns, or returns NULL: the type is not flat, or is
// NULL itself.  It does not need the descriptor afterwards.
flat_t *flat_new(const ProtobufCMessageDescriptor *type);
void flat_destroy(flat_t **self_p);

// flat_size and flat_pack are protobuf_c_message_get_packed_size and
// protobuf_c_message_pack for a message of that type; with NULL they call these.
size_t flat_size(const flat_t *self, const ProtobufCMessage *message);
void flat_pack(
    const flat_t *self, const ProtobufCMessage *message, uint8_t *out);

// flat_unpack is protobuf_c_message_unpack, with memory from 'allocator' (NULL:
// malloc).  With 'self' NULL, or unusual bytes, it calls that function.  Returns NULL when
// the bytes are no message.
ProtobufCMessage *flat_unpack(const flat_t *self,
    const ProtobufCMessageDescriptor *type, slice_t bytes,
    ProtobufCAllocator *allocator);

#endif
