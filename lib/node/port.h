// SPDX-License-Identifier: MIT
// node/port.h - the inside of a port, for the router and the managers.
//
// DESIGN
// A port is two boxes and a bell.  The owner's thread emits into 'out' and
// reads 'in'; the router does the opposite.  The bell is an inproc DEALER,
// connected to the router's ROUTER: an empty message says "look into your
// boxes"; the few others are below.  Only the owner's thread touches the
// socket.  A thread waits in one place only, for its bell, whatever it waits
// for: replies, room, an open gate.
//
// In a worker's process the router is far away: there the bell is the carrier
// to the node, and ringing it carries the box's content off (worker.c).

#ifndef NODE_PORT_H
#define NODE_PORT_H

#include <pthread.h>
#include <zmq.h>

#include "base/blob.h"
#include "base/box.h"
#include "base/map.h"
#include "edri/port.h"
#include "node/ear.h"
#include "node/node.h"
#include "node/reader.h"
#include "node/types.h"
#include "wire/flat.h"

// content_t is what an envelope is to hold: a message, or bytes, perhaps a blob's.
typedef struct content {
    const ProtobufCMessage *message; // NULL: the bytes
    const flat_t *flat;              // of it, or NULL
    const void *data;
    size_t size;
    blob_t *blob; // borrowed; NULL: the bytes are copied
} content_t;

// What a bell message says: its first byte, or nothing.
#define BELL_ATTACH 'a' // port → router: here I am; back: done
#define BELL_DETACH 'd' // port → router: forget me; back: done
#define BELL_GATE   'g' // port → router + type id: ring when it opens
#define BELL_FLUSH  'f' // port → router: say so when all I emitted is sent
#define BELL_CANCEL 'c' // port → router + id: nobody waits for that request
#define BELL_TUNNEL 't' // port → router + id: who had those up to it has ended
#define BELL_LEAVE  'l' // port → router: nothing more for me; back: all is there
#define BELL_QUIT   'q' // router → port: the node stops

// demand_t is one type that a port's manager wants.
typedef struct demand {
    typeref_t *ref;
    bool observer;          // of replies; else handler
    bool pooled;            // handled by a pool; else by the manager's thread
    bool replay;            // wants what is retained,
    uint32_t replay_age_ms; // none older; 0: all
} demand_t;

typedef struct ask ask_t;
typedef struct edri_tunnel edri_tunnel_t;
struct job;

// cause_t is what a port works for: the event whose handler runs, or whose
// request's callback does.  What it emits and asks says so.
typedef struct cause {
    uint64_t event; // its id; 0: none
    uint64_t life;
    int64_t deadline_ms; // of what it asks, on clock_ms; -1: none
    bool traced;
    edri_trace_t trace;
} cause_t;

// tenant_t is whose code a port runs: of several editions of a plugin (edition.h)
// each hears of its own requests.
typedef struct tenant {
    uint32_t edition; // 0: there is one
    edri_progress_fn *on_progress;
    void *progress_arg;
} tenant_t;

// How far a manager is that wants to know when the node drains.
typedef enum port_drain {
    DRAIN_NOT,   // the node does not drain
    DRAIN_ASKED, // by the router, which waits
    DRAIN_TOLD   // by the manager, whose hook has returned
} port_drain_t;

// How far a manager is that has to renew what it runs (edri/reload.h).
typedef enum port_renewal {
    RENEW_NOT,
    RENEW_ASKED, // by the router
    RENEW_DONE   // by the manager: see renew_err
} port_renewal_t;

// bell_t is how a port wakes the other end of its boxes and is woken by it.
typedef struct bell {
    // ring says a word to the other end; no bytes: look into your box.
    void (*ring)(edri_port_t *self, const void *word, size_t size);
    // run does the other end's work for what is in 'out', in this thread.  Returns
    // false when it must be rung.  NULL: never.
    bool (*run)(edri_port_t *self);
    // wait waits for any word until deadline_ms (-1: for ever) and notes it in
    // 'flushed' and 'quit'.  Returns EDRI_OK or EDRI_DEADLINE.
    edri_err_t (*wait)(edri_port_t *self, int64_t deadline_ms);
    // wait_fds waits for one of 'count' items, too, before which two are free.
    // Returns as wait.
    edri_err_t (*wait_fds)(edri_port_t *self, zmq_pollitem_t *items, int count,
        int64_t deadline_ms);
    // A reply is taken whatever else was not: it need not wait.
    bool takes_replies;
    // use is called when a type is used for the first time; may be NULL.
    void (*use)(edri_port_t *self, const edri_type_t *type);
} bell_t;

