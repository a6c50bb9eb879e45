// SPDX-License-Identifier: MIT
// bodies.c - large bodies from other nodes, which come in parts.
//
// DESIGN
// The parts of one body come in order in the BULK lane of one path; the
// envelope comes with the last.  Then the source is told, because it holds back
// what is behind.  A body over node.body_limit, or one for which the others that
// come leave no room in twice that, is followed to its end without being kept,
// counted, and answered with an error where somebody waits.

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "edri/log.h"
#include "node/frames.h"
#include "node/tunnels.h"

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

// make_room drops the parts that came from lives which were given up.
static void
make_room(router_t *router)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->remotes, &cursor, NULL, &value)) {
        remote_t *remote = value;
        if (remote->gone_ms != 0 && map_size(remote->bodies) > 0) {
            bodies_drop(remote);
            remote->evicted = true;
        }
    }
}

// key_of tells the bodies of one event apart that go to several managers here.
static uint64_t
key_of(const Edri__Wire__Fragment *fragment, const Edri__Wire__Destination *to)
{
    uint64_t target = to->n_targets > 0 ? to->targets[0] : 0;
    return fragment->id ^ target * UINT64_C(0x9E3779B97F4A7C15);
}

// find_body returns the body that a fragment belongs to, or NULL when it is out
// of place.  One that is too large here is followed to its end all the same:
// its source waits for that.
static body_t *
find_body(remote_t *remote, const Edri__Wire__Fragment *fragment, uint64_t key)
{
    router_t *router = remote->router;
    size_t limit = router->node->limits.body_max;
    body_t *body = map_get(remote->bodies, key);
    if (body != NULL && fragment->offset == 0) {
        // Begun again by a source that had given us up.
        drop_body(router, map_take(remote->bodies, key));
        body = NULL;
    }
    if (body == NULL) {
        if (fragment->offset != 0 || fragment->total > WIRE_BODY_MAX) {
            return NULL;
        }
        body = mem_new(sizeof *body);
        body->total = fragment->total;
        if (router->body_bytes + body->total > 2 * limit) {
            make_room(router);
        }
        if (body->total <= limit &&
            router->body_bytes + body->total <= 2 * limit) {
            body->blob = blob_new(body->total);
            router->body_bytes += body->total;
        }
        (void)map_put(remote->bodies, key, body);
    }
    if (fragment->offset != body->have || fragment->total != body->total) {
        drop_body(router, map_take(remote->bodies, key));
        return NULL;
    }
    return body;
}

// describe says what is wrong with a body.  Returns the text's length.
static size_t
describe(char *text, size_t room, const edri_node_t *node, size_t size,
    edri_err_t err)
{
    const char *name = edri_node_name(node);
    const char *what =
        err == EDRI_TOO_BIG ? "over its node.body_limit"
        : err == EDRI_OVERLOADED
            ? "over what others left of twice its node.body_limit"
            : "without parts that were lost on the way";
    int length = snprintf(text, room, "a body of %zu bytes came to %s, %s",
        size, name[0] != '\0' ? name : "a guest", what);
    return (size_t)length < room ? (size_t)length : room - 1;
}

// error_for makes the error reply to a request, or in place of a reply, whose
// body was refused.  Caller frees *room_p.
static parts_t
error_for(const frame_t *frame, const envelope_t *env, size_t size,
    edri_err_t err, uint8_t **room_p)
{
    const edri_node_t *node = frame->link->router->node;
    bool request = envelope_kind(env->flags) == EDRI_REQUEST;
    char text[200];
    size_t length = describe(text, sizeof text, node, size, err);
    parts_t out = {
        .env = {.type = env->type,
            .flags = envelope_flags(EDRI_REPLY, EDRI_ONE, 3) | WIRE_LAST,
            .request = request ? env->id : env->request,
            .to = request ? frame->life : env->to,
            .error = (uint32_t)err,
            .text = {(const uint8_t *)text, length}}};
    size_t item = envelope_size(&out.env, 0);
    *room_p = mem_resize(NULL, item);
    (void)envelope_write(&out.env, 0, *room_p, item);
    out.rest = (slice_t){*room_p, item};
    (void)parts_next(&out);
    return out;
}

