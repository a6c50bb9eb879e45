// SPDX-License-Identifier: MIT
// schema/fields.h - what schema.c and fields.c share.

#ifndef SCHEMA_FIELDS_H
#define SCHEMA_FIELDS_H

#include "base/arena.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "schema/schema.h"

// entry_t is one message or enum of the set.
typedef struct entry {
    const char *name;                                 // full
    const Google__Protobuf__DescriptorProto *message; // one of the two
    const Google__Protobuf__EnumDescriptorProto *enumeration;
    bool proto3;
    bool last; // of the file that the set is for
    ProtobufCMessageDescriptor *descriptor;
    ProtobufCEnumDescriptor *enum_descriptor;
} entry_t;

struct schema {
    arena_t *arena; // descriptors, names, types
    Google__Protobuf__FileDescriptorSet *set;
    entry_t *entries; // sorted by name
    size_t entry_count;
    const edri_type_t **types;
    size_t type_count;
    edri_file_t file;
    char *why; // the caller's, while the schema is built
    size_t why_size;
};

edri_err_t schema_fail(schema_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
char *schema_text(schema_t *self, const char *text);
void *schema_room(schema_t *self, size_t size);
entry_t *schema_find(const schema_t *self, const char *name);

// fields_fill fills the protobuf-c descriptor of one entry.
edri_err_t fields_fill(schema_t *self, entry_t *entry) EDRI_MUST_CHECK;

#endif
