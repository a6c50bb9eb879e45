// SPDX-License-Identifier: MIT
// fields.c - protobuf-c descriptors of messages and enums, made at run time.
//
// The layout follows protoc-gen-c: base first, then per field a quantifier
// where it has one (has_x, n_x, the case of a oneof) and the value; the members
// of a oneof share one value.

#include "schema/fields.h"

#include <stdlib.h>

#include "base/alloc.h"

#define FIELD_NUMBER_MAX 536870911 // 2^29 - 1
#define FIELDS_MAX       5000

typedef Google__Protobuf__FieldDescriptorProto proto_field_t;

// FP shortens the names of the descriptor's enums.
#define FP(name) GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__##name

// ----- types of fields

// type_of maps descriptor.proto's type to protobuf-c's and gives the size of
// its value.  False for groups and unknown ones.
static bool
type_of(const proto_field_t *field, ProtobufCType *type, size_t *size)
{
    static const struct {
        int8_t type; // ProtobufCType, or -1
        uint8_t size;
    } map[] = {
        [FP(TYPE__TYPE_DOUBLE)] = {PROTOBUF_C_TYPE_DOUBLE, 8},
        [FP(TYPE__TYPE_FLOAT)] = {PROTOBUF_C_TYPE_FLOAT, 4},
        [FP(TYPE__TYPE_INT64)] = {PROTOBUF_C_TYPE_INT64, 8},
        [FP(TYPE__TYPE_UINT64)] = {PROTOBUF_C_TYPE_UINT64, 8},
        [FP(TYPE__TYPE_INT32)] = {PROTOBUF_C_TYPE_INT32, 4},
        [FP(TYPE__TYPE_FIXED64)] = {PROTOBUF_C_TYPE_FIXED64, 8},
        [FP(TYPE__TYPE_FIXED32)] = {PROTOBUF_C_TYPE_FIXED32, 4},
        [FP(TYPE__TYPE_BOOL)] = {PROTOBUF_C_TYPE_BOOL,
            sizeof(protobuf_c_boolean)},
        [FP(TYPE__TYPE_STRING)] = {PROTOBUF_C_TYPE_STRING, sizeof(char *)},
        [FP(TYPE__TYPE_GROUP)] = {-1, 0},
        [FP(TYPE__TYPE_MESSAGE)] = {PROTOBUF_C_TYPE_MESSAGE, sizeof(void *)},
        [FP(TYPE__TYPE_BYTES)] = {PROTOBUF_C_TYPE_BYTES,
            sizeof(ProtobufCBinaryData)},
        [FP(TYPE__TYPE_UINT32)] = {PROTOBUF_C_TYPE_UINT32, 4},
        [FP(TYPE__TYPE_ENUM)] = {PROTOBUF_C_TYPE_ENUM, sizeof(int)},
        [FP(TYPE__TYPE_SFIXED32)] = {PROTOBUF_C_TYPE_SFIXED32, 4},
        [FP(TYPE__TYPE_SFIXED64)] = {PROTOBUF_C_TYPE_SFIXED64, 8},
        [FP(TYPE__TYPE_SINT32)] = {PROTOBUF_C_TYPE_SINT32, 4},
        [FP(TYPE__TYPE_SINT64)] = {PROTOBUF_C_TYPE_SINT64, 8},
    };
    int at = (int)field->type;
    if (at < 1 || at >= (int)(sizeof map / sizeof map[0]) ||
        map[at].size == 0) {
        return false;
    }
    *type = (ProtobufCType)map[at].type;
    *size = map[at].size;
    return true;
}

static bool
is_packable(ProtobufCType type)
{
    return type != PROTOBUF_C_TYPE_STRING && type != PROTOBUF_C_TYPE_BYTES &&
           type != PROTOBUF_C_TYPE_MESSAGE;
}

static bool
is_repeated(const proto_field_t *field)
{
    return field->label == FP(LABEL__LABEL_REPEATED);
}

static ProtobufCLabel
label_of(const proto_field_t *field, bool proto3)
{
    if (is_repeated(field)) {
        return PROTOBUF_C_LABEL_REPEATED;
    }
    if (field->label == FP(LABEL__LABEL_REQUIRED)) {
        return PROTOBUF_C_LABEL_REQUIRED;
    }
    return proto3 ? PROTOBUF_C_LABEL_NONE : PROTOBUF_C_LABEL_OPTIONAL;
}

// ----- defaults of proto2

