// SPDX-License-Identifier: MIT
// node/work/gates.h - the gates of types that are closed, as a process knows them.
//
// A gate closes when the receivers of a type are full.  A thread looks at it
// before it emits; a process is told (GATE, docs/protocol.md).

#ifndef NODE_WORK_GATES_H
#define NODE_WORK_GATES_H

#include "node/port.h"
#include "node/work/channel.h"

// So many types may be full at once for what one process emits.
#define GATES_MAX 64

// gates_t begins as zeros.
typedef struct gates {
    bool shared; // other threads of the process hear of their own
    struct {
        const typeref_t *ref;
        uint64_t since; // so many frames had come
    } shut[GATES_MAX];
    size_t count;
} gates_t;

// gates_look tells the process which have opened.
void gates_look(gates_t *self, edri_port_t *port, channel_t *channel);

// gates_leave tells it that they are open, whether they are or not: nobody looks
// here while it has no task, and other threads of the process may wait for them.
// The next event finds them closed again.
void gates_leave(gates_t *self, channel_t *channel);

// gates_heed tells the process when the receivers of what it has just emitted
// are full.  Returns NULL, or, when it does not listen, a static text.
const char *gates_heed(gates_t *self, edri_port_t *port, channel_t *channel,
    const typeref_t *ref) EDRI_MUST_CHECK;

#endif
