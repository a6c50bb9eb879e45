// SPDX-License-Identifier: MIT
// node/token.h - a frame in the hands of a manager, until its events are begun.
//
// DESIGN
// The source of a frame keeps what may go to another until the handler here
// has been entered.  So each frame that a manager gets has a token: it goes
// with the events through the box, counts down as they are begun in whatever
// thread, and comes back to the router over a stack without a lock.  A token
// also leads to its source's gate: the fence (core/fence.h) as threads see it.

#ifndef NODE_TOKEN_H
#define NODE_TOKEN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

// gate_t is what the router knows of one source, for the threads of managers.
// It is written 'gone' first and read 'until' first: whoever sees a lease sees
// what the source had given up when it gave that lease (docs/model/gate.pml).
typedef struct gate {
    _Atomic(uint64_t) gone[2]; // EVENT, BULK: seqs below were given up
    _Atomic(int64_t) until_ms; // until then what the source may give to others
                               // may be begun; or one of these:
} gate_t;

#define GATE_CLOSED 0
#define GATE_FREE   (INT64_MAX - 1) // the source has ended, and gave nothing away
#define GATE_MARKED INT64_MAX       // it may have: begin with the mark

typedef struct token {
    struct token *next; // of the open ones; the router's, like 'before'
    struct token *before;
    struct token *below; // in the stack
    gate_t *gate;
    void *remote;     // the source, the router's; NULL: this node (keyed.h)
    void *record;     // of its flow
    uint64_t epoch;   // of this node's own keyed events
    atomic_uint left; // events that are not begun
    uint32_t target;
    uint64_t first; // seq
    int lane;
    bool movable;   // some event may be given to another
    uint32_t given; // events that the manager has got; the router's
} token_t;

// tokens_t is where they stand.
typedef struct tokens {
    token_t *open;           // all that are not back; the router's
    _Atomic(token_t *) done; // the stack
    atomic_bool bell;        // the router wants to be rung for the next
} tokens_t;

// token_new makes one for 'events' events; the router's.
token_t *token_new(tokens_t *self, uint32_t events);

// token_free forgets one that has come back, or never will.
void token_free(tokens_t *self, token_t *token);

// token_begun says that so many of its events have been begun, or are none of
// this manager's.  What it drops when it ends stays open: it goes back to the
// source.  Returns true when the router must be rung.  Any thread; after the last
// event nobody may touch the token.
bool token_begun(tokens_t *self, token_t *token, uint32_t events);

// token_untouched says whether none of its events has been begun; while the
// manager works it may be so no longer.
bool token_untouched(const token_t *token);

// tokens_take takes all that have come back, linked by 'below'.
token_t *tokens_take(tokens_t *self);

// tokens_wait says whether some have come back that the router wanted to be rung
// for: it must not sleep.
static inline bool
tokens_wait(const tokens_t *self)
{
    return atomic_load(&self->bell) && atomic_load(&self->done) != NULL;
}

typedef enum token_may {
    TOKEN_BEGIN,
    TOKEN_MARKED, // begin, as one that may have been begun before
    TOKEN_HOLD,   // not now: the router rings when that changes
    TOKEN_GONE    // never: its source has given it to another
} token_may_t;

// token_may says what may be done with an event that its source might give to
// another.  Any thread.
token_may_t token_may(const token_t *token, clock_tick_t *clock);

#endif
