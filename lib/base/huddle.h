// SPDX-License-Identifier: MIT
// base/huddle.h - when threads that hand over to each other stay on one processor.
//
// DESIGN
// A thread that wakes another and then sleeps needs no second processor, but the kernel
// gives it one: the first is still busy.  A processor that sleeps takes long to wake (in
// a virtual machine 15 to 25 us), and a request has a dozen such hand-overs.  So while
// there is little to do, and it comes in steps, the threads huddle on one processor.
// What that costs is waiting for it, which the kernel counts.  Each turn of a thread may
// cost what waking would have cost; what it costs more is a debt, and threads that are in
// debt are let go, and left alone for a while, longer each time.  Threads that have much
// to do are let go at once: they run side by side.  And threads that wait for a turn
// anyway do not huddle: no processor sleeps then.
//
// Which processor: that on which what they read arrives, as with receive flow steering
// the other way round (Documentation/networking/scaling.rst of Linux, SO_INCOMING_CPU in
// socket(7)).  On one host the two ends of a connection meet there.
//
// Pure: the caller measures, and moves the threads.

#ifndef BASE_HUDDLE_H
#define BASE_HUDDLE_H

#include <stdbool.h>
#include <stdint.h>

// Between two looks, at least.
#define HUDDLE_LOOK_MS 10

// So many looks in a row have seen little to do, and the same processor.
#define HUDDLE_CALM 4

// Little is less than this part of one processor in percent, much is more than that.
#define HUDDLE_LITTLE 40
#define HUDDLE_MUCH   60

// All threads' turns in one look; with fewer there is nothing to gain.
#define HUDDLE_TURNS 4

// What a turn may wait on an average before they huddle, and what meanwhile; how much
// more, in all, is too much.
#define HUDDLE_MEET_NS 15000
#define HUDDLE_TURN_NS 20000
#define HUDDLE_DEBT_NS 10000000

// How long they are left alone then: doubled each time, unless the last time is ten times
// as long ago.
#define HUDDLE_PAUSE_MS     1000
#define HUDDLE_PAUSE_MAX_MS 64000

// So many looks in a row have seen another place to meet: then they meet there.
#define HUDDLE_SURE 3

typedef struct huddle_seen {
    uint64_t ran_ns; // all threads together, since they began
    uint64_t waited_ns;
    uint64_t turns;
    int cpu;   // where they should meet; -1: nobody knows
    bool free; // that, or wherever they are once they have met
} huddle_seen_t;

// huddle_t begins with huddle_init.
typedef struct huddle {
    int cpu; // where they stay; -1: wherever the kernel likes
    huddle_seen_t last;
    int64_t last_ms;  // 0: it has not looked yet
    int64_t until_ms; // they are left alone
    int64_t pause_ms; // for how long, the last time
    int64_t debt_ns;  // never less than 0
    unsigned calm;
    unsigned moved;
} huddle_t;

void huddle_init(huddle_t *self);

// huddle_look judges what was seen since the last look, and returns self->cpu.
int huddle_look(huddle_t *self, const huddle_seen_t *seen, int64_t now_ms);

// huddle_end lets them go.  Other threads may be counted from then on.
void huddle_end(huddle_t *self);

#endif
