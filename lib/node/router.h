// SPDX-License-Identifier: MIT
// node/router.h - the node's centre: directs events by type.
//
// DESIGN
// Who has the helm (helm.h), as a rule the router's thread, owns every socket of the node
// and all that stands here.  Files:
//   router.c     the thread: polls, the node's commands, timers
//   ports.c      what the ports say to it: bells, notes, loads
//   listen.c     the ports' owners who listen to connections instead of the thread
//   slot.c       ports as the router sees them: delivery into their boxes
//   route.c      types: who demands them; direct.c: whom the next event goes to;
//   absent.c     groups that are expected back
//   waiting.c    events that wait until a switch has said who demands them
//   asked.c      requests on their way, replies, errors
//   cancel.c     requests that nobody waits for any more
//   tunnels.c    the open tunnels
//   ipc.c        ports of other processes
//   remote.c     other nodes: a queue and credit per manager there, paths
//   flows.c      the words between the two ends of a flow, and their timers
//   keyed.c      types with a key: where the events of each key go
//   replay.c     retained types: what those get who come late
//   books.c      what it holds and has dropped: for edri audit, and as events
//   gone.c       what becomes of events whose receiver has left or ended
//   frames_out.c, frames_in.c, bodies.c    frames between nodes
//   link.c       sessions with the switches and the words spoken there
// An event is copied once from the box of its emitter into the box of its
// receiver (or into a chunk for another node); runs of events for one receiver
// are copied together.  On this road there is no allocation per event, no
// protobuf-c, no clock, no log.

#ifndef NODE_ROUTER_H
#define NODE_ROUTER_H

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "base/box.h"
#include "base/map.h"
#include "core/cancels.h"
#include "core/credit.h"
#include "core/fence.h"
#include "core/flow_in.h"
#include "core/flow_out.h"
#include "core/health.h"
#include "core/lookout.h"
#include "core/outq.h"
#include "core/overflow.h"
#include "core/reach.h"
#include "core/resolve.h"
#include "core/retain.h"
#include "core/session.h"
#include "node/node.h"
#include "node/port.h"
#include "node/token.h"
#include "wire/frame.h"

#define FRAME_PARTS_MAX 64 // of one frame: batch and attachments
#define LANES           4  // of Head.lane; flows have those from 1 on

typedef struct router router_t;
typedef struct slot slot_t;
typedef struct route route_t;
typedef struct dest dest_t;
typedef struct remote remote_t;
typedef struct link link_t;
typedef struct asked asked_t;
typedef struct seat seat_t;
typedef struct keyed keyed_t;
typedef struct line line_t;

// list_t is a growing list of pointers.
typedef struct list {
    void **items;
    size_t count;
    size_t capacity;
} list_t;

void list_add(list_t *self, void *item);
bool list_remove(list_t *self, const void *item);
void list_clear(list_t *self);

// ----- slots: ports as the router sees them

// wish_t: a manager wants the retained events of a type, none older than age_ms
// (0: all there are).
typedef struct wish {
    const route_t *route;
    uint32_t age_ms;
} wish_t;

// epoch_t counts the tokens of keyed events that a slot has from an epoch.
typedef struct epoch {
    uint64_t epoch;
    size_t open;
} epoch_t;

