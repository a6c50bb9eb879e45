// SPDX-License-Identifier: MIT
// window.c - how much may be on its way in one direction of a tunnel.

#include "core/window.h"

bool
window_out_may(const window_out_t *self)
{
    return self->sent < self->limit;
}

void
window_out_sent(window_out_t *self, size_t size)
{
    self->sent += size;
}

bool
window_out_granted(window_out_t *self, uint64_t limit)
{
    bool was_open = window_out_may(self);
    if (limit > self->limit) {
        self->limit = limit;
    }
    return !was_open && window_out_may(self);
}

void
window_in_init(window_in_t *self, size_t size)
{
    *self = (window_in_t){.granted = size};
}

bool
window_in_received(window_in_t *self, size_t size)
{
    bool granted = self->received < self->granted;
    self->received += size;
    return granted;
}

bool
window_in_read(window_in_t *self, size_t bytes, size_t size)
{
    self->read += bytes;
    uint64_t limit = self->read + size;
    bool all = self->read == self->received;
    // Crumbs are not worth a word, unless the writer may be waiting for one.
    bool half = limit >= self->granted + size / 2;
    if (limit <= self->granted ||
        (!half && !(all && self->received >= self->granted))) {
        return false;
    }
    self->granted = limit;
    return true;
}
