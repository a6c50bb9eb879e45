// SPDX-License-Identifier: MIT
// helm.pml - who runs the router: is what was put always routed?
//
// DESIGN
// Two owners of ports put events into their boxes, each K times, and wait; the router's
// thread sleeps whenever it can (node/helm.h).  Each load and store is a step of its
// own; what a box does under its lock is one.  A server may leave something to the
// router's thread ('left').  At the end, when all have come to rest, every box must
// be empty and nothing left.
//
// The rules that can be taken away: -DNO_LOOK_SERVING and -DNO_LOOK_SLEEPING, whoever
// gives the helm away looks for notes again after that; -DBELL, the router's thread is
// woken by a descriptor of its own.  With a bell instead, ZeroMQ's: 'signal' is the
// socket's descriptor, which another bell of a port raises only when the last one was
// read, and which a call on the socket clears.

#ifndef K
#define K 2
#endif
#define ROUNDS 2 // that one thread serves

bool helm;      // somebody has it
bool noted[2];
byte box[2];
bool armed[2] = true; // the box was found empty: the next one put tells
bool left;      // for the router's thread
bool woken;     // its descriptor
bool asleep;
byte ended;
#ifdef BELL
bool signal;
bool unread[2];
#endif

#define ANY_NOTED (noted[0] || noted[1])

// route empties a box.
inline route(at)
{
    do
    :: atomic { box[at] > 0 -> box[at] = 0 }
    :: atomic { box[at] == 0 -> armed[at] = true; break }
    od
}

inline route_noted()
{
    if
    :: noted[0] -> noted[0] = false; route(0)
    :: else
    fi;
    if
    :: noted[1] -> noted[1] = false; route(1)
    :: else
    fi
}

inline wake(me)
{
#ifdef BELL
    atomic {
        if
        :: !unread[me] -> unread[me] = true; signal = true
        :: else // is there already
        fi
    }
#else
    woken = true
#endif
}

// serve is one turn at the helm; 'more' when the router's thread must go on.
inline serve()
{
    route_noted();
    if
    :: true
    :: !left -> left = true; more = true
    fi;
#ifdef BELL
    if
    :: signal -> signal = false; more = true // there are bells to read
    :: else
    fi
#endif
}

proctype Owner(byte me)
{
    byte puts = K;
    byte rounds;
    bool tells;
    bool more;
    do
    :: puts == 0 -> break
    :: puts > 0 ->
        puts--;
        atomic { box[me]++; tells = armed[me]; armed[me] = false }
        if
        :: !tells -> goto waits
        :: tells
        fi;
        noted[me] = true;
        more = false;
        rounds = ROUNDS;
        do
        :: rounds == 0 || more || !ANY_NOTED -> break
        :: rounds > 0 && !more && ANY_NOTED ->
            if
            :: atomic { helm -> goto waits } // who has it will look
            :: atomic { !helm -> helm = true }
            fi;
            serve();
            helm = false;
            rounds--;
#ifdef NO_LOOK_SERVING
            goto waits
#endif
        od;
        if
        :: more || ANY_NOTED -> wake(me)
        :: else
        fi;
waits:
        skip
    od;
    ended++
}

proctype Router()
{
    do
    ::
        atomic { !helm -> helm = true };
#ifdef BELL
        atomic { signal = false; unread[0] = false; unread[1] = false };
#else
        woken = false;
#endif
        left = false;
        route_noted();
        helm = false;
#ifndef NO_LOOK_SLEEPING
        if
        :: ANY_NOTED -> goto again
        :: else
        fi;
#endif
        asleep = true;
end:
#ifdef BELL
        atomic { signal -> asleep = false };
#else
        atomic { woken -> asleep = false };
#endif
again:
        skip
    od
}

init
{
    atomic { run Owner(0); run Owner(1); run Router() }
    // All rest: nothing can happen any more.
#ifdef BELL
    atomic {
        ended == 2 && asleep && !signal ->
#else
    atomic {
        ended == 2 && asleep && !woken ->
#endif
        assert(box[0] == 0 && box[1] == 0 && !left)
    }
}