struct slot {
    router_t *router;
    uint16_t number;
    bool ipc;   // a port of another process
    bool ready; // in router->ready: look into its 'out'
    bool left;  // its manager gets nothing more
    bool full;  // over its limit: pushes back
    bool lossy;
    bool rung;           // in this pass already
    edri_port_t *port;   // inproc; NULL: ipc
    uint8_t routing[32]; // ROUTER's name for it
    size_t routing_size;
    char *manager;   // name, or NULL
    map_t *handles;  // type → route_t: its demands as handler
    map_t *observes; // type → route_t
    wish_t *wishes;  // of retained types
    size_t wish_count;
    seat_t *seat;    // how far it is with those (replay.h), or NULL
    map_t *sources;  // life → credit_in_t
    uint64_t open;   // sum of credit_in_open of the sources
    line_t *line;    // what waits of its events, or NULL
    token_t *token;  // of the keyed events that it got in this pass, or NULL
    epoch_t *epochs; // in which it got keyed events that are not settled
    size_t epoch_count;
    bool starved;         // a source waits for credit
    health_t health;      // of a manager of this process
    size_t probe_size;    // of the probe that is on its way; 0: none
    uint64_t probe_bytes; // of those that came by
    bool told_stuck;      // edri.ManagerDown was
    bool flush;           // wants to know when all is sent
    size_t tunnels;       // that workers of the manager have accepted
    // items for it that stand side by side in the load being routed
    const uint8_t *span;
    size_t span_size;
    size_t span_events;
    run_t span_origin;
    outq_t queue;        // of a process: frames for it; else what came while
                         // its box was full
    overflow_t overflow; // of that queue
    // ipc only
    outq_t flying;     // those sent that it has not taken
    uint64_t sent;     // counted frames
    uint64_t taken;    // of these, as it said
    uint64_t received; // counted frames from it
    uint64_t told;     // of these, as we said
    uint64_t beats;    // heartbeats so far
};

// slot_attach and slot_detach make and forget the slot of an in-process port.
slot_t *slot_attach(router_t *router, edri_port_t *port, const uint8_t *routing,
    size_t routing_size);
void slot_detach(slot_t *self);

// slot_leave takes a manager out of all groups, here and at the switches, puts
// what waited into its box, whatever its limit, and says so.
void slot_leave(slot_t *self);

// slot_init makes what every slot has; 'ipc' or 'port' is set before.
void slot_init(slot_t *self, router_t *router);

// slot_free frees a slot that nobody points at any more.
void slot_free(slot_t *self);

// slot_give puts one item into the port's box, or into a span that is put with
// the next flush.  'item' must stay until slots_flush.  'blob' is taken over.
void slot_give(slot_t *self, slice_t item, const envelope_t *env,
    const run_t *origin, blob_t *blob);

// slot_offer does so under the policy of the event's type: what does not fit
// waits beside the box, or is dropped and counted.
void slot_offer(slot_t *self, slice_t item, const envelope_t *env,
    const run_t *origin, blob_t *blob, edri_overflow_t policy);

// slots_flush puts all spans.
void slots_flush(router_t *router);

// slot_chunk_done ends a chunk of a process: it has been taken, or never will.
void slot_chunk_done(slot_t *self, chunk_t **chunk_p);

// slot_missed notes that so many events for it were dropped.
void slot_missed(slot_t *self, uint64_t events);

// slot_ring rings its bell with a word (0: none).
void slot_ring(slot_t *self, char word);

// slot_used is how many bytes wait there; slot_limit how many may.
size_t slot_used(const slot_t *self);
size_t slot_limit(const slot_t *self);

// slot_starved notes that a source of the manager waits for credit: slots_check
// looks again when there is room.  slot_grant gives one source more, if it may.
void slot_starved(slot_t *self);
void slot_grant(slot_t *self, uint64_t life, credit_in_t *credit);

// slots_check opens what is no longer full and grants credit again.
void slots_check(router_t *router);

// ----- routes: types

typedef struct member {
    slot_t *slot;  // here, or
    dest_t *dest;  // at another node
    uint8_t links; // bit per link whose table has it
    bool lossy;    // drops what is too much for it, never pushes back
    const ProtobufCBinaryData *wish; // of the past; NULL: nothing.  Borrowed
                                     // for route_add
} member_t;

// group_t is the members of one manager name; the last of a route's groups is
// everybody.  Guests are in none: they only listen, and get a copy of all.
typedef struct group {
    char *name;
    slot_t *local; // one of this node, or NULL
    dest_t **dests;
    size_t dest_count;
} group_t;

