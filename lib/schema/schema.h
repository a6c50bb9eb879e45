// SPDX-License-Identifier: MIT
// schema/schema.h - event types from descriptors at run time.

#ifndef SCHEMA_SCHEMA_H
#define SCHEMA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "edri/err.h"
#include "edri/type.h"

// schema_t holds the files of one FileDescriptorSet (edri_file_t.data) and the
// protobuf-c descriptors built from them.  Limits: 1 MiB, 512 files, depth of
// nesting 32; beyond: EDRI_TOO_BIG.
typedef struct schema schema_t;

// schema_new reads a packed FileDescriptorSet and builds descriptors for every
// message and enum in it.  Returns EDRI_OK and *self_p; or EDRI_UNDECODABLE /
// EDRI_TOO_BIG with a text in 'why' (size why_size) naming file and field.
// Never trusts the bytes: they may come from the network.  Pure.
edri_err_t schema_new(
    slice_t set, schema_t **self_p, char *why, size_t why_size) EDRI_MUST_CHECK;
void schema_destroy(schema_t **self_p);

// schema_type returns the event type of that full name, or NULL.  Borrowed for
// the life of the schema, with its descriptors and its edri_file_t.
const edri_type_t *schema_type(const schema_t *self, const char *name);

// schema_types gives every event type in the last file of the set (the one it
// is for) and in those it imports; borrowed.
size_t schema_types(const schema_t *self, const edri_type_t *const **types_p);

// schema_message returns any message's descriptor, or NULL.
const ProtobufCMessageDescriptor *schema_message(
    const schema_t *self, const char *name);

// schema_compatible compares what two nodes say of one type.  Fields added or
// absent on one side are fine; a difference in a field's type or label, or in
// kind, reply, durable or key, is EDRI_MISMATCH, and 'why' names the field and
// both sides ("field 2 'price': double here, string there").  Nested messages
// are compared as well.  Returns EDRI_OK or EDRI_MISMATCH.
edri_err_t schema_compatible(const edri_type_t *known, const edri_type_t *other,
    char *why, size_t why_size) EDRI_MUST_CHECK;

// schema_same_options compares the rest of what option (edri.event) says: how a type
// is delivered, kept and tried again.  Returns EDRI_OK, or EDRI_MISMATCH: 'why' names
// the first that differs.
edri_err_t schema_same_options(const edri_type_t *known,
    const edri_type_t *other, char *why, size_t why_size) EDRI_MUST_CHECK;

#endif
