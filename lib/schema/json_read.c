// SPDX-License-Identifier: MIT
// json_read.c - protobuf-c messages from JSON: the canonical mapping of proto3.
//
// What is wrong is said with its path: "items[2].price: a number is expected".

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "schema/json.h"
#include "schema/json_impl.h"

#define PATH_SHOWN 100

// place_t is where the reader is: a chain of names and indices.
typedef struct place {
    const struct place *above;
    const char *name; // NULL: an index
    size_t index;
} place_t;

typedef struct reading {
    char *why;
    size_t why_size;
    int depth;
} reading_t;

static void
put_place(const place_t *place, char *out, size_t size)
{
    if (place == NULL || place->above == NULL) {
        out[0] = '\0';
        return;
    }
    put_place(place->above, out, size);
    size_t at = strlen(out);
    if (place->name != NULL) {
        snprintf(out + at, size - at, "%s%s", at > 0 ? "." : "", place->name);
    } else {
        snprintf(out + at, size - at, "[%zu]", place->index);
    }
}

static edri_err_t fail(const reading_t *reading, const place_t *place,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

static edri_err_t
fail(const reading_t *reading, const place_t *place, const char *format, ...)
{
    char what[256];
    char path[2048];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    put_place(place, path, sizeof path);
    // Of a long path, the end matters.
    size_t size = strlen(path);
    bool is_long = size > PATH_SHOWN;
    snprintf(reading->why, reading->why_size, "%s%s%s%s", is_long ? "..." : "",
        is_long ? path + size - PATH_SHOWN : path, size > 0 ? ": " : "", what);
    return EDRI_INVAL;
}

static edri_err_t
expect(const reading_t *reading, const place_t *place, const char *what,
    const json_t *got)
{
    static const char *const names[] = {"an object", "an array", "a string",
        "a number", "a number", "true", "false", "null"};
    return fail(reading, place, "%s is expected, got %s", what,
        names[json_typeof(got)]);
}

// ----- numbers

static edri_err_t
read_signed(const reading_t *reading, const place_t *place, const json_t *json,
    int64_t min, int64_t max, int64_t *out)
{
    double whole = 0;
    if (json_is_integer(json)) {
        *out = json_integer_value(json);
    } else if (json_is_string(json)) {
        const char *text = json_string_value(json);
        char *end = NULL;
        errno = 0;
        *out = strtoll(text, &end, 10);
        if (end == text || *end != '\0' || errno != 0) {
            return fail(reading, place, "\"%s\" is no whole number", text);
        }
    } else if (json_is_real(json) &&
               modf(json_real_value(json), &whole) == 0.0 &&
               fabs(whole) < 9e18) {
        *out = (int64_t)whole;
    } else {
        return expect(reading, place, "a whole number", json);
    }
    if (*out < min || *out > max) {
        return fail(reading, place, "out of range, %lld to %lld is expected",
            (long long)min, (long long)max);
    }
    return EDRI_OK;
}

static edri_err_t
read_unsigned(const reading_t *reading, const place_t *place,
    const json_t *json, uint64_t *out)
{
    if (json_is_string(json)) {
        const char *text = json_string_value(json);
        char *end = NULL;
        errno = 0;
        *out = strtoull(text, &end, 10);
        if (text[0] == '-' || end == text || *end != '\0' || errno != 0) {
            return fail(
                reading, place, "\"%s\" is no whole number from 0 on", text);
        }
        return EDRI_OK;
    }
    int64_t number = 0;
    edri_err_t err = read_signed(reading, place, json, 0, INT64_MAX, &number);
    *out = (uint64_t)number;
    return err;
}

static edri_err_t
read_real(const reading_t *reading, const place_t *place, const json_t *json,
    double *out)
{
    if (json_is_number(json)) {
        *out = json_number_value(json);
        return EDRI_OK;
    }
    const char *text = json_is_string(json) ? json_string_value(json) : "";
    char *end = NULL;
    *out = strtod(text, &end);
    return end != text && *end == '\0'
               ? EDRI_OK
               : expect(reading, place, "a number", json);
}

// ----- texts

static int
digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    c = c == '-' ? '+' : c == '_' ? '/' : c;
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static edri_err_t
read_base64(const reading_t *reading, const place_t *place, const json_t *json,
    ProtobufCBinaryData *out)
{
    if (!json_is_string(json)) {
        return expect(reading, place, "base64 in a string", json);
    }
    const char *text = json_string_value(json);
    size_t size = strcspn(text, "=");
    if (text[size + strspn(text + size, "=")] != '\0' || size % 4 == 1) {
        return fail(reading, place, "the string is no base64");
    }
    uint8_t *data = mem_resize(NULL, size / 4 * 3 + 4);
    uint32_t bits = 0;
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        int digit = digit_of(text[i]);
        if (digit < 0) {
            free(data);
            return fail(reading, place, "'%c' is no base64", text[i]);
        }
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 > 0) {
            data[count++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }
    }
    *out = (ProtobufCBinaryData){count, data};
    if (count == 0) {
        free(data);
        out->data = NULL;
    }
    return EDRI_OK;
}

