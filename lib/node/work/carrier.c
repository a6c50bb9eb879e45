// SPDX-License-Identifier: MIT
// carrier.c - carries messages between a node and a worker's process: what both
// ways have in common.

#include "node/work/carrier.h"

void
message_clear(message_t *self)
{
    head_free(&self->head);
    blob_drop(&self->blob);
    *self = (message_t){0};
}

void
carrier_destroy(carrier_t **self_p)
{
    carrier_t *self = *self_p;
    *self_p = NULL;
    if (self != NULL) {
        self->kind->destroy(self);
    }
}

void
carrier_send(carrier_t *self, const head_t *head, slice_t batch, blob_t *blob)
{
    self->kind->send(self, head, batch, blob);
}

bool
carrier_flush(carrier_t *self)
{
    return self->kind->flush(self);
}

edri_err_t
carrier_receive(carrier_t *self, message_t *message, const char **why_p)
{
    slice_t head = {0};
    *message = (message_t){0};
    *why_p = NULL;
    edri_err_t err = self->kind->receive(
        self, &head, &message->batch, &message->blob, why_p);
    if (err == EDRI_OK) {
        err = head_read(head, &message->head, why_p);
        if (err != EDRI_OK) {
            message_clear(message);
        }
    }
    return err;
}

void
carrier_item(carrier_t *self, bool hear, zmq_pollitem_t *item)
{
    self->kind->item(self, hear, item);
}

edri_err_t
carrier_wait(carrier_t *self, int wait_ms)
{
    return self->kind->wait(self, wait_ms) == 0 ? EDRI_DEADLINE : EDRI_OK;
}
