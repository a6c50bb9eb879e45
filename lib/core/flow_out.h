// SPDX-License-Identifier: MIT
// core/flow_out.h - the source's end of a flow: what was sent and is not sure.
//
// DESIGN
// A flow is the ordered, confirmed row of frames from one life to another in
// one lane.  Every event has a seq, given when its frame is first handed to a
// link.  The source keeps each frame until it has arrived, and one whose events
// may go to another member (keep) until they are settled there.
//
// Paths.  Frames go over one session with one switch; whenever that changes, or
// a frame was lost, a new path begins: a larger number, and all that has not
// arrived goes again, in order, the first frame marked 'opens'.  The receiver
// ignores older paths; within a path nothing is reordered, so a hole is a loss.
// Nothing is sent again on a timer: without progress an empty PROBE goes behind
// the data, and the receiver's answer says what is missing.  So does one when a
// word comes from a receiver that does not know the path yet: its session may be
// younger than what was sent over the last one; and whenever a session begins: answers
// may take another one than what they answer, and were lost until now.
//
// Window.  At most 'window' frames of a flow are under way.  A loss halves it,
// each clean round trip adds one (V. Jacobson, "Congestion Avoidance and
// Control", 1988).  Seqs begin with the time in ns, so that a flow that was
// forgotten and begins again never uses a seq twice.  Pure.

#ifndef CORE_FLOW_OUT_H
#define CORE_FLOW_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define FLOW_WINDOW_MIN   4
#define FLOW_WINDOW_FIRST 16
#define FLOW_WINDOW_MAX   64
#define FLOW_PROBE_MS     200  // without progress, at least
#define FLOW_PROBE_MAX_MS 1000 // between two probes that nobody answers
#define FLOW_DOUBT_MS     50   // between two because of older words, at least
#define FLOW_REMIND_MS    5000 // between two probes when only settling is open

// packet_t is one frame that the source keeps.
typedef struct packet {
    struct packet *next;
    uint64_t first;   // seq of its first event
    uint64_t end;     // seq behind its last event
    uint64_t skipped; // seqs right before 'first' that never come
    uint64_t before;  // the books' sum before it
    uint64_t sum;     // its own
    uint32_t target;  // the manager it is for; 0: replies
    bool keep;        // until settled, not just until arrived
    bool again;       // was sent on an older path, too
    bool arrived;     // it is there, not settled
    bool returned;    // it is not, and nothing of it was begun
    int64_t sent_ms;
    size_t weight; // bytes that it pins
    void *cargo;   // the owner's
} packet_t;

// flow_drop_fn frees the cargo of a packet that is done with.
typedef void flow_drop_fn(void *cargo, void *arg);

// held_t is what has arrived for one manager and is not settled.
typedef struct held {
    uint32_t target;
    packet_t *first; // by seq
    packet_t *last;
    size_t weight;
} held_t;

typedef struct flow_out {
    flow_drop_fn *drop;
    void *arg;
    uint64_t path;
    bool opened;      // the path's first frame has gone
    uint64_t next;    // seq of the next new event
    uint64_t arrived; // every seq below has arrived
    uint64_t gone;    // every seq below was given up
    uint64_t skip;    // seqs right before 'next' that never come
    uint64_t sum;     // the books: of all that was sent
    packet_t *first;  // what has not arrived, by seq
    packet_t *last;
    packet_t *resend; // first of it that was not sent on this path
    size_t flying;    // packets sent on this path, not arrived
    size_t window;
    uint64_t round; // the window grows when this seq has arrived
    held_t *held;   // per manager
    size_t held_count;
    size_t weight;       // bytes of all packets
    size_t held_weight;  // of these, arrived
    bool unsure;         // words about what is held may have been lost
    bool doubt;          // the receiver does not know of the path: ask
    int64_t pause_ms;    // nothing goes before: a switch was full
    int64_t progress_ms; // when something last went on
    int64_t probe_ms;    // pause before the next probe
    int64_t rtt_ms;      // smoothed round trip
    uint64_t events;     // the books: sent so far, each once
    uint64_t settled;    // of these, settled
} flow_out_t;

// flow_stamp_t is what the head of a frame says of its place in the flow.
typedef struct flow_stamp {
    uint64_t path;
    uint64_t first;
    uint64_t skipped;
    uint64_t sum; // before it
    uint32_t events;
    bool opens;
} flow_stamp_t;

// flow_out_init begins a flow whose first event gets the seq 'next'; 'drop' is
// called for each cargo that is not needed any more.
void flow_out_init(
    flow_out_t *self, uint64_t next, flow_drop_fn *drop, void *arg);

// flow_out_clear drops everything.
void flow_out_clear(flow_out_t *self);

// flow_out_begin begins a new path, larger than all before.
void flow_out_begin(flow_out_t *self, uint64_t path, int64_t now_ms);

