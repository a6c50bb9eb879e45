// SPDX-License-Identifier: MIT
// frames_out.c - frames to other nodes: cut from the queues of their managers.
//
// DESIGN
// Each link gives its senders turns.  A frame is one chunk of one queue; it
// goes when the link's window (untaken frames) and the manager's credit allow.
// Replies need no credit and go first.  A body that is too large for one
// message goes as fragments in the BULK lane, the envelope with the last; the
// queue then waits until the receiver has said that it arrived, so that younger
// events in the EVENT lane do not overtake it.

#include "node/frames.h"
#include "node/parts.h"

// Counted frames that the peer has not taken yet, at most.
#define WINDOW 8

// An attachment over this goes in parts of this size: a ZeroMQ message must
// stay under WIRE_MESSAGE_MAX with everything.
#define FRAGMENT_MAX ((size_t)128 * 1024)

static void
send_part(link_t *link, zmq_msg_t *part, bool more)
{
    if (zmq_msg_send(
            part, link->socket, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0) {
        (void)zmq_msg_close(part);
    }
}

void
frame_head(head_t *head, Edri__Wire__Destination *to,
    Edri__Wire__Destination **to_p, remote_t *remote, int lane)
{
    edri__wire__head__init(head);
    edri__wire__destination__init(to);
    to->life = remote->life;
    to->first = remote->seq[lane];
    *to_p = to;
    head->path = remote->path;
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
    frame_head(&head, &to, &to_p, remote, lane);
    to.targets = target;
    to.n_targets = target != NULL;
    head.age_ms = age_of(link->router, chunk);
    head.types = chunk->types;
    head.n_types = chunk->type_count;
    head.fragment = fragment;
    if (link_send_head(link, &head, true) != EDRI_OK) {
        counter_add(&link->router->node->counters, COUNTER_LOST, chunk->events);
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
    frame_head(&head, &to, &to_p, remote, EDRI__WIRE__LANE__BULK);
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

// window_open says whether a frame may go.  Until a link whose switch has died
// is known as lost, its socket takes nothing: what is queued waits then.
static bool
window_open(const link_t *link)
{
    int events = 0;
    size_t size = sizeof events;
    return link->session.state == SESSION_UP &&
           link->sent - link->taken < WINDOW &&
           zmq_getsockopt(link->socket, ZMQ_EVENTS, &events, &size) == 0 &&
           (events & ZMQ_POLLOUT) != 0;
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
    frame_head(&head, &to, &to_p, dest->remote, EDRI__WIRE__LANE__CONTROL);
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
        dest->bulk_weight = weight;
    }
    dest_check(dest);
    return dest->queue.first != NULL && dest->bulk_wait == 0;
}

static bool
reply_turn(link_t *link, remote_t *remote)
{
    if (remote->replies.first == NULL) {
        return false;
    }
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
frames_lost(link_t *link)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(link->router->remotes, &cursor, NULL, &value)) {
        remote_t *remote = value;
        head_t head;
        Edri__Wire__Destination to;
        Edri__Wire__Destination *to_p;
        Edri__Wire__Flow flow = EDRI__WIRE__FLOW__INIT;
        Edri__Wire__Flow *flow_p = &flow;
        if (remote->link_in != link->index + 1) {
            continue; // its frames take another link, or there were none
        }
        frame_head(&head, &to, &to_p, remote, EDRI__WIRE__LANE__CONTROL);
        flow.lane = EDRI__WIRE__LANE__EVENT;
        flow.path = remote->path_in;
        flow.lost = true;
        head.flows = &flow_p;
        head.n_flows = 1;
        (void)link_send_head(link, &head, false);
    }
}