// refuse_body ends a body that was too large (TOO_BIG), one too many (OVERLOADED), or
// of which parts are missing (LOST): it is counted and booked, a request gets the
// error, and so does the asker whose reply it was.
static void
refuse_body(const frame_t *frame, const Edri__Wire__Destination *to,
    size_t size, edri_err_t err)
{
    router_t *router = frame->link->router;
    uint8_t *room = NULL;
    slice_t rest = frame->batch;
    slice_t item;
    slice_t content;
    envelope_t env;
    counter_add(&router->node->counters,
        err == EDRI_LOST ? COUNTER_LOST : COUNTER_TOO_BIG, 1);
    edri_log_warn("BODY-REFUSED", "life=%016llx size=%zu error=%s",
        (unsigned long long)frame->life, size, edri_err_name(err));
    for (size_t i = 0; i < to->n_targets; i++) {
        slot_t *slot = map_get(router->slots, to->targets[i]);
        if (slot != NULL && slot->manager != NULL && !frame->again) {
            frame_account(slot, frame->life, frame->batch.len + size);
        }
        flow_in_t *in = &frame->remote->in[frame->head->lane];
        flow_in_done(in, to->targets[i],
            flow_in_open(in, to->targets[i], frame->stamp.first,
                frame->stamp.first + frame->stamp.events));
    }
    if (!batch_next(&rest, &item, &content) ||
        envelope_route(content, &env) != EDRI_OK) {
        frame_malformed(frame, "batch");
    } else if (envelope_kind(env.flags) == EDRI_REQUEST) {
        parts_t reply = error_for(frame, &env, size, err, &room);
        remote_reply(router, frame->life, reply.item, &reply.env, 0, NULL);
    } else if (envelope_kind(env.flags) == EDRI_REPLY &&
               env.to == router->node->life) {
        parts_t reply = error_for(frame, &env, size, err, &room);
        asked_reply(
            router, reply.item, reply.content, &reply.env, frame->life, NULL);
        slots_flush(router);
    } else if (envelope_kind(env.flags) == EDRI_TUNNEL) {
        char text[200];
        (void)describe(text, sizeof text, router->node, size, err);
        tunnels_lost(router, frame->life, &env, err, text);
    }
    free(room);
}

void
body_part_in(frame_t *frame, const Edri__Wire__Destination *to)
{
    const Edri__Wire__Fragment *fragment = frame->head->fragment;
    if (fragment == NULL && to->n_targets == 0) {
        frame_replies(frame); // of tunnels, which are no bodies in parts
        return;
    }
    if (fragment == NULL || frame->blob_count != 1) {
        frame_malformed(frame, "a BULK frame without its fragment");
        return;
    }
    router_t *router = frame->link->router;
    remote_t *remote = frame->remote;
    uint64_t key = key_of(fragment, to);
    body_t *body = find_body(remote, fragment, key);
    size_t size = blob_size(frame->blobs[0]);
    if (body == NULL || size > body->total - body->have) {
        // Parts before it were dropped on the way, or here: also when a life has
        // ended, and this comes by a slower switch than that it said BYE to.
        if (!remote->evicted && !remote->ended) {
            frame_malformed(frame, "a fragment out of place");
        }
        if (fragment->offset + size == fragment->total) {
            refuse_body(frame, to, fragment->total, EDRI_LOST);
            words_tell(remote);
        }
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
    (void)map_take(remote->bodies, key);
    if (body->blob == NULL) {
        bool too_big = body->total > router->node->limits.body_max;
        refuse_body(
            frame, to, body->total, too_big ? EDRI_TOO_BIG : EDRI_OVERLOADED);
    } else {
        router->body_bytes -= body->total;
        blob_t *blobs[] = {body->blob};
        frame_t whole = *frame;
        whole.blobs = blobs;
        if (to->n_targets > 0) {
            frame_events(&whole, to);
        } else {
            frame_replies(&whole);
        }
        blob_drop(&body->blob);
    }
    words_tell(remote); // the source holds back what is behind it
    free(body);
}
