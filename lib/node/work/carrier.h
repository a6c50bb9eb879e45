// SPDX-License-Identifier: MIT
// node/work/carrier.h - carries messages between a node and a worker's process.
//
// DESIGN
// A message is a head, perhaps a batch and perhaps one attachment, as between
// nodes (docs/protocol.md).  There are two carriers: a stream socket that the
// process inherits, for programs of ours (a round trip of 9 us), and a ZeroMQ
// PAIR at an ipc endpoint, for any language (44 us).  Whoever uses a carrier
// knows of neither.  A carrier belongs to one thread and never blocks.

#ifndef NODE_WORK_CARRIER_H
#define NODE_WORK_CARRIER_H

#include <stdbool.h>
#include <zmq.h>

#include "base/blob.h"
#include "wire/frame.h"

typedef struct carrier carrier_t;

// message_t is one message that came.
typedef struct message {
    head_t *head;  // NULL: there is none
    slice_t batch; // borrowed until the next carrier_receive
    blob_t *blob;  // the attachment, or NULL
} message_t;

// message_clear frees a message, and leaves one that is none.
void message_clear(message_t *self);

// carrier_stream carries over a connected stream socket, which is taken over;
// 'attachment_max' is the limit of an attachment that comes, in bytes.
carrier_t *carrier_stream(int fd, size_t attachment_max);

// carrier_pair carries over a ZeroMQ PAIR of that context: at the node it is
// bound to the ipc endpoint, in the process connected: there the end of standard
// input is the end of the node.  NULL when that fails.
carrier_t *carrier_pair(
    void *zmq, const char *endpoint, bool bind, size_t attachment_max);

// carrier_destroy closes it and sets *self_p to NULL; what was not sent yet is
// dropped.  Safe on NULL.
void carrier_destroy(carrier_t **self_p);

// carrier_send sends a message, or keeps what there is no room for yet; the
// caller bounds how much that is (channel.h).  'batch' empty and 'blob' NULL:
// none; the blob is shared.
void carrier_send(
    carrier_t *self, const head_t *head, slice_t batch, blob_t *blob);

// carrier_flush sends what was kept, as far as there is room.  Returns true when
// nothing is left.
bool carrier_flush(carrier_t *self);

// carrier_receive takes the next message.  Returns EDRI_OK; EDRI_AGAIN: none is
// there; EDRI_CLOSED: the other end has gone (a PAIR does not say so to a node), or
// EDRI_PROTO / EDRI_TOO_BIG: what came is none; *why_p then is a static text.
edri_err_t carrier_receive(
    carrier_t *self, message_t *message, const char **why_p) EDRI_MUST_CHECK;

// carrier_item fills in what to poll for: room for what was kept, and, with
// 'hear', what comes.  Without anything to poll for 'events' is 0.
void carrier_item(carrier_t *self, bool hear, zmq_pollitem_t *item);

// carrier_wait waits for that, in milliseconds (-1: for ever).  Returns EDRI_OK,
// also when it was interrupted, or EDRI_DEADLINE.
edri_err_t carrier_wait(carrier_t *self, int wait_ms);

// carrier_kind_t is one way to carry; the functions are those above.
typedef struct carrier_kind {
    void (*destroy)(carrier_t *self);
    void (*send)(
        carrier_t *self, const head_t *head, slice_t batch, blob_t *blob);
    bool (*flush)(carrier_t *self);
    // Parts that came, the head not read yet.
    edri_err_t (*receive)(carrier_t *self, slice_t *head, slice_t *batch,
        blob_t **blob_p, const char **why_p);
    void (*item)(carrier_t *self, bool hear, zmq_pollitem_t *item);
    int (*wait)(carrier_t *self, int wait_ms); // as poll(2)
} carrier_kind_t;

struct carrier {
    const carrier_kind_t *kind;
};

#endif
