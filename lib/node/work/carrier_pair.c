// SPDX-License-Identifier: MIT
// carrier_pair.c - messages over a ZeroMQ PAIR, for programs in any language.

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "node/parts.h"
#include "node/work/carrier.h"
#include "wire/envelope.h"

typedef struct pair_carrier {
    carrier_t base; // first
    void *socket;
    size_t attachment_max;
    bool at_node; // else standard input is watched
    bool closed;
    zmq_msg_t parts[3]; // of the message that was given last
    size_t count;
} pair_carrier_t;

static void
close_parts(pair_carrier_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        (void)zmq_msg_close(&self->parts[i]);
    }
    self->count = 0;
}

static void
destroy(carrier_t *base)
{
    pair_carrier_t *self = (pair_carrier_t *)base;
    close_parts(self);
    (void)zmq_close(self->socket);
    free(self);
}

static bool
flush(carrier_t *base)
{
    (void)base; // ZeroMQ keeps what there is no room for
    return true;
}

static void
send_message(carrier_t *base, const head_t *head, slice_t batch, blob_t *blob)
{
    pair_carrier_t *self = (pair_carrier_t *)base;
    zmq_msg_t parts[3];
    int count = 1;
    (void)zmq_msg_init_size(&parts[0], head_size(head));
    (void)head_write(head, zmq_msg_data(&parts[0]));
    if (batch.len > 0 || blob != NULL) {
        (void)zmq_msg_init_size(&parts[count], batch.len);
        memcpy(zmq_msg_data(&parts[count++]), batch.data, batch.len);
    }
    if (blob != NULL) {
        part_of_blob(&parts[count++], blob, 0, blob_size(blob));
    }
    for (int i = 0; i < count; i++) {
        // Fails only when the other end has gone: then nobody misses it.
        if (zmq_msg_send(&parts[i], self->socket,
                ZMQ_DONTWAIT | (i + 1 < count ? ZMQ_SNDMORE : 0)) < 0) {
            (void)zmq_msg_close(&parts[i]);
        }
    }
}

// receive_parts takes one message.  Returns how many parts it had, of which
// the first three are kept; 0: there was none.
static size_t
receive_parts(pair_carrier_t *self)
{
    size_t count = 0;
    bool more = true;
    close_parts(self);
    while (more) {
        zmq_msg_t part;
        (void)zmq_msg_init(&part);
        if (zmq_msg_recv(&part, self->socket, ZMQ_DONTWAIT) < 0) {
            (void)zmq_msg_close(&part);
            return count;
        }
        more = zmq_msg_more(&part) != 0;
        if (count < 3) {
            (void)zmq_msg_init(&self->parts[count]);
            (void)zmq_msg_move(&self->parts[count], &part);
            self->count++;
        }
        (void)zmq_msg_close(&part);
        count++;
    }
    return count;
}

static edri_err_t
receive(carrier_t *base, slice_t *head, slice_t *batch, blob_t **blob_p,
    const char **why_p)
{
    pair_carrier_t *self = (pair_carrier_t *)base;
    size_t count = receive_parts(self);
    if (count == 0) {
        return self->closed ? EDRI_CLOSED : EDRI_AGAIN;
    }
    if (count > 3) {
        *why_p = "not 1 to 3 parts";
        return EDRI_PROTO;
    }
    *head =
        (slice_t){zmq_msg_data(&self->parts[0]), zmq_msg_size(&self->parts[0])};
    if (count > 1) {
        *batch = (slice_t){
            zmq_msg_data(&self->parts[1]), zmq_msg_size(&self->parts[1])};
    }
    size_t attached = count > 2 ? zmq_msg_size(&self->parts[2]) : 0;
    if (batch->len > WIRE_BATCH_MAX || attached > self->attachment_max) {
        *why_p = attached > 0 ? "attachment over node.body_limit"
                              : "batch over 128 KiB";
        return EDRI_TOO_BIG;
    }
    if (count > 2) {
        *blob_p = blob_new(attached);
        memcpy(blob_data(*blob_p), zmq_msg_data(&self->parts[2]), attached);
    }
    return EDRI_OK;
}

static void
item(carrier_t *base, bool hear, zmq_pollitem_t *poll)
{
    pair_carrier_t *self = (pair_carrier_t *)base;
    *poll = (zmq_pollitem_t){
        .socket = self->socket, .events = hear ? ZMQ_POLLIN : 0};
}

static int
wait_pair(carrier_t *base, int wait_ms)
{
    pair_carrier_t *self = (pair_carrier_t *)base;
    zmq_pollitem_t items[] = {
        {.socket = self->socket, .events = ZMQ_POLLIN},
        {.fd = STDIN_FILENO, .events = ZMQ_POLLIN},
    };
    int count = zmq_poll(items, self->at_node ? 1 : 2, wait_ms);
    self->closed = self->closed || items[1].revents != 0;
    return count;
}

carrier_t *
carrier_pair(void *zmq, const char *endpoint, bool bind, size_t attachment_max)
{
    static const carrier_kind_t kind = {
        destroy, send_message, flush, receive, item, wait_pair};
    pair_carrier_t *self = mem_new(sizeof *self);
    int linger = bind ? 0 : 1000; // a process that ends says its last words
    int none = 0;
    int64_t largest = WIRE_BODY_MAX;
    self->base.kind = &kind;
    self->attachment_max = attachment_max;
    self->at_node = bind;
    self->socket = zmq_socket(zmq, ZMQ_PAIR);
    bool fine =
        self->socket != NULL &&
        zmq_setsockopt(self->socket, ZMQ_LINGER, &linger, sizeof linger) == 0 &&
        zmq_setsockopt(self->socket, ZMQ_SNDHWM, &none, sizeof none) == 0 &&
        zmq_setsockopt(self->socket, ZMQ_RCVHWM, &none, sizeof none) == 0 &&
        zmq_setsockopt(
            self->socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest) == 0 &&
        (bind ? zmq_bind(self->socket, endpoint)
              : zmq_connect(self->socket, endpoint)) == 0;
    if (!fine) {
        (void)zmq_close(self->socket);
        free(self);
        return NULL;
    }
    return &self->base;
}
