// SPDX-License-Identifier: MIT
// base/blob.h - bytes that several owners share without copying.
//
// DESIGN
// A large body is packed once and then stands in the queues of several
// managers and links at the same time; none of them outlives the others in a
// known order.  That is the one place where a reference count is simpler than
// an owner.  The bytes are never written to after blob_new.

#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include <stddef.h>
#include <stdint.h>

typedef struct blob blob_t;

// blob_new creates a blob of 'size' bytes to be filled through blob_data
// before it is shared.  The caller holds one reference.
blob_t *blob_new(size_t size);

// blob_wrap makes a blob of somebody's bytes; 'release' (or NULL) is called
// with 'hint' when the last reference has gone, in that owner's thread.
blob_t *blob_wrap(
    void *data, size_t size, void (*release)(void *hint), void *hint);

// blob_share takes one more reference and returns self; NULL gives NULL.
// blob_drop gives one back and sets *self_p to NULL.  Any thread.
blob_t *blob_share(blob_t *self);
void blob_drop(blob_t **self_p);

uint8_t *blob_data(blob_t *self);
size_t blob_size(const blob_t *self);

#endif
