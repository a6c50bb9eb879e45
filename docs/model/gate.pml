// SPDX-License-Identifier: MIT
// gate.pml - the fence between two threads: may this event be begun now?
//
// DESIGN
// The router's thread writes a gate, the managers' threads read it without a
// lock (node/token.h).  One event, with seq 1.  Each load and store is a step
// of its own, in program order: what the acquire and release of the real ones
// give.  As coded a reader that is overtaken between two loads puts an old
// value and a new one together; the fix needs no lock either:
//
//   - 'until' says also whether to mark: one word, one load;
//   - the reader loads 'until' before 'gone', the writer stores it after.
//
// -DMARK_APART and -DGONE_FIRST, each, are the gate of commit 9ff61af.

mtype = { CLOSED, LEASE, MARK }; // of 'until': past, in the future, for ever

mtype until = CLOSED;
byte gone = 1;    // seqs below were withdrawn
bool marked;      // MARK_APART only

bool withdrawn;   // S has given the event to another
bool given_up;    // S was given up here: it may have
bool granted;     // S has answered: it waits for the lease to end

// The router hears, one after the other and in any order: GONE(S) by guess;
// that S is back; an echo, which says what S has withdrawn meanwhile.
active proctype Router()
{
    byte steps = 4;
    byte below;
end:
    do
    :: steps > 0 && !given_up ->
        steps--;
        given_up = true;
        until = MARK;
#ifdef MARK_APART
        marked = true;
#endif
        granted = false
    :: steps > 0 && given_up -> // remote_returned
        steps--;
        until = CLOSED;
#ifdef MARK_APART
        marked = false;
#endif
        given_up = false
    :: steps > 0 && !given_up -> // confirm_in
        steps--;
        atomic { granted = true; below = (withdrawn -> 2 : 1) } // S answers
        gone = below;
        until = LEASE;
        below = 0
    // The lease ends, and only then S may give the event away.
    :: steps > 0 && until == LEASE -> steps--; until = CLOSED; granted = false
    od
}

active proctype Source()
{
end:
    atomic { !granted -> withdrawn = true }
}

#define BEGIN_UNMARKED assert(!sure)

active proctype Manager()
{
    byte below;
    mtype now;
    bool mark;
    bool sure; // withdrawn before it looked: must not be begun without mark
end:
    do
    :: sure = withdrawn;
#ifdef GONE_FIRST
        below = gone;
#endif
        now = until;
#ifdef MARK_APART
        mark = marked;
#else
        mark = now == MARK;
#endif
#ifndef GONE_FIRST
        below = gone;
#endif
        if
        :: 1 < below // withdrawn
        :: 1 >= below && now == CLOSED
        :: 1 >= below && now != CLOSED && mark
        :: 1 >= below && now != CLOSED && !mark -> BEGIN_UNMARKED
        fi
    od
}
