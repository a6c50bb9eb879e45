// SPDX-License-Identifier: MIT
// base/box.h - the buffer between two threads: bytes in, whole buffers out.
//
// DESIGN
// An event crosses two boxes on its way through a node: port → router and
// router → port.  The producer appends under a short lock; the consumer takes
// everything that has gathered, in one swap.  So the consumer makes the batch,
// and its size follows the load: a lone event is never held back.
//
// Bells.  A consumer that finds the box empty arms it and may sleep; the next
// append tells its producer to ring, once.  A consumer at work is never rung.
//
// Bounds.  'used' counts the bytes in the box and those taken but not yet
// released: what a slow consumer holds counts against the box, too.  The box
// itself refuses nothing; its producers ask box_used and box_limit.
//
// A box knows nothing of its content but runs: stretches of bytes with one
// origin, so that consumers learn from which life they came and when.

#ifndef BASE_BOX_H
#define BASE_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"

typedef struct box box_t;

// run_t is a stretch of bytes with one origin.
typedef struct run {
    uint64_t life;    // where the events come from; 0: this node
    int64_t base_ms;  // when their time to live began, on clock_ms
    void *token;      // the frame that brought them (node/token.h), or NULL
    bool redelivered; // may have been begun before, at a member that ended
    size_t size;      // bytes
} run_t;

// load_t is what a consumer takes: keep it, give it back with the next take.
typedef struct load {
    uint8_t *data; // the bytes of all runs
    size_t size;
    size_t capacity;
    run_t *runs;
    size_t run_count;
    size_t run_capacity;
    blob_t **blobs; // attachments, in the order of their envelopes
    size_t blob_count;
    size_t blob_capacity;
    size_t weight; // what the load counts for: bytes and attachments
} load_t;

// box_new creates an empty box; 'limit' in bytes.  Caller owns it and destroys
// it when neither thread uses it any more.
box_t *box_new(size_t limit);
void box_destroy(box_t **self_p);

// box_open takes the lock and returns room for 'size' bytes of that origin (its
// size does not count); the caller writes them and calls box_close at once.
// The producer's pair for packing in place.  'blob' (or NULL) is taken over.
uint8_t *box_open(box_t *self, size_t size, const run_t *origin, blob_t *blob);

// box_close ends box_open.  Returns true when the consumer must be rung.
bool box_close(box_t *self);

// box_put copies bytes with their attachments, which are taken over.
// Returns true when the consumer must be rung.
bool box_put(box_t *self, const void *data, size_t size, const run_t *origin,
    blob_t **blobs, size_t blob_count);

// box_take swaps what has gathered with *load, which was emptied before (see
// load_reset).  Returns false when there was nothing; the box is then armed.
bool box_take(box_t *self, load_t *load);

// box_any says whether box_take would find something; it arms nothing.
bool box_any(box_t *self);

// box_release says that 'size' bytes of what was taken are done with.
// Returns true when 'used' has come down to the level set by box_watch: the
// producer must be rung.  Any thread.
bool box_release(box_t *self, size_t size);

// box_released is how many bytes were released so far.  Any thread.
uint64_t box_released(const box_t *self);

// box_watch asks for that ring once when at most 'level' bytes are used.
// Returns false, and asks for nothing, when that is so already.
bool box_watch(box_t *self, size_t level);

// box_used and box_limit are in bytes.  Any thread.
size_t box_used(const box_t *self);
size_t box_limit(const box_t *self);

// load_reset empties a load and drops its attachments, keeping its memory;
// load_clear frees that, too.
void load_reset(load_t *self);
void load_clear(load_t *self);

#endif
