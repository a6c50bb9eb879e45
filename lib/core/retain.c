// SPDX-License-Identifier: MIT
// retain.c - events of one type that are kept for those who come late.

#include "core/retain.h"

#include <stdlib.h>

#include "base/alloc.h"

void
retain_init(retain_t *self, size_t count, int64_t ms, size_t bytes)
{
    *self = (retain_t){.count_max = count > 0 ? count : SIZE_MAX,
        .time_ms = ms > 0 ? ms : INT64_MAX,
        .bytes_max = bytes > 0 ? bytes : SIZE_MAX};
}

static retained_t *
at(const retain_t *self, size_t index)
{
    return &self->ring[(self->first + index) % self->capacity];
}

static size_t
weight_of(const retained_t *kept)
{
    return sizeof *kept + kept->size +
           (kept->blob != NULL ? blob_size(kept->blob) : 0);
}

static void
drop_oldest(retain_t *self)
{
    retained_t *oldest = at(self, 0);
    self->bytes -= weight_of(oldest);
    free(oldest->item);
    blob_drop(&oldest->blob);
    self->first = (self->first + 1) % self->capacity;
    self->count--;
}

void
retain_clear(retain_t *self)
{
    while (self->count > 0) {
        drop_oldest(self);
    }
    for (size_t i = 0; i < self->group_count; i++) {
        free(self->groups[i].name);
    }
    free(self->groups);
    free(self->ring);
}

static void
grow(retain_t *self)
{
    size_t capacity = self->capacity * 2 + 16;
    retained_t *ring = mem_new(capacity * sizeof *ring);
    for (size_t i = 0; i < self->count; i++) {
        ring[i] = *at(self, i);
    }
    free(self->ring);
    self->ring = ring;
    self->capacity = capacity;
    self->first = 0;
}

retained_t *
retain_add(retain_t *self, slice_t content, const run_t *run, blob_t *blob,
    int64_t now_ms)
{
    envelope_t env;
    if (envelope_read(content, &env) != EDRI_OK) {
        return NULL;
    }
    if (self->count == self->capacity) {
        grow(self);
    }
    env.position = ++self->last;
    size_t size = 0;
    uint8_t *item = envelope_copy(&env, &size);
    env.trace = env.text = env.body = (slice_t){0}; // they were borrowed
    retained_t *kept = at(self, self->count++);
    *kept = (retained_t){.position = self->last,
        .at_ms = now_ms,
        .item = item,
        .size = size,
        .env = env,
        .run = {.base_ms = run->base_ms},
        .blob = blob_share(blob)};
    self->bytes += weight_of(kept);
    return kept;
}

static bool
too_much(const retain_t *self, int64_t now_ms)
{
    bool old = self->count > 0 && self->time_ms != INT64_MAX &&
               now_ms - at(self, 0)->at_ms > self->time_ms;
    return old || self->count > self->count_max ||
           (self->bytes > self->bytes_max && self->count > 1);
}

size_t
retain_trim(retain_t *self, int64_t now_ms)
{
    size_t unclaimed = 0;
    while (too_much(self, now_ms)) {
        unclaimed += !at(self, 0)->given;
        drop_oldest(self);
    }
    return unclaimed;
}

retained_t *
retain_behind(const retain_t *self, uint64_t position)
{
    if (self->count == 0 || position >= self->last) {
        return NULL;
    }
    uint64_t oldest = at(self, 0)->position;
    return at(self, position < oldest ? 0 : position + 1 - oldest);
}

uint64_t
retain_since(const retain_t *self, int64_t age_ms, int64_t now_ms)
{
    // From the newest back: who asks for an age seldom wants most of them.
    size_t index = self->count;
    while (index > 0 && now_ms - at(self, index - 1)->at_ms <= age_ms) {
        index--;
    }
    return self->last - (self->count - index);
}

uint64_t *
retain_group(retain_t *self, const char *name)
{
    for (size_t i = 0; i < self->group_count; i++) {
        if (streq(self->groups[i].name, name)) {
            return &self->groups[i].position;
        }
    }
    self->groups = mem_resize(
        self->groups, (self->group_count + 1) * sizeof *self->groups);
    self->groups[self->group_count] = (retain_group_t){.name = str_dup(name)};
    return &self->groups[self->group_count++].position;
}
