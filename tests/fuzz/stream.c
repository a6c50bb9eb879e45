// SPDX-License-Identifier: MIT
// stream.c - any bytes, in any pieces, as what comes from a worker's process.

#include <stdlib.h>
#include <string.h>

#include "wire/envelope.h"
#include "wire/frame.h"
#include "wire/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// take reads all that is whole; false when the stream is broken.
static bool
take(stream_t *stream)
{
    stream_message_t message;
    const char *why = NULL;
    edri_err_t err = EDRI_OK;
    while ((err = stream_next(stream, &message, &why)) == EDRI_OK) {
        if (message.head.len > HEAD_CONTROL_MAX ||
            message.batch.len > WIRE_BATCH_MAX) {
            abort();
        }
        blob_drop(&message.blob);
    }
    if (err != EDRI_AGAIN && why == NULL) {
        abort();
    }
    return err == EDRI_AGAIN;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    // The first byte says in which pieces the rest comes.
    size_t step = size > 0 ? (size_t)data[0] * data[0] + 1 : 1;
    stream_t *stream = stream_new((size_t)1 << 20);
    for (size_t at = 1; at < size && take(stream);) {
        size_t room = 0;
        uint8_t *place = stream_room(stream, &room);
        size_t piece = size - at < step ? size - at : step;
        piece = piece < room ? piece : room;
        memcpy(place, data + at, piece);
        stream_filled(stream, piece);
        at += piece;
    }
    (void)take(stream);
    stream_destroy(&stream);
    return 0;
}
