// SPDX-License-Identifier: MIT
// listen.pml - who listens to a connection: is what has come always read?
//
// DESIGN
// N messages come on one connection.  The router's thread makes one of two owners of
// ports the lookout, or none, whenever it likes (node/listen.h).  An owner sleeps,
// listening if it is the lookout, wakes, and works; at any time it may work for ever.
// Another thread has the helm now and then and calls the connection's socket.  What is
// done with the helm is one step where nobody looks on without it; all else is a step
// for each load and store.  At the end, when all have come to rest, everything must have
// been read.
//
// 'signal' is the socket's descriptor.  A call on the socket takes note of what has
// arrived, and clears it (man zmq_getsockopt, ZMQ_FD).
//
// The rules that can be taken away: -DNO_TIMER, who wakes sets the timer; -DLOOK_FIRST,
// the router's thread notes that the timer is not set before it looks whether the
// lookout is awake; -DONE_TURN (with -DN=3), each port counts its own turns; -DNO_LOOK,
// who was at the helm looks whether a call took note of something.  That an owner who
// is no longer the lookout wakes the router's thread saves the timer's 1 ms, no more.

#ifndef OTHER_TURNS // of the second owner
#define OTHER_TURNS 1
#endif
#ifndef N
#define N 2
#endif

bool helm;
byte arrived; // at the socket,
byte noticed; // and a call took note of it
bool signal;
bool touched; // a call may have taken note
byte who;     // the lookout: 1, 2; 0: none
bool on;      // it listens
byte turn[3]; // odd: awake
byte set;     // turn in which the timer was set; 0: it is not
bool running; // the timer,
bool rung;    // and its descriptor
bool woken;   // the router's own descriptor
bool router_rests;
bool router_listens; // while it rests
bool owner_rests[3];
bool owner_listens[3];
byte ended;

#ifdef ONE_TURN
#define TURN(me) turn[0]
#else
#define TURN(me) turn[me]
#endif

inline call()
{
    noticed = noticed + arrived; arrived = 0; signal = false
}

// look is ear_look: afterwards 'touched' says whether there is something.
inline look()
{
    if
    :: touched -> call(); touched = noticed > 0
    :: else
    fi
}

inline read_all()
{
    arrived = 0; noticed = 0; signal = false; touched = false
}

inline dismiss()
{
    who = 0; on = false
}

proctype Network()
{
    byte i;
    for (i : 1 .. N) {
        atomic { arrived++; signal = true }
    }
    ended++
}

proctype Other()
{
    bool tell;
    atomic {
        !helm ->
        call(); // to send something
        touched = true;
#ifndef NO_LOOK
        look();
        tell = touched
#endif
    }
    if
    :: tell -> woken = true
    :: else
    fi;
    ended++
}

proctype Owner(byte me; byte turns)
{
    byte now; // its turn
    bool begins;
    bool at_once;
    bool came;
    bool fine;
    do
    :: turns == 0 -> break
    :: turns > 0 -> break // works for ever
    :: turns > 0 ->
        turns--;
        begins = false;
        at_once = false;
        came = false;
        owner_listens[me] = false;
        if
        :: who == me ->
            atomic {
                !helm ->
                if
                :: who == me ->
                    look();
                    if
                    :: touched -> at_once = true
                    :: else ->
                        owner_listens[me] = true;
                        begins = !on;
                        on = true;
                        TURN(me) = TURN(me) + TURN(me) % 2
                    fi
                :: else
                fi
            }
            if
            :: begins -> woken = true
            :: else
            fi
        :: else
        fi;
        if
        :: at_once -> came = true
        :: else ->
            owner_rests[me] = true;
            if
            :: atomic { owner_listens[me] && signal ->
                   came = true; owner_rests[me] = false }
            :: atomic { turns > 0 -> owner_rests[me] = false } // its bell
            :: atomic { ended == 4 -> goto out }
            fi
        fi;
        if
        :: owner_listens[me] ->
            atomic { TURN(me) = TURN(me) + 1; now = TURN(me) };
#ifndef NO_TIMER
            if
            :: set == 0 -> atomic { set = now; running = true }
            :: else
            fi
#endif
        :: else
        fi;
        if
        :: came ->
            atomic {
                !helm ->
                fine = true;
                if
                :: who == me ->
                    read_all();
                    if
                    :: true
                    :: true -> dismiss() // it was much, or the connection has gone
                    fi;
                    fine = who == me
                :: else
                fi
            }
            if
            :: !fine -> woken = true
            :: else
            fi
        :: else
        fi
    od;
    atomic {
        owner_listens[me] = false;
        owner_rests[me] = true // it is as good as asleep
    }
out:
    skip
}

proctype Timer()
{
    do
    :: atomic { running -> running = false; rung = true }
    :: atomic { ended == 4 -> break }
    od
}

proctype Router()
{
    byte was;
    byte is;
    bool heard;
again:
    atomic {
        !helm ->
        look();
        heard = touched;
        router_listens = !on;
        router_rests = !heard
    }
    if
    :: !router_rests -> atomic { !helm -> helm = true }
    :: atomic { router_rests && (woken || rung) && !helm ->
           router_rests = false; helm = true }
    :: atomic { router_rests && router_listens && signal && !helm ->
           heard = true; router_rests = false; helm = true }
    :: atomic { ended == 4 -> goto out }
    fi;
    woken = false;
    if
    :: rung ->
        rung = false;
#ifdef LOOK_FIRST
        is = TURN(who);
        atomic { was = set; set = 0 };
#else
        atomic { was = set; set = 0 };
        is = TURN(who);
#endif
        if
        :: on && who != 0 && is % 2 == 1 ->
            if
            :: is != was -> atomic { set = is; running = true }
            :: is == was ->
                atomic {
                    on = false;
                    if
                    :: true
                    :: true -> dismiss()
                    fi
                }
            fi
        :: else
        fi
    :: else
    fi;
    atomic {
        if
        :: heard ->
            read_all();
            if // what it makes of what has come
            :: true
            :: who != 1 -> who = 1; on = false
            :: who != 2 -> who = 2; on = false
            :: who != 0 -> dismiss()
            fi
        :: else
        fi;
        helm = false
    }
    goto again;
out:
    skip
}

init
{
    atomic {
        if // one may be it already
        :: who = 0
        :: who = 1
        fi;
        run Owner(1, 2); run Owner(2, OTHER_TURNS); run Router(); run Timer(); run Other();
        run Network()
    }
    // All rest: nothing can happen any more.
    atomic {
        ended == 2 && router_rests && !woken && !rung && !running &&
        !(router_listens && signal) &&
        owner_rests[1] && !(owner_listens[1] && signal) &&
        owner_rests[2] && !(owner_listens[2] && signal) ->
        assert(arrived == 0 && noticed == 0);
        ended = 4
    }
}
