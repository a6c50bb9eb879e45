// SPDX-License-Identifier: MIT
// node/reader.h - walks the envelopes of a load, with runs and attachments.

#ifndef NODE_READER_H
#define NODE_READER_H

#include <stdbool.h>

#include "base/box.h"
#include "wire/envelope.h"

typedef struct reader {
    load_t *load;
    size_t next_run;
    size_t next_blob;
    const run_t *run; // of the envelope just read
    slice_t rest;     // of that run
    slice_t item;     // the envelope with tag and length
    slice_t content;  // the envelope
    blob_t **blob_p;  // its attachment's place, or NULL; whoever
                      // takes the blob sets the place to NULL
    bool malformed;   // ended early
} reader_t;

static inline reader_t
reader_begin(load_t *load)
{
    return (reader_t){.load = load};
}

// reader_next goes on to the next envelope and reads its routing fields.
// Returns false at the end; 'malformed' then tells why.
bool reader_next(reader_t *self, envelope_t *env);

// reader_last says whether the envelope just read is the last one.
static inline bool
reader_last(const reader_t *self)
{
    return self->rest.len == 0 && self->next_run == self->load->run_count;
}

#endif
