// SPDX-License-Identifier: MIT
// check.c - reads the books of all nodes.

#include "check.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    NUMBERS_MAX = 4000000, // of one writer
    TELL_MAX = 10          // lines about what is wrong
};

static const char *const names[] = {"EVERY", "SHARED", "SINGLE", "SLOW"};

typedef struct reader {
    uint32_t cursor;
    uint8_t *got[NODES_MAX];      // by writer: begins of each number
    uint64_t count[NODES_MAX];    // by writer: numbers begun
    uint32_t from[NODES_MAX];     // by writer: the first that is its
    uint32_t last[NODES_MAX];     // newest unmarked number, plus 1
    uint32_t heard_ms[NODES_MAX]; // first entry since 'since_ms'
} reader_t;

struct check {
    book_t **books;
    unsigned count;
    reader_t readers[NODES_MAX];
    uint8_t *plain[NODES_MAX]; // by writer: of SHARED and SINGLE
    uint8_t *marked[NODES_MAX];
    uint64_t once[NODES_MAX]; // numbers of these that were begun
    uint32_t since_ms;
    totals_t totals;
    unsigned told;
};

check_t *
check_new(book_t **books, unsigned count)
{
    check_t *self = calloc(1, sizeof *self);
    self->books = books;
    self->count = count;
    for (unsigned w = 0; w < count; w++) {
        self->plain[w] = calloc(NUMBERS_MAX, 1);
        self->marked[w] = calloc(NUMBERS_MAX, 1);
        for (unsigned r = 0; r < count; r++) {
            self->readers[r].got[w] = calloc(NUMBERS_MAX, 1);
        }
    }
    return self;
}

void
check_destroy(check_t **self_p)
{
    check_t *self = *self_p;
    *self_p = NULL;
    for (unsigned w = 0; w < self->count; w++) {
        free(self->plain[w]);
        free(self->marked[w]);
        for (unsigned r = 0; r < self->count; r++) {
            free(self->readers[r].got[w]);
        }
    }
    free(self);
}

static void
tell(check_t *self, unsigned reader, const entry_t *entry, const char *what)
{
    if (self->told++ < TELL_MAX) {
        printf("    %s number %u of node %u %s (node %u, at %u ms)\n",
            names[entry->kind], entry->number, entry->writer, what, reader,
            entry->ms);
    }
}

static bool
is_copy(uint8_t kind)
{
    return kind == EVERY || kind == SLOW;
}

static void
enter(check_t *self, unsigned reader, const entry_t *entry)
{
    reader_t *from = &self->readers[reader];
    unsigned writer = entry->writer;
    if (writer >= self->count || entry->number >= NUMBERS_MAX) {
        tell(self, reader, entry, "was never emitted");
        self->totals.wrong++;
        return;
    }
    self->totals.begun++;
    self->totals.marked += entry->marked;
    if (self->since_ms != 0 && entry->ms >= self->since_ms &&
        from->heard_ms[writer] == 0) {
        from->heard_ms[writer] = entry->ms;
    }
    if (!entry->marked) {
        if (entry->number < from->last[writer]) {
            tell(self, reader, entry, "came after a younger one");
            self->totals.disorder++;
        }
        from->last[writer] = entry->number + 1;
    }
    if (is_copy(entry->kind)) {
        from->count[writer] += from->got[writer][entry->number] == 0 &&
                               entry->number >= from->from[writer];
        if (from->got[writer][entry->number]++ > 0) {
            tell(self, reader, entry, "was begun twice");
            self->totals.doubled++;
        }
        return;
    }
    uint8_t *plain = &self->plain[writer][entry->number];
    uint8_t *marked = &self->marked[writer][entry->number];
    self->once[writer] += *plain + *marked == 0;
    if (entry->marked) {
        *marked = 1;
    } else if ((*plain)++ > 0) {
        tell(self, reader, entry, "was begun twice without the mark");
        self->totals.doubled++;
    }
}

void
check_follow(check_t *self)
{
    for (unsigned r = 0; r < self->count; r++) {
        reader_t *reader = &self->readers[r];
        uint32_t begun = atomic_load(&self->books[r]->begun);
        for (; reader->cursor < begun; reader->cursor++) {
            enter(self, r, &self->books[r]->entries[reader->cursor]);
        }
    }
}