// scalar_default makes the constant that default_value points at.
static const void *
scalar_default(schema_t *self, ProtobufCType type, const char *text)
{
    void *room = schema_room(self, 8);
    switch (type) {
    case PROTOBUF_C_TYPE_DOUBLE:
        *(double *)room = strtod(text, NULL);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        *(float *)room = strtof(text, NULL);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        *(int64_t *)room = strtoll(text, NULL, 10);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        *(uint64_t *)room = strtoull(text, NULL, 10);
        break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        *(int32_t *)room = (int32_t)strtol(text, NULL, 10);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        *(uint32_t *)room = (uint32_t)strtoul(text, NULL, 10);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)room = streq(text, "true");
        break;
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return NULL;
    }
    return room;
}

static const void *
enum_default(schema_t *self, const entry_t *type, const char *text)
{
    const Google__Protobuf__EnumDescriptorProto *proto = type->enumeration;
    int *room = schema_room(self, sizeof *room);
    for (size_t i = 0; i < proto->n_value; i++) {
        // Not said: the first one.
        if (text == NULL ? i == 0 : streq(proto->value[i]->name, text)) {
            *room = proto->value[i]->number;
        }
    }
    return room;
}

// bytes_default undoes the C escapes in which protoc gives bytes: \n \r \t,
// quotes, the backslash, and three octal digits for the others.
static const void *
bytes_default(schema_t *self, const char *text)
{
    ProtobufCBinaryData *room = schema_room(self, sizeof *room);
    room->data = schema_room(self, strlen(text) + 1);
    for (const char *at = text; *at != '\0';) {
        unsigned byte = (unsigned char)*at++;
        if (byte == '\\' && *at >= '0' && *at <= '7') {
            byte = 0;
            for (int i = 0; i < 3 && *at >= '0' && *at <= '7'; i++) {
                byte = byte * 8 + (unsigned)(*at++ - '0');
            }
        } else if (byte == '\\' && *at != '\0') {
            char next = *at++;
            byte = (unsigned char)(next == 'n'   ? '\n'
                                   : next == 'r' ? '\r'
                                   : next == 't' ? '\t'
                                                 : next);
        }
        room->data[room->len++] = (uint8_t)byte;
    }
    return room;
}

static const void *
default_of(
    schema_t *self, const proto_field_t *proto, ProtobufCType type, bool proto3)
{
    if (is_repeated(proto) || proto->has_oneof_index) {
        return NULL;
    }
    if (type == PROTOBUF_C_TYPE_STRING) {
        return proto3 ? (const void *)&protobuf_c_empty_string
               : proto->default_value != NULL
                   ? schema_text(self, proto->default_value)
                   : NULL;
    }
    if (type == PROTOBUF_C_TYPE_BYTES && proto->default_value != NULL) {
        return bytes_default(self, proto->default_value);
    }
    if (type == PROTOBUF_C_TYPE_ENUM) {
        const entry_t *entry = schema_find(self, proto->type_name + 1);
        return enum_default(self, entry, proto->default_value);
    }
    return proto->default_value != NULL
               ? scalar_default(self, type, proto->default_value)
               : NULL;
}

// ----- one message

typedef struct layout {
    size_t size;      // so far
    unsigned *cases;  // offset of each oneof's case; 0: not yet
    unsigned *unions; // and of its value
} layout_t;

static unsigned
place(layout_t *layout, size_t size)
{
    size_t align = size > 8 ? 8 : size;
    layout->size = (layout->size + align - 1) & ~(align - 1);
    unsigned at = (unsigned)layout->size;
    layout->size += size;
    return at;
}

static void
place_field(layout_t *layout, const proto_field_t *proto, size_t size,
    ProtobufCFieldDescriptor *field)
{
    if (proto->has_oneof_index) {
        int32_t which = proto->oneof_index;
        if (layout->cases[which] == 0) {
            layout->cases[which] = place(layout, sizeof(uint32_t));
            layout->unions[which] = place(layout, sizeof(ProtobufCBinaryData));
        }
        field->quantifier_offset = layout->cases[which];
        field->offset = layout->unions[which];
        field->flags |= PROTOBUF_C_FIELD_FLAG_ONEOF;
        return;
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        field->quantifier_offset = place(layout, sizeof(size_t));
        field->offset = place(layout, sizeof(void *));
        return;
    }
    bool has = field->label == PROTOBUF_C_LABEL_OPTIONAL &&
               field->type != PROTOBUF_C_TYPE_STRING &&
               field->type != PROTOBUF_C_TYPE_MESSAGE;
    if (has) {
        field->quantifier_offset = place(layout, sizeof(protobuf_c_boolean));
    }
    field->offset = place(layout, size);
}

