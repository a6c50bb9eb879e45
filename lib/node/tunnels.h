// SPDX-License-Identifier: MIT
// node/tunnels.h - the open tunnels of a node, as its router knows them.
//
// DESIGN
// Each end of a tunnel in this node has a row: whose it is, where the other end is, and
// what went through.  Words are passed on between two rows that know each other, or to
// the other's node.  When a port detaches, a worker's process ends or a life has gone,
// the ends that are left are closed from here, with the reason.

#ifndef NODE_TUNNELS_H
#define NODE_TUNNELS_H

#include "node/router.h"

// What a message counts for beside its bytes.
#define TUNNEL_OVERHEAD ((size_t)64)

// A window is never smaller.
#define TUNNEL_WINDOW_MIN ((size_t)16 * 1024)

// tunnels_window is how large the window of an end is now: tunnel.memory for all that
// are open, tunnel.window at most.  Any thread.
size_t tunnels_window(edri_node_t *node);

// tunnels_out passes on what a port said in a tunnel; tunnels_in what came from a life.
// The attachment in *blob_p is shared.
void tunnels_out(router_t *router, slot_t *from, slice_t item, slice_t content,
    blob_t **blob_p);
void tunnels_in(router_t *router, uint64_t life, slice_t item, slice_t content,
    blob_t **blob_p);

// tunnels_port_gone closes the tunnels of a port, with ids up to 'last'.
// tunnels_life_gone closes those with a life; tunnels_returned tells it so when it
// comes back, also of the ends whose last words (tunnels_unsaid: in such a batch) have
// not arrived there; tunnels_forget: it never does.
void tunnels_port_gone(router_t *router, uint16_t port, uint64_t last,
    edri_err_t reason, const char *text);
void tunnels_unsaid(remote_t *remote, slice_t batch);
void tunnels_returned(remote_t *remote);
void tunnels_forget(remote_t *remote);
void tunnels_life_gone(
    router_t *router, uint64_t life, edri_err_t reason, const char *text);

// tunnels_lost closes the tunnel of a message whose parts did not all come, or which is
// too large.
void tunnels_lost(router_t *router, uint64_t life, const envelope_t *env,
    edri_err_t reason, const char *text);

// tunnels_tick closes those that have been idle for too long.
void tunnels_tick(router_t *router);

// tunnels_answer tells a tool of all.
void tunnels_answer(link_t *link, uint64_t number);

void tunnels_destroy(router_t *router);

#endif
