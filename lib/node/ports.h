// SPDX-License-Identifier: MIT
// node/ports.h - what ports say to the router: bells, notes, and the loads of their
// boxes.  For who has the helm.

#ifndef NODE_PORTS_H
#define NODE_PORTS_H

#include "node/router.h"

// ports_hear reads the bells that have come: ports that attach, have something, or leave.
void ports_hear(router_t *router);

// ports_note has those that left a note (node/helm.h) looked at like those that rang;
// ports_serve_noted routes what they have emitted, all of it.
void ports_note(router_t *router);
void ports_serve_noted(router_t *router);

// ports_take routes one load of each port that has something; those found empty are
// armed, and ring again.
void ports_take(router_t *router);

// ports_detach forgets a port that ends, once what it has emitted is routed.
void ports_detach(router_t *router, const edri_port_t *port);

// ports_tell_flushed answers those that wait until all has left the node, once it has.
void ports_tell_flushed(router_t *router);

// ports_quit tells all that the node stops.
void ports_quit(router_t *router);

#endif
