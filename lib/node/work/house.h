// SPDX-License-Identifier: MIT
// node/work/house.h - the process of a manager that has one of its own.
//
// DESIGN
// The manager's queue, turns, deadlines and fences stay at the node; its
// handlers, hooks and state are in the house: this program, started again.  Each
// thread there has a seat: a connection to a proxy of its own (proxy.h).  Seat 0
// is the manager's own thread there, which runs methods, observers and hooks; its
// proxy starts the process and buries it.  The others wait for it.
//
// A house is renewed (edri reload) beside the old one: when the new process's hook
// has returned, each seat goes over as soon as it has no task; the old process ends
// when all have left.  When the new one cannot begin, the old one stays.
//
// A house that ends is started again, after a pause, until it has ended too often
// (core/restarts.h): then it is closed, and the manager gives up.  One that has
// never been ready is closed at once: so a node does not start with it.

#ifndef NODE_WORK_HOUSE_H
#define NODE_WORK_HOUSE_H

#include "core/restarts.h"
#include "node/work/backlog.h"
#include "node/work/roster.h"

typedef struct house house_t;

// house_new makes one with so many seats (at least 1); no process runs yet.  The
// manager's thread is told of what changes by 'wake_fd', an eventfd.
house_t *house_new(unsigned seats, restarts_t restarts, int wake_fd);

// house_destroy frees it; its process has been buried.
void house_destroy(house_t **self_p);

// house_owner says where seat 0's proxy takes its jobs: it is woken there when
// it has something to see to.
void house_owner(house_t *self, backlog_t *jobs);

// ----- for the proxy of seat 0

// house_start begins a life, perhaps beside one that runs: starts a process as the
// roster says.  Returns EDRI_OK; EDRI_SYSTEM and a static text in *why_p.
edri_err_t house_start(
    house_t *self, const roster_t *roster, const char **why_p) EDRI_MUST_CHECK;

// house_bury ends the newest life, which nobody is in any more: waits for the end
// of its process, for at most grace_ms, or not at all when it was condemned, and
// then kills it.  The one before, if it runs, is the newest again.  Returns how it
// ended, or why it had to; the caller frees it.
char *house_bury(house_t *self, int64_t grace_ms);

// house_ended counts that it has ended.  Returns whether it may be started again;
// else it is closed with that error and text.
bool house_ended(
    house_t *self, int64_t now_ms, edri_err_t err, const char *why);

// house_wants_drain says whether the hook 'draining' is to be called there;
// house_drained that it has returned.
bool house_wants_drain(house_t *self);
void house_drained(house_t *self);

// ----- for all proxies

// house_visit_t is what a seat has of one life.
typedef struct house_visit {
    carrier_t *carrier; // NULL: none
    uint64_t life;      // its number, from 1
    int pid;
    int end_fd; // readable once it has ended; -1 but for seat 0
} house_visit_t;

// house_enter takes a seat's carrier in the newest life, once; but for seat 0 only
// when that is ready.  Without one there is none (any more), or no process runs; a
// new life makes house_bell readable.  house_leave says that the carrier is closed.
house_visit_t house_enter(house_t *self, unsigned seat);
void house_leave(house_t *self, uint64_t life);

// house_ready says that a seat's thread is ready: seat 0 opens the life to the
// others; the house has begun when all were.
void house_ready(house_t *self, unsigned seat);

// house_lives says whether that life's process runs and may go on; house_newer
// whether there is another to go over to.
bool house_lives(house_t *self, uint64_t life);
bool house_newer(house_t *self, uint64_t life);

// house_condemn ends that life's process: 'why' begins with "it".  NULL: it has
// ended by itself, or is about to: whoever buries it is woken.
void house_condemn(house_t *self, uint64_t life, const char *why);

// house_clear ends lives that were renewed: those whose process has ended, and those
// that nobody is in, grace_ms after the last has left.  Does not wait.
void house_clear(house_t *self, int64_t now_ms, int64_t grace_ms);

// house_mourn waits until that life has been buried; after grace_ms it is
// condemned.  Returns how it ended; the caller frees it.  Blocks.
char *house_mourn(house_t *self, uint64_t life, int64_t grace_ms);

// house_closed says whether it is closed.
bool house_closed(const house_t *self);

// house_bell is a descriptor that is readable when a life has begun, or the house
// was closed; house_heard makes it not so.
int house_bell(const house_t *self, unsigned seat);
void house_heard(house_t *self, unsigned seat);

// ----- for the manager's thread

// house_begun says whether all seats have been ready: EDRI_OK; EDRI_AGAIN: not yet; or
// the error that closed it before, and its text in *why_p, borrowed.
edri_err_t house_begun(house_t *self, const char **why_p) EDRI_MUST_CHECK;

// house_drain lets the process call its hook 'draining'; house_has_drained says
// whether it has returned.
void house_drain(house_t *self);
bool house_has_drained(const house_t *self);

// house_restart ends the process, whose place another takes; 'why' begins with
// "it".
void house_restart(house_t *self, const char *why);

// house_why is why it was closed, borrowed; *err_p the error.
const char *house_why(house_t *self, edri_err_t *err_p);

// house_stop says that the node stops: whoever waits here goes.
void house_stop(house_t *self);

#endif
