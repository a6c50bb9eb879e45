// SPDX-License-Identifier: MIT
// books.c - what was emitted and what was begun.

#include "books.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "net.h"

enum {
    WRITERS_MAX = 128,
    MANAGERS_MAX = 256,
    GROUPS_MAX = 8,
    YOUNG_US = 1000000 // in which a switch answers, if it can
};

typedef struct begins {
    uint8_t plain;
    uint8_t marked;
} begins_t;

typedef struct writer {
    bool ended;
    bool shaken;             // it may not have known of everybody at first
    uint64_t calm;           // from this number on it has
    int64_t first_us[KINDS]; // when it first emitted one; 0: not yet
    uint8_t *kinds;          // by number
    uint8_t *urgent;         // by number
    uint8_t *nobody;         // by number: bit per group that had no member
    uint64_t count;
    uint64_t sure[GROUPS_MAX]; // below, the group may have had none in time
    begins_t *by_group[GROUPS_MAX]; // GROUP; ONE: in the first
    // of GROUP events by group, key and urgency: newest unmarked, plus 1
    uint64_t last[GROUPS_MAX][SIM_LANES][2];
} writer_t;

typedef struct manager {
    unsigned group;
    bool ended;
    unsigned known; // writers up to here have known it alive
    bool doubtful;  // may have been given up
    bool ready;
    bool left;
    uint64_t from[WRITERS_MAX]; // what is emitted from here on is its
    uint8_t *got[WRITERS_MAX];  // ALL and KEPT, by number
    uint64_t room[WRITERS_MAX];
    // by urgency: the newest unmarked number, plus 1
    uint64_t last[WRITERS_MAX][KINDS + 1][2];
} manager_t;

static struct {
    writer_t writers[WRITERS_MAX];
    unsigned writer_count;
    manager_t *managers[MANAGERS_MAX];
    unsigned manager_count;
    uint8_t *requests; // 1: asked, 2: ended
    uint64_t request_count;
    bool marks;
    char *broken;
    totals_t totals;
} books;

static const char *const names[] = {"ALL", "GROUP", "ONE", "KEPT"};

void
books_fail(const char *format, ...)
{
    if (books.broken != NULL) {
        return;
    }
    va_list args;
    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    books.broken = str_printf(
        "at %.3f s: %s", (double)(sim_now_us % 100000000000) / 1e6, text);
    free(text);
}

const char *
books_broken(void)
{
    return books.broken;
}

void
books_open(void)
{
    memset(&books, 0, sizeof books);
}

void
books_close(void)
{
    for (unsigned i = 0; i < books.writer_count; i++) {
        free(books.writers[i].kinds);
        free(books.writers[i].urgent);
        free(books.writers[i].nobody);
        for (int j = 0; j < GROUPS_MAX; j++) {
            free(books.writers[i].by_group[j]);
        }
    }
    for (unsigned i = 0; i < books.manager_count; i++) {
        for (unsigned j = 0; j < WRITERS_MAX; j++) {
            free(books.managers[i]->got[j]);
        }
        free(books.managers[i]);
    }
    free(books.requests);
    free(books.broken);
    memset(&books, 0, sizeof books);
}

static void
note(uint64_t a, uint64_t b)
{
    uint64_t *hash = &books.totals.hash;
    *hash = (*hash ^ a * 31 ^ b) * UINT64_C(0xFF51AFD7ED558CCD);
    *hash ^= *hash >> 29;
}

// ----- writers

unsigned
books_writer(uint64_t life)
{
    if (books.writer_count == WRITERS_MAX) {
        books_fail("too many writers");
        return 0;
    }
    note(1, life);
    return books.writer_count++;
}

uint64_t
books_next(unsigned writer)
{
    return books.writers[writer].count;
}

// empty_groups has a bit for each group that nobody is in, nor is expected back
// by that writer.
static uint8_t
empty_groups(unsigned writer)
{
    uint8_t empty = 0xff;
    for (unsigned i = 0; i < books.manager_count; i++) {
        const manager_t *manager = books.managers[i];
        bool known = !manager->ended || writer < manager->known;
        if (manager->ready && !manager->left && known) {
            empty &= (uint8_t) ~(1u << manager->group);
        }
    }
    return empty;
}

