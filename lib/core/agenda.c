// SPDX-License-Identifier: MIT
// agenda.c - what waits for a worker, and what comes next.

#include "core/agenda.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"

// item_t is an entry in a heap, with what is compared: entries lie far apart.
typedef struct item {
    int64_t key; // the lowest first
    uint64_t seq;
    agenda_entry_t *entry;
} item_t;

// heap_t is a binary heap (J. Williams, "Heapsort", 1964).
typedef struct heap {
    item_t *items;
    size_t count;
    size_t capacity;
    bool by_time; // by due_ms; else by rank
} heap_t;

// line_t is a key of which an entry is out, and what stands behind that.
typedef struct line {
    struct line *next; // of the free ones
    agenda_entry_t *first;
    agenda_entry_t *last;
} line_t;

struct agenda {
    heap_t ready;
    heap_t delayed;
    map_t *lines; // key → line_t
    line_t *free_lines;
    size_t in_line;   // entries that stand behind another of their key
    line_t *dropping; // where agenda_drop is, and in the map:
    size_t cursor;
    uint64_t seq;
};

// ----- heaps

static bool
is_before(const item_t *a, const item_t *b)
{
    return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

static void
heap_put(heap_t *self, agenda_entry_t *entry)
{
    if (self->count == self->capacity) {
        self->capacity = 2 * self->capacity + 16;
        self->items =
            mem_resize(self->items, self->capacity * sizeof *self->items);
    }
    item_t item = {
        self->by_time ? entry->due_ms : entry->rank, entry->seq, entry};
    size_t at = self->count++;
    while (at > 0 && is_before(&item, &self->items[(at - 1) / 2])) {
        self->items[at] = self->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    self->items[at] = item;
}

static agenda_entry_t *
heap_take(heap_t *self)
{
    if (self->count == 0) {
        return NULL;
    }
    agenda_entry_t *first = self->items[0].entry;
    const item_t *last = &self->items[--self->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= self->count) {
            break;
        }
        if (child + 1 < self->count &&
            is_before(&self->items[child + 1], &self->items[child])) {
            child++;
        }
        if (!is_before(&self->items[child], last)) {
            break;
        }
        self->items[at] = self->items[child];
        at = child;
    }
    self->items[at] = *last;
    return first;
}

// ----- keys

static void
begin_line(agenda_t *self, uint64_t key)
{
    line_t *line = self->free_lines;
    if (line != NULL) {
        self->free_lines = line->next;
    } else {
        line = mem_resize(NULL, sizeof *line);
    }
    *line = (line_t){0};
    (void)map_put(self->lines, key, line);
}

static void
end_line(agenda_t *self, uint64_t key)
{
    line_t *line = map_take(self->lines, key);
    line->next = self->free_lines;
    self->free_lines = line;
}

static void
stand_behind(agenda_t *self, line_t *line, agenda_entry_t *entry)
{
    *(line->last != NULL ? &line->last->next : &line->first) = entry;
    line->last = entry;
    self->in_line++;
}

static agenda_entry_t *
next_in_line(agenda_t *self, line_t *line)
{
    agenda_entry_t *entry = line->first;
    if (entry != NULL) {
        line->first = entry->next;
        line->last = line->first != NULL ? line->last : NULL;
        self->in_line--;
    }
    return entry;
}

// ----- the agenda

agenda_t *
agenda_new(void)
{
    agenda_t *self = mem_new(sizeof *self);
    self->delayed.by_time = true;
    self->lines = map_new();
    return self;
}

void
agenda_destroy(agenda_t **self_p)
{
    agenda_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    edri_assert(agenda_count(self) == 0);
    size_t cursor = 0;
    void *line = NULL;
    while (map_next(self->lines, &cursor, NULL, &line)) {
        free(line);
    }
    map_destroy(&self->lines);
    while (self->free_lines != NULL) {
        line_t *next = self->free_lines->next;
        free(self->free_lines);
        self->free_lines = next;
    }
    free(self->ready.items);
    free(self->delayed.items);
    free(self);
}

void
agenda_put(
    agenda_t *self, agenda_entry_t *entry, uint8_t priority, int64_t now_ms)
{
    entry->next = NULL;
    entry->seq = self->seq++;
    entry->rank = now_ms - (int64_t)priority * AGENDA_AGE_MS;
    entry->taken = false;
    line_t *line = entry->keyed ? map_get(self->lines, entry->key) : NULL;
    if (line != NULL) {
        stand_behind(self, line, entry);
        return;
    }
    if (entry->keyed) {
        begin_line(self, entry->key);
    }
    heap_put(&self->ready, entry);
}

agenda_entry_t *
agenda_take(agenda_t *self, int64_t now_ms)
{
    while (self->delayed.count > 0 && self->delayed.items[0].key <= now_ms) {
        heap_put(&self->ready, heap_take(&self->delayed));
    }
    agenda_entry_t *entry = heap_take(&self->ready);
    if (entry != NULL) {
        entry->taken = true;
    }
    return entry;
}

void
agenda_done(agenda_t *self, const agenda_entry_t *entry)
{
    if (!entry->keyed) {
        return;
    }
    agenda_entry_t *next = next_in_line(self, map_get(self->lines, entry->key));
    if (next != NULL) {
        heap_put(&self->ready, next);
    } else {
        end_line(self, entry->key);
    }
}

void
agenda_again(agenda_t *self, agenda_entry_t *entry)
{
    heap_put(&self->ready, entry);
}

void
agenda_delay(agenda_t *self, agenda_entry_t *entry, int64_t due_ms)
{
    entry->due_ms = due_ms;
    heap_put(&self->delayed, entry);
}

int64_t
agenda_next(const agenda_t *self)
{
    return self->ready.count > 0     ? 0
           : self->delayed.count > 0 ? self->delayed.items[0].key
                                     : INT64_MAX;
}

size_t
agenda_count(const agenda_t *self)
{
    return self->ready.count + self->delayed.count + self->in_line;
}

static void
heap_each(const heap_t *self, void (*visit)(agenda_entry_t *entry, void *arg),
    void *arg)
{
    for (size_t i = 0; i < self->count; i++) {
        visit(self->items[i].entry, arg);
    }
}

void
agenda_each(const agenda_t *self,
    void (*visit)(agenda_entry_t *entry, void *arg), void *arg)
{
    size_t cursor = 0;
    void *value = NULL;
    heap_each(&self->ready, visit, arg);
    heap_each(&self->delayed, visit, arg);
    while (map_next(self->lines, &cursor, NULL, &value)) {
        const line_t *line = value;
        for (agenda_entry_t *at = line->first; at != NULL; at = at->next) {
            visit(at, arg);
        }
    }
}

agenda_entry_t *
agenda_drop(agenda_t *self)
{
    agenda_entry_t *entry = heap_take(&self->ready);
    entry = entry != NULL ? entry : heap_take(&self->delayed);
    if (entry == NULL && self->dropping != NULL) {
        entry = next_in_line(self, self->dropping);
    }
    void *line = NULL;
    while (entry == NULL && map_next(self->lines, &self->cursor, NULL, &line)) {
        self->dropping = line;
        entry = next_in_line(self, line);
    }
    return entry;
}
