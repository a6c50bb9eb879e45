// SPDX-License-Identifier: MIT
// core/outq.h - what waits at the source for one receiver: chunks of batch.
//
// DESIGN
// Envelopes are appended to the last chunk; a chunk is what becomes a frame:
// at most WIRE_BATCH_MAX bytes, WIRE_TYPES_MAX types, one origin, one base of
// time where it matters, and alone when it has an attachment.  So cutting a
// frame is taking the first chunk, and its memory is given to ZeroMQ as it is.
// Under load the chunks are full; a lone event is a chunk of its own and goes
// at once.  Pure: no clock, no socket.

#ifndef CORE_OUTQ_H
#define CORE_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/slice.h"
#include "wire/envelope.h"

typedef struct chunk {
    struct chunk *next;
    uint64_t life;   // origin; 0: this node
    int64_t base_ms; // when ttls began; 0: no ttl inside
    uint32_t events;
    uint32_t type_count;
    uint64_t types[WIRE_TYPES_MAX];
    blob_t *blob;     // the attachment, or NULL
    uint64_t blob_id; // of the event that it belongs to
    size_t blob_sent; // bytes that went as fragments already
    size_t size;      // bytes of batch
    size_t capacity;
    uint8_t *data;
} chunk_t;

typedef struct outq {
    chunk_t *first;
    chunk_t *last;
    size_t bytes; // of all chunks, attachments included
    size_t events;
} outq_t;

// outq_append copies one item (see batch_next) to the end; env is its routing
// fields.  'blob' (or NULL) is taken over.
void outq_append(outq_t *self, slice_t item, const envelope_t *env,
    uint64_t life, int64_t base_ms, blob_t *blob);

// outq_put appends a whole chunk, which is taken over.
void outq_put(outq_t *self, chunk_t *chunk);

// outq_take removes the first chunk; the caller owns it.  NULL when empty.
chunk_t *outq_take(outq_t *self);

// outq_restart: the first chunk's attachment is sent from its begin again.
void outq_restart(outq_t *self);

// outq_clear drops everything.
void outq_clear(outq_t *self);

// chunk_has_type says whether an event of that type is in it.
bool chunk_has_type(const chunk_t *self, uint64_t type);

// chunk_weight is what a chunk counts for: batch and attachment, in bytes.
size_t chunk_weight(const chunk_t *self);

// chunk_destroy frees a chunk; what was moved out of it must be NULL.
void chunk_destroy(chunk_t **self_p);

#endif
