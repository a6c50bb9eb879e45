// SPDX-License-Identifier: MIT
// core/outq.h - what waits at the source for one receiver: chunks of batch.
//
// DESIGN
// Envelopes are appended to the last chunk; a chunk is what becomes a frame:
// at most WIRE_BATCH_MAX bytes, WIRE_TYPES_MAX types, one origin, one priority, one
// epoch, one base of time where it matters, and alone when it has an attachment.
// So cutting a frame is taking the first chunk.  From then on its bytes stand still: ZeroMQ
// sends them from where they are, while the flow keeps them (core/flow_out.h);
// the last one frees them, in whatever thread.
// Under load the chunks are full; a lone event is a chunk of its own and goes
// at once.
// A more urgent event goes before what is less urgent, also before what is left
// of a body that is half sent, unless that has been overtaken by OUTQ_PATIENCE
// bytes already: the lowest still moves.  Within a priority the order is that of
// appending.  Pure: no clock, no socket.

#ifndef CORE_OUTQ_H
#define CORE_OUTQ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/box.h"
#include "base/slice.h"
#include "wire/envelope.h"

#define OUTQ_PATIENCE ((size_t)256 * 1024)

typedef struct chunk {
    struct chunk *next;
    atomic_uint references; // the queue's, a flow's, ZeroMQ's
    run_t origin;           // base_ms: when ttls began; 0: no ttl inside
    edri_overflow_t policy; // of all its events
    uint8_t priority;       // likewise
    uint64_t epoch;         // likewise (core/keys.h)
    size_t patience;        // bytes that may still overtake it
    uint64_t sum;           // the books' (core/flow_out.h); see chunk_sum
    size_t start;           // bytes at the front that were dropped
    bool keep; // some event may go to another: wait until it is settled
    uint32_t events;
    uint32_t type_count;
    uint64_t types[WIRE_TYPES_MAX];
    blob_t *blob;     // the attachment, or NULL
    uint64_t blob_id; // of the event that it belongs to
    size_t blob_sent; // bytes that went as fragments already
    size_t size;      // bytes of batch, without those dropped
    size_t capacity;
    uint8_t *data;
} chunk_t;

typedef struct outq {
    chunk_t *first;
    chunk_t *last;
    size_t bytes; // of all chunks, attachments included
    size_t events;
    uint64_t epoch; // that what is appended belongs to; the owner's
    size_t usual;   // bytes of batch of the chunk that was taken last
} outq_t;

// outq_older says whether something is in it of an older epoch than that.
bool outq_older(const outq_t *self, uint64_t epoch);

// outq_append copies one item (see batch_next) to the end; env is its routing
// fields.  'blob' (or NULL) is taken over.
void outq_append(outq_t *self, slice_t item, const envelope_t *env,
    const run_t *origin, blob_t *blob);

// outq_append_as does so for an event that may be dropped under that policy
// (core/overflow.h); outq_append is for BLOCK.
void outq_append_as(outq_t *self, edri_overflow_t policy, slice_t item,
    const envelope_t *env, const run_t *origin, blob_t *blob);

// outq_drop_oldest drops, of the least urgent events of that policy that have not
// begun to be sent, the oldest.  Returns false when there is none; else *type_p is its type.
bool outq_drop_oldest(outq_t *self, edri_overflow_t policy, uint64_t *type_p);

// outq_sift drops, of the first chunk, what 'keep' does not want; a chunk that
// has begun to be sent stays whole.  Returns how many events went.
typedef bool outq_keep_fn(const envelope_t *env, void *arg);
size_t outq_sift(outq_t *self, outq_keep_fn *keep, void *arg);

// outq_put appends a whole chunk, which is taken over.
void outq_put(outq_t *self, chunk_t *chunk);

// outq_join appends all chunks of another queue, which is empty then.
void outq_join(outq_t *self, outq_t *other);

// outq_take removes the first chunk; the caller owns it.  NULL when empty.
chunk_t *outq_take(outq_t *self);

// outq_clear drops everything.
void outq_clear(outq_t *self);

// chunk_has_type says whether an event of that type is in it.
bool chunk_has_type(const chunk_t *self, uint64_t type);

// chunk_same says whether two chunks (or NULL) hold the very same events.
bool chunk_same(const chunk_t *self, const chunk_t *other);

// chunk_batch is its bytes of batch; chunk_sum their sum for the books.
slice_t chunk_batch(const chunk_t *self);
uint64_t chunk_sum(const chunk_t *self);

// chunk_weight is what a chunk counts for: batch and attachment, in bytes.
size_t chunk_weight(const chunk_t *self);

// chunk_share takes one more reference and returns self.  chunk_drop gives one
// back, sets *self_p to NULL and frees the chunk with the last.  Any thread.
chunk_t *chunk_share(chunk_t *self);
void chunk_drop(chunk_t **self_p);

#endif
