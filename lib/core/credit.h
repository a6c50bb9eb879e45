// SPDX-License-Identifier: MIT
// core/credit.h - how much one node may send to one manager, both ends.
//
// DESIGN
// A manager's queue has a limit in bytes.  Its node gives each source that
// sends to it a share of what is free, as an absolute number: "you may have
// sent up to N bytes since the path began".  Absolute numbers can be lost,
// doubled and merged without harm.  What has been granted and has not come yet
// counts as used, so that the sum of all grants stays within the limit; but for
// one full frame's worth per source, so that idle sources never starve a busy one,
// and one event that is larger than the whole limit: it is announced (WANT)
// and granted when the queue is empty.  Pure.

#ifndef CORE_CREDIT_H
#define CORE_CREDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What a source may send at first, before it was told: clamp(limit/sources).
#define CREDIT_MIN 4096u
#define CREDIT_MAX 65536u

// ----- at the source, one per destination manager

typedef struct credit_out {
    uint64_t sent;     // bytes since the path began
    uint64_t limit;    // may be sent
    uint64_t consumed; // has left the manager's queue
    uint64_t wanted;   // the limit that was announced; 0: none
} credit_out_t;

// credit_out_init begins a path; 'initial' is what the first message may hold.
void credit_out_init(credit_out_t *self, uint64_t initial);

// credit_out_may says whether 'size' more bytes may go.
bool credit_out_may(const credit_out_t *self, size_t size);

// credit_out_want says whether WANT must be sent for 'size' now, once for each
// 'sent': the limit that is needed is 'wanted'.  It is an absolute number, for
// WANT may overtake frames.
bool credit_out_want(credit_out_t *self, size_t size);

void credit_out_sent(credit_out_t *self, size_t size);

// credit_out_dropped takes back what never reached the receiver: its numbers do
// not know of it.
void credit_out_dropped(credit_out_t *self, size_t size);

// credit_out_granted takes what the receiver said; older words change nothing.
void credit_out_granted(credit_out_t *self, uint64_t limit, uint64_t consumed);

// ----- at the receiver, one per source and manager

typedef struct credit_in {
    uint64_t received; // bytes since the path began
    uint64_t granted;
    uint64_t consumed; // as last told
    uint64_t want;     // the source needs 'granted' to be this; 0: enough
} credit_in_t;

void credit_in_init(credit_in_t *self, uint64_t initial);

// credit_in_received accounts for what came.  Returns false when it is more
// than was granted: the peer breaks the protocol.
bool credit_in_received(credit_in_t *self, size_t size);

// credit_in_open is what was granted and has not come.
uint64_t credit_in_open(const credit_in_t *self);

// credit_in_grant grants more when the source has less than half a share open:
// 'limit' and 'used' are the queue's, 'open' the sum of credit_in_open over all
// its sources, 'sources' their number.  Returns true when something is new and
// must be told.
bool credit_in_grant(credit_in_t *self, size_t limit, size_t used,
    uint64_t open, size_t sources);

// credit_in_short says whether the source may be waiting for more.
bool credit_in_short(const credit_in_t *self);

#endif