// flow_out_open says whether a new frame may be sent now.
bool flow_out_open(const flow_out_t *self, int64_t now_ms);

// flow_out_add takes a new frame of 'events' (at least one) that the caller
// sends now, as the stamp says.  'sum' is the books' sum of its events.
packet_t *flow_out_add(flow_out_t *self, void *cargo, uint32_t events,
    uint32_t target, size_t weight, uint64_t sum, bool keep, int64_t now_ms,
    flow_stamp_t *stamp);

// flow_out_again returns the next frame that must be sent again and may go now,
// with its stamp, or NULL.  flow_out_resending says whether any is left.
const packet_t *flow_out_again(
    flow_out_t *self, int64_t now_ms, flow_stamp_t *stamp);
bool flow_out_resending(const flow_out_t *self);

// flow_out_arrived takes the receiver's word.  Returns false when it names what
// was never sent.
bool flow_out_arrived(flow_out_t *self, uint64_t arrived, int64_t now_ms);

// flow_out_known: the receiver's newest path is that one.  On a new one it says
// again what it has settled; until then a PROBE asks for it.
void flow_out_known(flow_out_t *self, uint64_t path, int64_t now_ms);

// flow_out_wonder: what the receiver said may have been lost, and would come now: a
// PROBE asks again at once, if anything is open.
void flow_out_wonder(flow_out_t *self);

// flow_out_lost: frames of that path are missing there (the receiver says so,
// or a switch dropped one).  Returns true when a new path must begin; false: it
// is about an older one.  pause_ms holds everything back for so long.
bool flow_out_lost(
    flow_out_t *self, uint64_t path, int64_t pause_ms, int64_t now_ms);

// flow_out_settled: the events with seqs from 'first' up to 'end' for that
// manager are final.  Returns false when it names what was never sent.
bool flow_out_settled(
    flow_out_t *self, uint32_t target, uint64_t first, uint64_t end);

// flow_out_returned: none of those events was begun there, nor will be: whoever
// gets them next gets them as new.  Returns false when they were never sent.
bool flow_out_returned(
    flow_out_t *self, uint32_t target, uint64_t first, uint64_t end);

// flow_out_all_returned says whether nothing is open at that manager but what it has
// returned.  flow_out_take_returned then takes all of it out: 'visit' gets every
// frame, in the order of seqs, and owns the cargo then.
bool flow_out_all_returned(const flow_out_t *self, uint32_t target);
typedef void flow_visit_fn(const packet_t *packet, void *arg);
void flow_out_take_returned(
    flow_out_t *self, uint32_t target, flow_visit_fn *visit, void *arg);

// flow_out_deny takes the frame that begins with 'first' out: nobody will pass
// it on.  Returns its weight (0: there is none); a new path must begin.
size_t flow_out_deny(flow_out_t *self, uint64_t first);

// flow_out_held is how many bytes one manager has not settled.
size_t flow_out_held(const flow_out_t *self, uint32_t target);

// flow_out_any says whether 'test' is true of any frame for that manager that is
// kept.
typedef bool flow_test_fn(const packet_t *packet, void *arg);
bool flow_out_any(
    const flow_out_t *self, uint32_t target, flow_test_fn *test, void *arg);

// flow_out_due says when flow_out_probe must be sent (INT64_MAX: never, all is
// settled), if flow_out_asks: what has not been sent on this path asks for
// itself when it goes.  flow_out_probe stamps it, behind what was sent.
int64_t flow_out_due(const flow_out_t *self);
bool flow_out_asks(const flow_out_t *self);
void flow_out_probe(flow_out_t *self, int64_t now_ms, flow_stamp_t *stamp);

// flow_out_give_up ends the life at the other end: 'visit' gets every frame
// that is kept, in the order of seqs for each manager, and owns the cargo then.
// Seqs so far never come again.
void flow_out_give_up(flow_out_t *self, flow_visit_fn *visit, void *arg);

// flow_sum adds one event to a books' sum: its type, id and length, in order.
static inline uint64_t
flow_sum(uint64_t sum, uint64_t type, uint64_t id, uint64_t size)
{
    uint64_t x = type ^ id * UINT64_C(0x9E3779B97F4A7C15) ^ size << 40;
    return (sum ^ x) * UINT64_C(0xFF51AFD7ED558CCD);
}

// flow_sum_batch is the sum of all events of a batch, as far as it is well-formed.
uint64_t flow_sum_batch(slice_t batch);

// flow_sums puts the sum of a frame behind the sum of what came before it.
static inline uint64_t
flow_sums(uint64_t before, uint64_t sum)
{
    return (before ^ sum) * UINT64_C(0xC4CEB9FE1A85EC53) + sum;
}

#endif
