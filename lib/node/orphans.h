// SPDX-License-Identifier: MIT
// node/orphans.h - what a manager has not begun when it is closed before its node
// stops.
//
// DESIGN
// The manager's thread stops its pools and takes everything that waits for it
// (retire.c).  A request ends with an error.  Of the others only the source may
// choose another receiver: a frame of which nothing was begun goes back to it.
// This node is the source of its own events: they go to another member of the
// group.  What is left is kept as dead letters: events for all, those of a frame
// that was begun, and those that nobody else takes.

#ifndef NODE_ORPHANS_H
#define NODE_ORPHANS_H

#include "node/router.h"

// orphans_place sees to port->orphans, which are freed, and gives the frames of
// which nothing was begun back.
void orphans_place(slot_t *slot);

// orphans_drop counts those of a port that nobody has seen to as lost.
void orphans_drop(edri_port_t *port);

#endif
