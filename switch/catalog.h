// SPDX-License-Identifier: MIT
// catalog.h - the types and files that a switch's sessions have described.
//
// DESIGN
// A file is known by the SHA-256 of its packed descriptors and given once.  The
// first declaration of a type is the measure for all later ones: added fields
// are fine, a difference in a field, kind, reply, durable or key refuses the
// newcomer's type, and the text names what differs and who came first.  Types
// and files are forgotten when the last session that offers them has ended.

#ifndef SWITCH_CATALOG_H
#define SWITCH_CATALOG_H

#include <stdbool.h>

#include "wire/frame.h"

typedef struct catalog catalog_t;

catalog_t *catalog_new(void);
void catalog_destroy(catalog_t **self_p);

// catalog_offer notes a type that a session offers.  Returns EDRI_OK when it is
// known and fits; EDRI_NOT_FOUND when its file must be asked for first;
// EDRI_MISMATCH (why says what), EDRI_OVERLOADED when the catalog is full.
edri_err_t catalog_offer(catalog_t *self, uint64_t session, const char *node,
    const Edri__Link__TypeInfo *info, char *why, size_t why_size);

// catalog_file takes a file's descriptors.  Returns EDRI_OK, EDRI_MISMATCH when
// the hash is another, or as schema_new.
edri_err_t catalog_file(catalog_t *self, const ProtobufCBinaryData *hash,
    const ProtobufCBinaryData *data, char *why, size_t why_size);

// catalog_end forgets a session's offers.  catalog_move gives them to another.
void catalog_end(catalog_t *self, uint64_t session);
void catalog_move(catalog_t *self, uint64_t from, uint64_t to);

// catalog_each_type calls 'visit' with every known type; emitters are the
// sessions that offered it as such.
typedef void catalog_visit_fn(const char *name, uint64_t type,
    const uint8_t hash[32], const uint64_t *emitters, size_t emitter_count,
    void *arg);
void catalog_each_type(
    const catalog_t *self, catalog_visit_fn *visit, void *arg);

// catalog_find_file gives the descriptors of a file, borrowed.  False: unknown.
bool catalog_find_file(const catalog_t *self, const ProtobufCBinaryData *hash,
    ProtobufCBinaryData *data);

#endif