void
books_emitted(unsigned writer, kind_t kind, bool urgent)
{
    writer_t *self = &books.writers[writer];
    if ((self->count & (self->count + 1)) == 0 || self->count == 0) {
        uint64_t room = self->count == 0 ? 1 : (self->count + 1) * 2;
        self->kinds = mem_resize(self->kinds, room);
        self->urgent = mem_resize(self->urgent, room);
        self->nobody = mem_resize(self->nobody, room);
        for (int i = 0; i < GROUPS_MAX; i++) {
            self->by_group[i] =
                mem_resize(self->by_group[i], room * sizeof(begins_t));
        }
    }
    self->kinds[self->count] = (uint8_t)kind;
    if (self->first_us[kind] == 0) {
        self->first_us[kind] = sim_now_us;
    }
    self->urgent[self->count] = urgent;
    self->nobody[self->count] = empty_groups(writer);
    for (int i = 0; i < GROUPS_MAX; i++) {
        self->by_group[i][self->count] = (begins_t){0};
    }
    self->count++;
    books.totals.emitted++;
}

void
books_writer_end(unsigned writer)
{
    books.writers[writer].ended = true;
}

bool
books_young(unsigned writer)
{
    const writer_t *self = &books.writers[writer];
    for (int kind = 0; kind < KINDS; kind++) {
        if (self->first_us[kind] == 0 ||
            sim_now_us - self->first_us[kind] < YOUNG_US) {
            return true;
        }
    }
    return false;
}

void
books_shaken(unsigned writer)
{
    books.writers[writer].shaken = true;
    books.writers[writer].calm = UINT64_MAX;
}

void
books_calm(unsigned writer)
{
    if (!books.writers[writer].shaken ||
        books.writers[writer].calm != UINT64_MAX) {
        return;
    }
    books.writers[writer].calm = books.writers[writer].count;
    for (int i = 0; i < GROUPS_MAX; i++) {
        books.writers[writer].sure[i] = books.writers[writer].count;
    }
}

// ----- managers

unsigned
books_manager(unsigned group)
{
    manager_t *self = mem_new(sizeof *self);
    self->group = group;
    if (books.manager_count == MANAGERS_MAX) {
        books_fail("too many managers");
        free(self);
        return 0;
    }
    books.managers[books.manager_count] = self;
    return books.manager_count++;
}

void
books_ready(unsigned manager)
{
    manager_t *self = books.managers[manager];
    self->ready = true;
    // Who was expected back in its group is not any more.
    for (unsigned i = 0; i < books.manager_count; i++) {
        manager_t *other = books.managers[i];
        other->left =
            other->left || (other->ended && other->group == self->group);
    }
    for (unsigned i = 0; i < WRITERS_MAX; i++) {
        self->from[i] = books.writers[i].count;
    }
}

void
books_manager_end(unsigned manager)
{
    books.managers[manager]->ended = true;
    books.managers[manager]->known = books.writer_count;
}

void
books_leave(unsigned manager)
{
    manager_t *self = books.managers[manager];
    self->left = true;
    for (unsigned i = 0; i < books.manager_count; i++) {
        const manager_t *other = books.managers[i];
        if (other->group == self->group && !other->ended && !other->left) {
            return; // takes what it had not begun
        }
    }
    for (unsigned i = 0; i < books.writer_count; i++) {
        books.writers[i].sure[self->group] = books.writers[i].count;
    }
}

void
books_doubt(unsigned manager)
{
    books.managers[manager]->doubtful = true;
    books.marks = true;
}

void
books_allow_marks(void)
{
    books.marks = true;
}

// got returns the place for one number of one writer.
static uint8_t *
got(manager_t *self, unsigned writer, uint64_t number)
{
    if (number >= self->room[writer]) {
        uint64_t room = (number + 1) * 2;
        self->got[writer] = mem_resize(self->got[writer], room);
        memset(self->got[writer] + self->room[writer], 0,
            room - self->room[writer]);
        self->room[writer] = room;
    }
    return &self->got[writer][number];
}

// begin_keyed checks that events of one key are begun in order, at whatever
// member of the group.
static void
begin_keyed(unsigned group, unsigned manager, unsigned writer, uint64_t number)
{
    writer_t *from = &books.writers[writer];
    uint64_t *last =
        &from->last[group][number % SIM_LANES][from->urgent[number]];
    if (number < *last) {
        books_fail("GROUP event %u:%llu came to manager %u after number %llu "
                   "of the same key",
            writer, (unsigned long long)number, manager,
            (unsigned long long)*last - 1);
    }
    *last = number + 1;
}

static void
begin_copy(manager_t *self, unsigned manager, kind_t kind, unsigned writer,
    uint64_t number)
{
    if ((*got(self, writer, number))++ > 0) {
        books_fail("%s event %u:%llu was begun twice at manager %u",
            names[kind], writer, (unsigned long long)number, manager);
    }
}

static void
begin_one(unsigned group, unsigned manager, kind_t kind, unsigned writer,
    uint64_t number, bool marked)
{
    begins_t *begins = &books.writers[writer].by_group[group][number];
    // Whoever is not the first must have the mark.
    if (!marked && begins->plain + begins->marked > 0) {
        books_fail("%s event %u:%llu was begun twice without the mark, now at "
                   "manager %u",
            names[kind], writer, (unsigned long long)number, manager);
    }
    *(marked ? &begins->marked : &begins->plain) = 1;
}