struct route {
    uint64_t type;
    typeref_t *ref; // NULL until a port here used the type
    member_t *handlers;
    size_t handler_count;
    member_t *observers;
    size_t observer_count;
    group_t *groups;    // of handlers by name; then everybody
    size_t group_count; // without everybody
    map_t *numbers; // hash of a name → number of its group, from 1; or NULL
    group_t everybody;
    resolve_t resolve; // what the switches said of it
    outq_t pending;    // events that nobody is known for yet
    bool own;          // the router's own (system.h): no flush waits for these
    size_t held_bytes; // of those that ports hold back (waiting.c)
    bool closed;       // its gate
    list_t waiters;    // slots that wait for the gate
    struct absent *absent; // groups that are expected back
    keyed_t *keyed;        // by group: where the events of each key go
    retain_t *retain;      // what is kept of the type, or NULL
};

// route_find returns the route of a type, making it when it is new.
route_t *route_find(router_t *router, uint64_t type);

// route_event directs one item that a port of this node emitted.
void route_event(router_t *router, slot_t *from, slice_t item, slice_t content,
    const envelope_t *env, const run_t *run, blob_t **blob_p);

// route_add and route_remove change who is there; rebuilds the groups.
void route_add(router_t *router, route_t *route, bool observer, member_t member,
    unsigned link);
void route_remove(router_t *router, route_t *route, bool observer,
    const slot_t *slot, const dest_t *dest, unsigned link);

// route_give gives one event to one member.
void route_give(const route_t *route, const member_t *member, slice_t item,
    const envelope_t *env, const run_t *run, blob_t *blob);

// route_again gives one notification that went to a manager of that name, which
// has left, to another of its group (ONE: to anybody).  Without one it waits
// for the group to come back when 'wait' says so.  False: it went nowhere.
bool route_again(router_t *router, route_t *route, const char *manager,
    slice_t item, const envelope_t *env, const run_t *origin, blob_t *blob,
    bool wait);

// route_ask gives a request that has failed to a responder again.  False: there
// is none now.
bool route_ask(router_t *router, route_t *route, asked_t *asked, slice_t item,
    const envelope_t *env, const run_t *run, blob_t *blob);

// route_has says whether somebody is there of the group ("": anybody at all).
bool route_has(const route_t *route, const char *name);

// routes_tick ends what has waited too long.
void routes_tick(router_t *router);

// route_taken says whether somebody is known who would get such an event;
// route_direct gives it to all who get it.  'from' is NULL when its port has
// gone.
size_t route_waiting(const route_t *self); // bytes, for a receiver to come
bool route_taken(const route_t *self, uint32_t flags);
void route_direct(router_t *router, slot_t *from, route_t *route, slice_t item,
    const envelope_t *env, const run_t *run, blob_t *blob);

// route_gate opens or closes the type's gate after somebody's fullness changed.
void route_gate(router_t *router, route_t *route);

void routes_destroy(router_t *router);

// ----- events that wait for an answer of the switches

// waiting_put keeps an event that may not go yet.  False: it may.
bool waiting_put(router_t *router, slot_t *from, route_t *route, slice_t item,
    const envelope_t *env, const run_t *run, blob_t *blob);

// waiting_reconsider directs what waited for the type, if all is known now.
void waiting_reconsider(router_t *router, route_t *route);

// waiting_detach: the port has gone; what it emitted goes on.
void waiting_detach(slot_t *slot);

// waiting_any says whether anything waits that is not the router's own.
bool waiting_any(const router_t *router);
void waiting_clear(router_t *router);

// ----- requests

// asked_add writes down a request of a local port; asked_member whom it went
// to.  asked_error gives the asker an error.
asked_t *asked_add(router_t *router, const envelope_t *env, const run_t *run,
    route_t *route, slot_t *from, bool all, size_t members);
void asked_member(
    asked_t *self, uint64_t life, uint32_t target, dest_t *dest, size_t weight);

// asked_keep keeps the request itself, so that it can be tried again.
void asked_keep(asked_t *self, slice_t item, int64_t base_ms, blob_t *blob);

