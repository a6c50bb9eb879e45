// SPDX-License-Identifier: MIT
// schema/json_impl.h - what the two directions of the JSON mapping share.

#ifndef SCHEMA_JSON_IMPL_H
#define SCHEMA_JSON_IMPL_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#define JSON_DEPTH_MAX 64

// json_camel writes order_id as orderId.
void json_camel(const char *name, char *out, size_t size);

// json_value_size is what one value of the field takes in memory.
size_t json_value_size(const ProtobufCFieldDescriptor *field);

// json_form_t is how a message looks in JSON.
typedef enum json_form {
    JSON_FORM_OBJECT,
    JSON_FORM_TIMESTAMP, // google.protobuf.Timestamp: "2026-01-31T12:00:00Z"
    JSON_FORM_DURATION,  // google.protobuf.Duration: "1.5s"
    JSON_FORM_WRAPPER    // google.protobuf.Int32Value ...: the value alone
} json_form_t;

// json_form goes by the name, and by the fields: names may lie.
json_form_t json_form(const ProtobufCMessageDescriptor *descriptor);

// json_is_map says whether a field of 'owner' is a map: protobuf-c only sees
// its form on the wire, a repeated message XEntry with key and value.
bool json_is_map(const ProtobufCMessageDescriptor *owner,
    const ProtobufCFieldDescriptor *field);

// json_time_t is the content of a Timestamp or a Duration.
typedef struct json_time {
    int64_t seconds;
    int32_t nanos;
} json_time_t;

#define JSON_TIME_TEXT 48

// json_time_of and json_time_put read and write the two fields of a message of
// that form.
json_time_t json_time_of(const ProtobufCMessage *message);
void json_time_put(ProtobufCMessage *message, json_time_t time);

// The texts.  False when the value is out of range (years 1 to 9999; 10,000
// years), or the text none.
bool json_timestamp_write(json_time_t time, char out[JSON_TIME_TEXT]);
bool json_timestamp_read(const char *text, json_time_t *time);
bool json_duration_write(json_time_t time, char out[JSON_TIME_TEXT]);
bool json_duration_read(const char *text, json_time_t *time);

#endif
