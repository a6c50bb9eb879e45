// SPDX-License-Identifier: MIT
// flow.pml - paths, probes and `arrived`: does every event arrive, once, in order?
//
// DESIGN
// A source S and a receiver R, one flow in one lane.  Frames hold one event;
// seqs count from 1 to K, and R does not know with which a flow begins (0).
//
//          s_x[w]           x_r[w]
//     S  ───────────→  X  ───────────→  R       w is the way: 0, or with
//        ←───────────     ←───────────          -DWAYS=2 one of two switches
//          x_s[w]           r_x[w]
//
// Each channel is one hop of one session, FIFO.  What X holds for R stands in
// either of the two: it outlives a session of S once it is in x_r, and one of R
// as long as it is in s_x.  Net does the harm, FAULTS times in all.  What is
// proved is at the end of the file; what the -D flags break, in README.md.

#ifndef K
#define K 3 // events
#endif
#ifndef FAULTS
#define FAULTS 2 // of any kind
#endif
#ifndef WAYS
#define WAYS 1 // switches
#endif
#ifndef ROOM
#define ROOM 2 // frames in a hop that are not taken
#endif
#define PATHS 60 // more would be a storm of resending

mtype = { DATA, PROBE, WORD, DROPPED };

// Frames: kind, path, first, end of the predecessor, opens.
chan s_x[WAYS] = [ROOM] of { mtype, byte, byte, byte, bool };
chan x_r[WAYS] = [ROOM] of { mtype, byte, byte, byte, bool };
// Words: WORD path, arrived, lost; or the switch's DROPPED path, seq, denied.
chan r_x[WAYS] = [ROOM] of { mtype, byte, byte, bool };
chan x_s[WAYS] = [ROOM] of { mtype, byte, byte, bool };

byte faults = FAULTS; // that may still happen
bool down_s[WAYS];    // S has no session with this switch
bool down_r[WAYS];    // R has none

// S: the source's end (core/flow_out.h).
byte s_path = 1;   // of its present frames
byte s_way;        // the switch they take
bool s_opened;     // the path's first frame has gone
byte s_arrived = 1; // R has every seq below
byte s_at = 1;     // next seq to send on this path
byte s_next = 1;   // next seq that was never sent
bool denied[K + 2]; // refused by the switch: does not go again
#ifdef DENY
bit may_deny = 1;
#else
bit may_deny;
#endif

// R: the receiver's end (core/flow_in.h).
byte r_path;
bool r_opened;
bool r_lost;
bool r_tell;     // there is something to say
byte r_arrived;  // every seq below has come, or never will
byte r_way;      // where its words go

// What the proof keeps books of.
byte entered[K + 2];
byte last; // seq that R handed on last
#define SURE(s) (entered[s] == 1 || denied[s])
#define NO_LIE(s) (s_arrived <= (s) || SURE(s))  // S: it has arrived
#define NO_SKIP(s) (r_arrived <= (s) || SURE(s)) // R: it has, or never will
#if K == 2
#define ALL(P) (P(1) && P(2))
#else
#define ALL(P) (P(1) && P(2) && P(3))
#endif

// ----- the source

// open: something is sent and not sure.  All that is denied has ended.
#define UNARRIVED(s) (s_arrived <= (s) && (s) < s_next && !denied[s])
#define NOT_OPEN(s) !UNARRIVED(s)
#define OPEN (!ALL(NOT_OPEN))
#define HEARS (len(x_s[0]) > 0 || len(x_s[WAYS - 1]) > 0)

// begin_path: all that has not arrived goes again.
inline begin_path()
{
#ifndef RESEND_SAME_PATH
    s_path++;
    assert(s_path < PATHS);
    s_opened = false;
#endif
    s_at = s_arrived
}

// before sets 'pred' to the end of the seq's predecessor: what was denied in
// between leaves no hole.
inline before(seq)
{
    pred = seq;
    do
    :: pred > 1 && denied[pred - 1] -> pred--
    :: else -> break
    od
}

