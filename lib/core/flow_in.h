// SPDX-License-Identifier: MIT
// core/flow_in.h - the receiver's end of a flow: what came, what is settled.
//
// DESIGN
// 'arrived' counts without holes: a frame that does not follow is not taken,
// and the source is told 'lost'; one that came before is not taken twice.  See
// core/flow_out.h for paths.  Of each frame that was handed to a manager there
// is a record until the handlers of its events have been entered; the records
// of a manager are in the order of seqs, and what is told to the source are
// absolute numbers: all below, and the ranges above that are done already.
// Pure.

#ifndef CORE_FLOW_IN_H
#define CORE_FLOW_IN_H

#include "core/flow_out.h"
#include "edri/wire.pb-c.h"

// More ranges than this are told later, when those before have gone.
#define FLOW_RANGES_MAX 64

// Ranges that were returned do not go, nor do those between them: the source must
// hear of all, or it has them for ever.
#define FLOW_RETURNED_MAX 1024

// record_t is one frame in the hands of one manager.
typedef struct record {
    struct record *next;
    uint64_t first; // seqs
    uint64_t end;
    bool done;
    bool returned; // none of it was begun, and none will be
} record_t;

// ledger_t is what one manager has got.
typedef struct ledger {
    uint32_t target;
    record_t *first; // what is open, by seq; done ones in between
    record_t *last;
    uint64_t below; // all seqs below that it got are settled
    bool dirty;     // something to tell
    bool returned;  // something of it was
} ledger_t;

typedef struct flow_in {
    uint64_t path;
    bool begun;          // a path is known
    bool opened;         // its first frame has come
    bool lost;           // a frame of it is missing
    uint64_t arrived;    // every seq below has come, or never will
    uint64_t sum;        // the books: of all that came
    uint64_t differs;    // the books: how often the source's sum was another
    uint64_t differs_at; // before which seq, the first time
    uint64_t events;     // taken so far
    ledger_t *ledgers;
    size_t ledger_count;
    size_t open;     // records that are not done, nor returned
    size_t back;     // records of what was returned
    bool tell;       // something to tell
    unsigned untold; // frames taken since the last word
    Edri__Wire__Flow word;
    Edri__Wire__Settled *settled; // memory of the word
    Edri__Wire__Settled **settled_p;
    Edri__Wire__Range *ranges;
    Edri__Wire__Range **ranges_p;
    size_t range_count;
    size_t range_capacity;
    Edri__Wire__Returned *returned;
    Edri__Wire__Returned **returned_p;
} flow_in_t;

typedef enum flow_verdict {
    FLOW_TAKE,      // hand it on
    FLOW_DUPLICATE, // it has been handed on
    FLOW_OLD,       // of an older path
    FLOW_LOST,      // something before it is missing
    FLOW_MALFORMED  // it cuts a frame that came in two
} flow_verdict_t;

void flow_in_init(flow_in_t *self);
void flow_in_clear(flow_in_t *self);

// flow_in_frame judges a frame, or (events 0) a PROBE.
flow_verdict_t flow_in_frame(flow_in_t *self, const flow_stamp_t *stamp);

// flow_in_sum adds the sum of the events of a frame that was taken.  Returns
// false when the source had sent something else before it.
bool flow_in_sum(flow_in_t *self, const flow_stamp_t *stamp, uint64_t sum);

// flow_in_missed: the session with which frames came has ended; what was under
// way may be missing.
void flow_in_missed(flow_in_t *self);

// flow_in_retell: words to the source may have been lost on their way; the next
// one says everything again.
void flow_in_retell(flow_in_t *self);

// flow_in_open notes that a manager got a frame; flow_in_done that its events
// are settled.  The record is freed by the flow.
record_t *flow_in_open(
    flow_in_t *self, uint32_t target, uint64_t first, uint64_t end);
void flow_in_done(flow_in_t *self, uint32_t target, record_t *record);

// flow_in_return gives it back to the source: none of its events has been begun,
// and none will be.
void flow_in_return(flow_in_t *self, uint32_t target, record_t *record);

// flow_in_refuse does so for a frame that no manager got, because the one that it is
// for has ended.
void flow_in_refuse(
    flow_in_t *self, uint32_t target, uint64_t first, uint64_t end);

// flow_in_word is what must be told to the source now.  Borrowed until the next
// call on the flow.
Edri__Wire__Flow *flow_in_word(flow_in_t *self);

#endif
