// SPDX-License-Identifier: MIT
// node/key.h - the key of an event: the hash of one field's value.

#ifndef NODE_KEY_H
#define NODE_KEY_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

// key_of_message hashes the value of a field (string, bytes, bool, enum or
// integer, not repeated) of a message; key_of_body does so in packed form, and
// takes what it cannot read as absent.  FNV-1a, 64 bits (G. Fowler, L. Noll,
// K. Vo): of strings and bytes as they are, of the others as 8 bytes, little
// endian, two's complement; absent is empty or 0.  Both give the same.
uint64_t key_of_message(
    const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message);
uint64_t key_of_body(
    const ProtobufCFieldDescriptor *field, const void *body, size_t size);

#endif
