// SPDX-License-Identifier: MIT
// raw.h - a peer made of libzmq and the wire alone: what a port or a node in
// another language would be.

#ifndef SUPPORT_RAW_H
#define SUPPORT_RAW_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <zmq.h>

#include "base/clock.h"
#include "wire/envelope.h"
#include "wire/frame.h"

#define RAW_WAIT_MS 10000

typedef struct raw {
    void *zmq;
    void *socket;
    uint64_t received; // counted frames
    uint64_t sent;
} raw_t;

static inline raw_t
raw_open(const char *endpoint)
{
    raw_t self = {.zmq = zmq_ctx_new()};
    int zero = 0;
    self.socket = zmq_socket(self.zmq, ZMQ_DEALER);
    (void)zmq_setsockopt(self.socket, ZMQ_LINGER, &zero, sizeof zero);
    cr_assert_eq(zmq_connect(self.socket, endpoint), 0, "%s", endpoint);
    return self;
}

static inline void
raw_close(raw_t *self)
{
    zmq_close(self->socket);
    zmq_ctx_term(self->zmq);
}

static inline void
raw_send(raw_t *self, const void *data, size_t size, bool more)
{
    cr_assert_eq(
        zmq_send(self->socket, data, size, more ? ZMQ_SNDMORE : 0), (int)size);
}

static inline void
raw_send_head(raw_t *self, const head_t *head, bool more)
{
    uint8_t *bytes = malloc(head_size(head) + 1);
    raw_send(self, bytes, head_write(head, bytes), more);
    free(bytes);
}

static inline void
raw_say(raw_t *self, control_t *word)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    head.control = &word;
    head.n_control = 1;
    head.taken = self->received;
    raw_send_head(self, &head, false);
}

// raw_hello_with says HELLO with a session's number and one switch (or NULL).
static inline void
raw_hello_with(raw_t *self, const char *name, uint64_t life, uint64_t number,
    const char *listed)
{
    Edri__Link__Hello hello = EDRI__LINK__HELLO__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    char *list = (char *)(uintptr_t)listed;
    hello.version = 1;
    hello.node = (char *)(uintptr_t)name;
    hello.life = life;
    hello.number = number;
    hello.switches = &list;
    hello.n_switches = listed != NULL;
    word.word_case = EDRI__LINK__CONTROL__WORD_HELLO;
    word.hello = &hello;
    raw_say(self, &word);
}

static inline void
raw_hello(raw_t *self, const char *name, uint64_t life, bool guest)
{
    Edri__Link__Hello hello = EDRI__LINK__HELLO__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    hello.version = 1;
    hello.node = (char *)(uintptr_t)name;
    hello.life = life;
    hello.guest = guest;
    word.word_case = EDRI__LINK__CONTROL__WORD_HELLO;
    word.hello = &hello;
    raw_say(self, &word);
}

static inline void
raw_demand(
    raw_t *self, uint64_t generation, uint64_t type, uint32_t target, bool add)
{
    Edri__Link__Wanted wanted = EDRI__LINK__WANTED__INIT;
    Edri__Link__Wanted *list[] = {&wanted};
    Edri__Link__Demand demand = EDRI__LINK__DEMAND__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    wanted.type = type;
    wanted.target = target;
    wanted.manager = (char[]){"raw"};
    demand.generation = generation;
    *(add ? &demand.add : &demand.remove) = list;
    *(add ? &demand.n_add : &demand.n_remove) = type != 0;
    word.word_case = EDRI__LINK__CONTROL__WORD_DEMAND;
    word.demand = &demand;
    raw_say(self, &word);
}

static inline void
raw_resolve(raw_t *self, uint64_t type)
{
    Edri__Link__Resolve resolve = EDRI__LINK__RESOLVE__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    resolve.types = &type;
    resolve.n_types = 1;
    word.word_case = EDRI__LINK__CONTROL__WORD_RESOLVE;
    word.resolve = &resolve;
    raw_say(self, &word);
}

static inline void
raw_simple(raw_t *self, Edri__Link__Control__WordCase kind)
{
    Edri__Link__Bye bye = EDRI__LINK__BYE__INIT;
    Edri__Link__Heartbeat beat = EDRI__LINK__HEARTBEAT__INIT;
    Edri__Link__Alive alive = EDRI__LINK__ALIVE__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = kind;
    if (kind == EDRI__LINK__CONTROL__WORD_BYE) {
        word.bye = &bye;
    } else if (kind == EDRI__LINK__CONTROL__WORD_ALIVE) {
        word.alive = &alive;
    } else {
        word.heartbeat = &beat;
    }
    raw_say(self, &word);
}

