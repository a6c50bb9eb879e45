// SPDX-License-Identifier: MIT
// pace.h - a schedule of events, and how late each of them was.
//
// DESIGN: event i is due at start + i / rate, whatever happened to those before it, and
// its latency counts from then: one that stood for 200 ms makes all late that were due
// meanwhile, also those that were not even sent.  A measurement that counts from when
// an event was really sent, or sends the next when the last was answered, leaves them
// out ("coordinated omission": Gil Tene, "How NOT to Measure Latency", and wrk2).
// A generator cannot wake for each of a million events a second, so it wakes at
// instants of a grid of PACE_TICK_NS and sends what has become due: a burst, whose
// first event is late by up to a tick.  That counts as latency.

#ifndef TOOLS_PACE_H
#define TOOLS_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"

#define PACE_TICK_NS 50000

// pace_t is a schedule; all times are CLOCK_MONOTONIC's, which the processes of a host
// share.
typedef struct pace {
    int64_t start_ns;
    double interval_ns; // between two events
    uint64_t warm;      // the first so many are not measured
    uint64_t count;     // of all
} pace_t;

// pace_at makes a schedule of so many events a second, which warms up and then
// measures for so long; at least two events are measured.
pace_t pace_at(double rate, double warm_s, double seconds);

// pace_due_ns returns when an event is due, numbered from 0.
int64_t pace_due_ns(const pace_t *self, uint64_t number);

// pace_due returns how many events are due by now.
uint64_t pace_due(const pace_t *self, int64_t now_ns);

// pace_wake_ns returns when a generator wakes that waits for event 'next'.
int64_t pace_wake_ns(const pace_t *self, uint64_t next, int64_t now_ns);

// pace_end_ns returns when the last event is due.
int64_t pace_end_ns(const pace_t *self);

// track_t is what was seen of a schedule's events at one place; it begins as zeroes.
typedef struct track {
    uint64_t count; // of all
    uint64_t sum;   // of their numbers
    int64_t first_ns;
    int64_t last_ns;
    histogram_t late; // in ns, behind the schedule
} track_t;

// track_add notes an event that was seen now.
void track_add(
    track_t *self, const pace_t *pace, uint64_t number, int64_t now_ns);

// track_merge adds what another place has seen of the same schedule.
void track_merge(track_t *self, const track_t *other);

// track_is_whole returns true when each event was seen once.
bool track_is_whole(const track_t *self, const pace_t *pace);

// track_rate returns how many events a second were seen while it was measured, at each
// of so many places.
double track_rate(const track_t *self, unsigned places);

#endif