// asked_retry tries again what is due; asked_next says when something is.
void asked_retry(router_t *router);
int64_t asked_next(const router_t *router);

// asked_announce tells the asker of a request to ALL who was asked.
void asked_announce(router_t *router, const asked_t *self);

// asked_refuse answers a request that went nowhere.
void asked_refuse(router_t *router, slot_t *from, const envelope_t *env,
    edri_err_t err, const char *text);

// asked_reply directs a reply that came from 'life' (0: here) to its asker.
void asked_reply(router_t *router, slice_t item, slice_t content,
    const envelope_t *env, uint64_t life, blob_t **blob_p);

// asked_opened ends a request that a life has answered with a tunnel.  Returns false
// when nobody waits for it any more; else its port in *port_p.
bool asked_opened(router_t *router, uint64_t request, uint64_t life,
    uint64_t type, uint16_t *port_p);

// asked_unsent takes a request back that never left for that manager.  Returns
// true when it may be sent to another; a request to ALL gets an error instead,
// and one that has ended is forgotten.
bool asked_unsent(
    router_t *router, uint64_t id, uint64_t life, uint32_t target);

// asked_cancel forgets a request that nobody waits for and tells its
// responders.  False: it is not known.  asked_cancel_all does so for all of a
// port.
bool asked_cancel(router_t *router, uint64_t id);
void asked_cancel_all(router_t *router, uint16_t port);

// asked_open says whether that manager of that life still has to answer.
bool asked_open(
    const router_t *router, uint64_t id, uint64_t life, uint32_t target);

// asked_life_gone ends what a life was asked, asked_slot_gone what a local
// manager was asked; asked_expire forgets what is overdue.
void asked_life_gone(router_t *router, uint64_t life);
void asked_slot_gone(router_t *router, uint16_t target);
void asked_expire(router_t *router);
void asked_destroy(router_t *router);

// ----- cancels

// cancel_asked: the port does not wait for its request any more.
void cancel_asked(router_t *router, const slot_t *from, uint64_t id);

// cancel_here tells the handlers of this node, which work on these requests of
// 'life' (0: this node) or have not begun.  cancel_life does so for all that a life has
// asked: it has ended, or was given up.
void cancel_here(
    router_t *router, uint64_t life, const uint64_t *ids, size_t count);
void cancel_life(router_t *router, uint64_t life);

// cancel_there tells the node of a manager, and drops the request if it has not
// left yet.
void cancel_there(dest_t *dest, uint64_t id);

// ----- other nodes

// dest_t is one manager of another node, as a receiver of ours.
struct dest {
    remote_t *remote;
    uint32_t target;
    char *manager;
    outq_t queue;
    overflow_t overflow; // of that queue
    credit_out_t credit;
    uint64_t paid;         // path that gave the credit of the body being sent
    size_t asked_bytes;    // requests there without a reply
    bool active;           // in its link's list of senders
    bool full;             // over its limit: pushes back
    bool solid;            // has got events that must not be dropped
    bool stale;            // requests in the queue may have been cancelled
    uint64_t bulk_wait;    // BULK seq whose arrival must come first,
    uint8_t bulk_priority; // unless an event is more urgent than this
    uint64_t events_end;   // EVENT seq behind its newest frame
    uint64_t missed;       // events dropped since its last frame
    list_t routes;         // that have it as a member
};

// tunnel_cut_t is an end of a tunnel that was closed here when its life was given up.
typedef struct tunnel_cut {
    struct tunnel_cut *next;
    uint64_t type;
    uint64_t id;
    uint64_t peer;
    edri_err_t reason;
} tunnel_cut_t;

