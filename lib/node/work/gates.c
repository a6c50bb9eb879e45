// SPDX-License-Identifier: MIT
// gates.c - the gates of types that are closed, as a process knows them.

#include "node/work/gates.h"

static void
say(channel_t *channel, const typeref_t *ref, bool closed)
{
    Edri__Link__Gate gate = EDRI__LINK__GATE__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    gate.type = ref->type->id;
    gate.closed = closed;
    word.word_case = EDRI__LINK__CONTROL__WORD_GATE;
    word.gate = &gate;
    channel_say(channel, (control_t *[]){&word}, 1);
}

void
gates_look(gates_t *self, edri_port_t *port, channel_t *channel)
{
    for (size_t i = self->count; i > 0; i--) {
        const typeref_t *ref = self->shut[i - 1].ref;
        if (port_is_open(port, ref)) {
            self->shut[i - 1] = self->shut[--self->count];
            say(channel, ref, false);
        }
    }
}

void
gates_leave(gates_t *self, channel_t *channel)
{
    while (self->count > 0) {
        say(channel, self->shut[--self->count].ref, false);
    }
}

const char *
gates_heed(
    gates_t *self, edri_port_t *port, channel_t *channel, const typeref_t *ref)
{
    if (!atomic_load(&ref->closed)) {
        return NULL;
    }
    for (size_t i = 0; i < self->count; i++) {
        if (self->shut[i].ref == ref && self->shared) {
            // Another thread may have been told that it is open.
            say(channel, ref, true);
            return NULL;
        }
        if (self->shut[i].ref == ref) {
            // What was under way goes on.
            return channel->received - self->shut[i].since <= CHANNEL_WINDOW
                       ? NULL
                       : "it emitted through a closed gate";
        }
    }
    if (self->count == GATES_MAX) {
        return "too many types that it emits are full";
    }
    self->shut[self->count].ref = ref;
    self->shut[self->count++].since = channel->received;
    say(channel, ref, true);
    (void)port_is_open(port, ref); // rings when it opens
    return NULL;
}