// refer sets the descriptor of a message or enum field.
static edri_err_t
refer(schema_t *self, const char *owner, const proto_field_t *proto,
    ProtobufCFieldDescriptor *field)
{
    bool message = field->type == PROTOBUF_C_TYPE_MESSAGE;
    if (!message && field->type != PROTOBUF_C_TYPE_ENUM) {
        return EDRI_OK;
    }
    const char *name = proto->type_name;
    const entry_t *entry =
        name != NULL && name[0] == '.' ? schema_find(self, name + 1) : NULL;
    if (entry == NULL || (entry->message != NULL) != message) {
        return schema_fail(self, "%s: field %s: type %s is not in the set",
            owner, proto->name, name != NULL ? name : "(none)");
    }
    field->descriptor = message ? (const void *)entry->descriptor
                                : (const void *)entry->enum_descriptor;
    return EDRI_OK;
}

static edri_err_t
fill_field(schema_t *self, const entry_t *entry, layout_t *layout,
    const proto_field_t *proto, ProtobufCFieldDescriptor *field)
{
    size_t size = 0;
    if (proto->name == NULL || proto->name[0] == '\0' || proto->number < 1 ||
        proto->number > FIELD_NUMBER_MAX) {
        return schema_fail(self, "%s: field %s has number %d", entry->name,
            proto->name != NULL ? proto->name : "(none)", proto->number);
    }
    if (!type_of(proto, &field->type, &size)) {
        return schema_fail(self, "%s: field %s: groups are not supported",
            entry->name, proto->name);
    }
    if (proto->proto3_optional ||
        (proto->has_oneof_index &&
            (proto->oneof_index < 0 ||
                (size_t)proto->oneof_index >= entry->message->n_oneof_decl ||
                is_repeated(proto)))) {
        return schema_fail(self, "%s: field %s: proto3 optional or a bad oneof",
            entry->name, proto->name);
    }
    field->name = proto->name;
    field->id = (uint32_t)proto->number;
    field->label = label_of(proto, entry->proto3);
    bool packed = proto->options != NULL && proto->options->has_packed
                      ? proto->options->packed
                      : entry->proto3;
    if (is_repeated(proto) && is_packable(field->type) && packed) {
        field->flags |= PROTOBUF_C_FIELD_FLAG_PACKED;
    }
    place_field(layout, proto, size, field);
    edri_err_t err = refer(self, entry->name, proto, field);
    if (err == EDRI_OK) {
        field->default_value =
            default_of(self, proto, field->type, entry->proto3);
    }
    return err;
}

static int
by_id(const void *a, const void *b)
{
    const ProtobufCFieldDescriptor *left = a;
    const ProtobufCFieldDescriptor *right = b;
    return (left->id > right->id) - (left->id < right->id);
}

typedef struct named {
    const char *name;
    unsigned index;
} named_t;

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const named_t *)a)->name, ((const named_t *)b)->name);
}

// make_ranges writes runs of consecutive numbers, as protobuf-c looks them up.
static ProtobufCIntRange *
make_ranges(schema_t *self, const int *numbers, size_t count, unsigned *n)
{
    ProtobufCIntRange *ranges = schema_room(self, (count + 1) * sizeof *ranges);
    *n = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || numbers[i] != numbers[i - 1] + 1) {
            ranges[*n].start_value = numbers[i];
            ranges[(*n)++].orig_index = (unsigned)i;
        }
    }
    ranges[*n].orig_index = (unsigned)count;
    return ranges;
}

// index_fields sorts the fields and writes the look-up tables.
static edri_err_t
index_fields(schema_t *self, const entry_t *entry,
    ProtobufCFieldDescriptor *fields, size_t count)
{
    ProtobufCMessageDescriptor *out = entry->descriptor;
    qsort(fields, count, sizeof *fields, by_id);
    named_t *names = schema_room(self, count * sizeof *names);
    unsigned *sorted = schema_room(self, count * sizeof *sorted);
    int *numbers = schema_room(self, count * sizeof *numbers);
    for (size_t i = 0; i < count; i++) {
        numbers[i] = (int)fields[i].id;
        names[i] = (named_t){fields[i].name, (unsigned)i};
        if (i > 0 && numbers[i] == numbers[i - 1]) {
            return schema_fail(self, "%s: fields %s and %s have one number",
                entry->name, fields[i - 1].name, fields[i].name);
        }
    }
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        sorted[i] = names[i].index;
        if (i > 0 && streq(names[i].name, names[i - 1].name)) {
            return schema_fail(self, "%s: two fields are named %s", entry->name,
                names[i].name);
        }
    }
    out->n_fields = (unsigned)count;
    out->fields = fields;
    out->fields_sorted_by_name = sorted;
    out->field_ranges = make_ranges(self, numbers, count, &out->n_field_ranges);
    return EDRI_OK;
}

