// SPDX-License-Identifier: MIT
// frames_in.c - frames from other nodes: handed to the managers they name.
//
// DESIGN
// A frame names its targets; the router hands the events to these and to
// nobody else, whole where every event is fine.  What came is booked against
// the credit of its source, which then gets more.

#include <stdlib.h>

#include "base/alloc.h"
#include "edri/log.h"
#include "node/frames.h"
#include "node/replay.h"
#include "node/tunnels.h"

// What came is told after so many frames, or a little later (flows.c).
#define TELL_COUNT 4

// ----- credit

// credit_of returns the books of one source of a manager.
static credit_in_t *
credit_of(slot_t *slot, uint64_t life)
{
    credit_in_t *credit = map_get(slot->sources, life);
    if (credit == NULL) {
        credit = mem_new(sizeof *credit);
        credit_in_init(credit, initial_credit());
        slot->open += credit_in_open(credit);
        (void)map_put(slot->sources, life, credit);
    }
    return credit;
}

static void
tell_credit(
    link_t *link, remote_t *remote, slot_t *slot, const credit_in_t *credit)
{
    head_t head;
    Edri__Wire__Destination to;
    Edri__Wire__Destination *to_p;
    Edri__Wire__Credit word = EDRI__WIRE__CREDIT__INIT;
    Edri__Wire__Credit *word_p = &word;
    frame_head(&head, &to, &to_p, remote, EDRI__WIRE__LANE__CONTROL);
    word.target = slot->number;
    word.limit = credit->granted;
    word.consumed = credit->consumed;
    word.path = remote->path_in;
    head.credits = &word_p;
    head.n_credits = 1;
    Edri__Wire__Flow *flows[LANES];
    words_attach(remote, &head, flows);
    (void)link_send_head(link, &head, false);
}

void
slot_grant(slot_t *self, uint64_t life, credit_in_t *credit)
{
    remote_t *remote = map_get(self->router->remotes, life);
    link_t *link = remote != NULL ? remote_link(remote, true) : NULL;
    if (link == NULL) {
        return;
    }
    uint64_t before = credit_in_open(credit);
    if (credit_in_grant(credit, slot_limit(self), slot_used(self), self->open,
            map_size(self->sources))) {
        self->open += credit_in_open(credit) - before;
        tell_credit(link, remote, self, credit);
    }
}

void
frame_account(slot_t *slot, uint64_t life, size_t weight)
{
    const remote_t *remote = map_get(slot->router->remotes, life);
    if (remote == NULL || remote->gone_ms != 0) {
        return; // the rest of a life that has ended: nobody to give more to
    }
    credit_in_t *credit = credit_of(slot, life);
    uint64_t before = credit_in_open(credit);
    if (!credit_in_received(credit, weight)) {
        edri_log_warn("CREDIT-EXCEEDED", "life=%016llx target=%u",
            (unsigned long long)life, slot->number);
        credit->granted = credit->received;
    }
    slot->open -= before - credit_in_open(credit);
    slot_grant(slot, life, credit);
    if (credit_in_short(credit)) {
        slot_starved(slot);
    }
}

// ----- events

// listed says whether the head announced the type.
static bool
listed(const head_t *head, uint64_t type)
{
    for (size_t i = 0; i < head->n_types; i++) {
        if (head->types[i] == type) {
            return true;
        }
    }
    return false;
}

// demanded returns the route for which the manager wants such an envelope, or
// NULL.  One look into a hash map, however many types it demands.
static const route_t *
demanded(const slot_t *slot, const envelope_t *env)
{
    bool observed = (env->flags & WIRE_OBSERVED) != 0;
    if ((envelope_kind(env->flags) == EDRI_REPLY && !observed) ||
        envelope_kind(env->flags) == EDRI_TUNNEL) {
        return NULL;
    }
    return map_get(observed ? slot->observes : slot->handles, env->type);
}

// has_had says whether the manager has had the event before: it came again with
// what is retained.
static bool
has_had(const frame_t *frame, slot_t *slot, const route_t *route, slice_t item)
{
    return slot->wish_count > 0 && !frame->redelivered &&
           !replay_is_new(slot, route, frame->life, item);
}