struct edri_port {
    uint32_t magic;
    edri_node_t *node;
    uint32_t serial; // never used twice in a node
    uint16_t number; // in ids; a manager's target
    pthread_t owner;
    box_t *out; // to the router
    box_t *in;  // from the router
    const bell_t *bell;
    void *other_end; // the bell's: a DEALER; in a worker's process the worker
    ear_t ear;       // of the DEALER
    // set before attaching, read by the router
    const char *manager; // name; NULL: no demands
    const demand_t *demands;
    size_t demand_count;
    bool lossy;
    size_t tunnel_limit;      // of its manager's workers, at once; 0: none
    size_t queue;             // limit of 'in'; in port_new's 'like' 0: as usual
    uint8_t priority;         // of events for the manager's thread, unless
    atomic_bool ranked;       // there are several; the router finds out, too
    struct faults *faults;    // of its manager's handlers
    _Atomic(uint64_t) probed; // number of the newest probe that came by,
    _Atomic(int64_t) probed_ms;  // and when
    _Atomic(uint64_t) missed;    // dropped for it and not told; by the router
    _Atomic(uint64_t) waits_for; // request that its owner waits for; 0: none
    bool worker;                 // belongs to a manager's pool
    uint16_t target;             // of the manager that it works for; 0: none
    bool drains;                 // its manager wants to know of draining
    _Atomic(port_drain_t) drain;
    _Atomic(port_renewal_t) renew;
    atomic_bool stuck;    // the router says that nothing goes on
    edri_err_t renew_err; // written before RENEW_DONE,
    char *renew_text;     // read and freed after it
    // owner's
    map_t *types;                 // edri_type_t * → used_t
    const edri_type_t *last_type; // cache of 'types'
    struct used *last_used;
    uint64_t next_id;
    uint64_t last_request;
    bool soon;   // its owner waits as soon as it has put what comes next
    note_t note; // for who has the helm
    atomic_uint_fast64_t
        turn;          // of its work as the lookout (listen.h); odd: awake
    tenant_t tenant;   // the code that asks now
    map_t *tunnels;    // id → edri_tunnel_t
    unsigned openings; // requests for tunnels that are on their way
    bool starved;      // some tunnel waits for room in 'out'
    bool news;         // something was said in one since edri_port_wait looked
    edri_tunnel_t *heard; // of these, whose callbacks are due
    map_t *asks;          // id → ask_t that waits
    ask_t *first_ask;     // by deadline, earliest first
    ask_t *last_ask;
    cause_t cause;
    edri_task_t *task; // whose handler runs, or NULL
    load_t *deferred;  // taken while waiting: events inside
    size_t deferred_count;
    map_t *refused; // ids of events in these that have been answered, or NULL
    load_t spare;   // memory for the next take
    atomic_bool attached; // written by the router, which then rings
    atomic_bool left;     // likewise: it gets nothing more
    // What its manager has not begun when it detaches, and why not (orphans.h):
    // written before the bell, which orders nothing that a checker of races sees.
    _Atomic(struct job *) orphans;
    _Atomic(const char *) why;
    bool flushed;
    bool quit;        // the node stops
    atomic_bool stop; // the same, for an owner that is busy
    char *error;
};

#define PORT_MAGIC 0xed2190a7u

// A port's routing id: 'P', number (2 bytes), serial (4), of this machine.
// The serial makes it new each time, the number finds the port.
#define PORT_ROUTING_SIZE 7

// port_new attaches a port of the calling thread; the fields for the router
// come from 'like' (NULL: a plain port).  NULL when the node has stopped.
edri_port_t *port_new(edri_node_t *node, const edri_port_t *like);

// port_new_far makes the port of a worker's process, with its number and the
// id after which its own count; 'other_end' is the bell's.  Never fails.
edri_port_t *port_new_far(
    edri_node_t *node, const bell_t *bell, void *other_end, uint64_t last_id);

// port_wait_with waits for the bell or for one of 'items', of which the first
// is filled in here.  Returns EDRI_OK or EDRI_DEADLINE, also while the node
// stops.  Not for a port of port_new_far.
edri_err_t port_wait_with(
    edri_port_t *self, zmq_pollitem_t *items, int count, int64_t deadline_ms);