static edri_err_t
fill_message(schema_t *self, const entry_t *entry)
{
    const Google__Protobuf__DescriptorProto *proto = entry->message;
    size_t count = proto->n_field;
    if (count > FIELDS_MAX) {
        return schema_fail(self, "%s: %zu fields", entry->name, count);
    }
    ProtobufCFieldDescriptor *fields =
        schema_room(self, count * sizeof *fields);
    layout_t layout = {.size = sizeof(ProtobufCMessage),
        .cases = schema_room(self, proto->n_oneof_decl * sizeof(unsigned)),
        .unions = schema_room(self, proto->n_oneof_decl * sizeof(unsigned))};
    for (size_t i = 0; i < count; i++) {
        edri_err_t err =
            fill_field(self, entry, &layout, proto->field[i], &fields[i]);
        if (err != EDRI_OK) {
            return err;
        }
    }
    *entry->descriptor = (ProtobufCMessageDescriptor){
        .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
        .name = entry->name,
        .short_name = proto->name,
        .c_name = entry->name,
        .package_name = "",
        .sizeof_message = (layout.size + 7) & ~(size_t)7,
    };
    return index_fields(self, entry, fields, count);
}

// ----- one enum

static int
by_number(const void *a, const void *b)
{
    const ProtobufCEnumValue *left = a;
    const ProtobufCEnumValue *right = b;
    return (left->value > right->value) - (left->value < right->value);
}

static int
by_value_name(const void *a, const void *b)
{
    return strcmp(((const ProtobufCEnumValueIndex *)a)->name,
        ((const ProtobufCEnumValueIndex *)b)->name);
}

static edri_err_t
fill_enum(schema_t *self, const entry_t *entry)
{
    const Google__Protobuf__EnumDescriptorProto *proto = entry->enumeration;
    size_t count = proto->n_value;
    if (count == 0 || count > FIELDS_MAX) {
        return schema_fail(self, "%s: %zu values", entry->name, count);
    }
    ProtobufCEnumValue *values = schema_room(self, count * sizeof *values);
    ProtobufCEnumValueIndex *names = schema_room(self, count * sizeof *names);
    int *numbers = schema_room(self, count * sizeof *numbers);
    for (size_t i = 0; i < count; i++) {
        const char *name = proto->value[i]->name;
        if (name == NULL || name[0] == '\0') {
            return schema_fail(self, "%s: a value without name", entry->name);
        }
        values[i] = (ProtobufCEnumValue){name, name, proto->value[i]->number};
    }
    qsort(values, count, sizeof *values, by_number);
    size_t unique = 0;
    for (size_t i = 0; i < count; i++) {
        // Aliases share the first one's place.
        if (unique == 0 || values[i].value != values[unique - 1].value) {
            numbers[unique] = values[i].value;
            values[unique++] = values[i];
        }
        names[i] =
            (ProtobufCEnumValueIndex){values[i].name, (unsigned)unique - 1};
    }
    qsort(names, count, sizeof *names, by_value_name);
    *entry->enum_descriptor = (ProtobufCEnumDescriptor){
        .magic = PROTOBUF_C__ENUM_DESCRIPTOR_MAGIC,
        .name = entry->name,
        .short_name = proto->name,
        .c_name = entry->name,
        .package_name = "",
        .n_values = (unsigned)unique,
        .values = values,
        .n_value_names = (unsigned)count,
        .values_by_name = names,
    };
    entry->enum_descriptor->value_ranges = make_ranges(
        self, numbers, unique, &entry->enum_descriptor->n_value_ranges);
    return EDRI_OK;
}

edri_err_t
fields_fill(schema_t *self, entry_t *entry)
{
    return entry->message != NULL ? fill_message(self, entry)
                                  : fill_enum(self, entry);
}
