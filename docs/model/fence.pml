// SPDX-License-Identifier: MIT
// fence.pml - leases and giving up: is an event ever begun twice without the mark?
//
// DESIGN
// A source S, a receiver R, and whoever else gets R's events when S gives R up
// ("another": it begins what it is given, at once and marked).  What flow.pml
// proves is used here: frames reach R once and in order, or late, or never.
// Words (asks, echoes) overtake each other, come late or are lost, as if there
// were many switches.
//
// Time is what is left of it: ticks of a lease, ticks until S may give up.  So
// time goes on for ever and states are few.  R's clock may miss a tick that S
// counts, once in LEASE + SLACK ticks (clocks differ in speed).

#ifndef K
#define K 2 // events
#endif
#ifndef LEASE
#define LEASE 2 // ticks of R's clock, from the ask
#endif
#ifndef SLACK
#define SLACK 1 // ticks that S waits longer than a lease
#endif
#ifndef GUESSES
#define GUESSES 2 // how often S is told GONE(R) by guess
#endif
#ifndef R_GUESSES
#define R_GUESSES 1 // how often R is told GONE(S) by guess
#endif
#ifndef CRASHES
#define CRASHES 1 // of R
#endif
#ifndef BYES
#define BYES 0 // S ends, and R has proof of it
#endif
#define WORDS 2 // under way at once

mtype = { UP, DOUBT, GIVEN };                  // how S sees R
mtype = { UNSENT, SENT, SETTLED, HANDED };     // an event, as S sees it
mtype = { NOWHERE, HELD, BEGUN, MARKED, WITHDRAWN }; // as R sees it
mtype = { NO_WORD, ASK, ECHO, LAST };

// S: the source's end (core/fence.h, lease_t; node/gone.c).
mtype s_sees = UP;
byte s_wait;         // ticks until it may give R up
byte s_next = 1;     // next event
byte s_gone = 1;     // events below were withdrawn
mtype s_event[K + 2] = UNSENT;
bool opens[K + 2];   // first one after R was given up: R may jump to it
bool s_dead;

// R: the receiver's end (core/fence.h, fence_t; node/token.c).
bool r_dead;
byte r_left;         // ticks of the lease
byte r_gone = 1;     // events below were withdrawn, as far as it knows
byte r_arrived = 1;  // next event that it takes
mtype r_event[K + 2] = NOWHERE;
bool r_free;         // S was given up or has ended: no lease is needed
bool r_marks;        // begins with the mark
bool r_knows_end;    // has proof that S has ended
byte r_missed;       // ticks until its clock may miss one

// Words under way.  An ask is known by its age: R's time since it was said.
mtype word[WORDS] = NO_WORD;
byte age[WORDS];
byte gone[WORDS];    // of ECHO and LAST: withdrawn below

bool s_guessed;      // S was told a guess, ever
bool r_guessed;      // R was
byte guesses = GUESSES;
byte r_guesses = R_GUESSES;
byte crashes = CRASHES;
byte byes = BYES;

#define THERE(i) (word[i] != NO_WORD)

#define BEGAN(e) (r_event[e] == BEGUN || r_event[e] == MARKED)
#define HOLDS(e) (r_event[e] == HELD)
#define NEWS(e) (BEGAN(e) && s_event[e] == SENT)
#define HAPPENED(e) (BEGAN(e) || s_event[e] == HANDED)
#if K == 2
#define ANY(P) (P(1) || P(2))
#define ALL(P) (P(1) && P(2))
#else
#define ANY(P) (P(1) || P(2) || P(3))
#define ALL(P) (P(1) && P(2) && P(3))
#endif

inline drop(i)
{
    word[i] = NO_WORD; age[i] = 0; gone[i] = 0
}

// ----- the source

// heard_of_r: R is there, or was not long ago.
inline heard_of_r()
{
    s_sees = UP
}

// answer echoes an ask: what was not given up is R's for a while.
inline answer(i)
{
    heard_of_r();
    word[i] = ECHO;
    gone[i] = s_gone;
    s_wait = LEASE + SLACK
}

inline settle()
{
    e = 1;
    do
    :: e <= K ->
        if
        :: NEWS(e) -> s_event[e] = SETTLED
        :: else
        fi;
        e++
    :: else -> break
    od;
    e = 0;
    heard_of_r()
}

