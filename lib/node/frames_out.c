// SPDX-License-Identifier: MIT
// frames_out.c - frames to other nodes: cut from the queues of their managers.
//
// DESIGN
// Each link gives turns: to what must be sent again, to replies, to the queues
// of managers.  A frame is one chunk of one queue; it goes when the link's
// window (untaken frames), the flow's window and the manager's credit allow.
// Replies need no credit.  Where several managers get the very same chunk next,
// one frame names them all and the switch makes the copies.  A body that is too large for one message goes as
// fragments in the BULK lane, the envelope with the last.  Lanes overtake each
// other, so the last one waits until the older events of the manager have
// arrived, and then what is not more urgent until the body has.

#include <stdlib.h>

#include "base/alloc.h"
#include "node/frames.h"
#include "node/parts.h"

// Counted frames that the peer has not taken yet, at most.
#define WINDOW 8

// Tunnels leave some of it to others, and have one turn in so many while events wait.
#define STREAM_WINDOW 6
#define STREAM_TURN   4

// WANT, or its answer, may be lost with a session of the other end that we
// know nothing of: it is said again after this long.
#define WANT_MS 500

// Receivers of one frame, at most.
#define COPIES_MAX 32

// An attachment over this goes in parts of this size: a ZeroMQ message must
// stay under WIRE_MESSAGE_MAX with everything.
#define FRAGMENT_MAX ((size_t)128 * 1024)

static bool
is_large(const chunk_t *chunk)
{
    return chunk->blob != NULL && blob_size(chunk->blob) > FRAGMENT_MAX;
}

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
    *to_p = to;
    head->path = remote->path;
    head->lane = (Edri__Wire__Lane)lane;
    head->to = to_p;
    head->n_to = 1;
}

static void
stamp_to(Edri__Wire__Destination *to, const flow_stamp_t *stamp)
{
    to->first = stamp->first;
    to->skipped = stamp->skipped;
    to->opens = stamp->opens;
    to->sum = stamp->sum;
}

void
frame_probe(link_t *link, remote_t *remote, int lane, const flow_stamp_t *stamp)
{
    head_t head;
    Edri__Wire__Destination to;
    Edri__Wire__Destination *to_p;
    frame_head(&head, &to, &to_p, remote, lane);
    head.path = stamp->path;
    stamp_to(&to, stamp);
    head.probe = true;
    (void)link_send_head(link, &head, false);
}

static uint32_t
age_of(const router_t *router, const chunk_t *chunk)
{
    int64_t base_ms = chunk->origin.base_ms;
    int64_t age = base_ms > 0 ? router->now_ms - base_ms : 0;
    return age > 0 ? (uint32_t)age : 0;
}

// copy_t is a frame as one of its receivers gets it.
typedef struct copy {
    remote_t *remote;
    uint32_t target; // 0: replies
    flow_stamp_t stamp;
    uint64_t missed;
    bool again; // costs no credit
} copy_t;

static void
address(Edri__Wire__Destination *to, copy_t *copy, const chunk_t *chunk)
{
    edri__wire__destination__init(to);
    to->life = copy->remote->life;
    to->path = copy->stamp.path;
    stamp_to(to, &copy->stamp);
    to->targets = &copy->target;
    to->n_targets = copy->target != 0;
    to->again = copy->again;
    to->missed = copy->missed;
    to->redelivered = chunk->origin.redelivered;
}

// send_copies sends what flows keep, once for all who get it: the switch makes
// the copies.  When the link breaks meanwhile it goes again on the next path.
static void
send_copies(
    link_t *link, int lane, const part_t *part, copy_t *copies, size_t count)
{
    chunk_t *chunk = part->chunk;
    head_t head = EDRI__WIRE__HEAD__INIT;
    Edri__Wire__Destination to[COPIES_MAX];
    Edri__Wire__Destination *to_p[COPIES_MAX];
    Edri__Wire__Flow *flows[LANES];
    Edri__Wire__Fragment fragment = EDRI__WIRE__FRAGMENT__INIT;
    for (size_t i = 0; i < count; i++) {
        address(&to[i], &copies[i], chunk);
        to_p[i] = &to[i];
    }
    if (count == 1) {
        to[0].path = 0; // is the head's
        words_attach(copies[0].remote, &head, flows);
    }
    head.to = to_p;
    head.n_to = count;
    head.path = copies[0].stamp.path;
    head.events = copies[0].stamp.events;
    head.lane = (Edri__Wire__Lane)lane;
    head.age_ms = age_of(link->router, chunk);
    head.types = chunk->types;
    head.n_types = chunk->type_count;
    if (is_large(chunk)) {
        fragment.id = chunk->blob_id;
        fragment.offset = part->from;
        fragment.total = blob_size(chunk->blob);
        head.fragment = &fragment;
    }
    if (link_send_head(link, &head, true) != EDRI_OK) {
        return;
    }
    zmq_msg_t message;
    if (part->last) {
        part_of_batch(&message, chunk);
    } else {
        (void)zmq_msg_init(&message); // no batch yet
    }
    send_part(link, &message, chunk->blob != NULL);
    if (chunk->blob != NULL) {
        part_of_blob(&message, chunk->blob, part->from, part->size);
        send_part(link, &message, false);
    }
}

