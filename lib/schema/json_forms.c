// SPDX-License-Identifier: MIT
// json_forms.c - what both directions share: names, and messages that are no
// plain objects in JSON: times, wrappers, maps
// (https://protobuf.dev/programming-guides/json).

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "schema/json_impl.h"

#define NANOS        1000000000
#define SECONDS_MIN  (-62135596800) // 0001-01-01
#define SECONDS_MAX  253402300799   // 9999-12-31
#define DURATION_MAX 315576000000

// ----- names and sizes

void
json_camel(const char *name, char *out, size_t size)
{
    size_t at = 0;
    bool upper = false;
    for (; *name != '\0' && at + 1 < size; name++) {
        if (*name == '_') {
            upper = true;
        } else {
            out[at++] = upper ? (char)toupper((unsigned char)*name) : *name;
            upper = false;
        }
    }
    out[at] = '\0';
}

size_t
json_value_size(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        break;
    }
    return 4;
}

// ----- forms

static const ProtobufCFieldDescriptor *
field_of(const ProtobufCMessageDescriptor *descriptor, unsigned number,
    ProtobufCType type)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(descriptor, number);
    bool fits = field != NULL && field->type == type &&
                field->label == PROTOBUF_C_LABEL_NONE;
    return fits ? field : NULL;
}

static bool
is_time(const ProtobufCMessageDescriptor *descriptor)
{
    return field_of(descriptor, 1, PROTOBUF_C_TYPE_INT64) != NULL &&
           field_of(descriptor, 2, PROTOBUF_C_TYPE_INT32) != NULL;
}

static bool
is_wrapper(const char *name)
{
    static const char *const names[] = {"Double", "Float", "Int64", "UInt64",
        "Int32", "UInt32", "Bool", "String", "Bytes"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t size = strlen(names[i]);
        if (strncmp(name, names[i], size) == 0 && streq(name + size, "Value")) {
            return true;
        }
    }
    return false;
}

json_form_t
json_form(const ProtobufCMessageDescriptor *descriptor)
{
    static const char package[] = "google.protobuf.";
    if (strncmp(descriptor->name, package, sizeof package - 1) != 0) {
        return JSON_FORM_OBJECT;
    }
    const char *name = descriptor->name + sizeof package - 1;
    if (streq(name, "Timestamp") && is_time(descriptor)) {
        return JSON_FORM_TIMESTAMP;
    }
    if (streq(name, "Duration") && is_time(descriptor)) {
        return JSON_FORM_DURATION;
    }
    if (is_wrapper(name) && descriptor->n_fields == 1 &&
        descriptor->fields[0].id == 1 &&
        descriptor->fields[0].type != PROTOBUF_C_TYPE_MESSAGE &&
        descriptor->fields[0].label == PROTOBUF_C_LABEL_NONE) {
        return JSON_FORM_WRAPPER;
    }
    return JSON_FORM_OBJECT;
}

bool
json_is_map(const ProtobufCMessageDescriptor *owner,
    const ProtobufCFieldDescriptor *field)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED ||
        field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return false;
    }
    // protoc names the entry of order_items OrderItemsEntry, inside its owner.
    char camel[256];
    char expected[600];
    json_camel(field->name, camel, sizeof camel);
    camel[0] = (char)toupper((unsigned char)camel[0]);
    (void)snprintf(expected, sizeof expected, "%s.%sEntry", owner->name, camel);
    const ProtobufCMessageDescriptor *entry = field->descriptor;
    return streq(entry->name, expected) && entry->n_fields == 2 &&
           entry->fields[0].id == 1 && streq(entry->fields[0].name, "key") &&
           entry->fields[1].id == 2 && streq(entry->fields[1].name, "value") &&
           entry->fields[0].label != PROTOBUF_C_LABEL_REPEATED &&
           entry->fields[1].label != PROTOBUF_C_LABEL_REPEATED &&
           entry->fields[0].type != PROTOBUF_C_TYPE_MESSAGE &&
           entry->fields[0].type != PROTOBUF_C_TYPE_BYTES;
}

// ----- the fields of a time

json_time_t
json_time_of(const ProtobufCMessage *message)
{
    const uint8_t *base = (const uint8_t *)message;
    const ProtobufCFieldDescriptor *fields = message->descriptor->fields;
    json_time_t time;
    memcpy(&time.seconds, base + fields[0].offset, sizeof time.seconds);
    memcpy(&time.nanos, base + fields[1].offset, sizeof time.nanos);
    return time;
}

void
json_time_put(ProtobufCMessage *message, json_time_t time)
{
    uint8_t *base = (uint8_t *)message;
    const ProtobufCFieldDescriptor *fields = message->descriptor->fields;
    memcpy(base + fields[0].offset, &time.seconds, sizeof time.seconds);
    memcpy(base + fields[1].offset, &time.nanos, sizeof time.nanos);
}

// ----- texts

