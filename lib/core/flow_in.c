// SPDX-License-Identifier: MIT
// flow_in.c - the receiver's end of a flow: what came, what is settled.

#include "core/flow_in.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "edri/err.h"

void
flow_in_init(flow_in_t *self)
{
    *self = (flow_in_t){0};
    edri__wire__flow__init(&self->word);
}

void
flow_in_clear(flow_in_t *self)
{
    for (size_t i = 0; i < self->ledger_count; i++) {
        record_t *record = self->ledgers[i].first;
        while (record != NULL) {
            record_t *next = record->next;
            free(record);
            record = next;
        }
    }
    free(self->ledgers);
    free(self->settled);
    free(self->settled_p);
    free(self->ranges);
    free(self->ranges_p);
    free(self->returned);
    free(self->returned_p);
    flow_in_init(self);
}

// ----- frames

void
flow_in_retell(flow_in_t *self)
{
    for (size_t i = 0; i < self->ledger_count; i++) {
        self->ledgers[i].dirty = true;
    }
    self->tell = self->begun;
}

// follows says whether nothing is missing before the frame.
static bool
follows(const flow_in_t *self, const flow_stamp_t *stamp)
{
    return stamp->opens ||
           (self->opened && stamp->first - stamp->skipped <= self->arrived);
}

flow_verdict_t
flow_in_frame(flow_in_t *self, const flow_stamp_t *stamp)
{
    if (self->begun && stamp->path < self->path) {
        return FLOW_OLD;
    }
    if (!self->begun || stamp->path > self->path) {
        self->begun = true;
        self->path = stamp->path;
        self->opened = false;
        self->lost = false;
        flow_in_retell(self); // the source's session may have ended
    }
    self->tell = true;
    self->untold++;
    if (!follows(self, stamp)) {
        self->lost = true;
        return FLOW_LOST;
    }
    self->opened = true;
    uint64_t end = stamp->first + stamp->events;
    if (end <= self->arrived) {
        return FLOW_DUPLICATE;
    }
    if (stamp->first < self->arrived) {
        return FLOW_MALFORMED;
    }
    if (stamp->first > self->arrived) {
        self->sum = stamp->sum; // what was before never comes
    }
    self->arrived = end;
    self->events += stamp->events;
    return FLOW_TAKE;
}

bool
flow_in_sum(flow_in_t *self, const flow_stamp_t *stamp, uint64_t sum)
{
    bool same = self->sum == stamp->sum;
    if (!same && self->differs++ == 0) {
        self->differs_at = stamp->first;
    }
    self->sum = flow_sums(stamp->sum, sum);
    return same;
}

void
flow_in_missed(flow_in_t *self)
{
    if (self->begun) {
        self->lost = true;
        self->tell = true;
    }
}

// ----- records

static ledger_t *
find_ledger(flow_in_t *self, uint32_t target)
{
    for (size_t i = 0; i < self->ledger_count; i++) {
        if (self->ledgers[i].target == target) {
            return &self->ledgers[i];
        }
    }
    self->ledgers = mem_resize(
        self->ledgers, (self->ledger_count + 1) * sizeof *self->ledgers);
    ledger_t *ledger = &self->ledgers[self->ledger_count++];
    *ledger = (ledger_t){.target = target};
    return ledger;
}

record_t *
flow_in_open(flow_in_t *self, uint32_t target, uint64_t first, uint64_t end)
{
    ledger_t *ledger = find_ledger(self, target);
    record_t *record = mem_new(sizeof *record);
    record->first = first;
    record->end = end;
    if (ledger->last != NULL) {
        ledger->last->next = record;
    } else {
        ledger->first = record;
    }
    ledger->last = record;
    self->open++;
    return record;
}

void
flow_in_done(flow_in_t *self, uint32_t target, record_t *record)
{
    ledger_t *ledger = find_ledger(self, target);
    record->done = true;
    self->open--;
    while (ledger->first != NULL && ledger->first->done) {
        record_t *first = ledger->first;
        ledger->below = first->end;
        ledger->first = first->next;
        free(first);
    }
    if (ledger->first == NULL) {
        ledger->last = NULL;
    }
    ledger->dirty = true;
    self->tell = true;
}

void
flow_in_return(flow_in_t *self, uint32_t target, record_t *record)
{
    record->returned = true;
    self->open--;
    self->back++;
    ledger_t *ledger = find_ledger(self, target);
    ledger->dirty = ledger->returned = true;
    self->tell = true;
}

