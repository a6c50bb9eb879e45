// SPDX-License-Identifier: MIT
// tunnel_heard.c - what tunnels of a port hear, and the callbacks for it.

#include "node/tunnel_impl.h"

#include <string.h>

#include "base/alloc.h"
#include "node/tunnels.h"

// ----- callbacks

void
tunnel_list(edri_tunnel_t *self)
{
    if (!self->listed) {
        self->listed = true;
        self->next = self->port->heard;
        self->port->heard = self;
    }
}

// drop_pieces drops what nobody will take.
static void
drop_pieces(edri_tunnel_t *self)
{
    while (self->first != NULL) {
        piece_free(tunnel_take(self));
    }
}

// call_ready calls as long as something is taken; the end is told once.
static void
call_ready(edri_tunnel_t *self)
{
    uint64_t before = 0;
    bool any = self->first != NULL || (self->ended && !self->told_end);
    while (any && self->calls.ready != NULL && !self->gone) {
        before = self->in.read;
        self->told_end = self->ended && self->first == NULL;
        self->calls.ready(self, self->arg);
        any = (self->first != NULL && self->in.read != before) ||
              (self->ended && !self->told_end);
    }
    if (self->closed && self->first != NULL && !self->gone) {
        drop_pieces(self); // it was offered, and nothing else will come
    }
}

static void
call_room(edri_tunnel_t *self)
{
    bool room = self->short_of && !self->gone && !self->closed &&
                window_out_may(&self->out);
    if (!room) {
        return;
    }
    if (tunnel_port_full(self->port)) {
        self->port->starved = true;
        return;
    }
    self->short_of = false;
    if (self->calls.room != NULL) {
        self->calls.room(self, self->arg);
    }
}

static void
call_closed(edri_tunnel_t *self)
{
    self->has_calls = false; // once
    if (self->calls.closed != NULL) {
        self->calls.closed(self, self->reason,
            self->text != NULL ? self->text : "", self->arg);
    }
}

void
tunnel_call_back(edri_tunnel_t *self)
{
    edri_port_t *port = self->port;
    if (!self->has_calls) {
        return;
    }
    self->due = true;
    if (self->in_call || self->busy > 0) {
        return; // then
    }
    cause_t cause = port->cause;
    tenant_t tenant = port_lend(port, &self->tenant);
    port->cause = self->cause;
    self->in_call = true;
    while (self->due && !self->gone) {
        self->due = false;
        call_ready(self);
        call_room(self);
    }
    bool over = tunnel_is_over(self) && self->first == NULL && !self->gone;
    if (over) {
        call_closed(self);
    }
    self->in_call = false;
    port->cause = cause;
    port_lend_back(port, &tenant);
    if (self->gone || (over && self->handed)) {
        tunnel_free(self);
    }
}

edri_err_t
edri_tunnel_on(edri_tunnel_t *self, const edri_tunnel_calls_t *calls, void *arg)
{
    if (tunnel_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    tunnel_say_opened(self);
    self->calls = calls != NULL ? *calls : (edri_tunnel_calls_t){0};
    self->arg = arg;
    self->has_calls = calls != NULL;
    if (self->has_calls) {
        tunnel_list(self); // something may have come already
    }
    return EDRI_OK;
}

// ----- hearing

static void
data_in(edri_tunnel_t *self, const envelope_t *env, blob_t **blob_p)
{
    size_t size = blob_p != NULL ? blob_size(*blob_p) : env->body.len;
    if (self->ended || !window_in_received(&self->in, size + TUNNEL_OVERHEAD)) {
        static const char text[] = "the other end sent more than it may";
        counter_add(&self->port->node->counters, COUNTER_DENIED, 1);
        tunnel_say(self, WIRE_CLOSE, 0, EDRI_PROTO, text, NULL);
        self->closed = true;
        self->reason = EDRI_PROTO;
        self->text = str_dup(text);
        return;
    }
    size_t inside = blob_p != NULL ? 0 : size;
    piece_t *piece = mem_resize(NULL, sizeof *piece + inside);
    *piece = (piece_t){.size = size};
    if (blob_p != NULL) {
        piece->blob = blob_share(*blob_p);
    } else if (size > 0) {
        memcpy(piece->data, env->body.data, size);
    }
    *(self->last != NULL ? &self->last->next : &self->first) = piece;
    self->last = piece;
}

static void
close_in(edri_tunnel_t *self, const envelope_t *env)
{
    self->closed = true;
    self->reason = (edri_err_t)env->error;
    self->text = str_printf("%.*s", (int)env->text.len,
        env->text.data != NULL ? (const char *)env->text.data : "");
}

void
port_tunnel(edri_port_t *port, const reader_t *at)
{
    envelope_t env;
    if (envelope_read(at->content, &env) != EDRI_OK) {
        counter_add(&port->node->counters, COUNTER_MALFORMED, 1);
        return;
    }
    uint64_t life = at->run->life != 0 ? at->run->life : port->node->life;
    if ((env.flags & WIRE_OPENED) != 0) {
        tunnel_opened_in(port, &env, life);
        return;
    }
    edri_tunnel_t *self = map_get(port->tunnels, env.request);
    if (self == NULL || self->peer != env.id || self->life != life ||
        self->closed) {
        counter_add(&port->node->counters, COUNTER_LATE, 1);
        return; // it was closed here meanwhile
    }
    port->news = true;
    if ((env.flags & WIRE_CREDIT) != 0) {
        (void)window_out_granted(&self->out, env.position);
    } else if ((env.flags & WIRE_END) != 0) {
        self->ended = true;
    } else if ((env.flags & WIRE_CLOSE) != 0) {
        close_in(self, &env);
    } else {
        data_in(self, &env, at->blob_p);
    }
    // Callbacks wait until the whole load has been read: what they may wait for
    // stands in it.
    if (self->has_calls) {
        tunnel_list(self);
    }
}

// list_starved lists those that have waited for room in the port.
static void
list_starved(edri_port_t *port)
{
    size_t cursor = 0;
    void *value = NULL;
    if (box_used(port->out) >= box_limit(port->out)) {
        return;
    }
    port->starved = false;
    while (map_next(port->tunnels, &cursor, NULL, &value)) {
        edri_tunnel_t *self = value;
        if (self->short_of && self->has_calls) {
            tunnel_list(self);
        }
    }
}

void
tunnels_call(edri_port_t *port)
{
    if (port->starved) {
        list_starved(port);
    }
    while (port->heard != NULL) {
        edri_tunnel_t *self = port->heard;
        port->heard = self->next;
        self->listed = false;
        if (self->opening != NULL) {
            tunnel_hand_over(self);
        } else {
            tunnel_call_back(self);
        }
    }
}