// put_fraction appends nothing, or '.' and 3, 6 or 9 digits.
static void
put_fraction(char *out, size_t size, int32_t nanos)
{
    size_t at = strlen(out);
    if (nanos % 1000000 == 0) {
        if (nanos != 0) {
            (void)snprintf(out + at, size - at, ".%03d", nanos / 1000000);
        }
    } else if (nanos % 1000 == 0) {
        (void)snprintf(out + at, size - at, ".%06d", nanos / 1000);
    } else {
        (void)snprintf(out + at, size - at, ".%09d", nanos);
    }
}

// take_fraction reads '.' and 1 to 9 digits, if they are there.
static bool
take_fraction(const char **at_p, int32_t *nanos)
{
    const char *at = *at_p;
    *nanos = 0;
    if (*at != '.') {
        return true;
    }
    int32_t worth = NANOS / 10;
    for (at++; isdigit((unsigned char)*at) && worth > 0; at++, worth /= 10) {
        *nanos += (*at - '0') * worth;
    }
    bool fine = at > *at_p + 1 && !isdigit((unsigned char)*at);
    *at_p = at;
    return fine;
}

bool
json_timestamp_write(json_time_t time, char out[JSON_TIME_TEXT])
{
    struct tm utc;
    time_t seconds = time.seconds;
    if (time.seconds < SECONDS_MIN || time.seconds > SECONDS_MAX ||
        time.nanos < 0 || time.nanos >= NANOS ||
        gmtime_r(&seconds, &utc) == NULL) {
        return false;
    }
    (void)snprintf(out, JSON_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d",
        (utc.tm_year + 1900) % 10000, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
        utc.tm_min, utc.tm_sec);
    put_fraction(out, JSON_TIME_TEXT, time.nanos);
    strcat(out, "Z");
    return true;
}

// take_number reads exactly 'digits' digits and the character behind them
// ('\0': none is looked at).
static bool
take_number(const char **at_p, int digits, char behind, int *number)
{
    *number = 0;
    for (int i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)**at_p)) {
            return false;
        }
        *number = *number * 10 + (*(*at_p)++ - '0');
    }
    return behind == '\0' || *(*at_p)++ == behind;
}

// take_zone reads Z or +HH:MM as seconds east of UTC.
static bool
take_zone(const char **at_p, int *seconds)
{
    int hours = 0, minutes = 0;
    char sign = *(*at_p)++;
    *seconds = 0;
    if (sign == 'Z' || sign == 'z') {
        return true;
    }
    if ((sign != '+' && sign != '-') || !take_number(at_p, 2, ':', &hours) ||
        !take_number(at_p, 2, '\0', &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    *seconds = (hours * 3600 + minutes * 60) * (sign == '+' ? 1 : -1);
    return true;
}

bool
json_timestamp_read(const char *text, json_time_t *time)
{
    struct tm utc = {0};
    int east = 0;
    if (!take_number(&text, 4, '-', &utc.tm_year) ||
        !take_number(&text, 2, '-', &utc.tm_mon) ||
        !take_number(&text, 2, '\0', &utc.tm_mday) ||
        (*text != 'T' && *text != 't') || text++ == NULL ||
        !take_number(&text, 2, ':', &utc.tm_hour) ||
        !take_number(&text, 2, ':', &utc.tm_min) ||
        !take_number(&text, 2, '\0', &utc.tm_sec) ||
        !take_fraction(&text, &time->nanos) || !take_zone(&text, &east) ||
        *text != '\0') {
        return false;
    }
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    // timegm() makes sense of any date; the real ones are those it keeps.
    struct tm same = utc;
    time->seconds = timegm(&same) - east;
    return same.tm_mon == utc.tm_mon && same.tm_mday == utc.tm_mday &&
           utc.tm_hour < 24 && utc.tm_min < 60 && utc.tm_sec < 60 &&
           time->seconds >= SECONDS_MIN && time->seconds <= SECONDS_MAX;
}

bool
json_duration_write(json_time_t time, char out[JSON_TIME_TEXT])
{
    bool mixed = (time.seconds > 0 && time.nanos < 0) ||
                 (time.seconds < 0 && time.nanos > 0);
    if (time.seconds < -DURATION_MAX || time.seconds > DURATION_MAX ||
        time.nanos <= -NANOS || time.nanos >= NANOS || mixed) {
        return false;
    }
    bool negative = time.seconds < 0 || time.nanos < 0;
    (void)snprintf(out, JSON_TIME_TEXT, "%s%" PRId64, negative ? "-" : "",
        time.seconds < 0 ? -time.seconds : time.seconds);
    put_fraction(
        out, JSON_TIME_TEXT, time.nanos < 0 ? -time.nanos : time.nanos);
    strcat(out, "s");
    return true;
}

bool
json_duration_read(const char *text, json_time_t *time)
{
    bool negative = *text == '-';
    text += negative;
    int64_t seconds = 0;
    int digits = 0;
    for (; isdigit((unsigned char)*text) && digits < 13; digits++) {
        seconds = seconds * 10 + (*text++ - '0');
    }
    if (digits == 0 || seconds > DURATION_MAX ||
        !take_fraction(&text, &time->nanos) || !streq(text, "s")) {
        return false;
    }
    time->seconds = negative ? -seconds : seconds;
    time->nanos = negative ? -time->nanos : time->nanos;
    return true;
}
