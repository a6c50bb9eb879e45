// SPDX-License-Identifier: MIT
// reader.c - walks the envelopes of a load, with runs and attachments.

#include "node/reader.h"

bool
reader_next(reader_t *self, envelope_t *env)
{
    while (self->rest.len == 0) {
        if (self->next_run == self->load->run_count) {
            return false;
        }
        self->run = &self->load->runs[self->next_run++];
        const uint8_t *at =
            self->rest.data != NULL ? self->rest.data : self->load->data;
        self->rest = (slice_t){at, self->run->size};
    }
    if (!batch_next(&self->rest, &self->item, &self->content) ||
        envelope_route(self->content, env) != EDRI_OK) {
        self->malformed = true;
        return false;
    }
    self->blob_p = NULL;
    if ((env->flags & WIRE_ATTACHED) != 0) {
        if (self->next_blob == self->load->blob_count) {
            self->malformed = true;
            return false;
        }
        self->blob_p = &self->load->blobs[self->next_blob++];
    }
    return true;
}