static edri_err_t
read_enum(const reading_t *reading, const place_t *place, const json_t *json,
    const ProtobufCEnumDescriptor *descriptor, int *out)
{
    if (json_is_string(json)) {
        const ProtobufCEnumValue *value =
            protobuf_c_enum_descriptor_get_value_by_name(
                descriptor, json_string_value(json));
        if (value == NULL) {
            return fail(reading, place, "\"%s\" is no value of %s",
                json_string_value(json), descriptor->name);
        }
        *out = value->value;
        return EDRI_OK;
    }
    int64_t number = 0;
    edri_err_t err =
        read_signed(reading, place, json, INT32_MIN, INT32_MAX, &number);
    *out = (int)number;
    return err;
}

// ----- values

static edri_err_t read_any(reading_t *reading, const place_t *place,
    const json_t *json, ProtobufCMessage *message);

// empty makes a message with every field at its default.  Descriptors of run
// time have no init function, and unpacking nothing fails where a field is
// required.
static ProtobufCMessage *
empty(const ProtobufCMessageDescriptor *descriptor)
{
    ProtobufCMessage *message = mem_new(descriptor->sizeof_message);
    message->descriptor = descriptor;
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        uint8_t *at = (uint8_t *)message + field->offset;
        if (field->default_value == NULL ||
            field->label == PROTOBUF_C_LABEL_REPEATED ||
            (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
            continue;
        }
        if (field->type == PROTOBUF_C_TYPE_STRING) {
            memcpy(at, &field->default_value, sizeof field->default_value);
        } else {
            memcpy(at, field->default_value, json_value_size(field));
        }
    }
    return message;
}

static edri_err_t
read_value(reading_t *reading, const place_t *place, const json_t *json,
    const ProtobufCFieldDescriptor *field, void *at)
{
    int64_t number = 0;
    uint64_t large = 0;
    double real = 0;
    edri_err_t err = EDRI_OK;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        err = read_signed(reading, place, json, INT32_MIN, INT32_MAX, &number);
        *(int32_t *)at = (int32_t)number;
        return err;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        err = read_signed(reading, place, json, 0, UINT32_MAX, &number);
        *(uint32_t *)at = (uint32_t)number;
        return err;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        err = read_signed(reading, place, json, INT64_MIN, INT64_MAX, &number);
        *(int64_t *)at = number;
        return err;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        err = read_unsigned(reading, place, json, &large);
        *(uint64_t *)at = large;
        return err;
    case PROTOBUF_C_TYPE_FLOAT:
        err = read_real(reading, place, json, &real);
        *(float *)at = (float)real;
        return err;
    case PROTOBUF_C_TYPE_DOUBLE:
        err = read_real(reading, place, json, &real);
        *(double *)at = real;
        return err;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)at = json_is_true(json);
        return json_is_boolean(json)
                   ? EDRI_OK
                   : expect(reading, place, "true or false", json);
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(reading, place, json, field->descriptor, at);
    case PROTOBUF_C_TYPE_STRING:
        if (!json_is_string(json)) {
            return expect(reading, place, "a string", json);
        }
        *(char **)at = str_dup(json_string_value(json));
        return EDRI_OK;
    case PROTOBUF_C_TYPE_BYTES:
        return read_base64(reading, place, json, at);
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)at = empty(field->descriptor);
        return read_any(reading, place, json, *(ProtobufCMessage **)at);
    }
    return EDRI_OK;
}

