// SPDX-License-Identifier: MIT
// frames.c - frames between nodes: cut from queues, handed to managers.
//
// DESIGN
// Out: each link gives its senders turns.  A frame is one chunk of one queue;
// it goes when the link's window (untaken frames) and the manager's credit
// allow.  Replies need no credit and go first.  A body that is too large for
// one message goes as fragments in the BULK lane, the envelope with the last;
// the queue then waits until the receiver has said that it arrived, so that
// younger events in the EVENT lane do not overtake it.
// In: a frame names its targets; the router hands the events to these and to
// nobody else, whole where every event is fine.

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "edri/log.h"
#include "node/parts.h"
#include "node/remote.h"

// Counted frames that the peer has not taken yet, at most.
#define WINDOW 8

// An attachment over this goes in parts of this size: a ZeroMQ message must
// stay under WIRE_MESSAGE_MAX with everything.
#define FRAGMENT_MAX ((size_t)128 * 1024)

// ----- out

static void
send_part(link_t *link, zmq_msg_t *part, bool more)
{
    if (zmq_msg_send(
            part, link->socket, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0) {
        (void)zmq_msg_close(part);
    }
}

// fill_head writes what every frame's head has.
static void
fill_head(head_t *head, Edri__Wire__Destination *to,
    Edri__Wire__Destination **to_p, remote_t *remote, int lane)
{
    edri__wire__head__init(head);
    edri__wire__destination__init(to);
    to->life = remote->life;
    to->first = remote->seq[lane];
    *to_p = to;
    head->lane = (Edri__Wire__Lane)lane;
    head->to = to_p;
    head->n_to = 1;
}

static uint32_t
age_of(const router_t *router, const chunk_t *chunk)
{
    int64_t age = chunk->base_ms > 0 ? router->now_ms - chunk->base_ms : 0;
    return age > 0 ? (uint32_t)age : 0;
}

// send_chunk sends a whole chunk with its attachment and frees it.
static void
send_chunk(link_t *link, remote_t *remote, chunk_t *chunk, int lane,
    uint32_t *target, Edri__Wire__Fragment *fragment)
{
    head_t head;
    Edri__Wire__Destination to;
    Edri__Wire__Destination *to_p;
    fill_head(&head, &to, &to_p, remote, lane);
    to.targets = target;
    to.n_targets = target != NULL;
    head.age_ms = age_of(link->router, chunk);
    head.types = chunk->types;
    head.n_types = chunk->type_count;
    head.fragment = fragment;
    if (link_send_head(link, &head, true) != EDRI_OK) {
        chunk_destroy(&chunk);
        return;
    }
    remote->seq[lane] += fragment != NULL ? 1 : chunk->events;
    counter_add(&link->router->node->counters, COUNTER_SENT, chunk->events);
    zmq_msg_t part;
    part_of_batch(&part, chunk);
    send_part(link, &part, chunk->blob != NULL);
    if (chunk->blob != NULL) {
        size_t from = chunk->blob_sent;
        part_of_blob(&part, chunk->blob, from, blob_size(chunk->blob) - from);
        send_part(link, &part, false);
    }
    chunk_destroy(&chunk);
}

// send_fragment sends the next part of a large body.  Returns true when the
// envelope went with it: the chunk is gone.
static bool
send_fragment(link_t *link, remote_t *remote, outq_t *queue, uint32_t *target)
{
    chunk_t *chunk = queue->first;
    size_t total = blob_size(chunk->blob);
    size_t left = total - chunk->blob_sent;
    Edri__Wire__Fragment fragment = EDRI__WIRE__FRAGMENT__INIT;
    fragment.id = chunk->blob_id;
    fragment.offset = chunk->blob_sent;
    fragment.total = total;
    if (left <= FRAGMENT_MAX) {
        send_chunk(link, remote, outq_take(queue), EDRI__WIRE__LANE__BULK,
            target, &fragment);
        return true;
    }
    head_t head;
    Edri__Wire__Destination to;
    Edri__Wire__Destination *to_p;
    fill_head(&head, &to, &to_p, remote, EDRI__WIRE__LANE__BULK);
    to.targets = target;
    to.n_targets = target != NULL;
    head.types = chunk->types;
    head.n_types = chunk->type_count;
    head.fragment = &fragment;
    if (link_send_head(link, &head, true) != EDRI_OK) {
        return false;
    }
    remote->seq[EDRI__WIRE__LANE__BULK]++;
    zmq_msg_t part;
    (void)zmq_msg_init(&part); // no batch yet
    send_part(link, &part, true);
    part_of_blob(&part, chunk->blob, chunk->blob_sent, FRAGMENT_MAX);
    send_part(link, &part, false);
    chunk->blob_sent += FRAGMENT_MAX;
    return false;
}

static bool
is_large(const chunk_t *chunk)
{
    return chunk->blob != NULL && blob_size(chunk->blob) > FRAGMENT_MAX;
}

static bool
window_open(const link_t *link)
{
    return link->session.state == SESSION_UP &&
           link->sent - link->taken < WINDOW;
}

// send_want announces a chunk that is larger than the credit.
static void
send_want(link_t *link, dest_t *dest, size_t size)
{
    head_t head;
    Edri__Wire__Destination to;
    Edri__Wire__Destination *to_p;
    Edri__Wire__Want want = EDRI__WIRE__WANT__INIT;
    Edri__Wire__Want *want_p = &want;
    fill_head(&head, &to, &to_p, dest->remote, EDRI__WIRE__LANE__CONTROL);
    want.target = dest->target;
    want.size = size;
    head.wants = &want_p;
    head.n_wants = 1;
    (void)link_send_head(link, &head, false);
}

// dest_turn sends one frame if it may.  Returns false when the dest has
// nothing that may go now: it leaves the turn.
static bool
dest_turn(link_t *link, dest_t *dest)
{
    chunk_t *chunk = dest->queue.first;
    if (chunk == NULL || dest->bulk_wait != 0) {
        return false;
    }
    size_t weight = chunk_weight(chunk);
    if (chunk->blob_sent == 0) {
        if (!credit_out_may(&dest->credit, weight)) {
            if (credit_out_want(&dest->credit, weight)) {
                send_want(link, dest, weight);
            }
            return false;
        }
        credit_out_sent(&dest->credit, weight);
    }
    if (!is_large(chunk)) {
        send_chunk(link, dest->remote, outq_take(&dest->queue),
            EDRI__WIRE__LANE__EVENT, &dest->target, NULL);
    } else if (send_fragment(link, dest->remote, &dest->queue, &dest->target)) {
        dest->bulk_wait = dest->remote->seq[EDRI__WIRE__LANE__BULK];
    }
    dest_check(dest);
    return dest->queue.first != NULL && dest->bulk_wait == 0;
}

static bool
reply_turn(link_t *link, remote_t *remote)
{
    if (is_large(remote->replies.first)) {
        (void)send_fragment(link, remote, &remote->replies, NULL);
    } else {
        send_chunk(link, remote, outq_take(&remote->replies),
            EDRI__WIRE__LANE__REPLY_LANE, NULL, NULL);
    }
    return remote->replies.first != NULL;
}

void
frames_out(link_t *link)
{
    while (link->repliers.count > 0 && window_open(link)) {
        remote_t *remote = link->repliers.items[0];
        if (!reply_turn(link, remote)) {
            remote->active = false;
            (void)list_remove(&link->repliers, remote);
        }
    }
    while (link->senders.count > 0 && window_open(link)) {
        link->next_sender = (link->next_sender + 1) % link->senders.count;
        dest_t *dest = link->senders.items[link->next_sender];
        if (!dest_turn(link, dest)) {
            dest->active = false;
            (void)list_remove(&link->senders, dest);
            link->next_sender = 0;
        }
    }
}

void
frames_path(link_t *link)
{
    router_t *router = link->router;
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->remotes, &cursor, NULL, &value)) {
        remote_t *remote = value;
        if ((remote->links & 1u << link->index) == 0) {
            continue;
        }
        for (size_t i = 0; i < remote->dest_count; i++) {
            dest_t *dest = remote->dests[i];
            // What was on its way on the old path counts no more.
            credit_out_init(&dest->credit, initial_credit());
            dest->bulk_wait = 0;
            if (dest->queue.first != NULL) {
                dest->queue.first->blob_sent = 0;
            }
            dest_wake(dest);
        }
        if (remote->replies.first != NULL) {
            remote->replies.first->blob_sent = 0;
        }
        remote_wake(remote);
    }
}

