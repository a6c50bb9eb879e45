// SPDX-License-Identifier: MIT
// flow_out.c - the source's end of a flow: what was sent and is not sure.

#include "core/flow_out.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "wire/envelope.h"

void
flow_out_init(flow_out_t *self, uint64_t next, flow_drop_fn *drop, void *arg)
{
    *self = (flow_out_t){.drop = drop,
        .arg = arg,
        .next = next,
        .arrived = next,
        .gone = next,
        .round = next,
        .window = FLOW_WINDOW_FIRST,
        .probe_ms = FLOW_PROBE_MS};
}

// forget frees a packet; its cargo is dropped, or has been taken.
static void
forget(flow_out_t *self, packet_t *packet, bool drop)
{
    self->weight -= packet->weight;
    if (drop) {
        self->drop(packet->cargo, self->arg);
    }
    free(packet);
}

static void
give_away(flow_out_t *self, packet_t *packet, flow_visit_fn *visit, void *arg)
{
    while (packet != NULL) {
        packet_t *next = packet->next;
        if (visit != NULL) {
            visit(packet, arg);
        }
        forget(self, packet, visit == NULL);
        packet = next;
    }
}

void
flow_out_give_up(flow_out_t *self, flow_visit_fn *visit, void *arg)
{
    for (size_t i = 0; i < self->held_count; i++) {
        give_away(self, self->held[i].first, visit, arg);
    }
    packet_t *first = self->first;
    self->first = self->last = self->resend = NULL;
    give_away(self, first, visit, arg);
    free(self->held);
    self->held = NULL;
    self->held_count = 0;
    self->held_weight = 0;
    self->flying = 0;
    self->arrived = self->gone = self->round = self->next;
    self->skip = 0;
    self->opened = false; // whatever comes next stands for itself
}

void
flow_out_clear(flow_out_t *self)
{
    flow_out_give_up(self, NULL, NULL);
}

void
flow_out_begin(flow_out_t *self, uint64_t path, int64_t now_ms)
{
    self->path = path;
    self->opened = false;
    self->resend = self->first;
    self->flying = 0;
    self->round = self->next;
    self->progress_ms = now_ms;
    self->probe_ms = FLOW_PROBE_MS;
    self->unsure = self->held_weight > 0;
    self->doubt = false;
}

// ----- sending

bool
flow_out_resending(const flow_out_t *self)
{
    return self->resend != NULL;
}

bool
flow_out_open(const flow_out_t *self, int64_t now_ms)
{
    return self->resend == NULL && self->flying < self->window &&
           now_ms >= self->pause_ms;
}

static void
stamp_packet(
    flow_out_t *self, packet_t *packet, int64_t now_ms, flow_stamp_t *stamp)
{
    *stamp = (flow_stamp_t){.path = self->path,
        .first = packet->first,
        .skipped = packet->skipped,
        .sum = packet->before,
        .events = (uint32_t)(packet->end - packet->first),
        .opens = !self->opened};
    if (self->flying == 0) {
        self->progress_ms = now_ms; // nothing was waited for until now
    }
    self->opened = true;
    self->flying++;
    packet->sent_ms = now_ms;
}

packet_t *
flow_out_add(flow_out_t *self, void *cargo, uint32_t events, uint32_t target,
    size_t weight, uint64_t sum, bool keep, int64_t now_ms, flow_stamp_t *stamp)
{
    packet_t *packet = mem_new(sizeof *packet);
    *packet = (packet_t){.first = self->next,
        .end = self->next + events,
        .skipped = self->skip,
        .before = self->sum,
        .sum = sum,
        .target = target,
        .keep = keep,
        .weight = weight,
        .cargo = cargo};
    self->next = packet->end;
    self->skip = 0;
    self->sum = flow_sums(self->sum, sum);
    self->events += events;
    self->weight += weight;
    if (self->last != NULL) {
        self->last->next = packet;
    } else {
        self->first = packet;
    }
    self->last = packet;
    stamp_packet(self, packet, now_ms, stamp);
    return packet;
}

const packet_t *
flow_out_again(flow_out_t *self, int64_t now_ms, flow_stamp_t *stamp)
{
    packet_t *packet = self->resend;
    if (packet == NULL || self->flying >= self->window ||
        now_ms < self->pause_ms) {
        return NULL;
    }
    packet->again = true;
    stamp_packet(self, packet, now_ms, stamp);
    self->resend = packet->next;
    return packet;
}

// ----- the receiver's words

