// SPDX-License-Identifier: MIT
// session.c - a node's session with one switch: states and deadlines.

#include "core/session.h"

void
session_init(
    session_t *self, session_times_t times, uint64_t seed, int64_t now_ms)
{
    *self = (session_t){
        .times = times,
        .state = SESSION_DOWN,
        .until_ms = now_ms,
        .backoff_ms = times.backoff_min_ms,
        .random = seed != 0 ? seed : 1,
    };
}

// jitter returns between half of and the whole of 'ms' (xorshift64*,
// S. Vigna, 2016), so that nodes that lost one switch do not come back at once.
static int64_t
jitter(session_t *self, int64_t ms)
{
    uint64_t x = self->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    self->random = x;
    uint64_t high = (x * UINT64_C(0x2545F4914F6CDD1D)) >> 33;
    return ms / 2 + (int64_t)(high % (uint64_t)(ms / 2 + 1));
}

static session_do_t
go_down(session_t *self, int64_t now_ms)
{
    self->state = SESSION_DOWN;
    self->until_ms = now_ms + jitter(self, self->backoff_ms);
    self->backoff_ms *= 2;
    if (self->backoff_ms > self->times.backoff_max_ms) {
        self->backoff_ms = self->times.backoff_max_ms;
    }
    return SESSION_CLOSE;
}

// lost_at is when the link counts as lost unless something comes.
static int64_t
lost_at(const session_t *self)
{
    int64_t silent = self->heard_ms + self->times.lost_ms;
    // A peer that does not say what it hears is believed.
    if (self->echoed == 0 || self->echoed == self->beats) {
        return silent;
    }
    int64_t open = (int64_t)(self->beats - self->echoed);
    int64_t sent = self->beat_ms - open * self->times.heartbeat_ms;
    return sent + self->echo_ms < silent ? sent + self->echo_ms : silent;
}

session_do_t
session_tick(session_t *self, int64_t now_ms)
{
    switch (self->state) {
    case SESSION_DOWN:
        if (now_ms < self->until_ms) {
            return SESSION_NOTHING;
        }
        self->state = SESSION_HELLO;
        self->until_ms = now_ms + self->times.connect_ms;
        self->attempts++;
        return SESSION_OPEN;
    case SESSION_HELLO:
        return now_ms < self->until_ms ? SESSION_NOTHING
                                       : go_down(self, now_ms);
    case SESSION_UP:
        if (now_ms >= lost_at(self)) {
            return go_down(self, now_ms);
        }
        if (now_ms >= self->beat_ms) {
            self->beats++;
            self->beat_ms = now_ms + self->times.heartbeat_ms;
            return SESSION_BEAT;
        }
        return SESSION_NOTHING;
    }
    return SESSION_NOTHING;
}

void
session_heard(session_t *self, int64_t now_ms)
{
    self->heard_ms = now_ms;
}

void
session_echo(session_t *self, uint64_t number)
{
    if (number > self->echoed && number <= self->beats) {
        self->echoed = number;
    }
}

bool
session_welcome(session_t *self, int64_t peer_beat_ms, int64_t now_ms)
{
    if (self->state != SESSION_HELLO) {
        return false;
    }
    self->state = SESSION_UP;
    self->heard_ms = now_ms;
    self->beats = self->echoed = 0;
    int64_t beat_ms = self->times.heartbeat_ms;
    self->echo_ms = 3 * (peer_beat_ms > beat_ms ? peer_beat_ms : beat_ms) / 2;
    self->beat_ms = now_ms + self->times.heartbeat_ms;
    self->backoff_ms = self->times.backoff_min_ms;
    return true;
}

session_do_t
session_end(session_t *self, int64_t now_ms)
{
    return self->state == SESSION_DOWN ? SESSION_NOTHING
                                       : go_down(self, now_ms);
}

void
session_shift(session_t *self, int64_t gap_ms)
{
    self->until_ms += gap_ms;
    self->heard_ms += gap_ms;
    self->beat_ms += gap_ms;
}

int64_t
session_next(const session_t *self)
{
    if (self->state != SESSION_UP) {
        return self->until_ms;
    }
    int64_t lost = lost_at(self);
    return lost < self->beat_ms ? lost : self->beat_ms;
}
