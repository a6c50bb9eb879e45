// SPDX-License-Identifier: MIT
// huddle.c - when threads that hand over to each other stay on one processor.

#include "base/huddle.h"

void
huddle_init(huddle_t *self)
{
    *self = (huddle_t){.cpu = -1, .last.cpu = -1};
}

static void
let_go(huddle_t *self)
{
    self->cpu = -1;
    self->calm = self->moved = 0;
}

void
huddle_end(huddle_t *self)
{
    let_go(self);
    self->debt_ns = 0;
    self->last_ms = 0;
}

// leave_alone lets them go because of what it cost.
static void
leave_alone(huddle_t *self, int64_t now_ms)
{
    bool lasted = now_ms - self->until_ms >= 10 * self->pause_ms;
    int64_t pause = lasted ? HUDDLE_PAUSE_MS : 2 * self->pause_ms;
    self->pause_ms = pause < HUDDLE_PAUSE_MAX_MS ? pause : HUDDLE_PAUSE_MAX_MS;
    self->until_ms = now_ms + self->pause_ms;
    self->debt_ns = 0;
    let_go(self);
}

// stay judges threads that huddle.
static void
stay(huddle_t *self, bool much, int64_t lost_ns, int cpu, int64_t now_ms)
{
    self->debt_ns += lost_ns;
    self->debt_ns = self->debt_ns > 0 ? self->debt_ns : 0;
    self->moved = cpu != self->cpu ? self->moved + 1 : 0;
    if (self->debt_ns > HUDDLE_DEBT_NS) {
        leave_alone(self, now_ms);
    } else if (much || self->moved >= HUDDLE_SURE) {
        let_go(self);
    }
}

// meet judges threads that do not.
static void
meet(huddle_t *self, bool gains, int cpu, int64_t now_ms)
{
    if (!gains || cpu < 0) {
        self->calm = 0;
        return;
    }
    self->calm = cpu == self->last.cpu ? self->calm + 1 : 1;
    if (self->calm >= HUDDLE_CALM && now_ms >= self->until_ms) {
        self->cpu = cpu;
    }
}

// judge compares what was seen with the last look.  Returns false when that says nothing.
static bool
judge(huddle_t *self, const huddle_seen_t *seen, int cpu, int64_t now_ms)
{
    uint64_t passed_ns = (uint64_t)(now_ms - self->last_ms) * 1000000;
    uint64_t ran_ns = (seen->ran_ns - self->last.ran_ns) * 100;
    uint64_t turns = seen->turns - self->last.turns;
    int64_t waited_ns = (int64_t)(seen->waited_ns - self->last.waited_ns);
    if (turns < (self->cpu >= 0 ? 1 : HUDDLE_TURNS)) {
        return false;
    }
    if (self->cpu >= 0) {
        stay(self, ran_ns > passed_ns * HUDDLE_MUCH,
            waited_ns - (int64_t)turns * HUDDLE_TURN_NS, cpu, now_ms);
    } else {
        meet(self,
            ran_ns < passed_ns * HUDDLE_LITTLE &&
                waited_ns < (int64_t)turns * HUDDLE_MEET_NS,
            cpu, now_ms);
    }
    return true;
}

int
huddle_look(huddle_t *self, const huddle_seen_t *seen, int64_t now_ms)
{
    bool met = self->cpu >= 0 || self->calm > 0;
    int cpu = seen->free && met ? self->last.cpu : seen->cpu;
    if (self->last_ms == 0 || judge(self, seen, cpu, now_ms)) {
        self->last = *seen;
        self->last.cpu = cpu;
        self->last_ms = now_ms;
    }
    return self->cpu;
}