static held_t *
find_held(const flow_out_t *self, uint32_t target)
{
    for (size_t i = 0; i < self->held_count; i++) {
        if (self->held[i].target == target) {
            return &self->held[i];
        }
    }
    return NULL;
}

// hold keeps a packet that has arrived until it is settled.
static void
hold(flow_out_t *self, packet_t *packet)
{
    held_t *held = find_held(self, packet->target);
    if (held == NULL) {
        self->held =
            mem_resize(self->held, (self->held_count + 1) * sizeof *self->held);
        held = &self->held[self->held_count++];
        *held = (held_t){.target = packet->target};
    }
    packet->next = NULL;
    packet->arrived = true;
    if (held->last != NULL) {
        held->last->next = packet;
    } else {
        held->first = packet;
    }
    held->last = packet;
    held->weight += packet->weight;
    self->held_weight += packet->weight;
}

static void
measure(flow_out_t *self, const packet_t *packet, int64_t now_ms)
{
    // What was sent twice tells nothing (P. Karn, C. Partridge, 1987).
    if (!packet->again) {
        int64_t sample = now_ms - packet->sent_ms;
        self->rtt_ms = (7 * self->rtt_ms + sample) / 8;
    }
}

bool
flow_out_arrived(flow_out_t *self, uint64_t arrived, int64_t now_ms)
{
    if (arrived > self->next) {
        return false;
    }
    if (arrived <= self->arrived) {
        return true;
    }
    self->arrived = arrived;
    self->progress_ms = now_ms;
    self->probe_ms = FLOW_PROBE_MS;
    while (self->first != NULL && self->first->end <= arrived) {
        packet_t *packet = self->first;
        measure(self, packet, now_ms);
        self->first = packet->next;
        if (self->resend == packet) {
            self->resend = packet->next; // it had come on an older path
        } else {
            self->flying--;
        }
        if (packet->keep) {
            hold(self, packet);
        } else {
            forget(self, packet, true);
        }
    }
    if (self->first == NULL) {
        self->last = NULL;
    }
    if (arrived >= self->round) {
        self->round = self->next;
        if (self->window < FLOW_WINDOW_MAX) {
            self->window++;
        }
    }
    return true;
}

void
flow_out_known(flow_out_t *self, uint64_t path, int64_t now_ms)
{
    self->unsure = self->unsure && path != self->path;
    // As a rule it crossed with the first frames of the path.
    self->doubt =
        self->doubt || (path < self->path && self->flying > 0 &&
                           now_ms - self->progress_ms >= FLOW_DOUBT_MS);
}

void
flow_out_wonder(flow_out_t *self)
{
    bool open = self->first != NULL || (self->unsure && self->held_weight > 0);
    self->doubt = self->doubt || (open && flow_out_asks(self));
}

bool
flow_out_lost(flow_out_t *self, uint64_t path, int64_t pause_ms, int64_t now_ms)
{
    if (path != self->path) {
        return false;
    }
    self->window /= 2;
    if (self->window < FLOW_WINDOW_MIN) {
        self->window = FLOW_WINDOW_MIN;
    }
    if (pause_ms > 0) {
        self->pause_ms = now_ms + pause_ms;
    }
    return true;
}

// unlink_held takes a packet out of what is held.
static void
unlink_held(flow_out_t *self, held_t *held, packet_t *before, packet_t *packet)
{
    *(before != NULL ? &before->next : &held->first) = packet->next;
    if (held->last == packet) {
        held->last = before;
    }
    held->weight -= packet->weight;
    self->held_weight -= packet->weight;
    self->settled += packet->end - packet->first;
}

bool
flow_out_settled(
    flow_out_t *self, uint32_t target, uint64_t first, uint64_t end)
{
    if (end > self->next || first > end) {
        return false;
    }
    held_t *held = find_held(self, target);
    packet_t *before = NULL;
    packet_t *packet = held != NULL ? held->first : NULL;
    while (packet != NULL && packet->first < end) {
        packet_t *next = packet->next;
        if (packet->first >= first && packet->end <= end) {
            unlink_held(self, held, before, packet);
            forget(self, packet, true);
        } else {
            before = packet;
        }
        packet = next;
    }
    return true;
}

bool
flow_out_returned(
    flow_out_t *self, uint32_t target, uint64_t first, uint64_t end)
{
    if (end > self->next || first > end) {
        return false;
    }
    const held_t *held = find_held(self, target);
    packet_t *packet = held != NULL ? held->first : NULL;
    for (; packet != NULL && packet->first < end; packet = packet->next) {
        packet->returned =
            packet->returned || (packet->first >= first && packet->end <= end);
    }
    return true;
}