void
flow_in_refuse(flow_in_t *self, uint32_t target, uint64_t first, uint64_t end)
{
    bool known = false;
    for (size_t i = 0; i < self->ledger_count; i++) {
        known = known || self->ledgers[i].target == target;
    }
    // Of those who never were here not without bound.
    if (!known && self->back >= FLOW_RETURNED_MAX) {
        return;
    }
    ledger_t *ledger = find_ledger(self, target);
    if (ledger->last != NULL && ledger->last->returned) {
        ledger->last->end = end; // what is between is somebody else's
        ledger->dirty = self->tell = true;
    } else {
        flow_in_return(self, target, flow_in_open(self, target, first, end));
    }
}

// ----- telling

static void
add_range(flow_in_t *self, uint64_t first, uint64_t end)
{
    if (self->range_count == self->range_capacity) {
        self->range_capacity = 2 * self->range_capacity + 16;
        self->ranges = mem_resize(
            self->ranges, self->range_capacity * sizeof *self->ranges);
    }
    Edri__Wire__Range *range = &self->ranges[self->range_count++];
    edri__wire__range__init(range);
    range->first = first;
    range->count = end - first;
}

// add_ranges adds what of a manager is done behind something open (or has been
// returned), as few ranges.  Returns how many.
static size_t
add_ranges(flow_in_t *self, const ledger_t *ledger, bool returned)
{
    size_t most = ledger->returned ? FLOW_RETURNED_MAX : FLOW_RANGES_MAX;
    size_t count = 0;
    bool open = true;
    for (const record_t *at = ledger->first; at != NULL; at = at->next) {
        if (!(returned ? at->returned : at->done)) {
            open = true;
        } else if (!open) {
            Edri__Wire__Range *range = &self->ranges[self->range_count - 1];
            range->count = at->end - range->first;
        } else if (count < most) {
            add_range(self, at->first, at->end);
            open = false;
            count++;
        } else {
            break;
        }
    }
    return count;
}

Edri__Wire__Flow *
flow_in_word(flow_in_t *self)
{
    Edri__Wire__Flow *word = &self->word;
    edri__wire__flow__init(word);
    word->path = self->path;
    word->arrived = self->arrived;
    word->lost = self->lost;
    self->range_count = 0;
    self->settled = mem_resize(
        self->settled, (self->ledger_count + 1) * sizeof *self->settled);
    self->settled_p = mem_resize(
        self->settled_p, (self->ledger_count + 1) * sizeof *self->settled_p);
    self->returned = mem_resize(
        self->returned, (self->ledger_count + 1) * sizeof *self->returned);
    self->returned_p = mem_resize(
        self->returned_p, (self->ledger_count + 1) * sizeof *self->returned_p);
    for (size_t i = 0; i < self->ledger_count; i++) {
        ledger_t *ledger = &self->ledgers[i];
        if (!ledger->dirty) {
            continue;
        }
        ledger->dirty = false;
        Edri__Wire__Settled *settled = &self->settled[word->n_settled];
        edri__wire__settled__init(settled);
        settled->target = ledger->target;
        settled->below = ledger->below;
        settled->n_ranges = add_ranges(self, ledger, false);
        self->settled_p[word->n_settled++] = settled;
        Edri__Wire__Returned *returned = &self->returned[word->n_returned];
        edri__wire__returned__init(returned);
        returned->target = ledger->target;
        returned->reason = EDRI_CLOSED;
        returned->n_ranges = add_ranges(self, ledger, true);
        self->returned_p[word->n_returned] = returned;
        word->n_returned += returned->n_ranges > 0;
    }
    // The arrays do not grow any more: now they can be pointed at.
    self->ranges_p = mem_resize(
        self->ranges_p, (self->range_count + 1) * sizeof *self->ranges_p);
    size_t at = 0;
    for (size_t i = 0; i < self->range_count; i++) {
        self->ranges_p[i] = &self->ranges[i];
    }
    size_t back = 0;
    for (size_t i = 0; i < word->n_settled; i++) {
        self->settled[i].ranges = self->ranges_p + at;
        at += self->settled[i].n_ranges;
        if (back < word->n_returned &&
            self->returned[back].target == self->settled[i].target) {
            self->returned[back].ranges = self->ranges_p + at;
            at += self->returned[back++].n_ranges;
        }
    }
    word->settled = self->settled_p;
    word->returned = self->returned_p;
    self->tell = false;
    self->untold = 0;
    return word;
}
