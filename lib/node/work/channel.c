// SPDX-License-Identifier: MIT
// channel.c - counted frames between a node and a worker's process.

#include "node/work/channel.h"

#include "base/alloc.h"
#include "base/clock.h"

// How many frames are done with before the peer is told, if nothing else goes.
#define UNTOLD_MAX (CHANNEL_WINDOW / 4)

void
channel_clear(channel_t *self)
{
    carrier_destroy(&self->carrier);
    load_clear(&self->load);
    *self = (channel_t){0};
}

// send_head fills in what every head says.
static void
send_head(channel_t *self, head_t *head, slice_t batch, blob_t *blob)
{
    head->taken = self->told = self->received;
    carrier_send(self->carrier, head, batch, blob);
}

void
channel_say(channel_t *self, control_t **words, size_t count)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    head.control = words;
    head.n_control = count;
    send_head(self, &head, (slice_t){0}, NULL);
}

void
channel_cancel(channel_t *self, uint64_t life, uint64_t id)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    head.from = life;
    head.cancels = &id;
    head.n_cancels = 1;
    send_head(self, &head, (slice_t){0}, NULL);
}

bool
channel_has_room(channel_t *self)
{
    return carrier_flush(self->carrier) &&
           self->sent - self->taken < CHANNEL_WINDOW &&
           self->bytes < self->limit;
}

static bool
peek(channel_t *self)
{
    self->peeked = self->peeked || (self->at.load != NULL &&
                                       reader_next(&self->at, &self->env));
    return self->peeked;
}

// is_reply says whether it needs no room of the channel: it has its own.
static bool
is_reply(const envelope_t *env)
{
    edri_kind_t kind = envelope_kind(env->flags);
    return kind == EDRI_REPLY || kind == EDRI_TUNNEL;
}

// is_end says whether it is the last word on a request.
static bool
is_end(const envelope_t *env)
{
    return envelope_kind(env->flags) == EDRI_REPLY &&
           (env->flags & WIRE_PROGRESS) == 0;
}

bool
channel_next(channel_t *self, box_t *box, cargo_t *cargo, size_t *spent)
{
    while (!peek(self)) {
        *spent += self->load.weight;
        load_reset(&self->load);
        if (!box_take(box, &self->load)) {
            self->at = (reader_t){0};
            return false;
        }
        self->at = reader_begin(&self->load);
    }
    const run_t *run = self->at.run;
    *cargo = (cargo_t){.batch = self->at.item,
        .run = *run,
        .blob = self->at.blob_p != NULL ? *self->at.blob_p : NULL,
        .replies = is_reply(&self->env),
        .ends = is_end(&self->env)};
    self->peeked = false;
    // What follows joins it, but an attachment goes alone.
    while (cargo->blob == NULL && peek(self) && self->at.run == run &&
           self->at.blob_p == NULL && is_reply(&self->env) == cargo->replies &&
           cargo->batch.len + self->at.item.len <= WIRE_BATCH_MAX) {
        cargo->batch.len += self->at.item.len;
        cargo->ends = cargo->ends || is_end(&self->env);
        self->peeked = false;
    }
    return true;
}

void
channel_send(channel_t *self, head_t *head, const cargo_t *cargo)
{
    int64_t age = cargo->run.base_ms > 0 ? clock_ms() - cargo->run.base_ms : 0;
    head->from = cargo->run.life;
    head->age_ms = age > 0 ? (uint32_t)age : 0;
    head->lane =
        cargo->replies ? EDRI__WIRE__LANE__REPLY_LANE : EDRI__WIRE__LANE__EVENT;
    if (self->limit > 0 && !cargo->replies) {
        size_t blob = cargo->blob != NULL ? blob_size(cargo->blob) : 0;
        edri_assert(self->sent - self->taken < CHANNEL_WINDOW);
        self->sizes[self->sent++ % CHANNEL_WINDOW] = cargo->batch.len + blob;
        self->bytes += cargo->batch.len + blob;
    }
    send_head(self, head, cargo->batch, cargo->blob);
}

edri_err_t
channel_receive(channel_t *self, message_t *message, const char **why_p)
{
    edri_err_t err = carrier_receive(self->carrier, message, why_p);
    if (err != EDRI_OK) {
        return err;
    }
    if (message->head->taken > self->sent) {
        *why_p = "it has taken frames that were never sent";
        message_clear(message);
        return EDRI_PROTO;
    }
    while (self->taken < message->head->taken) {
        self->bytes -= self->sizes[self->taken++ % CHANNEL_WINDOW];
    }
    return EDRI_OK;
}

void
channel_took(channel_t *self)
{
    if (++self->received - self->told >= UNTOLD_MAX) {
        head_t head = EDRI__WIRE__HEAD__INIT;
        send_head(self, &head, (slice_t){0}, NULL);
    }
}