inline hear(w)
{
    if
    :: x_s[w]?WORD(path, seq, flag) ->
        assert(seq <= s_next); // else: FLOW-NEVER-SENT
        if
        :: seq > s_arrived -> s_arrived = seq; assert(ALL(NO_LIE))
        :: else
        fi;
        if
        :: s_at < s_arrived -> s_at = s_arrived // it had come on an older path
        :: else
        fi;
        if
        :: flag && path == s_path && OPEN -> begin_path()
        :: else // nothing is missing, or the word is about an older path
        fi
    :: x_s[w]?DROPPED(path, seq, flag) ->
        denied[seq] = denied[seq] || flag;
        if
        :: path == s_path -> begin_path()
        :: else
        fi
    fi;
    path = 0; seq = 0; flag = false
}

active proctype S()
{
    byte path, seq, pred;
    bool flag;
end:
    do
    :: atomic { len(x_s[0]) > 0 -> hear(0) }
#if WAYS > 1
    :: atomic { len(x_s[1]) > 0 -> hear(1) }
#endif
    // A new session; with two switches S may take the other one.
    :: atomic { down_s[s_way] ->
        if
        :: down_s[s_way] = false
#if WAYS > 1
        :: s_way = 1 - s_way; down_s[s_way] = false
#endif
        fi;
#ifdef RESEND_SAME_PATH
        s_opened = false;
#endif
        begin_path() }
    // The next frame, new or again.
    :: atomic { s_at <= K && denied[s_at] -> s_at++ }
    :: atomic { !down_s[s_way] && s_at <= K && !denied[s_at] &&
                len(s_x[s_way]) < ROOM ->
        before(s_at);
        s_x[s_way]!DATA(s_path, s_at, pred, !s_opened);
        s_opened = true;
        s_at++;
        if
        :: s_at > s_next -> s_next = s_at
        :: else
        fi;
        pred = 0 }
#ifndef NO_PROBE
    // A timer, whenever it likes: behind the data.  What has come in is read
    // before timers are looked at; what comes a moment later is another run.
    :: atomic { !down_s[s_way] && !HEARS && s_at >= s_next && OPEN &&
                len(s_x[s_way]) < ROOM ->
        before(s_next);
        s_x[s_way]!PROBE(s_path, s_next, pred, false);
        pred = 0 }
    // Nothing is left, but the path is not open yet.
    :: atomic { !down_s[s_way] && !s_opened && s_at >= s_next && !OPEN &&
                s_next > 1 && len(s_x[s_way]) < ROOM ->
        before(s_next);
        s_x[s_way]!PROBE(s_path, s_next, pred, true);
        s_opened = true;
        pred = 0 }
#endif
    od
}

// ----- the switch: soft state; frames one way, words the other

proctype Frames(byte w)
{
    mtype kind;
    byte path, seq, pred;
    bool flag;
end:
    do
    :: atomic { !down_r[w] && len(s_x[w]) > 0 && len(x_r[w]) < ROOM ->
        s_x[w]?kind(path, seq, pred, flag);
        x_r[w]!kind(path, seq, pred, flag);
        kind = 0; path = 0; seq = 0; pred = 0; flag = false }
    // Full, or nobody there: dropped, and the sender is told.
    :: atomic { faults > 0 && len(s_x[w]) > 0 && len(x_s[w]) < ROOM ->
        faults--;
        s_x[w]?kind(path, seq, pred, flag);
        x_s[w]!DROPPED(path, 0, false);
        kind = 0; path = 0; seq = 0; pred = 0; flag = false }
    // Not allowed: dropped, and not to be sent again.
    :: atomic { may_deny && s_x[w]?[DATA, _, _, _, _] && len(x_s[w]) < ROOM ->
        may_deny = 0;
        s_x[w]?DATA(path, seq, pred, flag);
        x_s[w]!DROPPED(path, seq, true);
        path = 0; seq = 0; pred = 0; flag = false }
    od
}

proctype Words(byte w)
{
    mtype kind;
    byte path, seq;
    bool flag;
end:
    do
    :: atomic { !down_s[w] && len(r_x[w]) > 0 && len(x_s[w]) < ROOM ->
        r_x[w]?kind(path, seq, flag);
        x_s[w]!kind(path, seq, flag);
        kind = 0; path = 0; seq = 0; flag = false }
    od
}

init
{
    atomic {
        run Frames(0);
        run Words(0);
#if WAYS > 1
        run Frames(1);
        run Words(1)
#endif
    }
}

// ----- the receiver

