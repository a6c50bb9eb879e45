// SPDX-License-Identifier: MIT
// node/frames.h - what the files of frames share: frames_out.c, frames_in.c,
// bodies.c.

#ifndef NODE_FRAMES_H
#define NODE_FRAMES_H

#include "node/remote.h"

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
bool parts_next(parts_t *self);

// frame_t is a frame that came, made handy.
typedef struct frame {
    link_t *link;
    head_t *head;
    remote_t *remote; // who sent it
    uint64_t life;
    flow_stamp_t stamp;
    bool again;       // costs no credit
    bool redelivered; // its events may have been begun elsewhere
    int64_t base_ms;  // when its ttls began
    slice_t batch;
    blob_t **blobs;
    size_t blob_count;
} frame_t;

// frame_probe sends an empty frame in a lane, behind its data.
void frame_probe(
    link_t *link, remote_t *remote, int lane, const flow_stamp_t *stamp);

// frame_head writes what the head of every frame to a node has; to and to_p
// are memory of the caller that the head points at.
void frame_head(head_t *head, Edri__Wire__Destination *to,
    Edri__Wire__Destination **to_p, remote_t *remote, int lane);

// frame_malformed counts and logs what a node sent against the protocol.
void frame_malformed(const frame_t *frame, const char *what);

// frame_refuse answers a request that came in the frame with an error.
void frame_refuse(const frame_t *frame, const envelope_t *asked, edri_err_t err,
    const char *text);

// frame_account books what came for a manager and grants more, or asks to be
// woken when there is room again.
void frame_account(slot_t *slot, uint64_t life, size_t weight);

// frame_events hands the events to the managers that 'to' names;
// frame_replies the replies to their askers.
void frame_events(const frame_t *frame, const Edri__Wire__Destination *to);
void frame_replies(const frame_t *frame);

// body_part_in takes one part of a large body, and what it belongs to with the
// last (bodies.c).
void body_part_in(frame_t *frame, const Edri__Wire__Destination *to);

#endif
