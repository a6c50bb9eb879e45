// SPDX-License-Identifier: MIT
// forward.c - frames: head rewritten, batch by reference, windows.

#include <stdlib.h>

#include "base/alloc.h"
#include "edri/log.h"
#include "hub.h"

// 'taken' is told at the latest after this long, or when this many wait.
#define TELL_MS    20
#define TELL_COUNT 4

// BULK gets one turn in so many while other lanes have something.
#define BULK_SHARE 8

// ----- sending one frame

static size_t
put_varint(uint8_t *out, uint8_t tag, uint64_t value)
{
    size_t size = 0;
    out[size++] = tag;
    while (value >= 0x80) {
        out[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[size++] = (uint8_t)value;
    return size;
}

// make_head finishes a packed head: 'taken' and age are of this moment.  A
// field that comes again counts, as protobuf says, so they are put behind.
static void
make_head(const hub_t *hub, peer_t *peer, const frame_t *frame, zmq_msg_t *out)
{
    uint8_t tail[24];
    size_t size = 0;
    int64_t waited = hub->now_ms - frame->came_ms;
    uint64_t age = frame->age_ms + (uint64_t)(waited > 0 ? waited : 0);
    if (age > 0) {
        size += put_varint(tail + size, 4 << 3, age);
    }
    if (peer->received > 0) {
        size += put_varint(tail + size, 7 << 3, peer->received);
    }
    (void)zmq_msg_init_size(out, frame->head_size + size);
    uint8_t *data = zmq_msg_data(out);
    memcpy(data, frame->head, frame->head_size);
    memcpy(data + frame->head_size, tail, size);
    peer->told = peer->received;
    peer->tell_ms = 0;
}

static zmq_msg_t *
part_of(frame_t *frame, size_t i)
{
    return i < 2 ? &frame->parts[i] : &frame->more[i - 2];
}

static void
free_frame(frame_t *frame)
{
    for (size_t i = 0; i < frame->count; i++) {
        (void)zmq_msg_close(part_of(frame, i));
    }
    free(frame->more);
    free(frame->head);
    free(frame);
}

// send_frame sends and frees it.  Returns false when the peer has gone.
static bool
send_frame(hub_t *hub, peer_t *peer, frame_t *frame)
{
    zmq_msg_t head;
    if (zmq_send(hub->router, peer->routing, peer->routing_size,
            ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        free_frame(frame);
        return false;
    }
    make_head(hub, peer, frame, &head);
    (void)zmq_msg_send(&head, hub->router,
        ZMQ_DONTWAIT | (frame->count > 0 ? ZMQ_SNDMORE : 0));
    for (size_t i = 0; i < frame->count; i++) {
        (void)zmq_msg_send(part_of(frame, i), hub->router,
            ZMQ_DONTWAIT | (i + 1 < frame->count ? ZMQ_SNDMORE : 0));
    }
    free_frame(frame);
    return true;
}

// ----- queues

static void
enqueue(peer_t *peer, frame_t *frame, int lane)
{
    if (peer->last[lane] != NULL) {
        peer->last[lane]->next = frame;
    } else {
        peer->first[lane] = frame;
    }
    peer->last[lane] = frame;
    peer->queued += frame->weight;
}

static frame_t *
dequeue(peer_t *peer, int lane)
{
    frame_t *frame = peer->first[lane];
    peer->first[lane] = frame->next;
    if (frame->next == NULL) {
        peer->last[lane] = NULL;
    }
    frame->next = NULL;
    peer->queued -= frame->weight;
    return frame;
}

// next_lane says which lane has the next turn, or -1.
static int
next_lane(peer_t *peer)
{
    bool bulk = peer->first[EDRI__WIRE__LANE__BULK] != NULL;
    if (bulk && ++peer->turn >= BULK_SHARE) {
        peer->turn = 0;
        return EDRI__WIRE__LANE__BULK;
    }
    if (peer->first[EDRI__WIRE__LANE__REPLY_LANE] != NULL) {
        return EDRI__WIRE__LANE__REPLY_LANE;
    }
    if (peer->first[EDRI__WIRE__LANE__EVENT] != NULL) {
        return EDRI__WIRE__LANE__EVENT;
    }
    return bulk ? EDRI__WIRE__LANE__BULK : -1;
}

void
forward_hold(peer_t *peer, head_t *head)
{
    // Control words of two heads put one behind the other are one head.
    size_t size = head_size(head);
    peer->held = mem_resize(peer->held, peer->held_size + size);
    (void)head_write(head, peer->held + peer->held_size);
    peer->held_size += size;
}

static void
send_held(hub_t *hub, peer_t *peer)
{
    if (zmq_send(hub->router, peer->routing, peer->routing_size,
            ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0) {
        (void)zmq_send(hub->router, peer->held, peer->held_size, ZMQ_DONTWAIT);
    }
    free(peer->held);
    peer->held = NULL;
    peer->held_size = 0;
}

void
forward_flush(hub_t *hub, peer_t *peer)
{
    int lane = 0;
    while (peer->state == PEER_UP && peer->queued > 0 &&
           peer->sent - peer->taken < hub->window &&
           (lane = next_lane(peer)) >= 0) {
        peer->sent++;
        if (!send_frame(hub, peer, dequeue(peer, lane))) {
            peer_lost(hub, peer);
            return;
        }
    }
    if (peer->held != NULL && peer->queued == 0 && peer->state == PEER_UP) {
        send_held(hub, peer);
    }
}

void
forward_clear(peer_t *peer)
{
    free(peer->held);
    peer->held = NULL;
    peer->held_size = 0;
    for (int lane = 0; lane < LANES; lane++) {
        while (peer->first[lane] != NULL) {
            free_frame(dequeue(peer, lane));
        }
    }
}

// ----- taken

void
forward_mark(hub_t *hub, peer_t *peer)
{
    if (peer->tell_ms == 0) {
        peer->tell_ms = hub->now_ms + TELL_MS;
    }
    if (peer->dirty) {
        return;
    }
    peer->dirty = true;
    if (hub->dirty_count == hub->dirty_capacity) {
        hub->dirty_capacity = hub->dirty_capacity * 2 + 16;
        hub->dirty =
            mem_resize(hub->dirty, hub->dirty_capacity * sizeof *hub->dirty);
    }
    hub->dirty[hub->dirty_count++] = peer;
}

void
forward_tell(hub_t *hub)
{
    for (size_t i = hub->dirty_count; i > 0; i--) {
        peer_t *peer = hub->dirty[i - 1];
        uint64_t untold = peer->received - peer->told;
        bool due = untold >= TELL_COUNT || hub->now_ms >= peer->tell_ms;
        if (untold > 0 && !due && peer->tell_ms > 0) {
            continue;
        }
        peer->dirty = false;
        hub->dirty[i - 1] = hub->dirty[--hub->dirty_count];
        if (untold > 0) {
            head_t head = EDRI__WIRE__HEAD__INIT;
            peer_send(hub, peer, &head);
        }
    }
}

// ----- forwarding

static void
say_dropped(hub_t *hub, peer_t *from, const head_t *head,
    const Edri__Wire__Destination *to, zmq_msg_t *parts, size_t count,
    edri_err_t err)
{
    Edri__Link__Dropped word = EDRI__LINK__DROPPED__INIT;
    word.life = to->life;
    word.lane = (uint32_t)head->lane;
    word.path = to->path != 0 ? to->path : head->path;
    word.first = to->first;
    word.error = err;
    word.targets = to->targets;
    word.n_targets = to->n_targets;
    word.events = head->events;
    for (size_t i = 0; i < count; i++) {
        word.bytes += zmq_msg_size(&parts[i]);
    }
    control_t control = EDRI__LINK__CONTROL__INIT;
    control.word_case = EDRI__LINK__CONTROL__WORD_DROPPED;
    control.dropped = &word;
    hub->dropped++;
    from->dropped++;
    peer_say(hub, from, &control);
}

static frame_t *
make_frame(const hub_t *hub, const peer_t *from, const head_t *head,
    Edri__Wire__Destination *to, zmq_msg_t *parts, size_t count)
{
    head_t mine = *head;
    frame_t *frame = mem_new(sizeof *frame);
    mine.from = from->life;
    mine.path = to->path != 0 ? to->path : head->path;
    mine.to = &to;
    mine.n_to = 1;
    mine.taken = 0;
    mine.age_ms = 0;
    mine.control = NULL;
    mine.n_control = 0;
    mine.base.n_unknown_fields = 0;
    frame->head_size = head_size(&mine);
    frame->head = mem_resize(NULL, frame->head_size + 1);
    (void)head_write(&mine, frame->head);
    frame->age_ms = head->age_ms;
    frame->came_ms = hub->now_ms;
    frame->count = count;
    frame->weight = frame->head_size + sizeof *frame;
    if (count > 2) {
        frame->more = mem_new((count - 2) * sizeof(zmq_msg_t));
    }
    for (size_t i = 0; i < count; i++) {
        (void)zmq_msg_init(part_of(frame, i));
        (void)zmq_msg_copy(part_of(frame, i), &parts[i]);
        frame->weight += zmq_msg_size(&parts[i]);
    }
    return frame;
}

// may_send says whether none of the frame's types was refused to the sender.
static bool
may_send(const peer_t *from, const head_t *head)
{
    for (size_t i = 0; i < head->n_types; i++) {
        for (size_t j = 0; j < from->refused_count; j++) {
            if (from->refused[j]->type == head->types[i]) {
                return false;
            }
        }
    }
    return true;
}

static void
forward_to(hub_t *hub, peer_t *from, const head_t *head,
    Edri__Wire__Destination *to, zmq_msg_t *parts, size_t count)
{
    peer_t *peer = map_get(hub->lives, to->life);
    bool counted = head->lane != EDRI__WIRE__LANE__CONTROL;
    if (peer == NULL || peer->state == PEER_CLAIMS) {
        say_dropped(hub, from, head, to, parts, count, EDRI_UNREACHABLE);
        return;
    }
    if (counted && !may_send(from, head)) {
        say_dropped(hub, from, head, to, parts, count, EDRI_DENIED);
        return;
    }
    if (counted && peer->queued > hub->queue_max) {
        say_dropped(hub, from, head, to, parts, count, EDRI_OVERLOADED);
        return;
    }
    frame_t *frame = make_frame(hub, from, head, to, parts, count);
    if (counted) {
        enqueue(peer, frame, (int)head->lane);
        forward_flush(hub, peer);
    } else if (peer->state == PEER_UP) {
        if (!send_frame(hub, peer, frame)) {
            peer_lost(hub, peer);
        }
    } else {
        free_frame(frame);
    }
}

void
forward(hub_t *hub, peer_t *from, head_t *head, zmq_msg_t *parts, size_t count)
{
    hub->frames++;
    for (size_t i = 0; i < head->n_to; i++) {
        forward_to(hub, from, head, head->to[i], parts, count);
    }
}
