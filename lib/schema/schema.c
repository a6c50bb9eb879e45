// SPDX-License-Identifier: MIT
// schema.c - event types from descriptors at run time.
//
// DESIGN
// Three passes over the unpacked FileDescriptorSet: index every message and
// enum by full name; fill each descriptor's fields, laid out as protoc-gen-c
// would; read the event options.  Everything lives in one arena.  The bytes may
// come from the network: what protoc would refuse is refused here, too.

#include "schema/schema.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/sha256.h"
#include "schema/fields.h"
#include "schema/options.h"
#include "wire/envelope.h"
#include "wire/nesting.h"

#define SET_MAX         ((size_t)1 << 20)
#define FILES_MAX       512
#define TYPES_DEPTH_MAX 32
#define ENTRIES_MAX     20000

// ----- making and freeing

void
schema_destroy(schema_t **self_p)
{
    schema_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    arena_destroy(&self->arena);
    if (self->set != NULL) {
        google__protobuf__file_descriptor_set__free_unpacked(self->set, NULL);
    }
    free(self->entries);
    free(self->types);
    free(self);
}

edri_err_t
schema_fail(schema_t *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(self->why, self->why_size, format, args);
    va_end(args);
    return EDRI_UNDECODABLE;
}

char *
schema_text(schema_t *self, const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(arena_alloc(self->arena, size), text, size);
}

void *
schema_room(schema_t *self, size_t size)
{
    return memset(arena_alloc(self->arena, size + 1), 0, size + 1);
}

// ----- the index

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const entry_t *)a)->name, ((const entry_t *)b)->name);
}

entry_t *
schema_find(const schema_t *self, const char *name)
{
    entry_t key = {.name = name};
    return self->entry_count > 0 ? bsearch(&key, self->entries,
                                       self->entry_count, sizeof key, by_name)
                                 : NULL;
}

static edri_err_t
add_entry(schema_t *self, const char *scope, const char *name, entry_t entry)
{
    if (name == NULL || name[0] == '\0') {
        return schema_fail(self, "%s: a type without a name", scope);
    }
    if (self->entry_count == ENTRIES_MAX) {
        return schema_fail(self, "more than %d types", ENTRIES_MAX);
    }
    char *full = str_printf("%s%s%s", scope, scope[0] != '\0' ? "." : "", name);
    entry.name = schema_text(self, full);
    free(full);
    self->entries = mem_resize(
        self->entries, (self->entry_count + 1) * sizeof *self->entries);
    self->entries[self->entry_count++] = entry;
    return EDRI_OK;
}

static edri_err_t
index_message(schema_t *self, const char *scope, int depth, bool proto3,
    bool last, const Google__Protobuf__DescriptorProto *message)
{
    if (depth > TYPES_DEPTH_MAX) {
        return schema_fail(self, "%s: nested too deep", scope);
    }
    edri_err_t err = add_entry(self, scope, message->name,
        (entry_t){.message = message, .proto3 = proto3, .last = last});
    if (err != EDRI_OK) {
        return err;
    }
    const char *full = self->entries[self->entry_count - 1].name;
    for (size_t i = 0; i < message->n_enum_type && err == EDRI_OK; i++) {
        err = add_entry(self, full, message->enum_type[i]->name,
            (entry_t){.enumeration = message->enum_type[i]});
    }
    for (size_t i = 0; i < message->n_nested_type && err == EDRI_OK; i++) {
        err = index_message(
            self, full, depth + 1, proto3, last, message->nested_type[i]);
    }
    return err;
}

static edri_err_t
index_file(schema_t *self, const Google__Protobuf__FileDescriptorProto *file,
    bool last)
{
    const char *package = file->package != NULL ? file->package : "";
    bool proto3 = streq(file->syntax, "proto3");
    if (file->syntax != NULL && !proto3 && !streq(file->syntax, "proto2")) {
        return schema_fail(self, "%s: syntax \"%s\" is not known",
            file->name != NULL ? file->name : "?", file->syntax);
    }
    edri_err_t err = EDRI_OK;
    for (size_t i = 0; i < file->n_enum_type && err == EDRI_OK; i++) {
        err = add_entry(self, package, file->enum_type[i]->name,
            (entry_t){.enumeration = file->enum_type[i]});
    }
    for (size_t i = 0; i < file->n_message_type && err == EDRI_OK; i++) {
        err = index_message(
            self, package, 0, proto3, last, file->message_type[i]);
    }
    return err;
}

static edri_err_t
index_all(schema_t *self)
{
    const Google__Protobuf__FileDescriptorSet *set = self->set;
    if (set->n_file == 0 || set->n_file > FILES_MAX) {
        return schema_fail(
            self, "%zu files; 1 to %d are expected", set->n_file, FILES_MAX);
    }
    edri_err_t err = EDRI_OK;
    for (size_t i = 0; i < set->n_file && err == EDRI_OK; i++) {
        err = index_file(self, set->file[i], i + 1 == set->n_file);
    }
    if (err != EDRI_OK || self->entry_count == 0) {
        return err;
    }
    qsort(self->entries, self->entry_count, sizeof(entry_t), by_name);
    for (size_t i = 1; i < self->entry_count; i++) {
        if (streq(self->entries[i].name, self->entries[i - 1].name)) {
            return schema_fail(
                self, "%s: declared twice", self->entries[i].name);
        }
    }
    return EDRI_OK;
}

