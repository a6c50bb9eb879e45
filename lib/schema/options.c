// SPDX-License-Identifier: MIT
// options.c - option (edri.event): reading and checking, in one place.

#include "schema/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

// The number of the extension in event.proto.
#define EVENT_FIELD 50737

#define DAY_MS 86400000.0

// ----- finding

Edri__EventOptions *
options_find(const Google__Protobuf__DescriptorProto *message, edri_err_t *err)
{
    *err = EDRI_OK;
    if (message->options == NULL) {
        return NULL;
    }
    // protobuf-c keeps extensions as unknown fields; occurrences of a message
    // field one behind the other are its merged form.
    const ProtobufCMessage *options = &message->options->base;
    uint8_t *bytes = NULL;
    size_t size = 0;
    bool found = false;
    for (unsigned i = 0; i < options->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *field = &options->unknown_fields[i];
        if (field->tag != EVENT_FIELD ||
            field->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) {
            continue;
        }
        size_t skip = 0;
        while (skip < field->len && (field->data[skip] & 0x80) != 0) {
            skip++;
        }
        skip += skip < field->len;
        bytes = mem_resize(bytes, size + field->len - skip);
        memcpy(bytes + size, field->data + skip, field->len - skip);
        size += field->len - skip;
        found = true;
    }
    Edri__EventOptions *result =
        found ? edri__event_options__unpack(NULL, size, bytes) : NULL;
    free(bytes);
    if (found && result == NULL) {
        *err = EDRI_UNDECODABLE;
    }
    return result;
}

// ----- rules

bool
options_duration(const char *text, uint32_t *ms)
{
    // Digits and perhaps a fraction; strtod() alone takes much more.
    size_t digits = strspn(text, "0123456789");
    const char *unit = text + digits;
    if (digits > 0 && *unit == '.') {
        size_t fraction = strspn(unit + 1, "0123456789");
        digits = fraction > 0 ? digits : 0;
        unit += 1 + fraction;
    }
    if (digits == 0) {
        return false;
    }
    double value = strtod(text, NULL);
    static const struct {
        const char *name;
        double worth;
    } units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", DAY_MS}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (streq(unit, units[i].name)) {
            value *= units[i].worth;
            if (!(value >= 1.0 && value <= DAY_MS)) {
                return false;
            }
            *ms = (uint32_t)value;
            return true;
        }
    }
    return false;
}

// resolve finds a type name as protobuf does: absolute with a leading dot, else
// in the innermost scope outwards.
static bool
resolve(const char *name, const char *scope, options_exists_fn *exists,
    const void *arg, char *out)
{
    char path[OPTIONS_NAME_MAX];
    if (name[0] == '.') {
        snprintf(out, OPTIONS_NAME_MAX, "%s", name + 1);
        return exists(out, arg);
    }
    snprintf(path, sizeof path, "%s", scope);
    for (;;) {
        int size = snprintf(out, OPTIONS_NAME_MAX, "%s%s%s", path,
            path[0] != '\0' ? "." : "", name);
        if (size < OPTIONS_NAME_MAX && exists(out, arg)) {
            return true;
        }
        if (path[0] == '\0') {
            return false;
        }
        char *dot = strrchr(path, '.');
        *(dot != NULL ? dot : path) = '\0';
    }
}

static bool
is_key_type(const Google__Protobuf__FieldDescriptorProto *field)
{
    switch (field->type) {
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_DOUBLE:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_FLOAT:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_MESSAGE:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_GROUP:
        return false;
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_INT64:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_UINT64:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_INT32:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_FIXED64:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_FIXED32:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_BOOL:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_STRING:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_BYTES:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_UINT32:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_ENUM:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_SFIXED32:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_SFIXED64:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_SINT32:
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_SINT64:
    case _GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE_IS_INT_SIZE:
        break;
    }
    return field->label !=
           GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED;
}

static const Google__Protobuf__FieldDescriptorProto *
find_field(const Google__Protobuf__DescriptorProto *message, const char *name)
{
    for (size_t i = 0; i < message->n_field; i++) {
        if (streq(message->field[i]->name, name)) {
            return message->field[i];
        }
    }
    return NULL;
}

static edri_err_t refuse(char *why, size_t why_size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static edri_err_t
refuse(char *why, size_t why_size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, why_size, format, args);
    va_end(args);
    return EDRI_INVAL;
}

static edri_err_t
read_key(const Edri__EventOptions *raw,
    const Google__Protobuf__DescriptorProto *message, options_t *out, char *why,
    size_t why_size)
{
    if (raw->key == NULL || raw->key[0] == '\0') {
        return EDRI_OK;
    }
    const Google__Protobuf__FieldDescriptorProto *field =
        find_field(message, raw->key);
    if (field == NULL) {
        return refuse(why, why_size,
            "key: \"%s\": %s has no such field; name one of its fields",
            raw->key, message->name);
    }
    if (!is_key_type(field)) {
        return refuse(why, why_size,
            "key: \"%s\": a key is one string, bytes, bool, enum or integer",
            raw->key);
    }
    snprintf(out->key, sizeof out->key, "%s", raw->key);
    return EDRI_OK;
}

// names_t is the reply, up and down of a type, whichever its kind needs.
typedef struct name_rule {
    const char *option;
    const char *given;
    bool needed;
    const char *kind;
    char *out;
} name_rule_t;