// give_up: what is not settled goes to another, marked.
inline give_up()
{
    e = s_gone;
    do
    :: e < s_next ->
        if
        :: s_event[e] == SENT ->
            s_event[e] = HANDED;
            assert(r_dead || s_guessed) // (4) no mark without a reason
        :: else
        fi;
        e++
    :: else -> break
    od;
    e = 0;
    s_gone = s_next;
    s_sees = GIVEN
}

active proctype S()
{
    byte e;
end:
    do
    // A new event for R.
    :: atomic { !s_dead && s_sees != GIVEN && s_next <= K ->
        s_event[s_next] = SENT;
        opens[s_next] = s_next == s_gone;
        s_next++ }
    // R says that it has begun some: early, late, or never.
    :: atomic { !s_dead && ANY(NEWS) -> settle() }
    :: atomic { !s_dead && word[0] == ASK -> answer(0) }
    :: atomic { !s_dead && word[1] == ASK -> answer(1) }
    // GONE(R): the switch guesses.
    :: atomic { !s_dead && guesses > 0 && s_sees == UP ->
        guesses--; s_guessed = true; s_sees = DOUBT }
#ifdef TAKEOVER
    // GONE(R, REPLACED): somebody took its name; R may live all the same.
    :: atomic { !s_dead && guesses > 0 && s_sees == UP ->
        guesses--; s_guessed = true; give_up() }
#endif
    // Some frame of R says that it is there.
    :: atomic { !s_dead && s_sees != UP && !r_dead -> heard_of_r() }
#ifdef NO_WAIT
    :: atomic { !s_dead && s_sees == DOUBT -> give_up() }
#else
    :: atomic { !s_dead && s_sees == DOUBT && s_wait == 0 -> give_up() }
#endif
    // Proof: R has crashed.
    :: atomic { !s_dead && r_dead && s_sees != GIVEN -> give_up() }
    // S ends, and says what it has given up; or it crashes.
    :: atomic { byes > 0 ->
        byes--; s_dead = true;
        if
        :: word[0] == NO_WORD -> word[0] = LAST; gone[0] = s_gone
        :: true
        fi }
    od
}

// ----- the receiver

// heard_of_s: S is there, after all.
inline heard_of_s()
{
    if
#ifdef RETURNS
    :: r_free ->
#else
    :: r_free && !r_knows_end -> // the dead do not return
#endif
        r_free = false;
        r_marks = false;
        r_left = 0
    :: else
    fi
}

// learn takes an echo.
inline learn(i)
{
    heard_of_s();
#ifdef GONE_BACK
    r_gone = gone[i];
#else
    if
    :: gone[i] > r_gone -> r_gone = gone[i] // an old echo changes nothing
    :: else
    fi;
#endif
#ifdef LEASE_FROM_ECHO
    r_left = LEASE;
#else
    if
    :: age[i] < LEASE && LEASE - age[i] > r_left -> r_left = LEASE - age[i]
    :: else
    fi;
#endif
    drop(i)
}

// learn_last takes the last word of S: what it has not withdrawn is R's.
inline learn_last(i)
{
    if
    :: gone[i] > r_gone -> r_gone = gone[i]
    :: else
    fi;
    r_free = true;
    r_marks = false;
    drop(i)
}

// begin enters the handler of the oldest event that is held.
inline begin()
{
    if
#ifndef NO_WITHDRAWAL
    :: first < r_gone -> r_event[first] = WITHDRAWN
#endif
    :: else ->
        if
        :: r_free && r_marks ->
            assert(s_dead || r_guessed); // (4)
            r_event[first] = MARKED
        :: else ->
            assert(s_event[first] != HANDED); // (1) or it is begun twice
            assert(first > last);             // (2) in order
            last = first;
            r_event[first] = BEGUN
        fi
    fi
}

// oldest sets 'first' to the oldest event that is held; 0: none.
inline oldest()
{
    first = 1;
    do
    :: first <= K && r_event[first] != HELD -> first++
    :: else -> break
    od;
    if
    :: first > K -> first = 0
    :: else
    fi
}

#ifdef NO_FENCE
#define MAY true
#else
#define MAY (r_free || r_left > 0)
#endif

