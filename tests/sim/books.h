// SPDX-License-Identifier: MIT
// books.h - what was emitted and what was begun: every promise, checked.
//
// DESIGN
// Writers number their notifications; each begin of a handler is entered here.
// What must never happen (twice without the mark, out of order) is found at
// once, what must have happened at the end, when all has come to rest.

#ifndef SIM_BOOKS_H
#define SIM_BOOKS_H

#include <stdbool.h>
#include <stdint.h>

// Keys of GROUP events: number % SIM_LANES.
#define SIM_LANES 5

typedef enum kind {
    KIND_ALL,
    KIND_GROUP,
    KIND_ONE,
    KIND_KEPT,
    KINDS
} kind_t;

// books_open begins empty books.  books_fail says what is broken, once; the run
// ends with it.
void books_open(void);
void books_close(void);
void books_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *books_broken(void); // NULL: nothing

// books_writer begins a writer (of a life); books_emitted enters its next
// notification, which is more urgent than others or not; books_writer_end: its life has ended, what it had not settled
// may be missing.
// books_young: it has not emitted all kinds yet, or some only just now, and may
// not have been told who wants them.  books_shaken: it may not know of everybody, until books_calm.
unsigned books_writer(uint64_t life);
uint64_t books_next(unsigned writer);
void books_emitted(unsigned writer, kind_t kind, bool urgent);
void books_writer_end(unsigned writer);
bool books_young(unsigned writer);
void books_shaken(unsigned writer);
void books_calm(unsigned writer);

// books_manager begins a manager of a life: 'group' is its name; 'ready' says
// that what is emitted from now on must reach it.  books_manager_end: its life
// has ended.  books_leave: it withdraws on purpose; what is for its group and
// finds nobody else has no receiver.  books_doubt: its life may have been given
// up by somebody.
unsigned books_manager(unsigned group);
void books_ready(unsigned manager);
void books_manager_end(unsigned manager);
void books_leave(unsigned manager);
void books_doubt(unsigned manager);

// books_begun enters a handler's begin.
void books_begun(unsigned manager, kind_t kind, unsigned writer,
    uint64_t number, bool marked);

// Requests: begun with a number, ended exactly once.
uint64_t books_asked(void);
void books_answered(uint64_t number);
void books_cancelled(void);

// books_doubted says whether anything happened that allows marks.
void books_allow_marks(void);

// books_check looks at the whole after all has come to rest.
void books_check(void);

// What was counted, for the summary and to compare two runs.
typedef struct totals {
    uint64_t emitted;
    uint64_t begun;
    uint64_t marked;
    uint64_t missing; // copies, at managers that were in doubt
    uint64_t requests;
    uint64_t cancelled; // of these
    uint64_t hash;
} totals_t;

totals_t books_totals(void);

#endif
