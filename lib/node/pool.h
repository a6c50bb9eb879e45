// SPDX-License-Identifier: MIT
// node/pool.h - a handler's threads, or processes.
//
// DESIGN
// The manager copies each event of the handler into a job and puts it into one
// queue; a free thread takes it.  So a slow event keeps one thread busy and
// nothing else.  Each thread is a port of its own: what it emits and the
// replies it sends go straight to the router.  A job's bytes count against the
// manager's box until the handler has returned.
//
// How a thread does its jobs is its runner's (runner.h): it calls the handler,
// or it is the proxy of a process that does (proxy.c).

#ifndef NODE_POOL_H
#define NODE_POOL_H

#include "node/job.h"

typedef struct pool pool_t;

// pool_new makes a pool for 'handler' of the manager with that state and port;
// no thread runs yet.  What a fence holds back goes to 'held'.
pool_t *pool_new(
    const handler_t *handler, void *state, edri_port_t *manager, jobs_t *held);

// pool_start starts the threads and waits until each is attached.  Returns
// EDRI_OK, or EDRI_SYSTEM when a thread cannot be started.
edri_err_t pool_start(pool_t *self) EDRI_MUST_CHECK;

// pool_put gives the pool a job, which is taken over.
void pool_put(pool_t *self, job_t *job);

// pool_destroy lets the threads finish what they have begun, drops what waits,
// joins them and frees the pool.
void pool_destroy(pool_t **self_p);

#endif
