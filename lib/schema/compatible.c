// SPDX-License-Identifier: MIT
// compatible.c - whether two nodes mean the same type.

#include <stdio.h>

#include "base/alloc.h"
#include "base/map.h"
#include "schema/schema.h"

// comparison_t is one comparison under way.  Messages may contain themselves,
// so what has been seen is not compared again.
typedef struct comparison {
    map_t *seen; // descriptors of the known side, by their address
    char *why;
    size_t why_size;
} comparison_t;

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

static edri_err_t compare(comparison_t *self,
    const ProtobufCMessageDescriptor *known,
    const ProtobufCMessageDescriptor *other);

static edri_err_t
compare_field(comparison_t *self, const char *owner,
    const ProtobufCFieldDescriptor *known,
    const ProtobufCFieldDescriptor *other)
{
    if (known->type != other->type ||
        is_repeated(known) != is_repeated(other)) {
        snprintf(self->why, self->why_size,
            "%s: field %u '%s' is %s%s here, '%s' is %s%s there", owner,
            known->id, known->name, is_repeated(known) ? "repeated " : "",
            type_name(known->type), other->name,
            is_repeated(other) ? "repeated " : "", type_name(other->type));
        return EDRI_MISMATCH;
    }
    return known->type == PROTOBUF_C_TYPE_MESSAGE
               ? compare(self, known->descriptor, other->descriptor)
               : EDRI_OK;
}

static edri_err_t
compare(comparison_t *self, const ProtobufCMessageDescriptor *known,
    const ProtobufCMessageDescriptor *other)
{
    if (!streq(known->name, other->name)) {
        snprintf(self->why, self->why_size, "%s here is %s there", known->name,
            other->name);
        return EDRI_MISMATCH;
    }
    // The map never changes what it points at.
    void *mark = (void *)(uintptr_t)known;
    if (known == other || map_put(self->seen, (uintptr_t)known, mark) != NULL) {
        return EDRI_OK;
    }
    edri_err_t err = EDRI_OK;
    for (unsigned i = 0; i < known->n_fields && err == EDRI_OK; i++) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(other, known->fields[i].id);
        if (field != NULL) {
            err = compare_field(self, known->name, &known->fields[i], field);
        }
    }
    return err;
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
    comparison_t comparison = {map_new(), why, why_size};
    edri_err_t err = EDRI_OK;
    for (int i = 0; i < 4 && err == EDRI_OK; i++) {
        if (pairs[i][0] != NULL && pairs[i][1] != NULL) {
            err = compare(&comparison, pairs[i][0], pairs[i][1]);
        } else if (pairs[i][0] != pairs[i][1]) {
            err = differ(known->name, names[i], why, why_size);
        }
    }
    map_destroy(&comparison.seen);
    return err;
}

edri_err_t
schema_same_options(const edri_type_t *known, const edri_type_t *other,
    char *why, size_t why_size)
{
    // What no event of the type comes to may say anything.
    bool asks = known->kind == EDRI_REQUEST;
    bool keeps = known->retained && other->retained;
    bool tries = known->attempts > 1 && other->attempts > 1;
    const struct {
        const char *name;
        bool differs;
    } rows[] = {
        {"deliver", known->deliver != other->deliver},
        {"overflow", known->overflow != other->overflow},
        {"shareable", known->shareable != other->shareable},
        {"idempotent", known->idempotent != other->idempotent},
        {"priority", known->priority != other->priority},
        {"timeout", asks && known->timeout_ms != other->timeout_ms},
        {"retain", known->retained != other->retained ||
                       (keeps && (known->retain_count != other->retain_count ||
                                     known->retain_ms != other->retain_ms))},
        {"retry", (known->attempts > 1 || other->attempts > 1) &&
                      (!tries || known->attempts != other->attempts ||
                          known->backoff_ms != other->backoff_ms ||
                          known->backoff_max_ms != other->backoff_max_ms)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].differs) {
            return differ(known->name, rows[i].name, why, why_size);
        }
    }
    return EDRI_OK;
}