// port_check refuses NULL, a destroyed port and other threads' ports: EDRI_OK or
// EDRI_STATE.  port_fail sets edri_port_error and returns 'err'.
edri_err_t port_check(edri_port_t *self) EDRI_MUST_CHECK;
edri_err_t port_fail(edri_port_t *self, edri_err_t err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// port_put writes one envelope with its body into the port's box, whatever its limit.
void port_put(edri_port_t *self, envelope_t *env, const content_t *body);

// port_open_tunnel sends the request that opens a tunnel; 'fn' is called once.  'waits':
// the owner does nothing else until then, and sets waits_for back.  Returns as
// edri_request_async.
edri_err_t port_open_tunnel(edri_port_t *self, const edri_type_t *type,
    const ProtobufCMessage *arguments, uint32_t timeout_ms, bool waits,
    edri_answer_fn *fn, void *arg) EDRI_MUST_CHECK;

// port_ring says a word to the other end (bell_t).
void port_ring(edri_port_t *self, const void *word, size_t size);

// port_filled has the other end look into 'out', which it had found empty.
void port_filled(edri_port_t *self);

// port_sleep waits for the bell until deadline_ms (clock_ms; -1: for ever).
// Returns EDRI_OK when rung, EDRI_DEADLINE, EDRI_CLOSED once the node stops.
edri_err_t port_sleep(edri_port_t *self, int64_t deadline_ms);

// port_pump handles replies that have come and overdue requests, and ends those
// of a task that was cancelled; loads with events in them are kept in
// 'deferred'.  Returns how many callbacks ran.
size_t port_pump(edri_port_t *self);

// port_answer handles one reply.  port_expire ends overdue requests and
// returns how many.  port_deadline is the earliest, or -1.
void port_answer(edri_port_t *self, const reader_t *at);
size_t port_expire(edri_port_t *self, int64_t now_ms);
int64_t port_deadline(const edri_port_t *self);

// port_asking says whether callbacks are outstanding; port_asks_for: those of one
// edition.
bool port_asking(const edri_port_t *self);
bool port_asks_for(const edri_port_t *self, uint32_t edition);

// port_lend lets code of another edition use the port, as it did when it asked;
// port_lend_back ends that, with what port_lend returned.
tenant_t port_lend(edri_port_t *self, const tenant_t *to);
void port_lend_back(edri_port_t *self, const tenant_t *before);

// port_has_load says whether port_next_load would find something; it does not
// arm the box.
bool port_has_load(const edri_port_t *self);

// port_cancel tells the router that nobody waits for that request any more.
void port_cancel(edri_port_t *self, uint64_t request);

// port_next_load takes what the manager works on next: deferred first.
// *replies_done tells that its replies were handled already.
bool port_next_load(edri_port_t *self, load_t *load, bool *replies_done);

// port_release says that bytes of 'box' are done with, ringing the router when
// somebody waits for the room.
void port_release(edri_port_t *self, box_t *box, size_t size);

// port_missed takes how many events were dropped for it since the last call.
uint64_t port_missed(edri_port_t *self);

// port_begun says that so many events of a frame have been begun, ringing the
// router when it waits for that.
void port_begun(edri_port_t *self, token_t *token, uint32_t events);

// port_leave lets the router send nothing more to the port's manager: others get
// it.  What was on its way is in the port's box when it returns.
void port_leave(edri_port_t *self);

// port_pass sends an envelope that was made elsewhere, with its attachment,
// which is then taken over.  Returns EDRI_OK, or EDRI_AGAIN: the port is full,
// and the bell will be rung.
edri_err_t port_pass(edri_port_t *self, slice_t item, int64_t base_ms,
    blob_t **blob_p) EDRI_MUST_CHECK;

// port_is_open says whether the gate of a type is; if not the bell will be rung.
bool port_is_open(edri_port_t *self, const typeref_t *ref);

// port_ask_flush asks the router to say when all that was emitted has been
// sent; 'flushed' tells.
void port_ask_flush(edri_port_t *self);

// port_reply sends the end of a request: a packed reply, or an error with a
// text.  'asked' is the request's envelope, 'life' where it came from.
// 'reply' may be NULL: the end of a notification in a worker's process; 'flat' is how
// it lies in memory, or NULL.
void port_reply(edri_port_t *self, const envelope_t *asked, uint64_t life,
    edri_err_t err, const char *text, const ProtobufCMessage *reply,
    const flat_t *flat);

// port_progress tells who asked how far its request is, if there is room.
void port_progress(edri_port_t *self, const envelope_t *asked, uint64_t life,
    uint64_t done, uint64_t total, const char *text);

#endif
