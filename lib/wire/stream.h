// SPDX-License-Identifier: MIT
// wire/stream.h - messages of parts on a stream of bytes.
//
// ZeroMQ keeps messages and their parts apart; a stream socket does not.  There
// a message is
//
//   byte  0     1 byte    how many parts: 1 head, 2 also a batch, 3 also an
//                         attachment
//   then        4 each    the parts' lengths, little-endian
//   then                  the parts
//
// Every length is checked against its limit before anything is allocated.

#ifndef WIRE_STREAM_H
#define WIRE_STREAM_H

#include "base/blob.h"
#include "base/slice.h"
#include "edri/err.h"

#define STREAM_PARTS_MAX  3
#define STREAM_HEADER_MAX (1 + 4 * STREAM_PARTS_MAX)

// stream_header writes what goes before the parts of these lengths.  Returns
// its size.
size_t stream_header(
    const size_t *lengths, size_t count, uint8_t out[STREAM_HEADER_MAX]);

// stream_message_t is one message that came.
typedef struct stream_message {
    slice_t head;
    slice_t batch; // empty: none
    blob_t *blob;  // the attachment, the caller's; NULL: none
} stream_message_t;

typedef struct stream stream_t;

// stream_new makes a reader; 'attachment_max' in bytes.  Never fails; caller
// owns the result.
stream_t *stream_new(size_t attachment_max);
void stream_destroy(stream_t **self_p);

// stream_room gives the place for the next bytes, at least one; stream_filled
// says how many were put there.
uint8_t *stream_room(stream_t *self, size_t *size_p);
void stream_filled(stream_t *self, size_t size);

// stream_next takes the next message off; head and batch are borrowed until the
// next call of any kind.  Returns EDRI_OK; EDRI_AGAIN when it is not whole yet;
// EDRI_PROTO or EDRI_TOO_BIG with a static text in *why_p, from then on always.
edri_err_t stream_next(stream_t *self, stream_message_t *message,
    const char **why_p) EDRI_MUST_CHECK;

#endif
