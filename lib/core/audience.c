// SPDX-License-Identifier: MIT
// audience.c - who holds a table, how far each has seen it, who waits for that.

#include "core/audience.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

// holder_t is what the map has of one.
typedef struct holder {
    uint64_t seen; // version
} holder_t;

void
audience_init(audience_t *self)
{
    *self = (audience_t){.holders = map_new()};
}

void
audience_clear(audience_t *self)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->holders, &cursor, NULL, &value)) {
        free(value);
    }
    map_destroy(&self->holders);
    free(self->waits);
    *self = (audience_t){0};
}

// first_above returns where the first wait for a version above that one stands.
static size_t
first_above(const audience_t *self, uint64_t version)
{
    size_t low = 0;
    size_t high = self->wait_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (self->waits[middle]->version <= version) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

// count_down: that session is not missed any more for versions above 'before', up to
// 'after'.
static size_t
count_down(audience_t *self, uint64_t session, uint64_t before, uint64_t after)
{
    size_t ready = 0;
    for (size_t i = first_above(self, before);
         i < self->wait_count && self->waits[i]->version <= after; i++) {
        wait_t *wait = self->waits[i];
        if (wait->session != session && --wait->missing == 0 &&
            --*wait->open == 0) {
            ready++;
        }
    }
    return ready;
}

void
audience_add(audience_t *self, uint64_t session)
{
    if (map_get(self->holders, session) != NULL) {
        return;
    }
    (void)map_put(self->holders, session, mem_new(sizeof(holder_t)));
    for (size_t i = 0; i < self->wait_count; i++) {
        wait_t *wait = self->waits[i];
        if (wait->session != session && wait->missing++ == 0) {
            ++*wait->open;
        }
    }
}

size_t
audience_remove(audience_t *self, uint64_t session)
{
    holder_t *holder = map_take(self->holders, session);
    if (holder == NULL) {
        return 0;
    }
    uint64_t seen = holder->seen;
    free(holder);
    return count_down(self, session, seen, UINT64_MAX);
}

size_t
audience_seen(audience_t *self, uint64_t session, uint64_t version)
{
    holder_t *holder = map_get(self->holders, session);
    if (holder == NULL || version <= holder->seen) {
        return 0;
    }
    uint64_t before = holder->seen;
    holder->seen = version;
    return count_down(self, session, before, version);
}

void
audience_wait(audience_t *self, wait_t *wait, uint64_t newest)
{
    size_t cursor = 0;
    uint64_t session = 0;
    void *value = NULL;
    wait->version = newest;
    wait->missing = 0;
    while (map_next(self->holders, &cursor, &session, &value)) {
        const holder_t *holder = value;
        wait->missing += session != wait->session && holder->seen < newest;
    }
    *wait->open += wait->missing > 0;
    self->waits =
        mem_resize(self->waits, (self->wait_count + 1) * sizeof *self->waits);
    self->waits[self->wait_count++] = wait;
}

void
audience_forget(audience_t *self, const wait_t *wait)
{
    size_t at = first_above(self, wait->version);
    while (at > 0 && self->waits[at - 1] != wait) {
        at--;
    }
    edri_assert(at > 0);
    self->wait_count--;
    memmove(&self->waits[at - 1], &self->waits[at],
        (self->wait_count - (at - 1)) * sizeof *self->waits);
}

bool
audience_misses(const audience_t *self, uint64_t session, uint64_t version)
{
    const holder_t *holder = map_get(self->holders, session);
    return holder != NULL && holder->seen < version;
}
