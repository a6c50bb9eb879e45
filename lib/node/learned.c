// SPDX-License-Identifier: MIT
// learned.c - event types whose descriptors are the node's own.

#include "node/learned.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "node/node.h"
#include "node/types.h"

void
learned_init(learned_t *self)
{
    (void)pthread_mutex_init(&self->lock, NULL);
}

void
learned_clear(learned_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        schema_destroy(&self->schemas[i]);
    }
    free(self->schemas);
    (void)pthread_mutex_destroy(&self->lock);
}

// keep is learned_keep under the lock.
static void
keep(learned_t *self, schema_t *schema)
{
    self->schemas =
        mem_resize(self->schemas, (self->count + 1) * sizeof *self->schemas);
    self->schemas[self->count++] = schema;
}

void
learned_keep(learned_t *self, schema_t *schema)
{
    pthread_mutex_lock(&self->lock);
    keep(self, schema);
    pthread_mutex_unlock(&self->lock);
}

const edri_type_t *
learned_copy(
    learned_t *self, const edri_type_t *type, char *why, size_t why_size)
{
    const edri_type_t *copy = NULL;
    const edri_file_t *file = type->file;
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->count && copy == NULL; i++) {
        copy = schema_type(self->schemas[i], type->name);
        bool same = copy != NULL && memcmp(copy->file->sha256, file->sha256,
                                        sizeof file->sha256) == 0;
        copy = same ? copy : NULL;
    }
    schema_t *schema = NULL;
    if (copy == NULL && schema_new((slice_t){file->data, file->size}, &schema,
                            why, why_size) == EDRI_OK) {
        keep(self, schema);
        copy = schema_type(schema, type->name);
        if (copy == NULL) {
            (void)snprintf(why, why_size, "%s does not declare it", file->name);
        }
    }
    pthread_mutex_unlock(&self->lock);
    return copy;
}

// describes finds the word of a head that holds a file.
static const Edri__Link__Describe *
describes(const head_t *head, const ProtobufCBinaryData *file)
{
    for (size_t i = 0; i < head->n_control; i++) {
        const control_t *word = head->control[i];
        if (word->word_case == EDRI__LINK__CONTROL__WORD_DESCRIBE &&
            word->describe->file.len == file->len &&
            memcmp(word->describe->file.data, file->data, file->len) == 0) {
            return word->describe;
        }
    }
    return NULL;
}

// is_same says whether a type that is known comes from that very file.
static bool
is_same(const edri_type_t *type, const ProtobufCBinaryData *file)
{
    return file->len == sizeof type->file->sha256 &&
           memcmp(type->file->sha256, file->data, file->len) == 0;
}

static edri_err_t
learn(edri_node_t *node, const head_t *head, const Edri__Link__TypeInfo *info,
    char *why, size_t why_size)
{
    char reason[200];
    typeref_t *ref = shared_map_get(node->types, info->type);
    if (ref != NULL && is_same(ref->type, &info->file)) {
        return EDRI_OK;
    }
    const Edri__Link__Describe *file = describes(head, &info->file);
    if (file == NULL) {
        (void)snprintf(
            why, why_size, "it offered a type without describing it");
        return EDRI_PROTO;
    }
    schema_t *schema = NULL;
    edri_err_t err =
        schema_new((slice_t){file->descriptors.data, file->descriptors.len},
            &schema, reason, sizeof reason);
    const edri_type_t *type =
        err == EDRI_OK ? schema_type(schema, info->name) : NULL;
    if (err == EDRI_OK) {
        err = types_add(node, type, &ref, reason, sizeof reason);
    }
    if (err == EDRI_OK && ref->type == type) {
        learned_keep(&node->learned, schema);
        return EDRI_OK;
    }
    schema_destroy(&schema);
    if (err != EDRI_OK) {
        (void)snprintf(why, why_size, "%.40s: %s", info->name, reason);
    }
    return err;
}

edri_err_t
learned_offer(edri_node_t *node, const head_t *head,
    const Edri__Link__Offer *offer, char *why, size_t why_size)
{
    edri_err_t err = EDRI_OK;
    for (size_t i = 0; i < offer->n_types && err == EDRI_OK; i++) {
        if (offer->types[i]->emits) {
            err = learn(node, head, offer->types[i], why, why_size);
        }
    }
    return err;
}