// ----- in: credit

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
    fill_head(&head, &to, &to_p, remote, EDRI__WIRE__LANE__CONTROL);
    word.target = slot->number;
    word.limit = credit->granted;
    word.consumed = credit->consumed;
    word.path = remote->path_in;
    head.credits = &word_p;
    head.n_credits = 1;
    (void)link_send_head(link, &head, false);
}

void
slot_grant(slot_t *self, uint64_t life, credit_in_t *credit)
{
    remote_t *remote = map_get(self->router->remotes, life);
    link_t *link = remote != NULL ? remote_link(remote) : NULL;
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

// account books what came for a manager and grants more, or asks to be woken
// when there is room again.
static void
account(slot_t *slot, uint64_t life, size_t weight)
{
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

// ----- in: events

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

// demanded says whether the manager wants such an envelope.
static bool
demanded(const slot_t *slot, const envelope_t *env)
{
    bool observed = (env->flags & WIRE_OBSERVED) != 0;
    if (envelope_kind(env->flags) == EDRI_REPLY && !observed) {
        return false;
    }
    const list_t *list = observed ? &slot->observes : &slot->handles;
    for (size_t i = 0; i < list->count; i++) {
        if (((route_t *)list->items[i])->type == env->type) {
            return true;
        }
    }
    return false;
}

// parts_t walks a frame's batch with its attachments.
typedef struct parts {
    slice_t rest;   // of the batch
    blob_t **blobs; // one per attachment
    size_t count;
    size_t next;
    slice_t item;
    slice_t content;
    envelope_t env;
    blob_t **blob_p;
} parts_t;

// parts_next goes on; false at the end, or (rest not empty) when malformed.
static bool
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

// frame_t is a frame that came, made handy.
typedef struct frame {
    link_t *link;
    head_t *head;
    uint64_t life;   // who sent it
    int64_t base_ms; // when its ttls began
    slice_t batch;
    blob_t **blobs;
    size_t blob_count;
} frame_t;

static void
malformed(const frame_t *frame, const char *what)
{
    counter_add(&frame->link->router->node->counters, COUNTER_MALFORMED, 1);
    edri_log_warn("FRAME-MALFORMED", "life=%016llx what=\"%s\"",
        (unsigned long long)frame->life, what);
}

static void
events_for(const frame_t *frame, slot_t *slot)
{
    router_t *router = frame->link->router;
    parts_t at = {.rest = frame->batch,
        .blobs = frame->blobs,
        .count = frame->blob_count};
    uint64_t denied = 0;
    while (parts_next(&at)) {
        if (!listed(frame->head, at.env.type) || !demanded(slot, &at.env)) {
            denied++;
            continue;
        }
        slot_give(slot, at.item, &at.env, frame->life, frame->base_ms,
            at.blob_p != NULL ? blob_share(*at.blob_p) : NULL);
    }
    slots_flush(router);
    if (at.rest.len > 0) {
        malformed(frame, "batch");
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

static void
events_in(const frame_t *frame, const Edri__Wire__Destination *to)
{
    router_t *router = frame->link->router;
    for (size_t i = 0; i < to->n_targets; i++) {
        slot_t *slot = map_get(router->slots, to->targets[i]);
        if (slot == NULL || slot->manager == NULL) {
            counter_add(&router->node->counters, COUNTER_DENIED, 1);
            continue;
        }
        events_for(frame, slot);
        account(slot, frame->life, weight_of(frame));
    }
}

static void
replies_in(const frame_t *frame)
{
    router_t *router = frame->link->router;
    parts_t at = {.rest = frame->batch,
        .blobs = frame->blobs,
        .count = frame->blob_count};
    while (parts_next(&at)) {
        if (envelope_kind(at.env.flags) != EDRI_REPLY ||
            at.env.to != router->node->life) {
            counter_add(&router->node->counters, COUNTER_DENIED, 1);
            continue;
        }
        asked_reply(
            router, at.item, at.content, &at.env, frame->life, at.blob_p);
    }
    slots_flush(router);
    if (at.rest.len > 0) {
        malformed(frame, "batch");
    }
}

// ----- in: large bodies

// body_t is a body of which some parts have come.
typedef struct body {
    blob_t *blob; // NULL: refused; its parts are counted, not kept
    size_t total;
    size_t have;
} body_t;

static void
drop_body(router_t *router, body_t *body)
{
    if (body->blob != NULL) {
        router->body_bytes -= body->total;
        blob_drop(&body->blob);
    }
    free(body);
}

void
bodies_drop(remote_t *self)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->bodies, &cursor, NULL, &value)) {
        drop_body(self->router, value);
    }
    map_destroy(&self->bodies);
    self->bodies = map_new();
}

// find_body returns the body that a fragment belongs to, or NULL when it is out
// of place.  One that is too large here is followed to its end all the same:
// its source waits for that.
static body_t *
find_body(remote_t *remote, const Edri__Wire__Fragment *fragment)
{
    router_t *router = remote->router;
    size_t limit = router->node->limits.body_max;
    body_t *body = map_get(remote->bodies, fragment->id);
    if (body != NULL && fragment->offset == 0) {
        // Begun again on a new path.
        drop_body(router, map_take(remote->bodies, fragment->id));
        body = NULL;
    }
    if (body == NULL) {
        if (fragment->offset != 0 || fragment->total > WIRE_BODY_MAX) {
            return NULL;
        }
        body = mem_new(sizeof *body);
        body->total = fragment->total;
        if (body->total <= limit &&
            router->body_bytes + body->total <= 2 * limit) {
            body->blob = blob_new(body->total);
            router->body_bytes += body->total;
        }
        (void)map_put(remote->bodies, fragment->id, body);
    }
    if (fragment->offset != body->have || fragment->total != body->total) {
        drop_body(router, map_take(remote->bodies, fragment->id));
        return NULL;
    }
    return body;
}

// tell_arrived says that the BULK frames below 'seq' are here.
static void
tell_arrived(link_t *link, remote_t *remote, uint64_t seq)
{
    head_t head;
    Edri__Wire__Destination to;
    Edri__Wire__Destination *to_p;
    Edri__Wire__Flow flow = EDRI__WIRE__FLOW__INIT;
    Edri__Wire__Flow *flow_p = &flow;
    fill_head(&head, &to, &to_p, remote, EDRI__WIRE__LANE__CONTROL);
    flow.lane = EDRI__WIRE__LANE__BULK;
    flow.arrived = seq;
    head.flows = &flow_p;
    head.n_flows = 1;
    (void)link_send_head(link, &head, false);
}

// error_for makes the error reply to a request, or in place of a reply, whose
// body was refused.  Caller frees *room_p.
static parts_t
error_for(const frame_t *frame, const envelope_t *env, size_t size,
    uint8_t **room_p)
{
    const edri_node_t *node = frame->link->router->node;
    bool request = envelope_kind(env->flags) == EDRI_REQUEST;
    char text[200];
    int length = snprintf(text, sizeof text,
        "a body of %zu bytes is over node.body_limit of %s", size,
        edri_node_name(node)[0] != '\0' ? edri_node_name(node) : "a guest");
    parts_t out = {.env = {.type = env->type,
                       .flags = envelope_flags(EDRI_REPLY, EDRI_ONE, 3) |
                                WIRE_LAST,
                       .request = request ? env->id : env->request,
                       .to = request ? frame->life : env->to,
                       .error = EDRI_TOO_BIG,
                       .text = {(const uint8_t *)text, (size_t)length}}};
    size_t item = envelope_size(&out.env, 0);
    *room_p = mem_resize(NULL, item);
    (void)envelope_write(&out.env, 0, *room_p, item);
    out.rest = (slice_t){*room_p, item};
    (void)parts_next(&out);
    return out;
}

// refuse_body ends a body that was too large: it is counted, a request gets an
// error, and so does the asker whose reply it was.
static void
refuse_body(
    const frame_t *frame, const Edri__Wire__Destination *to, size_t size)
{
    router_t *router = frame->link->router;
    uint8_t *room = NULL;
    slice_t rest = frame->batch;
    slice_t item;
    slice_t content;
    envelope_t env;
    counter_add(&router->node->counters, COUNTER_TOO_BIG, 1);
    edri_log_warn("BODY-REFUSED", "life=%016llx size=%zu",
        (unsigned long long)frame->life, size);
    for (size_t i = 0; i < to->n_targets; i++) {
        slot_t *slot = map_get(router->slots, to->targets[i]);
        if (slot != NULL && slot->manager != NULL) {
            account(slot, frame->life, frame->batch.len + size);
        }
    }
    if (!batch_next(&rest, &item, &content) ||
        envelope_route(content, &env) != EDRI_OK) {
        malformed(frame, "batch");
    } else if (envelope_kind(env.flags) == EDRI_REQUEST) {
        parts_t reply = error_for(frame, &env, size, &room);
        remote_reply(
            router, frame->life, reply.item, &reply.env, 0, NULL);
    } else if (envelope_kind(env.flags) == EDRI_REPLY &&
               env.to == router->node->life) {
        parts_t reply = error_for(frame, &env, size, &room);
        asked_reply(router, reply.item, reply.content, &reply.env, frame->life,
            NULL);
        slots_flush(router);
    }
    free(room);
}

static void
bulk_in(frame_t *frame, const Edri__Wire__Destination *to)
{
    const Edri__Wire__Fragment *fragment = frame->head->fragment;
    if (fragment == NULL || frame->blob_count != 1) {
        malformed(frame, "a BULK frame without its fragment");
        return;
    }
    router_t *router = frame->link->router;
    remote_t *remote = remote_find(router, frame->life, NULL);
    body_t *body = find_body(remote, fragment);
    size_t size = blob_size(frame->blobs[0]);
    if (body == NULL || size > body->total - body->have) {
        malformed(frame, "a fragment out of place");
        return;
    }
    if (body->blob != NULL) {
        memcpy(blob_data(body->blob) + body->have, blob_data(frame->blobs[0]),
            size);
    }
    body->have += size;
    if (body->have < body->total) {
        return;
    }
    (void)map_take(remote->bodies, fragment->id);
    if (body->blob == NULL) {
        refuse_body(frame, to, body->total);
    } else {
        router->body_bytes -= body->total;
        blob_t *blobs[] = {body->blob};
        frame_t whole = *frame;
        whole.blobs = blobs;
        if (to->n_targets > 0) {
            events_in(&whole, to);
        } else {
            replies_in(&whole);
        }
        blob_drop(&body->blob);
    }
    tell_arrived(frame->link, remote, to->first + 1);
    free(body);
}

// ----- in: control between ends, and the frame itself

static void
control_in(const frame_t *frame)
{
    router_t *router = frame->link->router;
    const head_t *head = frame->head;
    for (size_t i = 0; i < head->n_credits; i++) {
        const Edri__Wire__Credit *word = head->credits[i];
        if (word->path == frame->link->path || word->path == 0) {
            remote_granted(
                router, frame->life, word->target, word->limit, word->consumed);
        }
    }
    for (size_t i = 0; i < head->n_flows; i++) {
        if (head->flows[i]->lane == EDRI__WIRE__LANE__BULK) {
            remote_arrived(router, frame->life, head->flows[i]->arrived);
        }
    }
    for (size_t i = 0; i < head->n_wants; i++) {
        slot_t *slot = map_get(router->slots, head->wants[i]->target);
        if (slot != NULL && slot->manager != NULL) {
            (void)remote_find(router, frame->life, NULL);
            credit_in_t *credit = credit_of(slot, frame->life);
            credit->want = head->wants[i]->size;
            slot_grant(slot, frame->life, credit);
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
        bodies_drop(remote);
    }
    return path == remote->path_in;
}

void
frames_in(link_t *link, head_t *head, zmq_msg_t *parts, size_t count)
{
    router_t *router = link->router;
    frame_t frame = {.link = link,
        .head = head,
        .life = head->from,
        .base_ms = router->now_ms - head->age_ms};
    remote_t *remote = remote_find(router, frame.life, NULL);
    remote->links |= (uint8_t)(1u << link->index);
    if (!on_path(remote, head->path)) {
        counter_add(&router->node->counters, COUNTER_LOST, 1);
        return;
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
    for (size_t i = 0; i < head->n_to; i++) {
        if (head->to[i]->life != router->node->life) {
            counter_add(&router->node->counters, COUNTER_DENIED, 1);
            continue;
        }
        switch (head->lane) {
        case EDRI__WIRE__LANE__EVENT:
            events_in(&frame, head->to[i]);
            break;
        case EDRI__WIRE__LANE__REPLY_LANE:
            replies_in(&frame);
            break;
        case EDRI__WIRE__LANE__BULK:
            bulk_in(&frame, head->to[i]);
            break;
        case EDRI__WIRE__LANE__CONTROL:
        case _EDRI__WIRE__LANE_IS_INT_SIZE:
            control_in(&frame);
            break;
        }
    }
    for (size_t i = 0; i < frame.blob_count; i++) {
        blob_drop(&blobs[i]);
    }
}
