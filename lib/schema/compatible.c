// SPDX-License-Identifier: MIT
// compatible.c - whether two nodes mean the same type.

#include <stdio.h>

#include "base/alloc.h"
#include "schema/schema.h"

// Deeper than this, messages are compared by name only: they recurse.
#define DEPTH_MAX 8

static const char *
type_name(ProtobufCType type)
{
    static const char *const names[] = {"int32", "sint32", "sfixed32", "int64",
        "sint64", "sfixed64", "uint32", "fixed32", "uint64", "fixed64", "float",
        "double", "bool", "enum", "string", "bytes", "message"};
    return (unsigned)type < sizeof names / sizeof names[0] ? names[type] : "?";
}

static bool
is_repeated(const ProtobufCFieldDescriptor *field)
{
    return field->label == PROTOBUF_C_LABEL_REPEATED;
}

static edri_err_t compare(const ProtobufCMessageDescriptor *known,
    const ProtobufCMessageDescriptor *other, int depth, char *why,
    size_t why_size);

static edri_err_t
compare_field(const char *owner, const ProtobufCFieldDescriptor *known,
    const ProtobufCFieldDescriptor *other, int depth, char *why,
    size_t why_size)
{
    if (known->type != other->type ||
        is_repeated(known) != is_repeated(other)) {
        snprintf(why, why_size,
            "%s: field %u '%s' is %s%s here, '%s' is %s%s there", owner,
            known->id, known->name, is_repeated(known) ? "repeated " : "",
            type_name(known->type), other->name,
            is_repeated(other) ? "repeated " : "", type_name(other->type));
        return EDRI_MISMATCH;
    }
    if (known->type != PROTOBUF_C_TYPE_MESSAGE) {
        return EDRI_OK;
    }
    return compare(
        known->descriptor, other->descriptor, depth + 1, why, why_size);
}

static edri_err_t
compare(const ProtobufCMessageDescriptor *known,
    const ProtobufCMessageDescriptor *other, int depth, char *why,
    size_t why_size)
{
    if (!streq(known->name, other->name)) {
        snprintf(
            why, why_size, "%s here is %s there", known->name, other->name);
        return EDRI_MISMATCH;
    }
    for (unsigned i = 0;
         known != other && i < known->n_fields && depth < DEPTH_MAX; i++) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(other, known->fields[i].id);
        edri_err_t err = field == NULL
                             ? EDRI_OK
                             : compare_field(known->name, &known->fields[i],
                                   field, depth, why, why_size);
        if (err != EDRI_OK) {
            return err;
        }
    }
    return EDRI_OK;
}

static edri_err_t
differ(const char *type, const char *what, char *why, size_t why_size)
{
    snprintf(
        why, why_size, "%s: option (edri.event): '%s' differs", type, what);
    return EDRI_MISMATCH;
}

edri_err_t
schema_compatible(const edri_type_t *known, const edri_type_t *other, char *why,
    size_t why_size)
{
    const ProtobufCMessageDescriptor *const pairs[][2] = {
        {known->message, other->message},
        {known->reply, other->reply},
        {known->up, other->up},
        {known->down, other->down},
    };
    static const char *const names[] = {"name", "reply", "up", "down"};
    if (known->kind != other->kind) {
        return differ(known->name, "kind", why, why_size);
    }
    if (known->durable != other->durable) {
        return differ(known->name, "durable", why, why_size);
    }
    if (!streq(known->key, other->key)) {
        return differ(known->name, "key", why, why_size);
    }
    for (int i = 0; i < 4; i++) {
        if (pairs[i][0] == NULL || pairs[i][1] == NULL) {
            if (pairs[i][0] != pairs[i][1]) {
                return differ(known->name, names[i], why, why_size);
            }
            continue;
        }
        edri_err_t err = compare(pairs[i][0], pairs[i][1], 0, why, why_size);
        if (err != EDRI_OK) {
            return err;
        }
    }
    return EDRI_OK;
}
