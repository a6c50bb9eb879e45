// SPDX-License-Identifier: MIT
// core/gather.h - a request to ALL: who was asked, and how it ended with each.
//
// Pure: what the asker's port knows, and how it says so in one line.

#ifndef CORE_GATHER_H
#define CORE_GATHER_H

#include <stdint.h>

#include "base/slice.h"
#include "edri/err.h"

typedef struct gather gather_t;

// gather_new reads whom a request went to: a packed edri.wire.Asked.  NULL when
// it is none.  Caller owns the result.
gather_t *gather_new(slice_t asked);

// gather_destroy frees it and sets *self_p to NULL.  Safe on NULL.
void gather_destroy(gather_t **self_p);

// gather_answer enters how it ended with one manager: EDRI_OK, or an error with
// its text, which is copied.  target 0: some manager of that life.
void gather_answer(gather_t *self, uint64_t life, uint32_t target,
    edri_err_t err, const char *text);

// gather_text says how it ended as a whole, such as "7 of 8 answered;
// node-3/pricing: responder ended, outcome unknown"; those that have not ended
// did so with 'rest'.  Names three at most.  To be freed by the caller.
char *gather_text(const gather_t *self, edri_err_t rest);

#endif