struct remote {
    router_t *router;
    uint64_t life;
    char *name;
    reach_t reach;
    dest_t **dests;
    size_t dest_count;
    outq_t replies;
    outq_t streams;            // of tunnels
    tunnel_cut_t *cuts;        // to be told when it comes back
    bool streaming;            // they are in the link's list
    bool active;               // its replies are in the link's list
    bool resending;            // it is in the link's list of those
    uint64_t path;             // of our frames
    flow_out_t out[LANES];     // by lane
    uint64_t probed[LANES];    // out.next when flows_probe last asked
    lease_t lease;             // that it has from us
    unsigned link_in;          // index of the link that its frames take, plus 1
    uint64_t path_in;          // of the frames that come from it
    uint64_t heard[LINKS_MAX]; // newest path of its frames, by link
    uint64_t stale[LINKS_MAX]; // the same when the switch said GONE: what comes
                               // of it had waited there
    flow_in_t in[LANES];
    fence_t fence;     // the lease that we have from it
    gate_t gate;       // the same, for the managers' threads
    size_t movable;    // its frames here that it might give to another
    bool fenced;       // some manager may be holding events back
    map_t *bodies;     // event id → body_t: fragments so far
    bool evicted;      // some of these were dropped while it was away
    uint64_t *cancels; // ids to be told: nobody waits for them here
    size_t cancel_count;
    size_t cancel_room;
    int64_t want_ms; // when WANT is said again; 0: nobody waits for credit
    int64_t tell_ms; // when its flows must be told what came; 0: nothing
    int64_t due_ms;  // when to look at it; INT64_MAX: in no list
    int64_t end_ms;  // when it is given up, unless it comes back; 0: no
    int64_t gone_ms; // since when it has been given up; 0: it has not
    bool told_down;  // edri.NodeDown was
    bool ended;      // for sure: what still comes of it is the rest
    bool closed;     // it has said BYE
};

remote_t *remote_find(router_t *router, uint64_t life, const char *name);

// remote_gone ends a life: by proof, or by the guess of a switch (it may be
// alive).  What it has not settled goes elsewhere or is counted.
void remote_gone(
    router_t *router, uint64_t life, edri_err_t reason, const char *why);
dest_t *remote_dest(remote_t *self, uint32_t target, const char *manager);

// dest_send queues one item for a manager of another node, under the policy of
// its type: what is too much is dropped and counted.
void dest_send(dest_t *self, slice_t item, const envelope_t *env,
    const run_t *origin, blob_t *blob, edri_overflow_t policy);

// dest_withdrawn: the manager no longer wants the type; what had not left yet
// goes to others who may have it, or is counted as lost.
void dest_withdrawn(dest_t *self, uint64_t type);

// dest_load is how much of ours is unsettled there, in bytes.
size_t dest_load(const dest_t *self);

// remote_reply queues one reply.
void remote_reply(router_t *router, uint64_t life, slice_t item,
    const envelope_t *env, int64_t base_ms, blob_t *blob);

// remote_stream queues what is said in a tunnel.
void remote_stream(router_t *router, uint64_t life, slice_t item,
    const envelope_t *env, blob_t *blob);

// remote_granted takes credit.
void remote_granted(router_t *router, uint64_t life, uint32_t target,
    uint64_t limit, uint64_t consumed);

// remote_dropped: a switch did not pass a frame on.
void remote_dropped(
    router_t *router, unsigned link, const Edri__Link__Dropped *word);

// remotes_tick does what is due once a second: lives that have been missing too
// long, and those gone long ago.
void remotes_tick(router_t *router);

// flows_tick does what is due for flows; flows_next says when.
void flows_tick(router_t *router);
int64_t flows_next(const router_t *router);

// flows_settle takes the tokens that have come back; flows_tell tells every
// source at once what came and what was begun; flows_probe asks every
// receiver of something new at once how far it is.
void flows_settle(router_t *router);
void flows_tell(router_t *router);

// flows_end tells every source what was begun here and what was not, and every
// receiver that this life ends: what it has not given away is theirs.
void flows_end(router_t *router);
void flows_probe(router_t *router);

// frames_in handles a frame of events from another node; parts are the batch
// and the attachments, which stay the caller's.
void frames_in(link_t *link, head_t *head, zmq_msg_t *parts, size_t count);

