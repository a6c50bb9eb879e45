// SPDX-License-Identifier: MIT
// task.c - one event in the hands of one handler.

#include "node/task.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "edri/log.h"
#include "wire/nesting.h"

// ----- what a handler sees

edri_port_t *
edri_task_port(const edri_task_t *self)
{
    return self->port;
}

void *
edri_task_state(const edri_task_t *self)
{
    return self->state;
}

void *
edri_task_alloc(edri_task_t *self, size_t size)
{
    return memset(arena_alloc(self->arena, size), 0, size);
}

char *
edri_task_strdup(edri_task_t *self, const char *string)
{
    size_t size = strlen(string) + 1;
    return memcpy(arena_alloc(self->arena, size), string, size);
}

static char *print_text(edri_task_t *self, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static char *
print_text(edri_task_t *self, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, again) + 1;
    va_end(again);
    if (size <= 0) {
        return edri_task_strdup(self, format);
    }
    char *text = arena_alloc(self->arena, (size_t)size);
    (void)vsnprintf(text, (size_t)size, format, args);
    return text;
}

char *
edri_task_printf(edri_task_t *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = print_text(self, format, args);
    va_end(args);
    return text;
}

edri_err_t
edri_task_fail(edri_task_t *self, edri_err_t err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    self->text = print_text(self, format, args);
    va_end(args);
    return err == EDRI_OK ? EDRI_FAILED : err;
}

const edri_type_t *
edri_task_type(const edri_task_t *self)
{
    return self->handler->type;
}

uint64_t
edri_task_id(const edri_task_t *self)
{
    return self->env.id;
}

uint64_t
edri_task_life(const edri_task_t *self)
{
    return self->life != 0 ? self->life : self->port->node->life;
}

int64_t
edri_task_remaining_ms(const edri_task_t *self)
{
    if (self->deadline_ms < 0) {
        return -1;
    }
    int64_t left = self->deadline_ms - clock_ms();
    return left > 0 ? left : 0;
}

bool
edri_task_redelivered(const edri_task_t *self)
{
    return (self->env.flags & WIRE_REDELIVERED) != 0;
}

uint64_t
edri_task_missed(const edri_task_t *self)
{
    return self->missed;
}

edri_err_t
edri_task_error(const edri_task_t *self)
{
    return (edri_err_t)self->env.error;
}

const char *
edri_task_error_text(const edri_task_t *self)
{
    return self->text != NULL ? self->text : "";
}

// ----- running

static void *
take_memory(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void
keep_memory(void *arena, void *data)
{
    (void)arena;
    (void)data;
}

static void
note_drop(const edri_task_t *self, edri_err_t reason)
{
    drops_note(&self->port->node->drops, self->handler->type->id, NULL,
        self->handler->manager, reason, 1);
}

// unpack makes the message in the arena; NULL when it is none.
static ProtobufCMessage *
unpack(edri_task_t *self, const ProtobufCMessageDescriptor *descriptor,
    slice_t body)
{
    ProtobufCAllocator allocator = {take_memory, keep_memory, self->arena};
    ProtobufCMessage *message = nesting_fits(descriptor, body)
                                    ? protobuf_c_message_unpack(descriptor,
                                          &allocator, body.len, body.data)
                                    : NULL;
    if (message == NULL) {
        counter_add(&self->port->node->counters, COUNTER_UNDECODABLE, 1);
        note_drop(self, EDRI_UNDECODABLE);
        edri_log_warn("EVENT-UNDECODABLE", "type=%s life=%016llx size=%zu",
            self->handler->type->name, (unsigned long long)self->life,
            body.len);
    }
    return message;
}

static void
observe(edri_task_t *self, slice_t body)
{
    ProtobufCMessage *reply = NULL;
    if (self->env.error == EDRI_OK) {
        reply = unpack(self, self->handler->type->reply, body);
        if (reply == NULL) {
            return;
        }
    } else {
        self->text = edri_task_printf(self, "%.*s", (int)self->env.text.len,
            self->env.text.len > 0 ? (const char *)self->env.text.data : "");
    }
    self->handler->observe(self->handler->fn, self, reply);
}

static edri_err_t
handle(edri_task_t *self, slice_t body, ProtobufCMessage **reply_p)
{
    const edri_type_t *type = self->handler->type;
    ProtobufCMessage *event = unpack(self, type->message, body);
    if (event == NULL) {
        self->text = edri_task_printf(self, "the body is no %s", type->name);
        return EDRI_UNDECODABLE;
    }
    if (type->reply != NULL) {
        *reply_p = arena_alloc(self->arena, type->reply->sizeof_message);
        protobuf_c_message_init(type->reply, *reply_p);
    }
    edri_err_t err =
        self->handler->call(self->handler->fn, self, event, *reply_p);
    counter_add(&self->port->node->counters,
        err == EDRI_OK ? COUNTER_HANDLED : COUNTER_HANDLER_FAILED, 1);
    return err;
}

void
task_run(edri_task_t *self, slice_t content, blob_t *blob, const run_t *origin,
    int64_t now_ms)
{
    uint64_t life = origin->life;
    edri_port_t *port = self->port;
    if (envelope_read(content, &self->env) != EDRI_OK) {
        counter_add(&port->node->counters, COUNTER_MALFORMED, 1);
        return;
    }
    if (origin->redelivered) {
        self->env.flags |= WIRE_REDELIVERED;
    }
    self->life = life;
    self->text = NULL;
    self->deadline_ms =
        self->env.ttl_ms > 0 ? origin->base_ms + self->env.ttl_ms : -1;
    if (self->deadline_ms >= 0 && now_ms >= self->deadline_ms) {
        counter_add(&port->node->counters, COUNTER_EXPIRED, 1);
        note_drop(self, EDRI_DEADLINE);
        return; // a request ends at its asker, who watches the deadline
    }
    slice_t body = self->env.body;
    if (blob != NULL) {
        body = (slice_t){blob_data(blob), blob_size(blob)};
    }
    port->cause = self->env.id;
    port->cause_life = life;
    if (self->handler->observe != NULL) {
        observe(self, body);
    } else {
        ProtobufCMessage *reply = NULL;
        edri_err_t err = handle(self, body, &reply);
        if (self->far || envelope_kind(self->env.flags) == EDRI_REQUEST) {
            port_reply(port, &self->env, life, err, self->text, reply);
        } else if (err != EDRI_OK) {
            edri_log_warn("HANDLER-FAILED", "type=%s error=%s text=\"%s\"",
                self->handler->type->name, edri_err_name(err),
                self->text != NULL ? self->text : "");
        }
    }
    port->cause = port->cause_life = 0;
    arena_reset(self->arena);
}