void
books_begun(unsigned manager, kind_t kind, unsigned writer, uint64_t number,
    bool marked)
{
    manager_t *self = books.managers[manager];
    books.totals.begun++;
    books.totals.marked += marked;
    note(manager * 4u + kind, writer * 1000000u + number * 2 + marked);
    if (writer >= books.writer_count || number > books.writers[writer].count) {
        books_fail("an event that was never emitted: %u:%llu", writer,
            (unsigned long long)number);
        return;
    }
    if (number == books.writers[writer].count) {
        return; // is being emitted: entered a moment later
    }
    if (marked && !books.marks) {
        books_fail("%s event %u:%llu has the mark, and nobody was given up",
            names[kind], writer, (unsigned long long)number);
    }
    if (!marked && kind == KIND_GROUP) {
        // A key that moves waits; events of others go on meanwhile.
        begin_keyed(self->group, manager, writer, number);
    } else if (!marked) {
        // What is replayed stands for itself, and so does what waited for a
        // switch while none was there.
        const writer_t *from = &books.writers[writer];
        bool alone = kind == KIND_KEPT || (from->shaken && number < from->calm);
        uint64_t *last =
            &self->last[writer][alone ? kind : KINDS][from->urgent[number]];
        // What had not left for a member that went comes after younger ones.
        bool moved = books.marks && kind == KIND_ONE;
        if (number < *last && !moved) {
            books_fail("%s event %u:%llu came to manager %u after number %llu",
                names[kind], writer, (unsigned long long)number, manager,
                (unsigned long long)*last - 1);
        }
        *last = number + 1;
    }
    if (kind == KIND_ALL || kind == KIND_KEPT) {
        begin_copy(self, manager, kind, writer, number);
    } else {
        begin_one(kind == KIND_ONE ? 0 : self->group, manager, kind, writer,
            number, marked);
    }
}

// ----- requests

uint64_t
books_asked(void)
{
    uint64_t number = books.request_count++;
    books.requests = mem_resize(books.requests, books.request_count);
    books.requests[number] = 1;
    books.totals.requests++;
    return number;
}

void
books_answered(uint64_t number)
{
    if (books.requests[number]++ != 1) {
        books_fail("request %llu ended twice", (unsigned long long)number);
    }
    note(7, number);
}

void
books_cancelled(void)
{
    books.totals.cancelled++;
}

// ----- the end

static void
check_copies(unsigned writer)
{
    const writer_t *from = &books.writers[writer];
    for (unsigned i = 0; i < books.manager_count; i++) {
        manager_t *to = books.managers[i];
        for (uint64_t n = to->from[writer];
             to->ready && !to->ended && n < from->count; n++) {
            bool copy =
                from->kinds[n] == KIND_ALL || from->kinds[n] == KIND_KEPT;
            if (!copy || *got(to, writer, n) > 0) {
                continue;
            }
            if (to->doubtful) {
                books.totals.missing++;
            } else {
                books_fail("%s event %u:%llu never came to manager %u",
                    names[from->kinds[n]], writer, (unsigned long long)n, i);
            }
        }
    }
}

static void
check_groups(unsigned writer, unsigned groups)
{
    const writer_t *from = &books.writers[writer];
    for (uint64_t n = 0; n < from->count; n++) {
        bool one = from->kinds[n] == KIND_ONE;
        for (unsigned g = 0; g < (one ? 1 : groups); g++) {
            begins_t begins = from->by_group[g][n];
            bool somebody = one ? from->nobody[n] != 0xff
                                : (from->nobody[n] & 1u << g) == 0;
            if ((one || from->kinds[n] == KIND_GROUP) && somebody &&
                n >= from->sure[g] && begins.plain + begins.marked == 0) {
                books_fail("%s event %u:%llu was never begun (group %u)",
                    names[from->kinds[n]], writer, (unsigned long long)n, g);
            }
        }
    }
}

void
books_check(void)
{
    unsigned groups = 0;
    for (unsigned i = 0; i < books.manager_count; i++) {
        unsigned group = books.managers[i]->group + 1;
        groups = group > groups ? group : groups;
    }
    for (unsigned writer = 0; writer < books.writer_count; writer++) {
        if (!books.writers[writer].ended) {
            check_copies(writer);
            check_groups(writer, groups);
        }
    }
    for (uint64_t i = 0; i < books.request_count; i++) {
        if (books.requests[i] == 1) {
            books_fail("request %llu never ended", (unsigned long long)i);
        }
    }
}

totals_t
books_totals(void)
{
    return books.totals;
}
