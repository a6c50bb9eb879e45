// SPDX-License-Identifier: MIT
// catalog.c - the types and files that a switch's sessions have described.

#include "catalog.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/sha256.h"
#include "schema/schema.h"

#define TYPES_MAX 100000
#define FILES_MAX 10000

typedef struct file {
    uint8_t hash[32];
    schema_t *schema;
    uint8_t *data;
    size_t size;
    size_t uses; // types whose first declaration it holds
} file_t;

typedef struct offer {
    uint64_t session;
    bool emits;
} offer_t;

typedef struct known {
    uint64_t id;
    file_t *file;
    const edri_type_t *type; // in the file's schema
    char *first;             // node that declared it first
    offer_t *offers;
    size_t offer_count;
} known_t;

struct catalog {
    map_t *files; // first 8 bytes of the hash → file_t
    map_t *types; // id → known_t
};

catalog_t *
catalog_new(void)
{
    catalog_t *self = mem_new(sizeof *self);
    self->files = map_new();
    self->types = map_new();
    return self;
}

static void
free_file(file_t *file)
{
    schema_destroy(&file->schema);
    free(file->data);
    free(file);
}

static void
free_known(known_t *known)
{
    free(known->first);
    free(known->offers);
    free(known);
}

void
catalog_destroy(catalog_t **self_p)
{
    catalog_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->types, &cursor, NULL, &value)) {
        free_known(value);
    }
    cursor = 0;
    while (map_next(self->files, &cursor, NULL, &value)) {
        free_file(value);
    }
    map_destroy(&self->types);
    map_destroy(&self->files);
    free(self);
}

// ----- files

static uint64_t
key_of(const uint8_t *hash)
{
    uint64_t key;
    memcpy(&key, hash, sizeof key);
    return key;
}

static file_t *
find_file(const catalog_t *self, const ProtobufCBinaryData *hash)
{
    file_t *file =
        hash->len == 32 ? map_get(self->files, key_of(hash->data)) : NULL;
    return file != NULL && memcmp(file->hash, hash->data, 32) == 0 ? file
                                                                   : NULL;
}

bool
catalog_find_file(const catalog_t *self, const ProtobufCBinaryData *hash,
    ProtobufCBinaryData *data)
{
    file_t *file = find_file(self, hash);
    if (file != NULL) {
        *data = (ProtobufCBinaryData){file->size, file->data};
    }
    return file != NULL;
}

edri_err_t
catalog_file(catalog_t *self, const ProtobufCBinaryData *hash,
    const ProtobufCBinaryData *data, char *why, size_t why_size)
{
    uint8_t digest[32];
    sha256(data->data, data->len, digest);
    if (hash->len != 32 || memcmp(digest, hash->data, 32) != 0) {
        snprintf(why, why_size, "the descriptors have another SHA-256");
        return EDRI_MISMATCH;
    }
    if (map_get(self->files, key_of(digest)) != NULL) {
        return EDRI_OK;
    }
    if (map_size(self->files) >= FILES_MAX) {
        snprintf(why, why_size, "the switch knows %d files already", FILES_MAX);
        return EDRI_OVERLOADED;
    }
    schema_t *schema = NULL;
    edri_err_t err =
        schema_new((slice_t){data->data, data->len}, &schema, why, why_size);
    if (err != EDRI_OK) {
        return err;
    }
    file_t *file = mem_new(sizeof *file);
    memcpy(file->hash, digest, 32);
    file->schema = schema;
    file->size = data->len;
    file->data = memcpy(mem_resize(NULL, data->len), data->data, data->len);
    (void)map_put(self->files, key_of(digest), file);
    return EDRI_OK;
}

// ----- types

static known_t *
declare(
    catalog_t *self, const char *node, file_t *file, const edri_type_t *type)
{
    known_t *known = mem_new(sizeof *known);
    known->id = type->id;
    known->file = file;
    known->type = type;
    known->first = str_dup(node);
    file->uses++;
    (void)map_put(self->types, type->id, known);
    return known;
}

static void
note_offer(known_t *known, uint64_t session, bool emits)
{
    for (size_t i = 0; i < known->offer_count; i++) {
        if (known->offers[i].session == session) {
            known->offers[i].emits = known->offers[i].emits || emits;
            return;
        }
    }
    known->offers =
        mem_resize(known->offers, (known->offer_count + 1) * sizeof(offer_t));
    known->offers[known->offer_count++] = (offer_t){session, emits};
}

edri_err_t
catalog_offer(catalog_t *self, uint64_t session, const char *node,
    const Edri__Link__TypeInfo *info, char *why, size_t why_size)
{
    file_t *file = find_file(self, &info->file);
    if (file == NULL) {
        return EDRI_NOT_FOUND;
    }
    const edri_type_t *type = schema_type(file->schema, info->name);
    if (type == NULL || type->id != info->type) {
        snprintf(
            why, why_size, "%s: its file does not declare it so", info->name);
        return EDRI_MISMATCH;
    }
    known_t *known = map_get(self->types, type->id);
    if (known == NULL) {
        if (map_size(self->types) >= TYPES_MAX) {
            snprintf(why, why_size, "%s: the switch knows %d types already",
                info->name, TYPES_MAX);
            return EDRI_OVERLOADED;
        }
        known = declare(self, node, file, type);
    } else if (!streq(known->type->name, type->name)) {
        snprintf(why, why_size, "%s: its id collides with that of %s",
            info->name, known->type->name);
        return EDRI_MISMATCH;
    } else {
        char what[200];
        if (schema_compatible(known->type, type, what, sizeof what) !=
            EDRI_OK) {
            snprintf(why, why_size, "%s (node %s declared it first)", what,
                known->first[0] != '\0' ? known->first : "(guest)");
            return EDRI_MISMATCH;
        }
    }
    note_offer(known, session, info->emits);
    return EDRI_OK;
}

static void
forget(catalog_t *self, known_t *known)
{
    (void)map_take(self->types, known->id);
    file_t *file = known->file;
    free_known(known);
    if (--file->uses == 0) {
        (void)map_take(self->files, key_of(file->hash));
        free_file(file);
    }
}

void
catalog_end(catalog_t *self, uint64_t session)
{
    size_t count = 0;
    known_t **empty = mem_new((map_size(self->types) + 1) * sizeof *empty);
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->types, &cursor, NULL, &value)) {
        known_t *known = value;
        for (size_t i = known->offer_count; i > 0; i--) {
            if (known->offers[i - 1].session == session) {
                known->offers[i - 1] = known->offers[--known->offer_count];
            }
        }
        if (known->offer_count == 0) {
            empty[count++] = known;
        }
    }
    for (size_t i = 0; i < count; i++) {
        forget(self, empty[i]);
    }
    free(empty);
}

void
catalog_move(catalog_t *self, uint64_t from, uint64_t to)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->types, &cursor, NULL, &value)) {
        known_t *known = value;
        for (size_t i = 0; i < known->offer_count; i++) {
            if (known->offers[i].session == from) {
                known->offers[i].session = to;
            }
        }
    }
}

void
catalog_each_type(const catalog_t *self, catalog_visit_fn *visit, void *arg)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->types, &cursor, NULL, &value)) {
        const known_t *known = value;
        uint64_t *emitters =
            mem_new((known->offer_count + 1) * sizeof *emitters);
        size_t count = 0;
        for (size_t i = 0; i < known->offer_count; i++) {
            if (known->offers[i].emits) {
                emitters[count++] = known->offers[i].session;
            }
        }
        visit(known->type->name, known->id, known->file->hash, emitters, count,
            arg);
        free(emitters);
    }
}