bool
parts_next(parts_t *self)
{
    if (!batch_next(&self->rest, &self->item, &self->content)) {
        return false;
    }
    bool fine = envelope_route(self->content, &self->env) == EDRI_OK;
    self->blob_p = NULL;
    if (fine && (self->env.flags & WIRE_ATTACHED) != 0) {
        fine = self->next < self->count;
        self->blob_p = fine ? &self->blobs[self->next++] : NULL;
    }
    if (!fine) {
        self->rest.len = self->rest.len > 0 ? self->rest.len : 1;
    }
    return fine;
}

void
frame_malformed(const frame_t *frame, const char *what)
{
    counter_add(&frame->link->router->node->counters, COUNTER_MALFORMED, 1);
    edri_log_warn("FRAME-MALFORMED", "life=%016llx what=\"%s\"",
        (unsigned long long)frame->life, what);
}

void
frame_refuse(const frame_t *frame, const envelope_t *asked, edri_err_t err,
    const char *text)
{
    envelope_t env = {.type = asked->type,
        .flags = envelope_flags(EDRI_REPLY, EDRI_ONE, 3) | WIRE_LAST,
        .request = asked->id,
        .to = frame->life,
        .error = (uint32_t)err,
        .text = {(const uint8_t *)text, strlen(text)}};
    size_t size = envelope_size(&env, 0);
    uint8_t *room = mem_resize(NULL, size);
    (void)envelope_write(&env, 0, room, size);
    remote_reply(
        frame->link->router, frame->life, (slice_t){room, size}, &env, 0, NULL);
    free(room);
}

static void
events_for(const frame_t *frame, slot_t *slot)
{
    router_t *router = frame->link->router;
    parts_t at = {.rest = frame->batch,
        .blobs = frame->blobs,
        .count = frame->blob_count};
    token_t *token = token_of(
        frame->remote, (int)frame->head->lane, &frame->stamp, slot->number);
    run_t origin = {.life = frame->life,
        .base_ms = frame->base_ms,
        .token = token,
        .redelivered = frame->redelivered};
    uint32_t given = 0;
    uint64_t denied = 0;
    while (parts_next(&at)) {
        const route_t *route = demanded(slot, &at.env);
        if (!listed(frame->head, at.env.type) || route == NULL ||
            given == frame->stamp.events) {
            denied++;
            drops_note(&router->node->drops, at.env.type, NULL, slot->manager,
                EDRI_DENIED, 1);
            continue;
        }
        if (has_had(frame, slot, route, at.item)) {
            continue;
        }
        given++;
        if (envelope_movable(at.env.flags)) {
            token_moves(frame->remote, token);
        }
        slot_give(slot, at.item, &at.env, &origin,
            at.blob_p != NULL ? blob_share(*at.blob_p) : NULL);
    }
    slots_flush(router);
    token->given = given;
    // The router has held one itself, so that nobody was quicker.
    (void)token_begun(router->tokens, token, frame->stamp.events - given + 1);
    if (at.rest.len > 0) {
        frame_malformed(frame, "batch");
    }
    counter_add(&router->node->counters, COUNTER_DENIED, denied);
}

static size_t
weight_of(const frame_t *frame)
{
    size_t weight = frame->batch.len;
    for (size_t i = 0; i < frame->blob_count; i++) {
        weight += blob_size(frame->blobs[i]);
    }
    return weight;
}

// refuse_events ends the events of a frame for a manager that is not there (any
// more): what the source has kept goes back to it, a request gets an error.
static void
refuse_events(const frame_t *frame, uint32_t target)
{
    router_t *router = frame->link->router;
    remote_t *remote = frame->remote;
    flow_in_t *in = &remote->in[frame->head->lane];
    parts_t at = {.rest = frame->batch,
        .blobs = frame->blobs,
        .count = frame->blob_count};
    counter_add(&router->node->counters, COUNTER_DENIED, 1);
    bool kept = false;
    while (parts_next(&at)) {
        kept = kept || envelope_movable(at.env.flags);
        if (envelope_kind(at.env.flags) == EDRI_REQUEST) {
            frame_refuse(frame, &at.env, EDRI_NO_RESPONDER,
                "the manager that was asked has ended");
        } else if (!envelope_movable(at.env.flags)) {
            counter_add(&router->node->counters, COUNTER_LOST, 1);
            drops_note(
                &router->node->drops, at.env.type, NULL, "", EDRI_CLOSED, 1);
        }
    }
    if (kept) { // else it is settled at its source already
        flow_in_refuse(in, target, frame->stamp.first,
            frame->stamp.first + frame->stamp.events);
    }
}