// place gives a part of a chunk, which is taken over, its place in the flow to
// the copy's receiver.
static const part_t *
place(copy_t *copy, int lane, chunk_t *chunk, size_t size, bool last)
{
    router_t *router = copy->remote->router;
    part_t *part = mem_resize(NULL, sizeof *part);
    *part = (part_t){
        .chunk = chunk, .from = chunk->blob_sent, .size = size, .last = last};
    bool large = is_large(chunk);
    uint64_t sum = large ? flow_sum(0, chunk->blob_id, part->from, size)
                         : chunk_sum(chunk);
    flow_out_t *out = &copy->remote->out[lane];
    (void)flow_out_add(out, part, large ? 1 : chunk->events, copy->target,
        (last ? sizeof *chunk + chunk->capacity : 0) + size, sum,
        chunk->keep && last, router->now_ms, &copy->stamp);
    remote_due(copy->remote, flow_out_due(out));
    if (last) {
        counter_add(&router->node->counters, COUNTER_SENT, chunk->events);
    }
    return part;
}

static void
send_new(link_t *link, copy_t *copy, int lane, chunk_t *chunk, size_t size,
    bool last)
{
    const part_t *part = place(copy, lane, chunk, size, last);
    send_copies(link, lane, part, copy, 1);
}

// send_fragment sends the next part of a large body.  Returns true when the
// envelope went with it: the chunk is gone.
static bool
send_fragment(link_t *link, copy_t *copy, outq_t *queue)
{
    int lane = EDRI__WIRE__LANE__BULK;
    chunk_t *chunk = queue->first;
    size_t left = blob_size(chunk->blob) - chunk->blob_sent;
    if (left <= FRAGMENT_MAX) {
        send_new(link, copy, lane, outq_take(queue), left, true);
        return true;
    }
    send_new(link, copy, lane, chunk_share(chunk), FRAGMENT_MAX, false);
    chunk->blob_sent += FRAGMENT_MAX;
    return false;
}

static bool
is_last_part(const chunk_t *chunk)
{
    return blob_size(chunk->blob) - chunk->blob_sent <= FRAGMENT_MAX;
}

static size_t
attached(const chunk_t *chunk)
{
    return chunk->blob != NULL ? blob_size(chunk->blob) : 0;
}

// window_open says whether a frame may go.  Until a link whose switch has died
// is known as lost, its socket takes nothing: what is queued waits then.
static bool
window_open(link_t *link)
{
    int events = 0;
    size_t size = sizeof events;
    if (link->session.state != SESSION_UP ||
        link->sent - link->taken >= WINDOW) {
        return false;
    }
    ear_touch(&link->ear);
    return zmq_getsockopt(link->socket, ZMQ_EVENTS, &events, &size) == 0 &&
           (events & ZMQ_POLLOUT) != 0;
}

// send_want announces a chunk that is larger than the credit.
static void
send_want(link_t *link, dest_t *dest)
{
    head_t head;
    Edri__Wire__Destination to;
    Edri__Wire__Destination *to_p;
    Edri__Wire__Want want = EDRI__WIRE__WANT__INIT;
    Edri__Wire__Want *want_p = &want;
    frame_head(&head, &to, &to_p, dest->remote, EDRI__WIRE__LANE__CONTROL);
    want.target = dest->target;
    want.limit = dest->credit.wanted;
    head.wants = &want_p;
    head.n_wants = 1;
    (void)link_send_head(link, &head, false);
}

// holds_much says whether the manager has left so much unsettled that it gets no
// more for now: what is kept for it here has a bound, too.
static bool
holds_much(const dest_t *dest)
{
    const remote_t *remote = dest->remote;
    size_t held = 0;
    for (int lane = EDRI__WIRE__LANE__EVENT; lane < LANES; lane++) {
        held += flow_out_held(&remote->out[lane], dest->target);
    }
    return held > 2 * remote->router->node->limits.link_queue;
}

