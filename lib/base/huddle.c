// SPDX-License-Identifier: MIT
// huddle.c - when threads that hand over to each other stay on one processor.

#include "base/huddle.h"

void
huddle_init(huddle_t *self)
{
    *self = (huddle_t){.cpu = -1, .last.cpu = -1};
}

void
huddle_end(huddle_t *self)
{
    self->cpu = -1;
    self->calm = self->late = self->moved = 0;
}

// leave_alone ends it because of what it cost.
static void
leave_alone(huddle_t *self, int64_t now_ms)
{
    bool lasted = now_ms - self->since_ms >= 10 * self->pause_ms;
    int64_t pause = lasted ? HUDDLE_PAUSE_MS : 2 * self->pause_ms;
    self->pause_ms = pause < HUDDLE_PAUSE_MAX_MS ? pause : HUDDLE_PAUSE_MAX_MS;
    self->until_ms = now_ms + self->pause_ms;
    huddle_end(self);
}

// stay judges threads that huddle.
static void
stay(huddle_t *self, bool much, bool late, int cpu, int64_t now_ms)
{
    self->late = late ? self->late + 1 : 0;
    self->moved = cpu != self->cpu ? self->moved + 1 : 0;
    if (self->late >= HUDDLE_SURE) {
        leave_alone(self, now_ms);
    } else if (much || self->moved >= HUDDLE_SURE) {
        huddle_end(self);
    }
}

// meet judges threads that do not.
static void
meet(huddle_t *self, bool calm, int cpu, int64_t now_ms)
{
    if (!calm || cpu < 0) {
        self->calm = 0;
        return;
    }
    self->calm = cpu == self->last.cpu ? self->calm + 1 : 1;
    if (self->calm >= HUDDLE_CALM && now_ms >= self->until_ms) {
        self->cpu = cpu;
        self->since_ms = now_ms;
    }
}

int
huddle_look(huddle_t *self, const huddle_seen_t *seen, int64_t now_ms)
{
    if (self->last_ms != 0) {
        uint64_t passed_ns = (uint64_t)(now_ms - self->last_ms) * 1000000;
        uint64_t ran_ns = (seen->ran_ns - self->last.ran_ns) * 100;
        uint64_t turns = seen->turns - self->last.turns;
        uint64_t waited_ns = seen->waited_ns - self->last.waited_ns;
        if (self->cpu < 0 && turns < HUDDLE_TURNS) {
            return self->cpu; // nothing to learn from
        }
        if (self->cpu >= 0) {
            stay(self, ran_ns > passed_ns * HUDDLE_MUCH,
                waited_ns > turns * HUDDLE_WAIT_NS, seen->cpu, now_ms);
        } else {
            meet(self, ran_ns < passed_ns * HUDDLE_LITTLE, seen->cpu, now_ms);
        }
    }
    self->last = *seen;
    self->last_ms = now_ms;
    return self->cpu;
}