// frames_lost tells every node that sends to us that a session of ours has
// ended, and with it what was on its way: it begins a new path.  And it asks every
// node again that we send to: answers may take the session that has just begun.
void frames_lost(link_t *link);

// frames_out sends what may be sent; called at the end of each pass.
void frames_out(link_t *link);

// frames_idle says whether nothing waits for any other node, and all that was
// sent has arrived there.
bool frames_idle(const router_t *router);

void remotes_destroy(router_t *router);

// ----- links: sessions with switches

typedef enum handshake {
    SHAKE_NONE,     // no session
    SHAKE_OFFERED,  // Offer sent, Need awaited
    SHAKE_DEMANDED, // Demand sent, InForce awaited
    SHAKE_IN_FORCE
} handshake_t;

struct link {
    router_t *router;
    unsigned index;
    char *endpoint;
    void *socket; // DEALER; NULL: no session
    ear_t ear;    // its
    int fd;       // its connection's, once something has come; -1: unknown
    session_t session;
    handshake_t shake;
    uint64_t generation; // of the newest Demand
    uint64_t switch_life;
    bool settled;
    bool broken;        // a send has failed: the connection is closed
    uint64_t opened;    // number of the session, never the same twice
    int64_t gap_ms;     // our own standstill, for the deadlines
    uint64_t sent;      // counted frames of this session
    uint64_t taken;     // of these, as the switch said
    uint64_t received;  // counted frames from the switch
    uint64_t told;      // of these, as we said
    int64_t tell_ms;    // when 'told' must be brought up to date
    list_t senders;     // dest_t that have something to send
    list_t repliers;    // remote_t that have replies to send
    list_t streamers;   // remote_t that have something of tunnels to send
    list_t resenders;   // remote_t that have frames to send again
    size_t next_sender; // fair turn
    bool replaced;
};

void links_init(router_t *router, const char *endpoints);
void links_destroy(router_t *router);

// links_reach says how the links are, for core/reach.h.
void links_reach(const router_t *router, reach_link_t out[LINKS_MAX]);
void links_open(router_t *router);
void links_tick(router_t *router);
int64_t links_next(const router_t *router);

// link_read handles what has come, at most some messages; returns how many.
size_t link_read(link_t *self);

// link_flush sends frames and overdue 'taken'.
void link_flush(link_t *self);

// link_send sends one control word; link_send_head a head with anything.
void link_say(link_t *self, const control_t *control);
edri_err_t link_send_head(link_t *self, head_t *head, bool more);

// link_resolve asks for a type's table on every open link.
void link_resolve(router_t *router, uint64_t type);

// links_resolve_again asks for the tables of all types in use again.
void links_resolve_again(router_t *router);

// link_drain withdraws all demands; links_bye ends the sessions.
void links_drain(router_t *router);
void links_bye(router_t *router);

// links_demand says on every open session what one slot wants, or no longer.
// links_withdraw says that it no longer wants one type.
void links_demand(router_t *router, const slot_t *slot, bool add);
void links_withdraw(
    router_t *router, const slot_t *slot, const route_t *route, bool observer);

// links_ask forwards a tool's question (a packed edri.link.Ask); the answer
// goes to the node's pipe.
edri_err_t links_ask(router_t *router, const void *data, size_t size);

// ----- the router

// handing_t is what of another member's is being given to others: each is older,
// of one key, than what comes behind it here.
typedef enum handing {
    HAND_SENT,   // what it was sent and did not begin
    HAND_QUEUED, // what waited for it here
    HAND_NONE    // new events
} handing_t;

