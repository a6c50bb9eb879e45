// SPDX-License-Identifier: MIT
// node/turn.h - what a manager's thread runs next.
//
// DESIGN
// An event whose handler is a method is run as it is read, unless something
// waits: then it waits, too, on the manager's agenda (core/agenda.h), and so does
// what must be tried again or is more urgent than another.  What a fence holds
// back stands aside until the fence opens.  Events for pools are handed on.

#ifndef NODE_TURN_H
#define NODE_TURN_H

#include "node/manager_impl.h"

// turn_load runs or hands on the events of self->load.
void turn_load(edri_manager_t *self);

// turn_next does what comes next on the agenda, until something comes that may be
// more urgent.  Returns false when nothing was ready.
bool turn_next(edri_manager_t *self);

// turn_resume puts back what a fence has held, in order: it may be begun now.
void turn_resume(edri_manager_t *self);

#endif
