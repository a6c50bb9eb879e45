// SPDX-License-Identifier: MIT
// node/work/channel.h - counted frames between a node and a worker's process.
//
// DESIGN
// Both ends have the same shape: what stands in a box goes out in frames, what
// comes is given to the owner.  What a worker emits is counted: it counts as
// full while CHANNEL_WINDOW frames, or too many bytes, are under way that the
// node has not taken.  Tasks (one at a time) and replies are not.

#ifndef NODE_WORK_CHANNEL_H
#define NODE_WORK_CHANNEL_H

#include "base/box.h"
#include "node/reader.h"
#include "node/work/carrier.h"

#define CHANNEL_WINDOW 64

// channel_t begins as zeros but for carrier, which is its own, and limit.
typedef struct channel {
    carrier_t *carrier;           // NULL: closed
    size_t limit;                 // of the bytes under way; 0: none
    uint64_t sent;                // counted frames that went
    uint64_t taken;               // of these, the peer has taken
    size_t bytes;                 // of those it has not
    size_t sizes[CHANNEL_WINDOW]; // each one's, by its number
    uint64_t received;            // counted frames that came and are done with
    uint64_t told;                // of these, the peer knows
    load_t load;                  // being sent
    reader_t at;
    envelope_t env; // the next one of it
    bool peeked;
} channel_t;

// channel_clear closes it and drops what was being sent.
void channel_clear(channel_t *self);

// cargo_t is a frame to be sent: envelopes of one kind and origin.
typedef struct cargo {
    slice_t batch;
    blob_t *blob; // borrowed, as all of it, until the next channel_next
    run_t run;
    bool replies;
    bool ends; // some of them, a task
} cargo_t;

// channel_next makes a frame of what stands in the box.  Returns false when
// there is nothing; the box is armed then.  *spent grows by the bytes of the
// box that are to be released.
bool channel_next(channel_t *self, box_t *box, cargo_t *cargo, size_t *spent);

// channel_send sends it; 'head' has what else is to be said.
void channel_send(channel_t *self, head_t *head, const cargo_t *cargo);

// channel_say sends control words.
void channel_say(channel_t *self, control_t **words, size_t count);

// channel_cancel says that nobody waits for a request of that life any more.
void channel_cancel(channel_t *self, uint64_t life, uint64_t id);

// channel_has_room says whether more may be emitted: everything has gone, and
// the window is open.
bool channel_has_room(channel_t *self);

// channel_receive takes the next message, as carrier_receive.
edri_err_t channel_receive(
    channel_t *self, message_t *message, const char **why_p) EDRI_MUST_CHECK;

// channel_took says that one more counted frame is done with.
void channel_took(channel_t *self);

#endif