// may_go says whether the flow and the manager's credit allow a chunk; if so
// the credit is spent.
static bool
may_go(link_t *link, dest_t *dest, const chunk_t *chunk, int lane)
{
    if (!flow_out_open(&dest->remote->out[lane], link->router->now_ms) ||
        holds_much(dest)) {
        return false;
    }
    if (chunk->blob_sent > 0) {
        return true; // spent with its first part, on that path
    }
    size_t weight = chunk_weight(chunk);
    if (!credit_out_may(&dest->credit, weight)) {
        if (credit_out_want(&dest->credit, weight)) {
            send_want(link, dest);
            dest->remote->want_ms = link->router->now_ms + WANT_MS;
            remote_due(dest->remote, dest->remote->want_ms);
        }
        return false;
    }
    credit_out_sent(&dest->credit, weight);
    if (is_large(chunk)) {
        dest->paid = dest->remote->path;
    }
    return true;
}

// copy_for begins the copy of a dest's first chunk.
static copy_t
copy_for(dest_t *dest)
{
    copy_t copy = {
        .remote = dest->remote, .target = dest->target, .missed = dest->missed};
    dest->missed = 0;
    return copy;
}

// waits_for_body says whether the dest's first chunk must wait until the body
// that was sent before it has arrived: unless it is more urgent.
static bool
waits_for_body(const dest_t *dest)
{
    const chunk_t *chunk = dest->queue.first;
    return dest->bulk_wait != 0 &&
           (is_large(chunk) || chunk->priority <= dest->bulk_priority);
}

// gather adds the copies of others on this link who get the very same events
// next: those of an ALL type, as a rule.
static size_t
gather(link_t *link, const dest_t *first, chunk_t *chunk, copy_t *copies)
{
    int lane = EDRI__WIRE__LANE__EVENT;
    size_t count = 1;
    for (size_t i = 0; i < link->senders.count && count < COPIES_MAX; i++) {
        dest_t *dest = link->senders.items[i];
        if (dest == first || !chunk_same(dest->queue.first, chunk) ||
            waits_for_body(dest) || !may_go(link, dest, chunk, lane)) {
            continue;
        }
        chunk_t *same = outq_take(&dest->queue);
        chunk_drop(&same);
        copies[count] = copy_for(dest);
        (void)place(
            &copies[count++], lane, chunk_share(chunk), attached(chunk), true);
        dest->events_end = dest->remote->out[lane].next;
        dest_check(dest);
    }
    counter_add(
        &link->router->node->counters, COUNTER_SHARED_FRAMES, count - 1);
    return count;
}

// has_arrived says whether the manager's events of the EVENT lane have.
static bool
has_arrived(const dest_t *dest)
{
    const flow_out_t *out = &dest->remote->out[EDRI__WIRE__LANE__EVENT];
    return out->first == NULL || out->arrived >= dest->events_end;
}

// send_chunk sends a dest's first chunk, also to others who get it next.
static void
send_chunk(link_t *link, dest_t *dest)
{
    int lane = EDRI__WIRE__LANE__EVENT;
    copy_t copies[COPIES_MAX] = {copy_for(dest)};
    chunk_t *chunk = outq_take(&dest->queue);
    const part_t *part = place(&copies[0], lane, chunk, attached(chunk), true);
    dest->events_end = dest->remote->out[lane].next;
    size_t count = link->senders.count > 1 && !chunk->keep
                       ? gather(link, dest, chunk, copies)
                       : 1;
    send_copies(link, lane, part, copies, count);
}

// send_body sends the next part of a dest's first chunk.  What is left of one
// that an older path has paid for costs nothing on this one.
static void
send_body(link_t *link, dest_t *dest)
{
    remote_t *remote = dest->remote;
    copy_t copy = {.remote = remote,
        .target = dest->target,
        .again = dest->paid != remote->path};
    dest->bulk_priority = dest->queue.first->priority;
    if (send_fragment(link, &copy, &dest->queue)) {
        dest->bulk_wait = remote->out[EDRI__WIRE__LANE__BULK].next;
    }
}

