// SPDX-License-Identifier: MIT
// node/tunnel.h - the ends of tunnels in a port (edri/tunnel.h).
//
// DESIGN
// What is said in a tunnel are envelopes of kind TUNNEL, from one end's id
// (envelope.id) to the other's (envelope.request, envelope.to): data, and the words
// OPENED, CREDIT, END and CLOSE.  It is opened by a REQUEST; the acceptor answers
// OPENED instead of a reply.  Each end is known to its router, too (tunnels.h), which
// ends it when the other has died.  Data, OPENED, END and CLOSE keep their order in the
// BULK lane; CREDIT takes the lane of replies.

#ifndef NODE_TUNNEL_H
#define NODE_TUNNEL_H

#include "edri/tunnel.h"
#include "node/port.h"
#include "node/reader.h"

// tunnel_accept makes the end of a worker for the request that a task handles.
// Returns EDRI_OK, or EDRI_OVERLOADED: as many as are allowed are open.
edri_err_t tunnel_accept(edri_task_t *task) EDRI_MUST_CHECK;

// tunnel_handled says that the handler has returned, with that error: task->opened
// tells whether the request has ended with a tunnel.
void tunnel_handled(edri_task_t *task, edri_err_t err);

// port_tunnel handles an envelope of kind TUNNEL; tunnels_call then calls whom that
// concerns, when the load that it was in has been read.
void port_tunnel(edri_port_t *self, const reader_t *at);
void tunnels_call(edri_port_t *port);

// tunnel_port is its port; tunnel_has_room says whether a message may go now, else its
// port will be rung; tunnel_carries_bytes refuses one that carries messages to this
// end, or (goes) from it.
edri_port_t *tunnel_port(const edri_tunnel_t *self);
bool tunnel_has_room(edri_tunnel_t *self);
edri_err_t tunnel_carries_bytes(edri_tunnel_t *self, bool goes);

// tunnels_settle waits until the tunnels whose handlers have returned are closed.
void tunnels_settle(edri_port_t *port);

// tunnels_for says whether code of an edition has some.
bool tunnels_for(const edri_port_t *port, uint32_t edition);

// tunnels_end frees all ends of a port, without a word.
void tunnels_end(edri_port_t *port);

#endif