static edri_err_t
read_name(const name_rule_t *rule, const char *full_name,
    options_exists_fn *exists, const void *arg, char *why, size_t why_size)
{
    bool given = rule->given != NULL && rule->given[0] != '\0';
    if (rule->needed && !given) {
        return refuse(why, why_size, "a %s needs %s: \"MessageName\"",
            rule->kind, rule->option);
    }
    if (!rule->needed && given) {
        return refuse(why, why_size,
            "%s: \"%s\": only a %s has it; set kind: %s or leave it out",
            rule->option, rule->given, rule->kind, rule->kind);
    }
    // What a tunnel carries may be bytes as they are.
    if (given && rule->needed && streq(rule->kind, "TUNNEL") &&
        streq(rule->given, "bytes")) {
        return EDRI_OK;
    }
    if (given && !resolve(rule->given, full_name, exists, arg, rule->out)) {
        return refuse(why, why_size,
            "%s: \"%s\": no such message; declare it, or import its file",
            rule->option, rule->given);
    }
    return EDRI_OK;
}

static edri_err_t
read_durations(
    const Edri__EventOptions *raw, options_t *out, char *why, size_t why_size)
{
    const struct {
        const char *option;
        const char *text;
        uint32_t *ms;
    } rows[] = {
        {"timeout", raw->timeout, &out->timeout_ms},
        {"retain.time", raw->retain != NULL ? raw->retain->time : NULL,
            &out->retain_ms},
        {"retry.backoff", raw->retry != NULL ? raw->retry->backoff : NULL,
            &out->backoff_ms},
        {"retry.backoff_max",
            raw->retry != NULL ? raw->retry->backoff_max : NULL,
            &out->backoff_max_ms},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].text != NULL &&
            !options_duration(rows[i].text, rows[i].ms)) {
            return refuse(why, why_size,
                "%s: \"%s\": a duration such as 150ms, 2s, 1m or 1h is "
                "expected, 1ms to 24h",
                rows[i].option, rows[i].text);
        }
    }
    return EDRI_OK;
}

// read_retry: what may be tried again must bear being done twice.
static edri_err_t
read_retry(
    const Edri__EventOptions *raw, options_t *out, char *why, size_t why_size)
{
    out->attempts = 1;
    if (raw->retry == NULL) {
        return EDRI_OK;
    }
    if (!raw->idempotent) {
        return refuse(why, why_size,
            "retry: an attempt may have done its work before it failed; say "
            "idempotent: true when that does no harm");
    }
    if (raw->retry->attempts < 1 || raw->retry->attempts > 1000) {
        return refuse(why, why_size,
            "retry.attempts: %u: 1 to 1000 is expected, with the first",
            raw->retry->attempts);
    }
    out->attempts = raw->retry->attempts;
    return EDRI_OK;
}

static edri_err_t
read_retain(
    const Edri__EventOptions *raw, options_t *out, char *why, size_t why_size)
{
    if (raw->retain == NULL) {
        return EDRI_OK;
    }
    if (out->kind != EDRI_NOTIFICATION) {
        return refuse(why, why_size,
            "retain: only notifications are kept for those who come late");
    }
    if (raw->retain->has_count && raw->retain->count == 0) {
        return refuse(why, why_size,
            "retain.count: 0: at least 1 is expected; leave retain out to keep "
            "none");
    }
    if (raw->overflow == EDRI__OVERFLOW__LATEST) {
        return refuse(why, why_size,
            "retain: LATEST changes the order of events, and so nobody can say "
            "how far it is; use overflow: DROP_OLDEST, or leave retain out");
    }
    out->retained = true;
    out->retain_count = raw->retain->has_count ? raw->retain->count : 0;
    return EDRI_OK;
}

edri_err_t
options_read(const Edri__EventOptions *raw,
    const Google__Protobuf__DescriptorProto *message, const char *full_name,
    options_exists_fn *exists, const void *arg, options_t *out, char *why,
    size_t why_size)
{
    *out = (options_t){
        .kind = raw->kind == EDRI__KIND__REQUEST  ? EDRI_REQUEST
                : raw->kind == EDRI__KIND__TUNNEL ? EDRI_TUNNEL
                                                  : EDRI_NOTIFICATION,
        .overflow = (edri_overflow_t)raw->overflow,
        .shareable = raw->shareable,
        .durable = raw->durable,
        .idempotent = raw->idempotent,
        .priority = (uint8_t)(raw->priority & 7),
    };
    out->deliver = out->kind == EDRI_NOTIFICATION ? EDRI_ALL : EDRI_ONE;
    if (raw->has_deliver) {
        out->deliver = (edri_deliver_t)raw->deliver;
    }
    if (out->kind == EDRI_TUNNEL && out->deliver != EDRI_ONE) {
        return refuse(why, why_size,
            "deliver: a TUNNEL has one other end; leave it out, or say ONE");
    }
    if (raw->priority > 7) {
        return refuse(
            why, why_size, "priority: %u: 0 to 7 is expected", raw->priority);
    }
    if (strlen(full_name) >= OPTIONS_NAME_MAX) {
        return refuse(why, why_size, "the type's name is over 255 characters");
    }
    edri_err_t err = read_durations(raw, out, why, why_size);
    if (err == EDRI_OK) {
        err = read_key(raw, message, out, why, why_size);
    }
    if (err == EDRI_OK) {
        err = read_retry(raw, out, why, why_size);
    }
    if (err == EDRI_OK) {
        err = read_retain(raw, out, why, why_size);
    }
    const name_rule_t rules[] = {
        {"reply", raw->reply, out->kind == EDRI_REQUEST, "REQUEST", out->reply},
        {"up", raw->up, out->kind == EDRI_TUNNEL, "TUNNEL", out->up},
        {"down", raw->down, out->kind == EDRI_TUNNEL, "TUNNEL", out->down},
    };
    for (size_t i = 0; i < 3 && err == EDRI_OK; i++) {
        err = read_name(&rules[i], full_name, exists, arg, why, why_size);
    }
    return err;
}