// frame_t is what raw_receive gives: head and, of events, the batch.
typedef struct received {
    head_t *head;
    uint8_t batch[WIRE_BATCH_MAX];
    size_t size;
    int parts;
} received_t;

// raw_receive waits for the next message; false when none comes in time.
// Counted frames are counted; the caller acknowledges or not.
static inline bool
raw_receive(raw_t *self, received_t *out, int wait_ms)
{
    zmq_pollitem_t item = {self->socket, 0, ZMQ_POLLIN, 0};
    head_free(&out->head);
    out->size = 0;
    out->parts = 0;
    if (zmq_poll(&item, 1, wait_ms) <= 0) {
        return false;
    }
    int more = 1;
    while (more) {
        zmq_msg_t part;
        (void)zmq_msg_init(&part);
        cr_assert_geq(zmq_msg_recv(&part, self->socket, 0), 0);
        if (out->parts == 0) {
            const char *why = "";
            cr_assert_eq(
                head_read((slice_t){zmq_msg_data(&part), zmq_msg_size(&part)},
                    &out->head, &why),
                EDRI_OK, "%s", why);
        } else if (out->parts == 1) {
            cr_assert_leq(zmq_msg_size(&part), sizeof out->batch);
            out->size = zmq_msg_size(&part);
            memcpy(out->batch, zmq_msg_data(&part), out->size);
        }
        out->parts++;
        more = zmq_msg_more(&part);
        (void)zmq_msg_close(&part);
    }
    if (out->head->lane != EDRI__WIRE__LANE__CONTROL) {
        self->received++;
    }
    return true;
}

// raw_await waits for a word of that kind and returns it, borrowed from *out;
// other messages are passed over.  NULL when none comes in time.
static inline const control_t *
raw_await(raw_t *self, received_t *out, Edri__Link__Control__WordCase kind)
{
    int64_t end = clock_ms() + RAW_WAIT_MS;
    while (clock_ms() < end && raw_receive(self, out, RAW_WAIT_MS)) {
        for (size_t i = 0; i < out->head->n_control; i++) {
            if (out->head->control[i]->word_case == kind) {
                return out->head->control[i];
            }
        }
    }
    return NULL;
}

#define RAW_AWAIT(self, out, kind) \
    raw_await(self, out, EDRI__LINK__CONTROL__WORD_##kind)

// raw_await_frame waits for the next counted frame.
static inline bool
raw_await_frame(raw_t *self, received_t *out)
{
    int64_t end = clock_ms() + RAW_WAIT_MS;
    while (clock_ms() < end && raw_receive(self, out, RAW_WAIT_MS)) {
        if (out->head->lane != EDRI__WIRE__LANE__CONTROL) {
            return true;
        }
    }
    return false;
}

// raw_emit sends one event to a destination (life 0: none, for a port).
static inline void
raw_emit(raw_t *self, const envelope_t *env, uint64_t life, uint32_t target)
{
    uint8_t batch[WIRE_ENVELOPE_MAX];
    size_t size = envelope_size(env, env->body.len);
    uint8_t *body = envelope_write(env, env->body.len, batch, size);
    if (env->body.len > 0) {
        memcpy(body, env->body.data, env->body.len);
    }
    head_t head = EDRI__WIRE__HEAD__INIT;
    Edri__Wire__Destination to = EDRI__WIRE__DESTINATION__INIT;
    Edri__Wire__Destination *tos[] = {&to};
    uint64_t types[] = {env->type};
    to.life = life;
    to.first = ++self->sent;
    to.targets = &target;
    to.n_targets = 1;
    head.lane = envelope_kind(env->flags) == EDRI_REPLY
                    ? EDRI__WIRE__LANE__REPLY_LANE
                    : EDRI__WIRE__LANE__EVENT;
    head.path = 1;
    head.types = types;
    head.n_types = 1;
    head.taken = self->received;
    head.to = tos;
    head.n_to = life != 0;
    raw_send_head(self, &head, true);
    raw_send(self, batch, size, false);
}

// raw_taken acknowledges all frames so far.
static inline void
raw_taken(raw_t *self)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    head.taken = self->received;
    raw_send_head(self, &head, false);
}

#endif
