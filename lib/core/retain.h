// SPDX-License-Identifier: MIT
// core/retain.h - events of one type that are kept for those who come late.
//
// DESIGN
// The emitting node keeps the newest events of the type, each with a position:
// 1, 2, 3, ... within the node's life.  Whoever comes late gets those above the
// position it names.  For a group it is remembered up to which position some
// member has been given them: what a late member gets is what nobody had.
// Kept are at most 'count' events, none older than 'time', and 'bytes' in all;
// the newest is kept whatever its size.  Pure.

#ifndef CORE_RETAIN_H
#define CORE_RETAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/box.h"
#include "base/slice.h"
#include "wire/envelope.h"

typedef struct retained {
    uint64_t position;
    int64_t at_ms; // when it was emitted
    bool given;    // somebody has got it
    uint8_t *item; // of a batch
    size_t size;
    envelope_t env; // routing fields, position
    run_t run;      // base of its time to live
    blob_t *blob;
} retained_t;

// retain_group_t is how far a group has been given the events.
typedef struct retain_group {
    char *name;
    uint64_t position;
} retain_group_t;

typedef struct retain {
    size_t count_max; // SIZE_MAX: no limit
    int64_t time_ms;  // INT64_MAX: no limit
    size_t bytes_max;
    retained_t *ring;
    size_t capacity;
    size_t first; // index of the oldest
    size_t count;
    size_t bytes;
    uint64_t last; // position of the newest so far
    retain_group_t *groups;
    size_t group_count;
} retain_t;

// retain_init keeps so many events, ms and bytes; 0: no limit of that kind.
void retain_init(retain_t *self, size_t count, int64_t ms, size_t bytes);
void retain_clear(retain_t *self);

// retain_add copies one event, as the newest; content is its envelope alone, the
// blob is shared.  Returns it, with its position written into it, or NULL when
// the envelope is malformed.  Valid until the next retain_add or retain_trim.
retained_t *retain_add(retain_t *self, slice_t content, const run_t *run,
    blob_t *blob, int64_t now_ms);

// retain_trim drops what is too much or too old now.  Returns how many of those
// nobody had ever got.
size_t retain_trim(retain_t *self, int64_t now_ms);

// retain_behind returns the oldest one above a position, or NULL; the next is
// the one behind its own.  retain_since returns the position before the oldest
// that is not older than age_ms.
retained_t *retain_behind(const retain_t *self, uint64_t position);
uint64_t retain_since(const retain_t *self, int64_t age_ms, int64_t now_ms);

// retain_group returns the group's place, 0 for a new name.
uint64_t *retain_group(retain_t *self, const char *name);

#endif
