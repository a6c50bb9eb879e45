// SPDX-License-Identifier: MIT
// node/work/pool.h - a handler's threads, or processes.
//
// DESIGN
// The manager copies each event of the handler into a job and puts it into one
// backlog; a free thread takes the next: by priority, and of one key one at a
// time and in order.  So a slow event keeps one thread busy and nothing else.  Each thread is a port of its own: what it emits and the
// replies it sends go straight to the router.  A job's bytes count against the
// manager's box until the handler has returned.
//
// A pool has one handler, but for that of a manager's own process (house.h), which
// has all that the manager would run itself.
//
// How a thread does its jobs is its runner's (runner.h): it calls the handler,
// or it is the proxy of a process that does (proxy.c).
//
// A thread whose handler goes on for worker.grace after nobody waits for its
// request any more is stuck: another takes its place, and it leaves when its
// handler returns at last.  Threads cannot be ended from outside; a process is
// killed.

#ifndef NODE_WORK_POOL_H
#define NODE_WORK_POOL_H

#include "node/work/backlog.h"
#include "node/work/job.h"
#include "node/work/roster.h"

typedef struct pool pool_t;

// pool_plan_t says what a pool is for.
typedef struct pool_plan {
    roster_plan_t roster; // its handlers; the rest is for processes
    edri_workers_t workers;
    const crew_t *crew;
    edri_port_t *manager; // whose box the jobs weigh on
    jobs_t *held;         // takes what a fence holds back
    int wake_fd;          // the manager's (roster.h)
    backlog_t
        *jobs; // of the pool that it comes after, which leaves; NULL: none
} pool_plan_t;

// pool_new makes a pool; no thread runs yet.  One that comes after another takes
// nothing before pool_open.
pool_t *pool_new(const pool_plan_t *plan);
void pool_open(pool_t *self);

// pool_start starts the threads and waits until each is attached.  Returns
// EDRI_OK, EDRI_SYSTEM when a thread cannot be started, or what the crew's
// 'begin' returned.
edri_err_t pool_start(pool_t *self) EDRI_MUST_CHECK;

// pool_put gives the pool jobs, linked by 'next', which are taken over.  pool_again gives one back
// that a fence had held: it keeps its place.
void pool_put(pool_t *self, job_t *jobs);
void pool_again(pool_t *self, job_t *job);

// pool_waits_for is the request that the pool's only thread, or process, waits for;
// 0: none, or there are several.  The manager's thread.
uint64_t pool_waits_for(const pool_t *self);

// pool_watch looks for threads that are stuck and replaces them.  Returns when
// to look again, or -1 while the pool has nothing to do.
int64_t pool_watch(pool_t *self, int64_t now_ms);

// pool_renew begins to renew its processes, as they stand in their files now,
// beside those that run.  Returns false when it has none of its own to renew.
// pool_renewed returns EDRI_AGAIN until that has ended, then how; *why_p is borrowed
// until the next.
bool pool_renew(pool_t *self);
edri_err_t pool_renewed(pool_t *self, const char **why_p) EDRI_MUST_CHECK;

// pool_jobs is where its jobs wait; borrowed.
backlog_t *pool_jobs(pool_t *self);

// pool_leave lets its threads finish what they have begun and end, ringing wake_fd
// when one has: another pool takes what waits.  pool_left says whether all have.
// For a pool of threads.
void pool_leave(pool_t *self);
bool pool_left(pool_t *self);

// pool_destroy lets the threads finish what they have begun, joins them, gives
// what waits to 'left', in order, or leaves it to its sources (NULL), and frees the
// pool.  Called by the manager's thread.
void pool_destroy(pool_t **self_p, jobs_t *left);

#endif