void
check_joins(check_t *self, unsigned node)
{
    reader_t *reader = &self->readers[node];
    check_follow(self);
    for (unsigned w = 0; w < self->count; w++) {
        reader->from[w] = atomic_load(&self->books[w]->emitted);
        reader->count[w] = 0;
        for (uint32_t n = reader->from[w]; n < NUMBERS_MAX; n++) {
            reader->count[w] += reader->got[w][n] > 0;
        }
    }
}

// count_numbers counts a writer's numbers from one on: copies for all, or those
// for one.
static uint64_t
count_numbers(const check_t *self, unsigned writer, uint32_t from, bool copies)
{
    const book_t *book = self->books[writer];
    uint32_t emitted = atomic_load(&book->emitted);
    uint64_t count = 0;
    for (uint32_t n = from; n < emitted; n++) {
        count += is_copy((uint8_t)book_kind(book, n)) == copies;
    }
    return count;
}

static bool
is_dead(const check_t *self, unsigned node)
{
    return atomic_load(&self->books[node]->dead) != 0;
}

// handles says whether a reader gets what that writer emits for all.
static bool
handles(const check_t *self, unsigned reader, unsigned writer)
{
    bool slow = atomic_load(&self->books[writer]->only) == SLOW + 1;
    return !is_dead(self, reader) && !is_dead(self, writer) &&
           (!slow || atomic_load(&self->books[reader]->slow_us) > 0);
}

bool
check_complete(check_t *self)
{
    check_follow(self);
    for (unsigned w = 0; w < self->count; w++) {
        if (!is_dead(self, w) &&
            self->once[w] != count_numbers(self, w, 0, false)) {
            return false;
        }
        for (unsigned r = 0; r < self->count; r++) {
            const reader_t *reader = &self->readers[r];
            if (handles(self, r, w) &&
                reader->count[w] !=
                    count_numbers(self, w, reader->from[w], true)) {
                return false;
            }
        }
    }
    return true;
}

bool
check_again(check_t *self, uint32_t since_ms, pair_t *worst_p)
{
    if (self->since_ms != since_ms) {
        self->since_ms = since_ms;
        for (unsigned r = 0; r < self->count; r++) {
            reader_t *reader = &self->readers[r];
            for (unsigned w = 0; w < self->count; w++) {
                reader->heard_ms[w] = 0;
            }
        }
    }
    check_follow(self);
    *worst_p = (pair_t){0};
    for (unsigned r = 0; r < self->count; r++) {
        for (unsigned w = 0; w < self->count; w++) {
            uint32_t heard = self->readers[r].heard_ms[w];
            bool writes = atomic_load(&self->books[w]->rate) > 0;
            if (r == w || !writes || !handles(self, r, w)) {
                continue;
            }
            if (heard == 0) {
                return false;
            }
            if (heard - since_ms > worst_p->ms) {
                *worst_p = (pair_t){r, w, heard - since_ms};
            }
        }
    }
    return true;
}

static void
missing(check_t *self, unsigned reader, unsigned writer, uint32_t number)
{
    entry_t entry = {.number = number,
        .writer = (uint16_t)writer,
        .kind = (uint8_t)book_kind(self->books[writer], number)};
    tell(self, reader, &entry, "never came");
    self->totals.lost++;
}

totals_t
check_sum(check_t *self)
{
    check_follow(self);
    totals_t *totals = &self->totals;
    for (unsigned w = 0; w < self->count; w++) {
        const book_t *book = self->books[w];
        uint32_t emitted = atomic_load(&book->emitted);
        totals->emitted += emitted;
        totals->requests += atomic_load(&book->asked);
        totals->failed += atomic_load(&book->failed);
        totals->wrong += atomic_load(&book->wrong);
        for (uint32_t n = 0; n < emitted; n++) {
            bool copy = is_copy((uint8_t)book_kind(book, n));
            if (!copy && !is_dead(self, w) &&
                self->plain[w][n] + self->marked[w][n] == 0) {
                missing(self, w, w, n);
            }
            for (unsigned r = 0; copy && r < self->count; r++) {
                const reader_t *reader = &self->readers[r];
                if (handles(self, r, w) && n >= reader->from[w] &&
                    reader->got[w][n] == 0) {
                    missing(self, r, w, n);
                }
            }
        }
    }
    return *totals;
}
