// SPDX-License-Identifier: MIT
// core/session.h - a node's session with one switch: states and deadlines.
//
// DESIGN
// DOWN    no socket; the next try at 'until', after a jittered back-off
// HELLO   a socket is open and HELLO sent; WELCOME must come until 'until'
// UP      WELCOME came; lost when nothing is heard for lost_ms, or when a
//         heartbeat of ours has not been heard there for one and a half rounds:
//         TCP may wait as long as an outage lasted before it sends again, in
//         one direction only
// The owner calls one function per happening and does what the result says.
// Pure: 'now' comes in, in milliseconds.

#ifndef CORE_SESSION_H
#define CORE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

typedef enum session_state {
    SESSION_DOWN,
    SESSION_HELLO,
    SESSION_UP
} session_state_t;

// What the owner has to do; bits.
typedef enum session_do {
    SESSION_NOTHING = 0,
    SESSION_OPEN = 1,  // open a new socket and send HELLO
    SESSION_CLOSE = 2, // close the socket: the link is lost
    SESSION_BEAT = 4   // send a heartbeat
} session_do_t;

typedef struct session_times {
    int64_t connect_ms;   // from HELLO to WELCOME
    int64_t heartbeat_ms; // between two of ours
    int64_t lost_ms;      // of silence
    int64_t backoff_min_ms;
    int64_t backoff_max_ms;
} session_times_t;

typedef struct session {
    session_times_t times;
    session_state_t state;
    int64_t until_ms;   // DOWN, HELLO: see above
    int64_t heard_ms;   // UP: last message
    int64_t beat_ms;    // UP: next heartbeat
    uint64_t beats;     // UP: sent so far; the number of the last
    uint64_t echoed;    // UP: the newest that was heard there; 0: none yet
    int64_t echo_ms;    // UP: in which each must be heard
    int64_t backoff_ms; // next pause, before jitter
    uint64_t random;    // state of the jitter, never 0
    uint64_t attempts;  // sockets opened so far
} session_t;

// session_init begins in DOWN, due at once.  'seed' feeds the jitter.
void session_init(
    session_t *self, session_times_t times, uint64_t seed, int64_t now_ms);

// session_tick is called when 'now' has reached session_next, or more often.
session_do_t session_tick(session_t *self, int64_t now_ms);

// session_heard: any message came over the present socket.
void session_heard(session_t *self, int64_t now_ms);

// session_echo: the peer has heard our heartbeat of that number.
void session_echo(session_t *self, uint64_t number);

// session_welcome: WELCOME came; the peer answers our heartbeats with its own, which say
// what it has heard, and expects one every peer_beat_ms.  Returns true when that opens the session,
// false when it was open or down (the message is then ignored).
bool session_welcome(session_t *self, int64_t peer_beat_ms, int64_t now_ms);

// session_end: the peer refused us, does not know us, or sent nonsense; the
// next try comes after a pause.  Returns SESSION_CLOSE, or NOTHING when DOWN.
session_do_t session_end(session_t *self, int64_t now_ms);

// session_shift moves all deadlines: the owner itself stood still for gap_ms.
void session_shift(session_t *self, int64_t gap_ms);

// session_next returns when session_tick is due.
int64_t session_next(const session_t *self);

#endif
