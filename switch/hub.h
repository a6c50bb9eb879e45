// SPDX-License-Identifier: MIT
// hub.h - edri-switch: joins routers over TCP.
//
// DESIGN
// One thread around one ROUTER.  Files:
//   main.c     settings, signals
//   hub.c      the loop: poll, read, timers
//   peer.c     sessions: coming, going, names, heartbeats
//   words.c    control words of the sessions
//   forward.c  frames: head rewritten, batch by reference, windows
//   catalog.c  types and files
// Who demands what is core/directory.c.  The switch keeps nothing that the ends
// could not give again: it can be killed at any time.

#ifndef SWITCH_HUB_H
#define SWITCH_HUB_H

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "base/affinity.h"
#include "base/map.h"
#include "base/settings.h"
#include "catalog.h"
#include "core/directory.h"
#include "wire/envelope.h"
#include "wire/frame.h"

#define PARTS_MAX 64 // of one message: head, batch, attachments
#define LANES     4

// frame_t is a frame that waits for its receiver's window.
typedef struct frame {
    struct frame *next;
    uint8_t *head; // packed, without 'taken' and age
    size_t head_size;
    uint32_t age_ms; // when it came
    int64_t came_ms;
    zmq_msg_t parts[2]; // batch and attachment
    zmq_msg_t *more;    // further ones, or NULL
    size_t count;
    size_t weight; // bytes of all
} frame_t;

typedef enum peer_state {
    PEER_CLAIMS, // said HELLO with a name whose holder is being probed
    PEER_UP,
    PEER_CLOSED // its connection is gone: its life is waited for
} peer_state_t;

typedef struct peer {
    uint8_t routing[16];
    size_t routing_size;
    uint64_t session;
    uint64_t life;
    char *name; // "" for a guest
    char *host;
    char *software;
    char *switches;  // that it was told to use, sorted
    uint64_t number; // of the session, as the life counts
    uint64_t beat;   // number of its newest heartbeat
    int64_t beat_ms; // when it gets the next one of ours
    bool audits;     // has asked for books: answers of nodes go to it
    uint32_t pid;
    bool guest;
    peer_state_t state;
    int64_t since_ms; // of HELLO
    int64_t heard_ms;
    int64_t until_ms;      // CLAIMS: the holder's time; CLOSED: ours
    uint64_t probing;      // CLAIMS: the holder's session
    uint64_t sent;         // counted frames to it
    uint64_t taken;        // of these, as it said
    uint64_t received;     // counted frames from it
    uint64_t told;         // of these, as we said
    int64_t tell_ms;       // when 'told' must be brought up to date
    bool dirty;            // in hub->dirty
    frame_t *first[LANES]; // queues per lane
    frame_t *last[LANES];
    uint8_t *held; // packed InForce, behind what is queued
    size_t held_size;
    size_t queued; // bytes
    unsigned turn; // for BULK's share
    uint64_t dropped;
    uint64_t pending_files;        // asked for with Need and not come yet
    Edri__Link__TypeInfo **offers; // that wait for files
    size_t offer_count;
    Edri__Link__Refusal **refused; // types it may not use
    size_t refused_count;
} peer_t;

typedef struct hub {
    settings_t *settings;
    const char *name;
    uint64_t life;
    void *zmq;
    void *router;    // ROUTER
    char *endpoint;  // where it listens
    int stop_fd;     // readable: stop
    map_t *peers;    // key of the routing id → peer_t
    map_t *sessions; // number → peer_t
    map_t *lives;    // life → peer_t that is UP or CLOSED
    peer_t **dirty;  // must be told 'taken'
    size_t dirty_count;
    size_t dirty_capacity;
    directory_t *directory;
    catalog_t *catalog;
    uint64_t next_session;
    size_t peers_max;
    uint64_t window;
    size_t queue_max;
    int64_t spin_us;     // before it sleeps
    affinity_t affinity; // of this thread and libzmq's
    int64_t now_ms;
    int64_t started_ms;
    int64_t heartbeat_ms; // between two heartbeats to a node
    int64_t tick_ms;      // next look at the peers
    bool settled;
    uint64_t frames;
    uint64_t malformed;
    int64_t complain_ms; // when the next one may be logged
    uint64_t dropped;
} hub_t;

extern const setting_row_t switch_rows[];

// ----- hub.c
// hub_run works until stop_fd is readable.  Returns the exit code.
int hub_run(settings_t *settings, int stop_fd);

// What it consists of; the simulation calls it step by step instead.  hub_new
// binds (NULL: it cannot, and has said so), hub_step is one wake-up (false:
// told to stop).
hub_t *hub_new(settings_t *settings, int stop_fd);
bool hub_step(hub_t *hub, bool may_wait);
void hub_destroy(hub_t **hub_p);

// ----- peer.c
peer_t *peer_find(hub_t *hub, const uint8_t *routing, size_t size);
peer_t *peer_of_session(hub_t *hub, uint64_t session);

// peer_hello handles HELLO of an unknown session.
void peer_hello(hub_t *hub, const uint8_t *routing, size_t size,
    const Edri__Link__Hello *hello);

// peer_alive: the holder of a probed name has answered, or come back.
void peer_alive(hub_t *hub, const peer_t *holder);

// peer_bye ends a life on purpose; peer_refuse ends a session that broke the
// protocol; peer_lost: its connection is gone.
void peer_bye(hub_t *hub, peer_t *peer);
void peer_refuse(hub_t *hub, peer_t *peer, edri_err_t err, const char *text);
void peer_lost(hub_t *hub, peer_t *peer);

// peer_beat sends it a heartbeat.
void peer_beat(hub_t *hub, peer_t *peer);

// peers_tick does what is due: heartbeats (all: to all, at once), ends of claims and of
// lives.
void peers_tick(hub_t *hub, bool all);
void peers_destroy(hub_t *hub);

// ----- words.c
// peer_send sends a head that belongs to no frame; peer_say one word.
void peer_send(hub_t *hub, peer_t *peer, head_t *head);
void peer_say(hub_t *hub, peer_t *peer, const control_t *word);

// word_to_stranger says a word to somebody without a session.
void word_to_stranger(
    hub_t *hub, const uint8_t *routing, size_t size, const control_t *word);

// word_handle handles one control word of a session.
void word_handle(hub_t *hub, peer_t *peer, const control_t *word);
void offers_clear(peer_t *peer);

// ----- forward.c
// forward sends a frame on to each of its destinations; parts (behind the
// head) stay the caller's.
void forward(
    hub_t *hub, peer_t *from, head_t *head, zmq_msg_t *parts, size_t count);

// forward_flush sends what a peer's window allows now.
void forward_flush(hub_t *hub, peer_t *peer);

// forward_hold keeps a packed head until all that waits for the peer is sent: a
// node that withdraws its demands must get what was on its way first.
void forward_hold(peer_t *peer, head_t *head);

// forward_clear drops what waits for it.
void forward_clear(peer_t *peer);

// forward_mark notes that the peer must be told what was taken; forward_tell
// tells those for whom it is time.
void forward_mark(hub_t *hub, peer_t *peer);
void forward_tell(hub_t *hub);

#endif
