// SPDX-License-Identifier: MIT
// node/parts.h - message parts that share memory instead of copying it.

#ifndef NODE_PARTS_H
#define NODE_PARTS_H

#include <zmq.h>

#include "base/blob.h"
#include "core/outq.h"

static inline void
part_of_batch_free(void *data, void *hint)
{
    (void)data;
    chunk_t *chunk = hint;
    chunk_drop(&chunk);
}

static inline void
part_of_blob_free(void *data, void *hint)
{
    (void)data;
    blob_t *blob = hint;
    blob_drop(&blob);
}

// part_of_batch makes a part of a chunk's bytes, which it shares.
static inline void
part_of_batch(zmq_msg_t *part, chunk_t *chunk)
{
    (void)zmq_msg_init_data(part, chunk->data + chunk->start, chunk->size,
        part_of_batch_free, chunk_share(chunk));
}

// part_of_blob makes a part of 'size' bytes of a blob, which it shares.
static inline void
part_of_blob(zmq_msg_t *part, blob_t *blob, size_t from, size_t size)
{
    (void)zmq_msg_init_data(part, blob_data(blob) + from, size,
        part_of_blob_free, blob_share(blob));
}

#endif
