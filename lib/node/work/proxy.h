// SPDX-License-Identifier: MIT
// node/work/proxy.h - a thread of a pool that stands for a process.
//
// DESIGN
// A proxy takes the place of a pool's thread: it takes jobs as one does, and
// has a port as one does.  But it hands the event to a process, passes on what
// the handler there emits, takes replies to its requests to it, and at last the
// end of the task.  So ids, causes, deadlines, gates, tokens and fences are
// where they always are; the process knows none of them.
//
// A process that ends while it has a task ends that task with an error; the
// proxy starts another, after a pause.  One whose task nobody waits for any more
// is told so, and killed when it goes on for worker.grace.  What comes from a process is never
// believed: wrong bytes end the process, not the node.

#ifndef NODE_WORK_PROXY_H
#define NODE_WORK_PROXY_H

#include "node/work/roster.h"
#include "node/work/runner.h"

// runner_of_processes does jobs in processes, one at a time; 'task' stands for
// the one that runs there: it has the thread's port and arena.  Never fails.
runner_t *runner_of_processes(roster_t *roster, edri_task_t *task);

#endif
