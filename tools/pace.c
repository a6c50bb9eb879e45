// SPDX-License-Identifier: MIT
// pace.c - a schedule of events, and how late each of them was.

#include "pace.h"

pace_t
pace_at(double rate, double warm_s, double seconds)
{
    uint64_t warm = (uint64_t)(rate * warm_s);
    uint64_t measured = (uint64_t)(rate * seconds);
    return (pace_t){.interval_ns = 1e9 / rate,
        .warm = warm,
        .count = warm + (measured > 2 ? measured : 2)};
}

int64_t
pace_due_ns(const pace_t *self, uint64_t number)
{
    return self->start_ns + (int64_t)((double)number * self->interval_ns);
}

uint64_t
pace_due(const pace_t *self, int64_t now_ns)
{
    if (now_ns < self->start_ns) {
        return 0;
    }
    double passed = (double)(now_ns - self->start_ns) / self->interval_ns;
    return passed < (double)self->count ? (uint64_t)passed + 1 : self->count;
}

int64_t
pace_wake_ns(const pace_t *self, uint64_t next, int64_t now_ns)
{
    int64_t ticks = (now_ns - self->start_ns) / PACE_TICK_NS;
    int64_t tick_ns = self->start_ns + (ticks + 1) * PACE_TICK_NS;
    int64_t due_ns = pace_due_ns(self, next);
    return due_ns > tick_ns ? due_ns : tick_ns;
}

int64_t
pace_end_ns(const pace_t *self)
{
    return pace_due_ns(self, self->count - 1);
}

void
track_add(track_t *self, const pace_t *pace, uint64_t number, int64_t now_ns)
{
    self->count++;
    self->sum += number;
    if (number < pace->warm) {
        return;
    }
    if (self->late.total == 0) {
        self->first_ns = now_ns;
    }
    self->last_ns = now_ns;
    int64_t late_ns = now_ns - pace_due_ns(pace, number);
    histogram_add(&self->late, late_ns > 0 ? (uint64_t)late_ns : 0);
}

void
track_merge(track_t *self, const track_t *other)
{
    if (self->late.total == 0 || other->first_ns < self->first_ns) {
        self->first_ns = other->first_ns;
    }
    if (other->last_ns > self->last_ns) {
        self->last_ns = other->last_ns;
    }
    self->count += other->count;
    self->sum += other->sum;
    histogram_merge(&self->late, &other->late);
}

bool
track_is_whole(const track_t *self, const pace_t *pace)
{
    uint64_t n = pace->count;
    return self->count == n && self->sum == n * (n - 1) / 2;
}

double
track_rate(const track_t *self, unsigned places)
{
    double measured = (double)self->late.total / places;
    double seconds = (double)(self->last_ns - self->first_ns) * 1e-9;
    return measured > 1 && seconds > 0 ? (measured - 1) / seconds : 0;
}