// ----- event types

static bool
exists(const char *full_name, const void *arg)
{
    const entry_t *entry = schema_find(arg, full_name);
    return entry != NULL && entry->message != NULL;
}

static const ProtobufCMessageDescriptor *
descriptor_of(const schema_t *self, const char *name)
{
    const entry_t *entry = name[0] != '\0' ? schema_find(self, name) : NULL;
    return entry != NULL ? entry->descriptor : NULL;
}

static edri_err_t
add_type(schema_t *self, const entry_t *entry)
{
    edri_err_t err = EDRI_OK;
    Edri__EventOptions *raw = options_find(entry->message, &err);
    if (err != EDRI_OK) {
        return schema_fail(
            self, "%s: option (edri.event) is broken", entry->name);
    }
    if (raw == NULL) {
        return EDRI_OK;
    }
    options_t options;
    char why[256];
    err = options_read(raw, entry->message, entry->name, exists, self, &options,
        why, sizeof why);
    edri__event_options__free_unpacked(raw, NULL);
    if (err != EDRI_OK) {
        return schema_fail(self, "%s: %s", entry->name, why);
    }
    edri_type_t *type = schema_room(self, sizeof *type);
    *type = (edri_type_t){
        .name = entry->name,
        .id = edri_type_id(entry->name),
        .kind = options.kind,
        .deliver = options.deliver,
        .overflow = options.overflow,
        .shareable = options.shareable,
        .durable = options.durable,
        .idempotent = options.idempotent,
        .priority = options.priority,
        .timeout_ms = options.timeout_ms,
        .retained = options.retained,
        .retain_count = options.retain_count,
        .retain_ms = options.retain_ms,
        .attempts = options.attempts,
        .backoff_ms = options.backoff_ms,
        .backoff_max_ms = options.backoff_max_ms,
        .key = options.key[0] != '\0' ? schema_text(self, options.key) : NULL,
        .message = entry->descriptor,
        .reply = descriptor_of(self, options.reply),
        .up = descriptor_of(self, options.up),
        .down = descriptor_of(self, options.down),
        .file = &self->file,
    };
    self->types =
        mem_resize(self->types, (self->type_count + 1) * sizeof *self->types);
    self->types[self->type_count++] = type;
    return EDRI_OK;
}

static edri_err_t
build(schema_t *self, slice_t set)
{
    edri_err_t err = index_all(self);
    for (size_t i = 0; i < self->entry_count && err == EDRI_OK; i++) {
        // All exist before any is filled: types may refer to each other.
        self->entries[i].descriptor =
            schema_room(self, sizeof(ProtobufCMessageDescriptor));
        self->entries[i].enum_descriptor =
            schema_room(self, sizeof(ProtobufCEnumDescriptor));
    }
    for (size_t i = 0; i < self->entry_count && err == EDRI_OK; i++) {
        err = fields_fill(self, &self->entries[i]);
    }
    uint8_t *copy = arena_alloc(self->arena, set.len);
    memcpy(copy, set.data, set.len);
    const Google__Protobuf__FileDescriptorProto *last =
        self->set->n_file > 0 ? self->set->file[self->set->n_file - 1] : NULL;
    self->file = (edri_file_t){
        .name = last != NULL && last->name != NULL ? last->name : "",
        .data = copy,
        .size = set.len};
    sha256(copy, set.len, self->file.sha256);
    for (size_t i = 0; i < self->entry_count && err == EDRI_OK; i++) {
        if (self->entries[i].message != NULL) {
            err = add_type(self, &self->entries[i]);
        }
    }
    return err;
}

edri_err_t
schema_new(slice_t set, schema_t **self_p, char *why, size_t why_size)
{
    *self_p = NULL;
    if (set.len == 0 || set.len > SET_MAX) {
        snprintf(why, why_size,
            "descriptors of %zu bytes; 1 byte to 1 MiB is expected", set.len);
        return EDRI_TOO_BIG;
    }
    schema_t *self = mem_new(sizeof *self);
    self->why = why;
    self->why_size = why_size;
    self->arena = arena_new();
    bool fits =
        nesting_fits(&google__protobuf__file_descriptor_set__descriptor, set);
    self->set = fits ? google__protobuf__file_descriptor_set__unpack(
                           NULL, set.len, set.data)
                     : NULL;
    edri_err_t err =
        self->set != NULL
            ? build(self, set)
            : schema_fail(self, fits ? "the bytes are no FileDescriptorSet"
                                     : "messages nested too deep");
    if (err != EDRI_OK) {
        schema_destroy(&self);
        return err;
    }
    *self_p = self;
    return EDRI_OK;
}

// ----- looking

const edri_type_t *
schema_type(const schema_t *self, const char *name)
{
    for (size_t i = 0; i < self->type_count; i++) {
        if (streq(self->types[i]->name, name)) {
            return self->types[i];
        }
    }
    return NULL;
}

size_t
schema_types(const schema_t *self, const edri_type_t *const **types_p)
{
    *types_p = self->types;
    return self->type_count;
}

const ProtobufCMessageDescriptor *
schema_message(const schema_t *self, const char *name)
{
    const entry_t *entry = schema_find(self, name);
    return entry != NULL && entry->message != NULL ? entry->descriptor : NULL;
}