static edri_err_t
read_list(reading_t *reading, const place_t *place, const json_t *json,
    const ProtobufCFieldDescriptor *field, uint8_t *base)
{
    if (!json_is_array(json)) {
        return expect(reading, place, "an array", json);
    }
    size_t *count = (size_t *)(void *)(base + field->quantifier_offset);
    uint8_t **items = (uint8_t **)(void *)(base + field->offset);
    size_t size = json_value_size(field);
    edri_err_t err = EDRI_OK;
    if (json_array_size(json) > 0) {
        *items = mem_new(json_array_size(json) * size);
    }
    for (size_t i = 0; i < json_array_size(json) && err == EDRI_OK; i++) {
        place_t here = {place, NULL, i};
        err = read_value(
            reading, &here, json_array_get(json, i), field, *items + i * size);
        *count = i + 1; // what was made so far is freed with the message
    }
    return err;
}

static edri_err_t read_field(reading_t *reading, const place_t *place,
    const json_t *json, const ProtobufCFieldDescriptor *field,
    ProtobufCMessage *message);

// read_entry reads one entry of a map; the key comes as a string.
static edri_err_t
read_entry(reading_t *reading, const place_t *place, const char *key,
    const json_t *value, ProtobufCMessage *entry)
{
    const ProtobufCFieldDescriptor *fields = entry->descriptor->fields;
    bool is_bool = fields[0].type == PROTOBUF_C_TYPE_BOOL &&
                   (streq(key, "true") || streq(key, "false"));
    json_t *json = is_bool ? json_boolean(key[0] == 't') : json_string(key);
    edri_err_t err = read_field(reading, place, json, &fields[0], entry);
    json_decref(json);
    if (err == EDRI_OK && json_is_null(value)) {
        err = expect(reading, place, "a value", value);
    }
    return err == EDRI_OK ? read_field(reading, place, value, &fields[1], entry)
                          : err;
}

static edri_err_t
read_map(reading_t *reading, const place_t *place, const json_t *json,
    const ProtobufCFieldDescriptor *field, uint8_t *base)
{
    if (!json_is_object(json)) {
        return expect(reading, place, "an object", json);
    }
    json_t *object = (json_t *)(uintptr_t)json; // jansson's walk is not const
    size_t *count = (size_t *)(void *)(base + field->quantifier_offset);
    ProtobufCMessage **entries =
        mem_new((json_object_size(json) + 1) * sizeof(ProtobufCMessage *));
    *(ProtobufCMessage ***)(void *)(base + field->offset) = entries;
    edri_err_t err = EDRI_OK;
    for (void *at = json_object_iter(object); at != NULL && err == EDRI_OK;
         at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);
        place_t here = {place, key, 0};
        entries[*count] = empty(field->descriptor);
        err = read_entry(reading, &here, key, json_object_iter_value(at),
            entries[(*count)++]);
    }
    return err;
}

static edri_err_t
read_field(reading_t *reading, const place_t *place, const json_t *json,
    const ProtobufCFieldDescriptor *field, ProtobufCMessage *message)
{
    uint8_t *base = (uint8_t *)message;
    if (json_is_null(json)) {
        return EDRI_OK;
    }
    if (json_is_map(message->descriptor, field)) {
        return read_map(reading, place, json, field, base);
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return read_list(reading, place, json, field, base);
    }
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        uint32_t *which = (uint32_t *)(void *)(base + field->quantifier_offset);
        if (*which != 0) {
            return fail(reading, place, "another of its oneof is set, too");
        }
        *which = field->id;
    } else if (field->label == PROTOBUF_C_LABEL_OPTIONAL &&
               field->type != PROTOBUF_C_TYPE_STRING &&
               field->type != PROTOBUF_C_TYPE_MESSAGE) {
        *(protobuf_c_boolean *)(void *)(base + field->quantifier_offset) = 1;
    }
    return read_value(reading, place, json, field, base + field->offset);
}

static const ProtobufCFieldDescriptor *
find_field(const ProtobufCMessageDescriptor *descriptor, const char *name)
{
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        char camel[256];
        json_camel(descriptor->fields[i].name, camel, sizeof camel);
        if (streq(name, camel) || streq(name, descriptor->fields[i].name)) {
            return &descriptor->fields[i];
        }
    }
    return NULL;
}

// list_fields says which names there are, for an error.
static void
list_fields(
    const ProtobufCMessageDescriptor *descriptor, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < descriptor->n_fields && at < size; i++) {
        at += (size_t)snprintf(out + at, size - at, "%s%s", i > 0 ? ", " : "",
            descriptor->fields[i].name);
    }
}

