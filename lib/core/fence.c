// SPDX-License-Identifier: MIT
// fence.c - may a receiver begin what its source might give to another?

#include "core/fence.h"

// Asks in one lease, when all are answered.
#define ASKS 4

int64_t
fence_slack_ms(int64_t lease_ms)
{
    return lease_ms / 50 + 10;
}

void
fence_init(fence_t *self, int64_t lease_ms)
{
    *self = (fence_t){.lease_ms = lease_ms};
}

bool
fence_open(const fence_t *self, int64_t now_ms)
{
    return self->free || now_ms < self->until_ms;
}

int64_t
fence_due(const fence_t *self)
{
    if (self->free) {
        return INT64_MAX;
    }
    int64_t pause = self->lease_ms / ASKS;
    int64_t fresh = self->until_ms - self->lease_ms + pause;
    int64_t again = self->asked_ms > 0 ? self->asked_ms + pause / 4 : 0;
    return fresh > again ? fresh : again;
}

bool
fence_ask(fence_t *self, int64_t now_ms)
{
    if (now_ms < fence_due(self)) {
        return false;
    }
    self->asked_ms = now_ms;
    return true;
}

bool
fence_echo(fence_t *self, int64_t number)
{
    if (number <= 0 || number > self->asked_ms) {
        return false;
    }
    if (number + self->lease_ms > self->until_ms) {
        self->until_ms = number + self->lease_ms;
    }
    return true;
}

void
lease_init(lease_t *self, int64_t lease_ms)
{
    *self = (lease_t){.lease_ms = lease_ms};
}

void
lease_give(lease_t *self, int64_t now_ms)
{
    self->given_ms = now_ms;
}

int64_t
lease_end(const lease_t *self)
{
    return self->given_ms == 0 ? 0
                               : self->given_ms + self->lease_ms +
                                     fence_slack_ms(self->lease_ms);
}
