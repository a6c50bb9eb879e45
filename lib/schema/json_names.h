// SPDX-License-Identifier: MIT
// schema/json_names.h - what the two directions of the JSON mapping share.

#ifndef SCHEMA_JSON_NAMES_H
#define SCHEMA_JSON_NAMES_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

// json_camel writes order_id as orderId.
void json_camel(const char *name, char *out, size_t size);

// json_value_size is what one value of the field takes in memory.
size_t json_value_size(const ProtobufCFieldDescriptor *field);

#endif
