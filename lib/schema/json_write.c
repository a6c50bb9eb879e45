// SPDX-License-Identifier: MIT
// json_write.c - protobuf-c messages as JSON: the canonical mapping of proto3.

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "schema/json.h"
#include "schema/json_impl.h"

static json_t *write_any(const ProtobufCMessage *message);

// ----- texts

// text_of makes a string; bytes that are no UTF-8 become U+FFFD.
static json_t *
text_of(const char *text)
{
    json_t *string = json_string(text);
    if (string != NULL) {
        return string;
    }
    char *fixed = mem_new(3 * strlen(text) + 1);
    size_t size = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x80) {
            fixed[size++] = *at;
        } else {
            memcpy(fixed + size, "\xef\xbf\xbd", 3);
            size += 3;
        }
    }
    string = json_stringn(fixed, size);
    free(fixed);
    return string;
}

static json_t *
base64_of(const ProtobufCBinaryData *data)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = mem_new(data->len / 3 * 4 + 5);
    size_t size = 0;
    for (size_t i = 0; i < data->len; i += 3) {
        size_t left = data->len - i;
        uint32_t bits = (uint32_t)data->data[i] << 16 |
                        (left > 1 ? (uint32_t)data->data[i + 1] << 8 : 0) |
                        (left > 2 ? data->data[i + 2] : 0);
        text[size++] = digits[bits >> 18];
        text[size++] = digits[bits >> 12 & 63];
        text[size++] = left > 1 ? digits[bits >> 6 & 63] : '=';
        text[size++] = left > 2 ? digits[bits & 63] : '=';
    }
    json_t *string = json_stringn(text, size);
    free(text);
    return string;
}

static json_t *
real_of(double value)
{
    if (isnan(value)) {
        return json_string("NaN");
    }
    if (isinf(value)) {
        return json_string(value > 0 ? "Infinity" : "-Infinity");
    }
    return json_real(value);
}

static json_t *
enum_of(const ProtobufCEnumDescriptor *descriptor, int number)
{
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(descriptor, number);
    return value != NULL ? json_string(value->name) : json_integer(number);
}

// ----- values

static json_t *
value_of(const ProtobufCFieldDescriptor *field, const void *at)
{
    char text[32];
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_integer(*(const int32_t *)at);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_integer(*(const uint32_t *)at);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        snprintf(text, sizeof text, "%" PRId64, *(const int64_t *)at);
        return json_string(text);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        snprintf(text, sizeof text, "%" PRIu64, *(const uint64_t *)at);
        return json_string(text);
    case PROTOBUF_C_TYPE_FLOAT:
        return real_of(*(const float *)at);
    case PROTOBUF_C_TYPE_DOUBLE:
        return real_of(*(const double *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_ENUM:
        return enum_of(field->descriptor, *(const int *)at);
    case PROTOBUF_C_TYPE_STRING:
        return text_of(*(char *const *)at != NULL ? *(char *const *)at : "");
    case PROTOBUF_C_TYPE_BYTES:
        return base64_of(at);
    case PROTOBUF_C_TYPE_MESSAGE:
        return write_any(*(ProtobufCMessage *const *)at);
    }
    return json_null();
}

// is_set says whether a field is written: present, or not at its default.
static bool
is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const uint8_t *base = (const uint8_t *)message;
    const uint8_t *at = base + field->offset;
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        return *(const uint32_t *)(base + field->quantifier_offset) ==
               field->id;
    }
    if (field->label == PROTOBUF_C_LABEL_REQUIRED) {
        return true;
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        return *(void *const *)at != NULL;
    }
    if (field->label == PROTOBUF_C_LABEL_OPTIONAL) {
        return field->type == PROTOBUF_C_TYPE_STRING
                   ? *(char *const *)at != NULL &&
                         *(char *const *)at != field->default_value
                   : *(const protobuf_c_boolean *)(base +
                                                   field->quantifier_offset) !=
                         0;
    }
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text = *(char *const *)at;
        return text != NULL && text[0] != '\0';
    }
    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        return ((const ProtobufCBinaryData *)at)->len > 0;
    }
    static const uint8_t zeros[8];
    return memcmp(at, zeros, json_value_size(field)) != 0;
}

static json_t *
write_list(
    const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const uint8_t *base = (const uint8_t *)message;
    size_t count = *(const size_t *)(base + field->quantifier_offset);
    const uint8_t *items = *(uint8_t *const *)(base + field->offset);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(
            list, value_of(field, items + i * json_value_size(field)));
    }
    return list;
}

// put_entry writes one entry of a map: a key is always a string.
static void
put_entry(json_t *object, const ProtobufCMessage *entry)
{
    const ProtobufCFieldDescriptor *fields = entry->descriptor->fields;
    const uint8_t *base = (const uint8_t *)entry;
    json_t *key = value_of(&fields[0], base + fields[0].offset);
    char *text = json_is_string(key) ? str_dup(json_string_value(key))
                                     : json_dumps(key, JSON_ENCODE_ANY);
    (void)json_object_set_new(
        object, text, value_of(&fields[1], base + fields[1].offset));
    json_decref(key);
    free(text);
}

static json_t *
write_map(
    const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const uint8_t *base = (const uint8_t *)message;
    size_t count = *(const size_t *)(base + field->quantifier_offset);
    ProtobufCMessage *const *entries =
        *(ProtobufCMessage * *const *)(base + field->offset);
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++) {
        put_entry(object, entries[i]);
    }
    return object;
}

static json_t *
write_repeated(
    const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const uint8_t *base = (const uint8_t *)message;
    if (*(const size_t *)(base + field->quantifier_offset) == 0) {
        return NULL;
    }
    return json_is_map(message->descriptor, field) ? write_map(message, field)
                                                   : write_list(message, field);
}

static json_t *
write_message(const ProtobufCMessage *message)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const uint8_t *base = (const uint8_t *)message;
        char name[256];
        json_t *value = NULL;
        json_camel(field->name, name, sizeof name);
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            value = write_repeated(message, field);
        } else if (is_set(message, field)) {
            value = value_of(field, base + field->offset);
        }
        if (value != NULL) {
            (void)json_object_set_new(object, name, value);
        }
    }
    return object;
}

// write_any writes a message in its form.  One that is absent where a value
// must stand (in a map) is empty.
static json_t *
write_any(const ProtobufCMessage *message)
{
    char text[JSON_TIME_TEXT];
    const ProtobufCFieldDescriptor *field = NULL;
    if (message == NULL) {
        return json_object();
    }
    switch (json_form(message->descriptor)) {
    case JSON_FORM_TIMESTAMP:
        if (json_timestamp_write(json_time_of(message), text)) {
            return json_string(text);
        }
        break; // no such date: its fields
    case JSON_FORM_DURATION:
        if (json_duration_write(json_time_of(message), text)) {
            return json_string(text);
        }
        break;
    case JSON_FORM_WRAPPER:
        field = message->descriptor->fields;
        return value_of(field, (const uint8_t *)message + field->offset);
    case JSON_FORM_OBJECT:
        break;
    }
    return write_message(message);
}

char *
json_write(const ProtobufCMessage *message, int indent)
{
    json_t *json = write_any(message);
    size_t flags = indent > 0 ? JSON_INDENT((size_t)indent) : JSON_COMPACT;
    char *text = json_dumps(json, flags | JSON_ENCODE_ANY);
    json_decref(json);
    return text != NULL ? text : str_dup("{}");
}
