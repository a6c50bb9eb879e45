// SPDX-License-Identifier: MIT
// node/remote.h - what the files about other nodes share: remote.c, flows.c,
// gone.c, and those of frames.

#ifndef NODE_REMOTE_H
#define NODE_REMOTE_H

#include "node/router.h"

// ----- remote.c: queues, links, paths

// initial_credit is what a source may send to a manager before it was told.
uint64_t initial_credit(void);

// remote_link is the link that frames to the node take now, or NULL; 'stray'
// allows one whose switch may not know it (see core/reach.h).  When that is
// another one than before, or a new session, a new path begins: what has not
// arrived goes again, and credit starts anew.
link_t *remote_link(remote_t *self, bool stray);

// remote_reached: the link's switch knows the node; what waited for it goes on.
// remote_unreached: it does not, or not any more; what waited for this link
// takes another that reaches the node, if there is one.
void remote_reached(remote_t *self, unsigned link);
void remote_unreached(remote_t *self, unsigned link);

// remote_resume puts everything into the turns of the link that reaches the
// node now.
void remote_resume(remote_t *self);

// remote_resends says whether frames are left that must be sent again;
// remote_again puts them into the turn of their link.
bool remote_resends(const remote_t *self);
void remote_again(remote_t *self);

// remote_restart begins a new path: frames of the old one are missing there.
void remote_restart(remote_t *self);

// remote_leave takes everything of the node out of the links' turns.
void remote_leave(remote_t *self);

// dest_sift drops cancelled requests from the front of the queue.
void dest_sift(dest_t *self);

// dest_wake and remote_wake put it into the turn of its link if it has
// something to send; dest_check updates its fullness.
void dest_wake(dest_t *self);
void dest_check(dest_t *self);
void remote_wake(remote_t *self);
void remote_wake_streams(remote_t *self);

// forget_credit takes back what a source was granted: it ended, or begins anew.
void forget_credit(router_t *router, uint64_t life);

// replies_max is how many bytes of replies may wait for one node: what is more
// goes as the error EDRI_OVERLOADED.
size_t replies_max(const router_t *router);

// remote_free frees it; nothing of it may be under way any more.
void remote_free(remote_t *self);

// remote_end gives a life up: what it has not settled goes elsewhere (gone.c).
void remote_end(remote_t *self);

// remote_expected says whether managers of its groups are expected back: it is
// missing, and has not said BYE (gone.c).
bool remote_expected(const remote_t *self);

// remote_takes_back gives others what a manager there has returned, once it has left
// all groups and nothing else is open there.
void remote_takes_back(remote_t *self, uint32_t target);

// remote_returned: a life that had been given up is there again (gone.c).
void remote_returned(remote_t *self);

// bodies_drop forgets bodies that came in part.
void bodies_drop(remote_t *self);

// What came is told at the latest after this long.
#define TELL_MS 20

// A switch that does not know a life is asked again after this long.
#define UNKNOWN_MS 500

// ----- flows.c: the words between the ends of a flow

// part_t is what a flow keeps of a frame: a chunk, or a part of its attachment.
typedef struct part {
    chunk_t *chunk;
    size_t from; // of the attachment
    size_t size;
    bool last; // the envelopes go with it
} part_t;

// part_drop is the flow_drop_fn.
void part_drop(void *cargo, void *arg);

// remote_due asks for flows_tick to look at the node at that time.
void remote_due(remote_t *self, int64_t at_ms);

// words_attach puts into a head what is to be said of the flows from there;
// 'flows' is memory of the caller.  words_tell says it now.  words_retell: words
// may have been lost on their way; all is said again, at that time or before.
void words_attach(remote_t *self, head_t *head, Edri__Wire__Flow *flows[LANES]);
void words_tell(remote_t *self);
void words_retell(remote_t *self, int64_t at_ms);

// words_in takes what the head of a frame from there says of flows to there.
void words_in(remote_t *self, const head_t *head);

// token_of makes the token of a frame for one manager here.
token_t *token_of(
    remote_t *self, int lane, const flow_stamp_t *stamp, uint32_t target);

// token_moves: an event of it may be given to another; asks for a lease if
// there is none.
void token_moves(remote_t *self, token_t *token);

// gate_open lets the managers begin what they held back, until then: a time, or
// GATE_FREE or GATE_MARKED.
void gate_open(remote_t *self, int64_t until_ms);

#endif