// dest_turn sends one frame if it may.  Returns false when the dest has
// nothing that may go now: it leaves the turn.
static bool
dest_turn(link_t *link, dest_t *dest)
{
    if (dest->stale) {
        dest_sift(dest);
    }
    const chunk_t *chunk = dest->queue.first;
    if (chunk == NULL || waits_for_body(dest)) {
        return false;
    }
    bool large = is_large(chunk);
    int lane = large ? EDRI__WIRE__LANE__BULK : EDRI__WIRE__LANE__EVENT;
    if (large && is_last_part(chunk) && !has_arrived(dest)) {
        return false; // flows.c wakes it
    }
    if (!may_go(link, dest, chunk, lane)) {
        return false;
    }
    if (large) {
        send_body(link, dest);
    } else {
        send_chunk(link, dest);
    }
    dest_check(dest);
    return dest->queue.first != NULL && !waits_for_body(dest);
}

// queue_turn sends one frame of what goes to a node and no manager.  Returns false
// when there is nothing that may go now.
static bool
queue_turn(link_t *link, remote_t *remote, outq_t *queue, int lane)
{
    chunk_t *chunk = queue->first;
    if (chunk == NULL) {
        return false;
    }
    bool large = is_large(chunk);
    lane = large ? EDRI__WIRE__LANE__BULK : lane;
    if (!flow_out_open(&remote->out[lane], link->router->now_ms)) {
        return false;
    }
    copy_t copy = {.remote = remote};
    if (large) {
        (void)send_fragment(link, &copy, queue);
    } else {
        chunk = outq_take(queue);
        send_new(link, &copy, lane, chunk, attached(chunk), true);
    }
    return queue->first != NULL;
}

// again_turn sends one frame of the new path that was sent before.  Returns
// false when there is none, or none that may go now.
static bool
again_turn(link_t *link, remote_t *remote)
{
    for (int lane = 1; lane < LANES; lane++) {
        copy_t copy = {.remote = remote, .again = true};
        const packet_t *packet = flow_out_again(
            &remote->out[lane], link->router->now_ms, &copy.stamp);
        if (packet != NULL) {
            copy.target = packet->target;
            send_copies(link, lane, packet->cargo, &copy, 1);
            remote_due(remote, flow_out_due(&remote->out[lane]));
            return true;
        }
    }
    return false;
}

static void
sender_turn(link_t *link)
{
    link->next_sender = (link->next_sender + 1) % link->senders.count;
    dest_t *dest = link->senders.items[link->next_sender];
    if (!dest_turn(link, dest)) {
        dest->active = false;
        (void)list_remove(&link->senders, dest);
        link->next_sender = 0;
    }
}

// stream_turn lets the tunnels to one node have a turn.
static void
stream_turn(link_t *link)
{
    remote_t *remote = link->streamers.items[0];
    (void)list_remove(&link->streamers, remote);
    if (queue_turn(link, remote, &remote->streams, EDRI__WIRE__LANE__BULK)) {
        list_add(&link->streamers, remote); // others come first
    } else {
        remote->streaming = false;
    }
}

void
frames_out(link_t *link)
{
    while (link->resenders.count > 0 && window_open(link)) {
        remote_t *remote = link->resenders.items[0];
        if (!again_turn(link, remote)) {
            remote->resending = false;
            (void)list_remove(&link->resenders, remote);
            if (!remote_resends(remote)) {
                remote_resume(remote); // what is new may go now
            }
        }
    }
    while (link->repliers.count > 0 && window_open(link)) {
        remote_t *remote = link->repliers.items[0];
        if (!queue_turn(
                link, remote, &remote->replies, EDRI__WIRE__LANE__REPLY_LANE)) {
            remote->active = false;
            (void)list_remove(&link->repliers, remote);
        }
    }
    for (unsigned turn = 1;
         link->senders.count + link->streamers.count > 0 && window_open(link);
         turn++) {
        bool streams = link->streamers.count > 0 &&
                       link->sent - link->taken < STREAM_WINDOW;
        if (link->senders.count > 0 && (!streams || turn % STREAM_TURN != 0)) {
            sender_turn(link);
        } else if (streams) {
            stream_turn(link);
        } else {
            break;
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
        bool came_here = remote->link_in == link->index + 1;
        for (int lane = 1; lane < LANES; lane++) {
            flow_out_wonder(&remote->out[lane]);
            if (came_here) {
                flow_in_missed(&remote->in[lane]);
            }
        }
        remote_due(remote, link->router->now_ms);
        if (came_here) {
            words_tell(remote);
        } else {
            // Its frames took another link, or there were none; but those of a
            // path that we have not heard of may have been lost with this one.
            words_retell(remote, link->router->now_ms);
        }
    }
}