void
frame_events(const frame_t *frame, const Edri__Wire__Destination *to)
{
    router_t *router = frame->link->router;
    for (size_t i = 0; i < to->n_targets; i++) {
        slot_t *slot = map_get(router->slots, to->targets[i]);
        if (slot == NULL || slot->manager == NULL || slot->left) {
            refuse_events(frame, to->targets[i]);
            continue;
        }
        if (to->missed > 0) {
            slot_missed(slot, to->missed);
        }
        events_for(frame, slot);
        if (!frame->again) {
            frame_account(slot, frame->life, weight_of(frame));
        }
    }
}

void
frame_replies(const frame_t *frame)
{
    router_t *router = frame->link->router;
    parts_t at = {.rest = frame->batch,
        .blobs = frame->blobs,
        .count = frame->blob_count};
    while (parts_next(&at)) {
        edri_kind_t kind = envelope_kind(at.env.flags);
        if ((kind != EDRI_REPLY && kind != EDRI_TUNNEL) ||
            at.env.to != router->node->life) {
            counter_add(&router->node->counters, COUNTER_DENIED, 1);
            continue;
        }
        if (kind == EDRI_REPLY) {
            asked_reply(
                router, at.item, at.content, &at.env, frame->life, at.blob_p);
        } else {
            tunnels_in(router, frame->life, at.item, at.content, at.blob_p);
        }
    }
    slots_flush(router);
    if (at.rest.len > 0) {
        frame_malformed(frame, "batch");
    }
}

// ----- control between ends, and the frame itself

static void
control_in(const frame_t *frame)
{
    router_t *router = frame->link->router;
    const head_t *head = frame->head;
    remote_t *remote = frame->remote;
    for (size_t i = 0; i < head->n_credits; i++) {
        const Edri__Wire__Credit *word = head->credits[i];
        if (word->path == remote->path) {
            remote_granted(
                router, frame->life, word->target, word->limit, word->consumed);
        }
    }
    words_in(remote, head);
    if (head->n_cancels > 0) {
        cancel_here(router, frame->life, head->cancels, head->n_cancels);
    }
    for (size_t i = 0; i < head->n_wants; i++) {
        slot_t *slot = map_get(router->slots, head->wants[i]->target);
        if (slot != NULL && slot->manager != NULL) {
            credit_in_t *credit = credit_of(slot, frame->life);
            // No event needs more than this.
            uint64_t most = credit->received + router->node->limits.body_max +
                            4 * (uint64_t)CREDIT_MAX;
            uint64_t want = head->wants[i]->limit;
            credit->want = want < most ? want : most;
            slot_grant(slot, frame->life, credit);
            // It lacks credit: if it has more, that word did not reach it.
            link_t *link = remote_link(remote, true);
            if (link != NULL) {
                tell_credit(link, remote, slot, credit);
            }
            slot_starved(slot);
        }
    }
}

static void
close_message(void *hint)
{
    zmq_msg_t *message = hint;
    (void)zmq_msg_close(message);
    free(message);
}

// wrap moves a ZeroMQ message into a blob.
static blob_t *
wrap(zmq_msg_t *part)
{
    zmq_msg_t *message = mem_new(sizeof *message);
    (void)zmq_msg_init(message);
    (void)zmq_msg_move(message, part);
    return blob_wrap(
        zmq_msg_data(message), zmq_msg_size(message), close_message, message);
}

// on_path follows the source's paths: a younger one begins anew, an older one
// is ignored.
static bool
on_path(remote_t *remote, uint64_t path)
{
    if (path > remote->path_in) {
        remote->path_in = path;
        forget_credit(remote->router, remote->life);
    }
    return path == remote->path_in;
}

// handle hands a frame that is next in its flow to whom it is for.
static void
handle(frame_t *frame, const Edri__Wire__Destination *to)
{
    switch (frame->head->lane) {
    case EDRI__WIRE__LANE__EVENT:
        frame_events(frame, to);
        break;
    case EDRI__WIRE__LANE__REPLY_LANE:
        frame_replies(frame);
        break;
    case EDRI__WIRE__LANE__BULK:
        body_part_in(frame, to);
        break;
    case EDRI__WIRE__LANE__CONTROL:
    case _EDRI__WIRE__LANE_IS_INT_SIZE:
        break;
    }
}

