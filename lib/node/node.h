// SPDX-License-Identifier: MIT
// node/node.h - what the threads of one node share.

#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/settings.h"
#include "base/shared_map.h"
#include "edri/node.h"
#include "node/counters.h"
#include "node/drops.h"
#include "node/helm.h"
#include "node/learned.h"
#include "node/letters.h"
#include "node/listen.h"
#include "node/names.h"
#include "node/requests.h"
#include "node/token.h"

// Limits that every thread of the node reads; set before start, then fixed.
typedef struct limits {
    size_t body_max;        // bytes of one packed event
    size_t port_queue;      // bytes from a port to the router
    size_t manager_queue;   // bytes from the router to a manager
    size_t link_queue;      // bytes for one manager of another node
    size_t retain;          // bytes of one retained type
    unsigned spin_us;       // before a thread sleeps
    bool huddles;           // threads stay on one processor at times
    size_t letters;         // bytes of all dead letters
    int64_t probe_ms;       // between two probes of a manager
    int64_t slow_ms;        // without an answer or progress it is slow,
    int64_t stuck_ms;       // or stuck
    bool restart_stuck;     // if it has a process of its own
    int64_t emit_wait_ms;   // emit on a full receiver
    int64_t fence_ms;       // a lease of what may be given to another
    int64_t closed_ms;      // a life that is missing is given up
    int64_t silent_ms;      // a group that ended is waited for
    int64_t retention_ms;   // a life that has gone is remembered
    int64_t grace_ms;       // a handler goes on that nobody waits for
    size_t tunnel_limit;    // open at once, ends here
    size_t tunnel_window;   // bytes that an end may be sent unread
    size_t tunnel_memory;   // of all windows
    uint64_t tunnel_bytes;  // through one; 0: no limit
    int64_t tunnel_idle_ms; // without a word; 0: no limit
} limits_t;

// The life of a node's threads.
typedef enum phase {
    PHASE_SETUP,
    PHASE_RUNNING,
    PHASE_WORKER, // runs handlers for another process, which has the router
    PHASE_STOPPED
} phase_t;

struct edri_node {
    uint32_t magic;
    // fixed once started
    settings_t *settings;
    const char *name; // "" for a guest
    uint64_t life;
    limits_t limits;
    void *zmq;          // the context: inproc names are its own
    char io_thread[16]; // libzmq's thread that moves its bytes
    // shared between threads
    shared_map_t *types; // type id → typeref_t
    char *program;       // the file of this program
    shared_map_t *ports; // number → edri_port_t
    atomic_uint next_serial;
    _Atomic(phase_t) phase;
    counters_t counters;
    drops_t drops;
    letters_t letters;
    tokens_t tokens;            // of frames in the hands of managers
    helm_t helm;                // of the router
    listen_t listen;            // to its connections
    requests_t requests;        // in the hands of handlers
    names_t names;              // of the lives that are known
    atomic_size_t tunnels_open; // ends of tunnels here
    // the setting-up thread's
    edri_manager_t **managers;
    size_t manager_count;
    struct router *router;
    void *pipe;       // PAIR to the router
    int wake_fd;      // ends edri_node_wait
    atomic_bool quit; // a handler in a worker's process wants that
    int argc;         // what was not for us
    char **argv;

    const char *worker; // EDRI_WORKER: where the node is; NULL: this is it
    bool wants_help;
    bool wants_health;
    bool signals;         // edri_node_run took SIGTERM and SIGINT
    edri_err_t first_err; // of the setting-up
    char *first_error;
    char *error;         // of the last failed call
    learned_t learned;   // types that others described
    uint64_t ask_number; // of edri_network_new
};

#define NODE_MAGIC 0xed21d0deu

#define NODE_PORTS_ENDPOINT "inproc://ports"
#define NODE_PIPE_ENDPOINT  "inproc://pipe"

// node_fail keeps a text as the node's last error, and as the first one when
// the node is being set up.  Returns err.  Setting-up thread only.
edri_err_t node_fail(edri_node_t *self, edri_err_t err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// node_open begins to run: limits, context, the pipe to the router.
edri_err_t node_open(edri_node_t *self) EDRI_MUST_CHECK;

// node_manager returns the manager of that name, or NULL.
edri_manager_t *node_manager(const edri_node_t *self, const char *name);

// node_rows is the table of settings (node_settings.c).
extern const setting_row_t node_rows[];

#endif
