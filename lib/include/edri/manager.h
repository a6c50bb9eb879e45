// SPDX-License-Identifier: MIT
// edri/manager.h - a manager: demands event types, hands events to workers.

#ifndef EDRI_MANAGER_H
#define EDRI_MANAGER_H

#include <stddef.h>
#include <stdint.h>

#include "edri/err.h"
#include "edri/task.h"
#include "edri/type.h"

typedef struct edri_manager edri_manager_t;

// edri_workers_t says who runs a handler; write one of the four below.  The
// configuration may say something else for all handlers of a manager:
// managers/NAME/mode = method | threads:N | processes:N | fresh[:N].
typedef struct edri_workers {
    uint16_t kind;
    uint16_t count;
} edri_workers_t;

// In the manager's own thread, one event at a time, in order.
#define EDRI_METHOD ((edri_workers_t){0, 1})

// In a pool of n threads, 1 to 256: up to n events of this handler at once.
#define EDRI_THREADS(n) ((edri_workers_t){1, (n)})

// In a pool of n processes, 1 to 256: a handler that crashes, or is killed,
// ends its own event and nothing else.  The processes are this program, started
// again with the same arguments: main() runs in each of them up to
// edri_node_start or edri_node_run, which do not return there.  So each has a
// state of its own (edri_manager_set_state), and what main() does before is done
// in each.  A program has one node then.  They begin with SIGTERM and SIGINT
// blocked and without standard input, and end with the node.
#define EDRI_PROCESSES(n) ((edri_workers_t){2, (n)})

// In a process of its own for each event; as many at once as there are
// processors, at least 2.
#define EDRI_FRESH_PROCESS ((edri_workers_t){3, 0})

// edri_handle_fn calls a typed handler: unpacked event in, reply out (NULL for
// notifications).  Written by protoc-gen-edri.
typedef edri_err_t edri_handle_fn(edri_fn_t handler, edri_task_t *task,
    const ProtobufCMessage *event, ProtobufCMessage *reply);

// edri_observe_fn calls a typed observer: 'reply' is NULL when the request
// ended with an error; the task then tells code and text.
typedef void edri_observe_fn(
    edri_fn_t observer, edri_task_t *task, const ProtobufCMessage *reply);

// edri_manager_handle makes the manager demand 'type' and hand its events to
// 'handler' through 'call'.  A generated x_handle() is the typed form.
// One handler per type and manager.  Before edri_node_start only.
// Returns EDRI_OK; EDRI_INVAL for an unusable type or workers, EDRI_EXISTS for
// a second handler, EDRI_STATE after start.  Errors are also kept as the
// node's, so a main() need not check.  'type' is borrowed for the life of the code.
edri_err_t edri_manager_handle(edri_manager_t *self, const edri_type_t *type,
    edri_handle_fn *call, edri_fn_t handler, edri_workers_t workers);

// edri_manager_observe makes the manager get a copy of the replies to requests
// of 'type', whoever asked.  Copies never push back: when the manager is full
// they are dropped and counted.  Returns as edri_manager_handle.
edri_err_t edri_manager_observe(edri_manager_t *self, const edri_type_t *type,
    edri_observe_fn *call, edri_fn_t observer);

// edri_manager_replay makes the manager get, before anything new, those events
// of 'type' that its emitters still have (option retain), none older than
// age_ms; 0: whatever there is.  Of an emitter that it has had events of it gets
// what comes behind them, whatever their age: after an outage nothing is
// missing that is still there, and nothing comes twice.  GROUP and ONE: only
// what no member of the group was given.  After edri_manager_handle for the
// type, before edri_node_start.  Returns EDRI_OK; EDRI_INVAL for a type that is
// not handled here or not retained, EDRI_STATE after start.
edri_err_t edri_manager_replay(
    edri_manager_t *self, const edri_type_t *type, uint32_t age_ms);

// edri_manager_emits says that handlers of this manager emit 'type', so that
// the network knows it before the first one.  Optional.
edri_err_t edri_manager_emits(edri_manager_t *self, const edri_type_t *type);

// edri_manager_lossy makes the manager drop what is too much for it, oldest
// first, counted, instead of pushing back on those who emit.
edri_err_t edri_manager_lossy(edri_manager_t *self);

// edri_manager_own_process lets the manager run in a process of its own: a crash
// there takes nobody else down.  The process is this program, started again as for
// EDRI_PROCESSES; in it run the hooks, the methods and observers, in one thread, and
// the threads of pools, which share its state; pools of processes stay beside it.
// The manager's queue stays at the node: what was not begun when the process ended
// waits for its next life, what was begun ends with EDRI_WORKER_DIED or is tried
// again where its type says so (retry).  A process that ends worker.restarts times
// within worker.restarts_in is not started again: the manager is closed, what waits
// goes back to its sources.  In the configuration: managers/NAME/run = process, or
// node.  Before edri_node_start only.  Returns EDRI_OK, EDRI_STATE after start.
edri_err_t edri_manager_own_process(edri_manager_t *self);