struct router {
    edri_node_t *node;
    pthread_t thread;
    void *ports;    // ROUTER, inproc
    void *ipc;      // ROUTER, ipc; NULL: none
    void *pipe;     // PAIR to the node
    ear_t pipe_ear; // of these
    ear_t ports_ear;
    ear_t ipc_ear;
    map_t *slots;         // number → slot_t
    map_t *routes;        // type → route_t
    map_t *remotes;       // life → remote_t
    map_t *asked;         // request id → asked_t
    map_t *tunnels;       // id of an end here → row (tunnels.c)
    asked_t *first_asked; // by deadline
    asked_t *last_asked;
    asked_t *free_asked;
    cancels_t cancels; // of requests that wait until somebody is known
    list_t lines;      // line_t: ports whose events wait
    list_t retries;    // asked_t that wait for their next try
    list_t seats;      // seat_t: managers' places in retained types
    tokens_t *tokens;  // the node's
    list_t ready;      // slots to be read
    list_t spans;      // slots with a span
    list_t tokened;    // slots with a token of this pass
    list_t moving;     // routes whose keys may be on the move
    list_t full;       // slots over their limit or starved
    list_t flushing;   // slots that wait for a flush
    list_t ipc_slots;  // ports of other processes
    link_t links[LINKS_MAX];
    unsigned link_count;
    load_t load;             // being routed
    int64_t now_ms;          // read once per wake-up
    int64_t slept_ms;        // when the thread has gone to sleep,
    int64_t wakes_ms;        // and when it wakes by itself at the latest
    uint64_t lately;         // events that went through since it last looked
    lookout_for_t came;      // for whom what was put lately is
    const edri_port_t *near; // whose owner does this work now; NULL: nobody's
    uint64_t random;         // for choices
    int64_t expire_ms;       // when to look for overdue requests
    int64_t ipc_beat_ms;     // next heartbeat to other processes
    size_t body_bytes;       // of bodies coming in fragments
    uint64_t sessions;       // opened so far, on all links
    uint64_t last_path;      // newest path of any remote
    uint64_t epoch;          // changes of groups with keys so far
    bool settled;            // something has been settled since keyed_go_on
    handing_t handing;       // what is being given to others
    struct closed *closed;   // managers that have been closed (health.c)
    struct reload *reloads;  // wishes of tools (reload.c)
    gate_t open_gate;        // of events that are this node's own
    list_t due;              // remotes that must be looked at, some time
    int64_t due_ms;          // the earliest of these
    bool opened;             // links may connect
    bool returned;           // a session has been lost since
    bool told_ready;
    bool draining;
    bool told_drained;
    uint64_t own_events; // that the router itself has emitted
    int64_t drain_ms;    // when demands count as withdrawn
    bool stop;
};

// router_new starts the thread, whose first word on the pipe says whether it
// could bind.  Returns EDRI_OK, or EDRI_SYSTEM when there is no thread.
edri_err_t router_new(edri_node_t *node, router_t **self_p) EDRI_MUST_CHECK;

// router_destroy joins the thread (told to stop before) and frees the router.
void router_destroy(router_t **self_p);

// What the thread consists of; the simulation calls it step by step instead.
// router_make makes a router, router_open its sockets, router_step is one
// wake-up (false: told to stop), router_close says BYE and closes the sockets.
router_t *router_make(edri_node_t *node);
edri_err_t router_open(router_t *self) EDRI_MUST_CHECK;
bool router_step(router_t *self, bool may_wait);

// router_serve routes what the ports have emitted that left a note, and sends what comes
// of it, for whoever has the helm.  Returns false when the router's thread must be woken
// for the rest.
bool router_serve(router_t *self);

// router_listen does the same after reading what has come from the connections, for
// the owner of 'port', which looks into its box then.
bool router_listen(router_t *self, edri_port_t *port);
void router_close(router_t *self);
void router_free(router_t **self_p);

// drain_begin withdraws the demands and asks the managers' hooks; drain_check tells the
// node, once, when nothing of its own is under way any more.
void drain_begin(router_t *router);
void drain_check(router_t *router);

// router_tell sends a word with a text over the pipe to the node.
void router_tell(router_t *self, const char *word, edri_err_t err,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

// router_random returns the next pseudo-random number.
uint64_t router_random(router_t *self);

#endif
