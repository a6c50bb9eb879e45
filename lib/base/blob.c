// SPDX-License-Identifier: MIT
// blob.c - bytes that several owners share without copying.

#include "base/blob.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"

struct blob {
    atomic_uint references;
    size_t size;
    uint8_t *data; // 'own' below, or somebody's
    void (*release)(void *hint);
    void *hint;
    uint8_t own[];
};

blob_t *
blob_new(size_t size)
{
    blob_t *self = mem_resize(NULL, sizeof *self + size);
    *self = (blob_t){.size = size};
    self->data = self->own;
    atomic_init(&self->references, 1);
    return self;
}

blob_t *
blob_wrap(void *data, size_t size, void (*release)(void *hint), void *hint)
{
    blob_t *self = mem_resize(NULL, sizeof *self);
    *self =
        (blob_t){.size = size, .data = data, .release = release, .hint = hint};
    atomic_init(&self->references, 1);
    return self;
}

blob_t *
blob_share(blob_t *self)
{
    if (self != NULL) {
        atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
    }
    return self;
}

void
blob_drop(blob_t **self_p)
{
    blob_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    // The last one must see what all others did with the bytes.
    if (atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) ==
        1) {
        if (self->release != NULL) {
            self->release(self->hint);
        }
        free(self);
    }
}

uint8_t *
blob_data(blob_t *self)
{
    return self->data;
}

size_t
blob_size(const blob_t *self)
{
    return self->size;
}
