// SPDX-License-Identifier: MIT
// stream.c - messages of parts on a stream of bytes.
//
// DESIGN
// Bytes are read into a buffer, many small messages at once.  Of an attachment
// the buffer holds only what came with the parts before it: the rest is read
// straight into the attachment's own memory.
//
//   [consumed][header|head|batch|begin of the attachment][next message ...]
//             ^start                                      ^start + used    ^end

#include "wire/stream.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "wire/envelope.h"
#include "wire/frame.h"

// The buffer's size, until a head needs more.
#define BUFFER_SIZE ((size_t)64 * 1024)

struct stream {
    size_t attachment_max;
    uint8_t *data;
    size_t capacity;
    size_t start;
    size_t end;
    // the message at 'start'
    size_t count; // of its parts; 0: the header has not come
    size_t lengths[STREAM_PARTS_MAX];
    blob_t *blob; // its attachment
    size_t got;   // bytes of that
    size_t used;  // of the buffer, once given; 0: not given
    const char *broken;
    edri_err_t err;
};

size_t
stream_header(
    const size_t *lengths, size_t count, uint8_t out[STREAM_HEADER_MAX])
{
    uint8_t *at = out;
    *at++ = (uint8_t)count;
    for (size_t i = 0; i < count; i++) {
        for (unsigned shift = 0; shift < 32; shift += 8) {
            *at++ = (uint8_t)(lengths[i] >> shift);
        }
    }
    return (size_t)(at - out);
}

stream_t *
stream_new(size_t attachment_max)
{
    stream_t *self = mem_new(sizeof *self);
    self->attachment_max = attachment_max;
    self->capacity = BUFFER_SIZE;
    self->data = mem_resize(NULL, self->capacity);
    return self;
}

void
stream_destroy(stream_t **self_p)
{
    stream_t *self = *self_p;
    *self_p = NULL;
    if (self != NULL) {
        blob_drop(&self->blob);
        free(self->data);
        free(self);
    }
}

// forget drops the message that was given.
static void
forget(stream_t *self)
{
    if (self->used > 0) {
        self->start += self->used;
        self->used = self->count = self->got = 0;
        self->blob = NULL;
    }
    if (self->start == self->end) {
        self->start = self->end = 0;
    }
}

static size_t
header_size(const stream_t *self)
{
    return 1 + 4 * self->count;
}

// inside is how much of the message stands in the buffer, without what the
// attachment has of it.
static size_t
inside(const stream_t *self)
{
    return header_size(self) + self->lengths[0] +
           (self->count > 1 ? self->lengths[1] : 0);
}

uint8_t *
stream_room(stream_t *self, size_t *size_p)
{
    forget(self);
    if (self->blob != NULL && self->got < blob_size(self->blob)) {
        *size_p = blob_size(self->blob) - self->got;
        return blob_data(self->blob) + self->got;
    }
    size_t whole = self->count > 0 ? inside(self) : STREAM_HEADER_MAX;
    if (self->end == self->capacity || self->start + whole > self->capacity) {
        memmove(self->data, self->data + self->start, self->end - self->start);
        self->end -= self->start;
        self->start = 0;
    }
    if (whole > self->capacity || self->end == self->capacity) {
        self->capacity = whole > self->capacity ? whole : 2 * self->capacity;
        self->data = mem_resize(self->data, self->capacity);
    }
    *size_p = self->capacity - self->end;
    return self->data + self->end;
}

void
stream_filled(stream_t *self, size_t size)
{
    if (self->blob != NULL && self->got < blob_size(self->blob)) {
        self->got += size;
    } else {
        self->end += size;
    }
}

static edri_err_t
refuse(stream_t *self, edri_err_t err, const char *why)
{
    self->broken = why;
    self->err = err;
    return err;
}

// read_header reads and checks the lengths.
static edri_err_t
read_header(stream_t *self)
{
    const uint8_t *at = self->data + self->start;
    size_t have = self->end - self->start;
    if (have == 0) {
        return EDRI_AGAIN;
    }
    if (at[0] < 1 || at[0] > STREAM_PARTS_MAX) {
        return refuse(self, EDRI_PROTO, "not 1 to 3 parts");
    }
    if (have < 1 + 4 * (size_t)at[0]) {
        return EDRI_AGAIN;
    }
    const size_t most[] = {
        HEAD_CONTROL_MAX, WIRE_BATCH_MAX, self->attachment_max};
    static const char *const texts[] = {"head over 2 MiB", "batch over 128 KiB",
        "attachment over node.body_limit"};
    for (size_t i = 0; i < at[0]; i++) {
        const uint8_t *length = at + 1 + 4 * i;
        self->lengths[i] = (size_t)length[0] | (size_t)length[1] << 8 |
                           (size_t)length[2] << 16 | (size_t)length[3] << 24;
        if (self->lengths[i] > most[i]) {
            return refuse(self, EDRI_TOO_BIG, texts[i]);
        }
    }
    self->count = at[0];
    return EDRI_OK;
}

// begin_blob makes the attachment and moves into it what has come already.
static void
begin_blob(stream_t *self)
{
    size_t have = self->end - self->start - inside(self);
    self->blob = blob_new(self->lengths[2]);
    self->got = have < self->lengths[2] ? have : self->lengths[2];
    memcpy(blob_data(self->blob), self->data + self->start + inside(self),
        self->got);
    self->end -= self->got;
    memmove(self->data + self->start + inside(self),
        self->data + self->start + inside(self) + self->got,
        self->end - self->start - inside(self));
}

edri_err_t
stream_next(stream_t *self, stream_message_t *message, const char **why_p)
{
    *message = (stream_message_t){0};
    forget(self);
    edri_err_t err = self->err;
    if (err == EDRI_OK && self->count == 0) {
        err = read_header(self);
    }
    if (err != EDRI_OK) {
        *why_p = self->broken;
        return err;
    }
    if (self->end - self->start < inside(self)) {
        return EDRI_AGAIN;
    }
    if (self->count == 3 && self->blob == NULL) {
        begin_blob(self);
    }
    if (self->blob != NULL && self->got < self->lengths[2]) {
        return EDRI_AGAIN;
    }
    const uint8_t *at = self->data + self->start + header_size(self);
    message->head = (slice_t){at, self->lengths[0]};
    if (self->count > 1) {
        message->batch = (slice_t){at + self->lengths[0], self->lengths[1]};
    }
    message->blob = self->blob;
    self->blob = NULL;
    self->used = inside(self);
    return EDRI_OK;
}
