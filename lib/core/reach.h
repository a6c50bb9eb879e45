// SPDX-License-Identifier: MIT
// core/reach.h - which switch the frames to another life take, and when that
// life counts as gone.
//
// DESIGN
// Frames from one life to another take one session with one switch at a time.
// They stay with it as long as it works: what is still under way there would be
// overtaken by a new path, and be ignored.  A new one is picked among the
// switches that know the life by rendezvous hashing (D. Thaler, C. Ravishankar,
// 1998), so that pairs of nodes spread over the switches, and both directions
// of a pair meet at the same one.  A life that no switch knows is missing;
// absence is not death: it is given up when a settled switch has not known it
// for a while.  Pure.

#ifndef CORE_REACH_H
#define CORE_REACH_H

#include <stdbool.h>
#include <stdint.h>

#define LINKS_MAX 8 // switches of a node

// reach_link_t is what a link looks like now.
typedef struct reach_link {
    uint64_t session; // never the same twice; 0: the link is down
    uint64_t life;    // the switch's
    bool settled;     // the switch is: who it does not know is not there
} reach_link_t;

typedef struct reach {
    uint64_t pair;      // hash of the two lives
    uint8_t links;      // bit per link whose switch knows the life
    uint64_t via;       // session that our frames take; 0: none yet
    int64_t missing_ms; // since when it is missing; 0: it is not
} reach_t;

void reach_init(reach_t *self, uint64_t life, uint64_t other);

// reach_pick returns the index of the link that frames take now, or -1.
// 'stray' allows any settled switch when none is known to know the life: it may
// demand nothing, and be in no table.  *moved says that it is another session
// than before: a new path must begin.
int reach_pick(reach_t *self, const reach_link_t *links, unsigned count,
    bool stray, bool *moved);

// reach_known: that link's switch knows the life, or not any more.  Returns
// false when that is nothing new.
bool reach_known(reach_t *self, unsigned link, bool known);

// reach_missing says since when the life is missing, by the word of at least
// one settled switch; 0: it is not.  Called now and then.
int64_t reach_missing(
    reach_t *self, const reach_link_t *links, unsigned count, int64_t now_ms);

#endif
