// SPDX-License-Identifier: MIT
// schema/json.h - protobuf-c messages as JSON and back (needs jansson).
//
// The canonical mapping of proto3: lowerCamelCase names (original names are
// accepted when reading), 64-bit integers as strings, bytes as base64, enums by
// name, maps as objects, google.protobuf.Timestamp, Duration and the wrappers
// in their special forms (Any, Struct and FieldMask are plain objects here).
// See https://protobuf.dev/programming-guides/json.  Its own target: libedri
// does not need jansson.

#ifndef SCHEMA_JSON_H
#define SCHEMA_JSON_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#include "edri/err.h"

// json_write returns the message as one line of JSON; caller frees it.
// 'indent' > 0 gives several lines.  Never fails for a valid message.
char *json_write(const ProtobufCMessage *message, int indent);

// json_read makes a message from JSON text.  Returns EDRI_OK and *message_p,
// freed with protobuf_c_message_free_unpacked(m, NULL); or EDRI_INVAL with a
// text in 'why' that names path and remedy ("items[2].price: a number is
// expected, got a string").  Unknown fields are errors naming the nearest one.
edri_err_t json_read(const ProtobufCMessageDescriptor *descriptor,
    const char *text, ProtobufCMessage **message_p, char *why,
    size_t why_size) EDRI_MUST_CHECK;

#endif