#ifdef NO_OPENS
#define OPENS(flag) ((flag) || !r_opened) // any first frame of a path opens it
#else
#define OPENS(flag) (flag)
#endif
#ifdef NO_HOLES
#define FOLLOWS(flag, pred) true
#else
#define FOLLOWS(flag, pred) (OPENS(flag) || (r_opened && (pred) <= r_arrived))
#endif

// take hands an event to its manager.
inline take(e)
{
    entered[e]++;
    assert(entered[e] == 1); // (1) once
    assert(e > last);        // (2) in order
    last = e;
    r_arrived = e + 1
}

// judge is flow_in_frame.
inline judge()
{
    if
    :: path > r_path ->
        r_path = path;
        r_opened = false;
        r_lost = false
    :: else
    fi;
    r_tell = true;
    if
    :: !FOLLOWS(flag, pred) -> r_lost = true
    :: else ->
        r_opened = true;
        if
        :: kind == PROBE && seq > r_arrived -> r_arrived = seq
        :: kind == DATA && seq >= r_arrived -> take(seq)
#ifdef NO_DUPLICATES
        :: kind == DATA && seq < r_arrived -> take(seq)
#endif
        :: else // has come before
        fi;
        assert(ALL(NO_SKIP))
    fi
}

inline receive(w)
{
    x_r[w]?kind(path, seq, pred, flag);
    r_way = w;
    if
#ifndef NO_PATH_CHECK
    :: path < r_path // older: ignored
#endif
    :: else -> judge()
    fi;
    kind = 0; path = 0; seq = 0; pred = 0; flag = false
}

// renew: the first word in a new session is the whole state; what was under
// way may be missing.
inline renew(w)
{
    down_r[w] = false;
    r_way = w;
    if
    :: r_path > 0 -> r_lost = true; r_tell = true
    :: else
    fi
}

active proctype R()
{
    mtype kind;
    byte path, seq, pred;
    bool flag;
end:
    do
    :: atomic { !down_r[0] && len(x_r[0]) > 0 -> receive(0) }
    :: atomic { down_r[0] -> renew(0) }
#if WAYS > 1
    :: atomic { !down_r[1] && len(x_r[1]) > 0 -> receive(1) }
    :: atomic { down_r[1] -> renew(1) }
#endif
    od
}

// Absolute numbers: several words may become one.
active proctype Tell()
{
end:
    do
    :: atomic { r_tell && !down_r[r_way] && len(r_x[r_way]) < ROOM ->
        r_x[r_way]!WORD(r_path, r_arrived, r_lost);
        r_tell = false }
    od
}

// ----- faults

inline empty_frames(c)
{
    do
    :: len(c) > 0 -> c?_, _, _, _, _
    :: else -> break
    od
}

inline empty_words(c)
{
    do
    :: len(c) > 0 -> c?_, _, _, _
    :: else -> break
    od
}

// lose_s, lose_r: the session with the switch ends; what was on it is lost.
inline lose_s(w)
{
    down_s[w] = true;
    empty_frames(s_x[w]);
    empty_words(x_s[w])
}

inline lose_r(w)
{
    down_r[w] = true;
    empty_frames(x_r[w]);
    empty_words(r_x[w])
}

active proctype Net()
{
    byte w;
end:
    do
    :: atomic { faults > 0 ->
        faults--;
        select (w : 0 .. WAYS - 1);
        if
        :: lose_s(w)
        :: lose_r(w)
        :: lose_s(w); lose_r(w) // the switch crashed
#if WAYS > 1
        // S thinks this link lost, or finds a better one: what is on it stays
        // under way.
        :: w == s_way; s_way = 1 - w; begin_path()
#endif
        fi;
        w = 0 }
    :: atomic { faults > 0 -> faults = 0 } // no more harm is done
    od
}

// ----- what is proved
//
// The assertions: (1) once and (2) in order, in take; what S believes to have
// arrived has (NO_LIE, in hear); R goes past nothing that may still come
// (NO_SKIP, in judge); paths are not begun without end (PATHS).
//
// (3) Nothing is lost: each fair run comes to rest with everything entered,
// and S knows.  With -DDENY, what was refused has ended otherwise.

#define DONE (ALL(SURE) && s_next == K + 1 && !OPEN)

// Who waits here when nothing can happen any more is an invalid end state.
active proctype Rest()
{
    DONE
}

ltl arrives { <> DONE }