// sum_of is the books' sum of what a frame holds.
static uint64_t
sum_of(const frame_t *frame)
{
    const Edri__Wire__Fragment *fragment = frame->head->fragment;
    if (fragment != NULL) {
        return flow_sum(0, fragment->id, fragment->offset,
            frame->blob_count > 0 ? blob_size(frame->blobs[0]) : 0);
    }
    return flow_sum_batch(frame->batch);
}

static void
check_books(frame_t *frame)
{
    remote_t *remote = frame->remote;
    flow_in_t *in = &remote->in[frame->head->lane];
    if (!flow_in_sum(in, &frame->stamp, sum_of(frame))) {
        counter_add(&frame->link->router->node->counters, COUNTER_DIFFERS, 1);
        edri_log_error("BOOKS-DIFFER", "node=%s life=%016llx lane=%d seq=%llu",
            remote->name, (unsigned long long)remote->life,
            (int)frame->head->lane, (unsigned long long)frame->stamp.first);
    }
}

// data_in takes a frame of a flow, or a PROBE, if it is next.
static void
data_in(frame_t *frame, const Edri__Wire__Destination *to)
{
    remote_t *remote = frame->remote;
    flow_in_t *in = &remote->in[frame->head->lane];
    bool was_lost = in->lost;
    frame->stamp = (flow_stamp_t){.path = frame->head->path,
        .first = to->first,
        .skipped = to->skipped,
        .sum = to->sum,
        .events = frame->head->events,
        .opens = to->opens};
    frame->again = to->again;
    frame->redelivered = to->redelivered;
    switch (flow_in_frame(in, &frame->stamp)) {
    case FLOW_TAKE:
        if (!frame->head->probe) {
            check_books(frame);
            handle(frame, to);
        }
        break;
    case FLOW_MALFORMED:
        frame_malformed(frame, "seqs that cut a frame in two");
        break;
    case FLOW_DUPLICATE:
    case FLOW_OLD:
    case FLOW_LOST:
        if (!frame->head->probe) {
            counter_add(
                &frame->link->router->node->counters, COUNTER_REPEATED, 1);
        }
        break;
    }
    if (frame->head->probe) {
        words_retell(remote, 0);
        words_tell(remote);
    } else if (in->lost && !was_lost) {
        words_tell(remote);
    } else if (in->untold >= TELL_COUNT) {
        words_tell(remote);
    } else if (remote->tell_ms == 0 && in->tell) {
        remote->tell_ms = remote->router->now_ms + TELL_MS;
        remote_due(remote, remote->tell_ms);
    }
}

// note_heard: the node has sent a frame of that path over that link.  It is
// there, unless the switch had said GONE and the frame comes from before: a
// life that returns has a new session, and with it a new path.
static void
note_heard(remote_t *remote, unsigned link, uint64_t path)
{
    if (path > remote->heard[link]) {
        remote->heard[link] = path;
    }
    if (remote->stale[link] == 0 || path > remote->stale[link]) {
        remote_reached(remote, link);
    }
}

void
frames_in(link_t *link, head_t *head, zmq_msg_t *parts, size_t count)
{
    router_t *router = link->router;
    remote_t *remote = remote_find(router, head->from, NULL);
    frame_t frame = {.link = link,
        .head = head,
        .remote = remote,
        .life = head->from,
        .base_ms = router->now_ms - head->age_ms};
    bool data = head->lane != EDRI__WIRE__LANE__CONTROL;
    note_heard(remote, link->index, head->path);
    // Credit and the like name their path themselves; what is about our own
    // frames is never too old.
    if ((data || head->n_wants > 0) && !on_path(remote, head->path)) {
        counter_add(&router->node->counters, COUNTER_REPEATED, 1);
        return;
    }
    if (data || head->n_wants > 0) {
        remote->link_in = link->index + 1;
    }
    blob_t *blobs[FRAME_PARTS_MAX];
    if (count > 0) {
        frame.batch =
            (slice_t){zmq_msg_data(&parts[0]), zmq_msg_size(&parts[0])};
        frame.blobs = blobs;
        for (size_t i = 1; i < count; i++) {
            blobs[frame.blob_count++] = wrap(&parts[i]);
        }
    }
    control_in(&frame);
    for (size_t i = 0; i < head->n_to && data; i++) {
        if (head->to[i]->life != router->node->life) {
            counter_add(&router->node->counters, COUNTER_DENIED, 1);
        } else {
            data_in(&frame, head->to[i]);
        }
    }
    for (size_t i = 0; i < frame.blob_count; i++) {
        blob_drop(&blobs[i]);
    }
}
