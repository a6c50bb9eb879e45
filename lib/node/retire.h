// SPDX-License-Identifier: MIT
// node/retire.h - a manager is closed before its node stops: what it has not
// begun goes elsewhere (orphans.h).

#ifndef NODE_RETIRE_H
#define NODE_RETIRE_H

#include "node/manager_impl.h"

// retire leaves the network with the manager's port and gathers what waits; 'ended'
// are jobs of its pools, which have ended.  'why' is kept until the port has been
// destroyed.  In the manager's thread.
void retire(edri_manager_t *self, jobs_t *ended, const char *why);

#endif