active proctype R()
{
    byte i, first, last;
end:
    do
    // A frame comes, perhaps late: the next one, or one that opens a path.
    :: atomic { !r_dead && r_arrived < s_next ->
        heard_of_s();
        r_event[r_arrived] = HELD;
        r_arrived++ }
    :: atomic { !r_dead && r_arrived < s_gone && s_gone < s_next &&
                opens[s_gone] ->
        heard_of_s();
        r_event[s_gone] = HELD;
        r_arrived = s_gone + 1 }
    // The manager: what is not withdrawn, under a lease.
    :: atomic { !r_dead && ANY(HOLDS) && MAY ->
        oldest(); begin(); first = 0 }
    // It asks while it holds something, and may ask again.
    :: atomic { !r_dead && !r_free && r_left < LEASE && ANY(HOLDS) &&
                !(THERE(0) && THERE(1)) ->
        i = (THERE(0) -> 1 : 0);
        word[i] = ASK;
        i = 0 }
    :: atomic { !r_dead && word[0] == ECHO -> learn(0) }
    :: atomic { !r_dead && word[1] == ECHO -> learn(1) }
    :: atomic { !r_dead && word[0] == LAST && !r_knows_end -> learn_last(0) }
    // GONE(S), by guess: what it holds may be another's.  It is begun, marked.
    :: atomic { !r_dead && !r_free && r_guesses > 0 ->
        r_guesses--;
        r_guessed = true;
        r_free = true;
        r_marks = true }
    // GONE(S), by proof.  Under a lease, or after its last word: S has given
    // nothing away, and never will.  Else it may have, before it ended.
    :: atomic { !r_dead && s_dead && !r_knows_end ->
        r_knows_end = true;
#ifdef PROOF_UNMARKED
        r_marks = false;
#else
        if
        :: r_free && !r_marks // LAST has come
        :: else -> r_marks = !(r_left > 0 && !r_free)
        fi;
#endif
        r_free = true }
    :: atomic { !r_dead && crashes > 0 ->
        crashes--; r_dead = true; r_left = 0 }
    od
}

// ----- what comes between: words are lost, time goes by

#ifdef REST
#define LATER timeout // time goes by when nothing else can happen
byte losses = 2;
#define LOSE (losses > 0)
#else
#define LATER true
#define LOSE true
#endif

inline lose(i)
{
#ifdef REST
    losses--;
#endif
    drop(i)
}

active proctype Air()
{
end:
    do
#ifdef REST
    // No more harm is done from now on.
    :: atomic { guesses + r_guesses + crashes + byes + losses > 0 ->
        guesses = 0; r_guesses = 0; crashes = 0; byes = 0; losses = 0 }
#endif
    :: atomic { THERE(0) && LOSE -> lose(0) }
    :: atomic { THERE(1) && LOSE -> lose(1) }
    od
}

inline grow(i)
{
    if
    :: THERE(i) && age[i] < LEASE -> age[i]++
    :: else
    fi
}

active proctype Clock()
{
end:
    do
    :: atomic { LATER && (s_wait > 0 || r_left > 0 || r_missed > 0 ||
                          THERE(0) && age[0] < LEASE ||
                          THERE(1) && age[1] < LEASE) ->
        s_wait = (s_wait > 0 -> s_wait - 1 : 0);
        if
        :: r_missed == 0 -> r_missed = LEASE + SLACK // R's clock is slow
        :: r_missed = (r_missed > 0 -> r_missed - 1 : 0);
           r_left = (r_left > 0 -> r_left - 1 : 0);
           grow(0);
           grow(1)
        fi }
    od
}

// ----- what is proved
//
// (1), (2) and (4) are the assertions in begin and give_up.  (3) with -DREST:
// when nothing can happen any more, each event that was sent has been begun, by
// R or another, and R holds nothing.  What S took with it when it ended is not
// counted.

#ifdef REST
#define HAS_ENDED(e) (s_event[e] == UNSENT || HAPPENED(e))
#define SOURCE_DONE (s_dead || (ALL(HAS_ENDED)))
#define DONE (SOURCE_DONE && (r_dead || !(ANY(HOLDS))))

// Who waits here when nothing can happen any more is an invalid end state.
active proctype Rest()
{
    DONE
}

ltl happens { <> DONE }
#endif
