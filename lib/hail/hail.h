// SPDX-License-Identifier: MIT
// hail/hail.h - is anybody there, and ready?  For health checks.
//
// DESIGN
// Whoever watches a process (a container engine, an init system) asks through
// the same door as everybody else: HELLO as a guest, WELCOME or Refused, BYE.
// A switch and a node's ipc endpoint answer alike; a node that is not in force
// yet answers Refused.  So "healthy" is what users of the process would see.

#ifndef HAIL_HAIL_H
#define HAIL_HAIL_H

#include <stddef.h>

#include "edri/err.h"

// hail asks at a ZeroMQ endpoint and waits at most wait_ms for the answer.
// An endpoint to bind, such as tcp://*:5590 or tcp://0.0.0.0:5590, is asked at
// this host.  Returns EDRI_OK; EDRI_UNREACHABLE when nothing answers, EDRI_INVAL
// for no endpoint, EDRI_PROTO for something else that answers, or what it was
// refused with; 'why' (of why_size bytes) says it in words.  Blocks.
edri_err_t hail(const char *endpoint, int wait_ms, char *why, size_t why_size);

#endif
