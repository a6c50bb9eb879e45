// SPDX-License-Identifier: MIT
// credit.c - how much one node may send to one manager, both ends.

#include "core/credit.h"

void
credit_out_init(credit_out_t *self, uint64_t initial)
{
    *self = (credit_out_t){.limit = initial};
}

bool
credit_out_may(const credit_out_t *self, size_t size)
{
    return self->limit >= self->sent && self->limit - self->sent >= size;
}

bool
credit_out_want(credit_out_t *self, size_t size)
{
    if (self->wanted == self->sent + size) {
        return false;
    }
    self->wanted = self->sent + size;
    return true;
}

void
credit_out_sent(credit_out_t *self, size_t size)
{
    self->sent += size;
    self->wanted = 0;
}

void
credit_out_dropped(credit_out_t *self, size_t size)
{
    self->sent -= size < self->sent ? size : self->sent;
    self->wanted = 0;
}

void
credit_out_granted(credit_out_t *self, uint64_t limit, uint64_t consumed)
{
    if (limit > self->limit) {
        self->limit = limit;
    }
    if (consumed > self->consumed && consumed <= self->sent) {
        self->consumed = consumed;
    }
}

void
credit_in_init(credit_in_t *self, uint64_t initial)
{
    *self = (credit_in_t){.granted = initial};
}

bool
credit_in_received(credit_in_t *self, size_t size)
{
    self->received += size;
    return self->received <= self->granted;
}

uint64_t
credit_in_open(const credit_in_t *self)
{
    return self->granted > self->received ? self->granted - self->received : 0;
}

bool
credit_in_grant(
    credit_in_t *self, size_t limit, size_t used, uint64_t open, size_t sources)
{
    uint64_t share = limit / 2 / (sources > 0 ? sources : 1);
    uint64_t mine = credit_in_open(self);
    uint64_t taken = used + open;
    uint64_t room = limit > taken ? limit - taken : 0;
    uint64_t more = 0;
    if (self->want > self->granted) {
        more = self->want - self->granted;
        // An ordinary frame is not refused while half of the queue is free, a
        // full one when those before it have come; a large event needs room, or
        // an empty queue.
        bool small =
            self->want - self->received <= 2 * CREDIT_MAX && used <= limit / 2;
        if (more > room && !small && used > 0) {
            more = 0;
        }
    } else if (mine < share / 2) {
        more = share - mine < room ? share - mine : room;
        // Crumbs are not worth a message.
        if (more < share / 8 && more + mine < CREDIT_MIN) {
            more = 0;
        }
        // Sources that came first may hold more than their share now and be
        // idle; nobody waits for that while half of the queue is free.
        if (mine + more < CREDIT_MAX && used <= limit / 2) {
            more = 2 * CREDIT_MAX - mine;
        }
    }
    // At least 'used' bytes are still queued, whoever they came from.
    uint64_t consumed = self->received > used ? self->received - used : 0;
    if (consumed > self->consumed) {
        self->consumed = consumed;
    }
    self->granted += more;
    return more > 0;
}

bool
credit_in_short(const credit_in_t *self)
{
    return credit_in_open(self) < CREDIT_MAX || self->want > self->granted;
}
