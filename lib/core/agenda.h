// SPDX-License-Identifier: MIT
// core/agenda.h - what waits for a worker, and what comes next.
//
// DESIGN
// Order.  Each entry has a rank: the time when it was put, less a second for
// each level of its priority.  The lowest rank goes first, among equals the one
// that was put first.  So a higher priority goes first, within a level the order
// is that of putting, and whatever has waited a second longer per level goes
// before what is more urgent: the lowest still moves.
//
// Keys.  Of the entries of one key at most one is out (ready, taken or delayed)
// at any time; the others stand in line behind it, in their order.  So entries
// of one key are worked off one at a time and in order, others go on, and a key
// whose entry is delayed is parked alone.
//
// An entry is the first member of its owner's struct.  All operations cost
// O(log n).  Pure: 'now' comes in, in milliseconds; no lock.

#ifndef CORE_AGENDA_H
#define CORE_AGENDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// How much longer a level of priority less has to wait for its turn.
#define AGENDA_AGE_MS 1000

typedef struct agenda_entry {
    struct agenda_entry *next; // of its key
    int64_t rank;
    uint64_t seq; // of putting
    int64_t due_ms;
    bool keyed;
    bool taken; // it has been out
    uint64_t key;
} agenda_entry_t;

typedef struct agenda agenda_t;

agenda_t *agenda_new(void);

// agenda_destroy frees it; no entry may be in it any more.
void agenda_destroy(agenda_t **self_p);

// agenda_put adds an entry of that priority (0 to 7); entry->keyed and ->key are
// set.
void agenda_put(
    agenda_t *self, agenda_entry_t *entry, uint8_t priority, int64_t now_ms);

// agenda_take returns the next entry, which is the caller's until agenda_done,
// agenda_again or agenda_delay; NULL when none is ready.
agenda_entry_t *agenda_take(agenda_t *self, int64_t now_ms);

// agenda_done ends an entry that was taken: the next of its key is ready.
void agenda_done(agenda_t *self, const agenda_entry_t *entry);

// agenda_again puts back what was taken: it is ready at once, in its old place.
// agenda_delay puts it back for later; its key waits with it.
void agenda_again(agenda_t *self, agenda_entry_t *entry);
void agenda_delay(agenda_t *self, agenda_entry_t *entry, int64_t due_ms);

// agenda_next says when agenda_take may return something: 0: now, INT64_MAX:
// not before something is put, done or put back; else the time.
int64_t agenda_next(const agenda_t *self);

// agenda_count is how many entries are in it, ready or not.
size_t agenda_count(const agenda_t *self);

// agenda_each calls 'visit' for every entry in it, in no order.
void agenda_each(const agenda_t *self,
    void (*visit)(agenda_entry_t *entry, void *arg), void *arg);

// agenda_drop takes out any entry, ready or not; NULL when it is empty.  For the
// end: keys do not matter any more, and nothing may be put or taken after it.
agenda_entry_t *agenda_drop(agenda_t *self);

#endif