static bool
is_open(const packet_t *packet, void *arg)
{
    (void)arg;
    return !packet->returned;
}

bool
flow_out_all_returned(const flow_out_t *self, uint32_t target)
{
    return !flow_out_any(self, target, is_open, NULL);
}

void
flow_out_take_returned(
    flow_out_t *self, uint32_t target, flow_visit_fn *visit, void *arg)
{
    held_t *held = find_held(self, target);
    packet_t *packet = held != NULL ? held->first : NULL;
    // First all out: who asks meanwhile finds nothing open.
    while (held != NULL && held->first != NULL) {
        packet_t *next = held->first->next;
        packet_t *taken = held->first;
        unlink_held(self, held, NULL, taken);
        taken->next = next;
    }
    while (packet != NULL) {
        packet_t *next = packet->next;
        visit(packet, arg);
        forget(self, packet, false);
        packet = next;
    }
}

size_t
flow_out_deny(flow_out_t *self, uint64_t first)
{
    packet_t *before = NULL;
    packet_t *packet = self->first;
    while (packet != NULL && packet->first != first) {
        before = packet;
        packet = packet->next;
    }
    if (packet == NULL) {
        return 0;
    }
    uint64_t gap = packet->skipped + (packet->end - packet->first);
    size_t weight = packet->weight;
    *(before != NULL ? &before->next : &self->first) = packet->next;
    if (self->last == packet) {
        self->last = before;
    }
    if (packet->next != NULL) {
        packet->next->skipped += gap;
    } else {
        self->skip += gap;
    }
    bool waits = false;
    for (const packet_t *at = self->resend; at != NULL; at = at->next) {
        waits = waits || at == packet;
    }
    if (self->resend == packet) {
        self->resend = packet->next;
    }
    self->flying -= !waits;
    forget(self, packet, true);
    return weight;
}

uint64_t
flow_sum_batch(slice_t batch)
{
    slice_t item;
    slice_t content;
    envelope_t env;
    uint64_t sum = 0;
    while (batch_next(&batch, &item, &content) &&
           envelope_route(content, &env) == EDRI_OK) {
        sum = flow_sum(sum, env.type, env.id, item.len);
    }
    return sum;
}

// ----- time, and the rest

size_t
flow_out_held(const flow_out_t *self, uint32_t target)
{
    const held_t *held = find_held(self, target);
    return held != NULL ? held->weight : 0;
}

bool
flow_out_any(
    const flow_out_t *self, uint32_t target, flow_test_fn *test, void *arg)
{
    const held_t *held = find_held(self, target);
    const packet_t *at = held != NULL ? held->first : NULL;
    for (; at != NULL; at = at->next) {
        if (test(at, arg)) {
            return true;
        }
    }
    for (at = self->first; at != NULL; at = at->next) {
        if (at->target == target && test(at, arg)) {
            return true;
        }
    }
    return false;
}

int64_t
flow_out_due(const flow_out_t *self)
{
    if (self->doubt) {
        return self->progress_ms;
    }
    if (self->first != NULL || (self->unsure && self->held_weight > 0)) {
        // What was under way during an outage has come late: that is no round
        // trip to wait for.
        int64_t pause = 4 * self->rtt_ms < FLOW_PROBE_MAX_MS
                            ? 4 * self->rtt_ms
                            : FLOW_PROBE_MAX_MS;
        return self->progress_ms +
               (pause > self->probe_ms ? pause : self->probe_ms);
    }
    return self->held_weight > 0 ? self->progress_ms + FLOW_REMIND_MS
                                 : INT64_MAX;
}

bool
flow_out_asks(const flow_out_t *self)
{
    return self->resend == NULL || self->flying > 0;
}

void
flow_out_probe(flow_out_t *self, int64_t now_ms, flow_stamp_t *stamp)
{
    const packet_t *next = self->resend; // what goes next on this path
    *stamp = (flow_stamp_t){.path = self->path,
        .first = next != NULL ? next->first : self->next,
        .skipped = next != NULL ? next->skipped : self->skip,
        .sum = next != NULL ? next->before : self->sum,
        .opens = !self->opened && self->first == NULL};
    self->opened = self->opened || stamp->opens;
    self->progress_ms = now_ms;
    self->doubt = false;
    bool soon = self->first != NULL || self->unsure;
    if (soon && self->probe_ms < FLOW_PROBE_MAX_MS) {
        self->probe_ms *= 2;
    }
}
