// SPDX-License-Identifier: MIT
// carrier_stream.c - messages over a stream socket.

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "node/work/carrier.h"
#include "wire/stream.h"

// unsent_t is a message, or the rest of one, that waits for room.
typedef struct unsent {
    struct unsent *next;
    blob_t *blob; // goes behind 'data'; or NULL
    size_t sent;  // bytes of both
    size_t size;
    uint8_t data[]; // lengths, head, batch
} unsent_t;

typedef struct stream_carrier {
    carrier_t base; // first
    int fd;
    stream_t *in;
    bool closed; // the other end has gone
    unsent_t *first;
    unsent_t *last;
} stream_carrier_t;

static size_t
whole(const unsent_t *item)
{
    return item->size + (item->blob != NULL ? blob_size(item->blob) : 0);
}

// rest gives the pieces of a message that have not gone yet.
static int
rest(const unsent_t *item, struct iovec pieces[2])
{
    int count = 0;
    size_t of_blob = item->sent > item->size ? item->sent - item->size : 0;
    if (item->sent < item->size) {
        // sendmsg writes to nothing.
        pieces[count++] =
            (struct iovec){(uint8_t *)(uintptr_t)item->data + item->sent,
                item->size - item->sent};
    }
    if (item->blob != NULL) {
        pieces[count++] = (struct iovec){
            blob_data(item->blob) + of_blob, blob_size(item->blob) - of_blob};
    }
    return count;
}

static void
drop_first(stream_carrier_t *self)
{
    unsent_t *item = self->first;
    self->first = item->next;
    if (self->first == NULL) {
        self->last = NULL;
    }
    blob_drop(&item->blob);
    free(item);
}

static void
destroy(carrier_t *base)
{
    stream_carrier_t *self = (stream_carrier_t *)base;
    while (self->first != NULL) {
        drop_first(self);
    }
    (void)close(self->fd);
    stream_destroy(&self->in);
    free(self);
}

static bool
flush(carrier_t *base)
{
    stream_carrier_t *self = (stream_carrier_t *)base;
    while (self->first != NULL) {
        struct iovec pieces[2];
        struct msghdr message = {.msg_iov = pieces};
        message.msg_iovlen = (size_t)rest(self->first, pieces);
        ssize_t sent = sendmsg(self->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return false;
        }
        if (sent < 0) {
            drop_first(self); // the other end has gone: reading says so
            continue;
        }
        self->first->sent += (size_t)sent;
        if (self->first->sent == whole(self->first)) {
            drop_first(self);
        }
    }
    return true;
}

static void
send_message(carrier_t *base, const head_t *head, slice_t batch, blob_t *blob)
{
    stream_carrier_t *self = (stream_carrier_t *)base;
    size_t lengths[STREAM_PARTS_MAX] = {
        head_size(head), batch.len, blob != NULL ? blob_size(blob) : 0};
    size_t count = blob != NULL ? 3 : batch.len > 0 ? 2 : 1;
    unsent_t *item = mem_resize(
        NULL, sizeof *item + STREAM_HEADER_MAX + lengths[0] + lengths[1]);
    *item = (unsent_t){.blob = blob_share(blob)};
    uint8_t *at = item->data + stream_header(lengths, count, item->data);
    at += head_write(head, at);
    if (batch.len > 0) {
        memcpy(at, batch.data, batch.len);
        at += batch.len;
    }
    item->size = (size_t)(at - item->data);
    *(self->last != NULL ? &self->last->next : &self->first) = item;
    self->last = item;
    (void)flush(base);
}

// fill reads what has come.  Returns false when there is nothing now.
static bool
fill(stream_carrier_t *self)
{
    size_t room = 0;
    uint8_t *place = stream_room(self->in, &room);
    ssize_t size = 0;
    do {
        size = recv(self->fd, place, room, MSG_DONTWAIT);
    } while (size < 0 && errno == EINTR);
    if (size > 0) {
        stream_filled(self->in, (size_t)size);
        return true;
    }
    self->closed = size == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    return false;
}

static edri_err_t
receive(carrier_t *base, slice_t *head, slice_t *batch, blob_t **blob_p,
    const char **why_p)
{
    stream_carrier_t *self = (stream_carrier_t *)base;
    stream_message_t message;
    edri_err_t err = EDRI_OK;
    do {
        err = stream_next(self->in, &message, why_p);
    } while (err == EDRI_AGAIN && fill(self));
    *head = message.head;
    *batch = message.batch;
    *blob_p = message.blob;
    return err == EDRI_AGAIN && self->closed ? EDRI_CLOSED : err;
}

static void
item(carrier_t *base, bool hear, zmq_pollitem_t *poll)
{
    stream_carrier_t *self = (stream_carrier_t *)base;
    short events = (short)((hear ? ZMQ_POLLIN : 0) |
                           (self->first != NULL ? ZMQ_POLLOUT : 0));
    *poll = (zmq_pollitem_t){.fd = self->fd, .events = events};
}

static int
wait_stream(carrier_t *base, int wait_ms)
{
    stream_carrier_t *self = (stream_carrier_t *)base;
    struct pollfd poll_item = {
        self->fd, (short)(POLLIN | (self->first != NULL ? POLLOUT : 0)), 0};
    // zmq_poll would look once before it waits.
    return poll(&poll_item, 1, wait_ms);
}

carrier_t *
carrier_stream(int fd, size_t attachment_max)
{
    static const carrier_kind_t kind = {
        destroy, send_message, flush, receive, item, wait_stream};
    stream_carrier_t *self = mem_new(sizeof *self);
    self->base.kind = &kind;
    self->fd = fd;
    self->in = stream_new(attachment_max);
    return &self->base;
}
