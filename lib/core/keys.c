// SPDX-License-Identifier: MIT
// keys.c - which member of a group gets the events of a key.

#include "core/keys.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/hash.h"

static bool
is_same(const keys_member_t *a, const keys_member_t *b)
{
    return a->life == b->life && a->target == b->target;
}

static bool
has(const keys_view_t *view, const keys_member_t *member)
{
    for (size_t i = 0; i < view->count; i++) {
        if (is_same(&view->members[i], member)) {
            return true;
        }
    }
    return false;
}

static bool
are_same(const keys_view_t *view, const keys_member_t *members, size_t count)
{
    bool same = view->count == count;
    for (size_t i = 0; i < count && same; i++) {
        same = has(view, &members[i]);
    }
    return same;
}

bool
keys_set(
    keys_t *self, const keys_member_t *members, size_t count, uint64_t epoch)
{
    if (are_same(&self->now, members, count)) {
        return false;
    }
    if (self->now.count > 0) {
        self->before = mem_resize(
            self->before, (self->before_count + 1) * sizeof *self->before);
        self->now.end = epoch;
        self->before[self->before_count++] = self->now;
    }
    self->now = (keys_view_t){
        .count = count, .members = mem_new((count + 1) * sizeof *members)};
    if (count > 0) {
        memcpy(self->now.members, members, count * sizeof *members);
    }
    return true;
}

void
keys_clear(keys_t *self)
{
    for (size_t i = 0; i < self->before_count; i++) {
        free(self->before[i].members);
    }
    free(self->before);
    free(self->now.members);
    *self = (keys_t){0};
}

static size_t
pick(const keys_view_t *view, uint64_t key)
{
    size_t found = 0;
    uint64_t best = 0;
    for (size_t i = 0; i < view->count; i++) {
        const keys_member_t *member = &view->members[i];
        uint64_t weight =
            hash_mix(hash_mix(member->life + member->target) ^ key);
        if (i == 0 || weight > best) {
            found = i;
            best = weight;
        }
    }
    return found;
}

size_t
keys_pick(const keys_t *self, uint64_t key)
{
    return pick(&self->now, key);
}

keys_may_t
keys_may(const keys_t *self, uint64_t key, keys_drained_fn *drained, void *arg)
{
    const keys_member_t *to = &self->now.members[pick(&self->now, key)];
    keys_may_t may = KEYS_STAY;
    for (size_t i = 0; i < self->before_count; i++) {
        const keys_view_t *view = &self->before[i];
        const keys_member_t *from = &view->members[pick(view, key)];
        if (is_same(from, to)) {
            continue;
        }
        if (!drained(from, view->end, arg)) {
            return KEYS_WAIT;
        }
        may = KEYS_MAY;
    }
    return may;
}

bool
keys_tidy(keys_t *self, keys_drained_fn *drained, void *arg)
{
    size_t left = 0;
    for (size_t i = 0; i < self->before_count; i++) {
        keys_view_t *view = &self->before[i];
        bool done = true;
        for (size_t j = 0; j < view->count && done; j++) {
            done = drained(&view->members[j], view->end, arg);
        }
        if (done) {
            free(view->members);
        } else {
            self->before[left++] = *view;
        }
    }
    self->before_count = left;
    return left > 0;
}
