// SPDX-License-Identifier: MIT
// node/deadlock.h - requests whose handler waits for them.
//
// DESIGN
// A handler that asks and waits keeps its thread.  When the answer needs that
// very thread, directly or because whoever is asked asks on, nothing goes on
// until a deadline.  Every port says which request its owner waits for
// (waits_for, set before the request is sent).  So when a request comes for a
// thread that waits, it is followed up: who waits for it, and who for the request
// that that one works on.  If that leads to what the thread waits for, the
// request ends with EDRI_DEADLOCK.  Only what waits is followed, so there is no
// false alarm; what runs in other nodes or processes is not seen, and ends by its
// deadline.

#ifndef NODE_DEADLOCK_H
#define NODE_DEADLOCK_H

#include "node/port.h"

// deadlock_found says whether 'request' has to end before 'waited' can.
bool deadlock_found(edri_node_t *node, uint64_t waited, uint64_t request);

// deadlock_end ends a request, 'content' is its envelope, that came to a manager,
// whose thread's port it is.
void deadlock_end(edri_port_t *port, slice_t content, uint64_t waited);

// deadlock_refuse looks at an event that came while the thread of a manager waits
// and, if it is such a request, ends it: port->refused then has it.
void deadlock_refuse(
    edri_port_t *port, const reader_t *at, const envelope_t *env);

#endif