// edri_manager_queue limits what waits for the manager, in bytes, 4096 to 16 GiB;
// more pushes back on those who emit.  Not said: node.manager_queue.  In the
// configuration: managers/NAME/queue = 1M.  Before edri_node_start.
// Returns EDRI_OK, EDRI_INVAL, EDRI_STATE after start.
edri_err_t edri_manager_queue(edri_manager_t *self, size_t bytes);

// edri_manager_time_limit limits how long its handlers may take for one event,
// in ms, from 1 to 86400000; 0: as long as they like.  It is a deadline from when
// the handler begins: see edri_task_remaining_ms and edri_task_cancelled; what
// the handler asks ends with it.  A handler in a pool that goes on for
// worker.grace behind it loses its thread to another, or its process is killed.
// In the configuration: managers/NAME/time_limit = 10s.  Before edri_node_start.
// Returns EDRI_OK, EDRI_INVAL, EDRI_STATE after start.
edri_err_t edri_manager_time_limit(edri_manager_t *self, uint32_t ms);

// edri_manager_set_state gives the manager a value that its handlers get from
// edri_task_state; 'destroy' (or NULL) is called with it when the node is
// destroyed, or its code unloaded (edri/reload.h).  Handlers in threads share it: locking it is theirs.
edri_err_t edri_manager_set_state(
    edri_manager_t *self, void *state, void (*destroy)(void *state));

// edri_worker_begin_fn makes what one worker has for itself, such as a connection
// of its own: *worker_p, for edri_task_worker_state.  'state' is what
// edri_manager_set_state set.  Any other result than EDRI_OK fails the start
// of the node.  edri_worker_end_fn ends it.
typedef edri_err_t edri_worker_begin_fn(
    edri_manager_t *manager, void *state, void **worker_p);
typedef void edri_worker_end_fn(void *worker);

// edri_manager_worker_state gives every worker of the manager something of its
// own: each thread or process of its pools, and the manager's thread when it runs
// methods or observers.  Both are called in the worker's thread: 'begin' before
// its first task, 'end' (or NULL) after its last.  A worker that takes the place
// of another begins anew; a process whose 'begin' fails is one that did not
// start.  Before edri_node_start only.
// Returns EDRI_OK, EDRI_INVAL without 'begin', EDRI_STATE after start.
edri_err_t edri_manager_worker_state(
    edri_manager_t *self, edri_worker_begin_fn *begin, edri_worker_end_fn *end);

// edri_hooks_t is what a manager does at the turns of its life, in its own
// thread; NULL: nothing.  'state' is what edri_manager_set_state set; the port
// is the manager's, to emit and request with.
typedef struct edri_hooks {
    // started: the node's demands are in force, so what it emits reaches
    // everybody; no event is handled before it has returned.  edri_node_start
    // waits for it, and fails with its error.
    edri_err_t (*started)(
        edri_manager_t *manager, edri_port_t *port, void *state);
    // draining: nobody gives this node, or (edri/reload.h) this code, new work
    // from now on; what it has still comes.  The node waits for it, and for what it emits.  Not called when
    // the node stops at once, or the time for draining is over before.
    void (*draining)(edri_manager_t *manager, edri_port_t *port, void *state);
    // stopped: all handlers have returned, and pools have ended; the last call
    // in this thread.  Not called when 'started' was not, or failed.
    void (*stopped)(edri_manager_t *manager, void *state);
} edri_hooks_t;

// edri_manager_hooks sets the hooks, which are copied; NULL: none.  Before
// edri_node_start only.  Returns EDRI_OK, EDRI_STATE after start.
edri_err_t edri_manager_hooks(edri_manager_t *self, const edri_hooks_t *hooks);

// edri_manager_fail sets the text that a failed start shows, and returns 'err'
// (EDRI_FAILED when it is EDRI_OK).  For hooks and edri_worker_begin_fn:
//     return edri_manager_fail(manager, EDRI_SYSTEM, "no database at %s", url);
edri_err_t edri_manager_fail(edri_manager_t *self, edri_err_t err,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

// edri_manager_setting returns managers/NAME/set/KEY of the configuration
// file, or 'otherwise'.  Borrowed from the node.
const char *edri_manager_setting(
    const edri_manager_t *self, const char *key, const char *otherwise);

// edri_manager_name returns its name, borrowed; edri_manager_node the node it
// belongs to, so that a plugin can ask for the node's name.
const char *edri_manager_name(const edri_manager_t *self);
struct edri_node *edri_manager_node(const edri_manager_t *self);

#endif
