// SPDX-License-Identifier: MIT
// wire/nesting.h - how deep messages stand in each other.

#ifndef WIRE_NESTING_H
#define WIRE_NESTING_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "base/slice.h"

// The limit of protobuf's own decoders.
#define NESTING_MAX 100

// nesting_fits says whether 'bytes' as a 'type' is nested at most NESTING_MAX
// deep.  protobuf-c unpacks by recursion without a limit, so bytes from outside
// are looked at first: a message in a message in a message costs two bytes a
// level and would end the process.  Bytes that are no message fit: unpacking
// says so.  Costs nothing for types without messages inside.  Pure.
bool nesting_fits(const ProtobufCMessageDescriptor *type, slice_t bytes);

#endif