// is_doubled says whether the object has a field under both of its names.
static bool
is_doubled(const json_t *json, const ProtobufCFieldDescriptor *field)
{
    char camel[256];
    json_camel(field->name, camel, sizeof camel);
    return !streq(camel, field->name) && json_object_get(json, camel) != NULL &&
           json_object_get(json, field->name) != NULL;
}

// check_required names a required field (of proto2) that is not there.
static edri_err_t
check_required(const reading_t *reading, const place_t *place,
    const json_t *json, const ProtobufCMessage *message)
{
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        char camel[256];
        json_camel(field->name, camel, sizeof camel);
        if (field->label == PROTOBUF_C_LABEL_REQUIRED &&
            json_object_get(json, camel) == NULL &&
            json_object_get(json, field->name) == NULL) {
            place_t here = {place, field->name, 0};
            return fail(reading, &here, "this field is required");
        }
    }
    return EDRI_OK;
}

static edri_err_t
read_message(reading_t *reading, const place_t *place, const json_t *json,
    ProtobufCMessage *message)
{
    if (!json_is_object(json)) {
        return expect(reading, place, "an object", json);
    }
    if (++reading->depth > JSON_DEPTH_MAX) {
        return fail(reading, place, "nested too deep");
    }
    edri_err_t err = EDRI_OK;
    json_t *object = (json_t *)(uintptr_t)json; // jansson's walk is not const
    for (void *at = json_object_iter(object); at != NULL && err == EDRI_OK;
         at = json_object_iter_next(object, at)) {
        const char *name = json_object_iter_key(at);
        const ProtobufCFieldDescriptor *field =
            find_field(message->descriptor, name);
        place_t here = {place, name, 0};
        if (field == NULL) {
            char names[200];
            list_fields(message->descriptor, names, sizeof names);
            err = fail(reading, &here, "no such field; %s has: %s",
                message->descriptor->name, names);
        } else if (is_doubled(json, field)) {
            err = fail(reading, &here, "this field is set twice, as %s, too",
                field->name);
        } else {
            err = read_field(
                reading, &here, json_object_iter_value(at), field, message);
        }
    }
    reading->depth--;
    return err == EDRI_OK ? check_required(reading, place, json, message) : err;
}

// read_time reads a Timestamp or a Duration from its text.
static edri_err_t
read_time(const reading_t *reading, const place_t *place, const json_t *json,
    bool is_date, ProtobufCMessage *message)
{
    json_time_t time;
    const char *text = json_string_value(json);
    if (text == NULL || !(is_date ? json_timestamp_read(text, &time)
                                  : json_duration_read(text, &time))) {
        return fail(reading, place, "a %s such as \"%s\" is expected",
            is_date ? "time" : "duration",
            is_date ? "2026-01-31T12:00:00.5Z" : "1.5s");
    }
    json_time_put(message, time);
    return EDRI_OK;
}

static edri_err_t
read_any(reading_t *reading, const place_t *place, const json_t *json,
    ProtobufCMessage *message)
{
    json_form_t form = json_form(message->descriptor);
    // Out of range times are written as objects, so they are read, too.
    if (form == JSON_FORM_OBJECT || json_is_object(json)) {
        return read_message(reading, place, json, message);
    }
    if (form == JSON_FORM_WRAPPER) {
        return read_field(
            reading, place, json, message->descriptor->fields, message);
    }
    return read_time(
        reading, place, json, form == JSON_FORM_TIMESTAMP, message);
}

edri_err_t
json_read(const ProtobufCMessageDescriptor *descriptor, const char *text,
    ProtobufCMessage **message_p, char *why, size_t why_size)
{
    json_error_t error;
    reading_t reading = {why, why_size, 0};
    place_t top = {NULL, "", 0};
    *message_p = NULL;
    json_t *json =
        json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (json == NULL) {
        snprintf(why, why_size, "line %d, column %d: %s", error.line,
            error.column, error.text);
        return EDRI_INVAL;
    }
    ProtobufCMessage *message = empty(descriptor);
    edri_err_t err = read_any(&reading, &top, json, message);
    json_decref(json);
    if (err != EDRI_OK) {
        protobuf_c_message_free_unpacked(message, NULL);
        return err;
    }
    *message_p = message;
    return EDRI_OK;
}
