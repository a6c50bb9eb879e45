// SPDX-License-Identifier: MIT
// node/pools.h - the threads and processes of a manager: which pool does what.

#ifndef NODE_POOLS_H
#define NODE_POOLS_H

#include "node/manager_impl.h"

// pools_start makes and starts the pools of an edition's handlers; those of
// 'before' (or NULL), which handles the same types, have had their jobs until now,
// and keep them when this fails.  Returns EDRI_OK, or as pool_start.
edri_err_t pools_start(edri_manager_t *self, edition_t *edition,
    const edition_t *before) EDRI_MUST_CHECK;

// pools_open lets the threads of the edition in force take jobs: at once, or, where
// one thread does them in order, when that of the edition before has left.
void pools_open(edri_manager_t *self);

// pools_leave lets the threads of an edition end when they have finished what they
// have begun; its pools have no jobs any more.  pools_left says whether all have.
void pools_leave(edition_t *edition);
bool pools_left(edition_t *edition);

// pools_watch looks for threads that are stuck, when it is time.
void pools_watch(edri_manager_t *self);

// pools_end ends all pools of an edition; the own process's is the last.  What
// waits is given to 'left', or (NULL) left to its sources.
void pools_end(edri_manager_t *self, edition_t *edition, jobs_t *left);

#endif
