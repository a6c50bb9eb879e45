// SPDX-License-Identifier: MIT
// task.c - one event in the hands of one handler.

#include "node/work/task.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "edri/log.h"
#include "node/ask.h"
#include "node/tunnel.h"
#include "node/tunnels.h"
#include "node/work/job.h"
#include "wire/nesting.h"

// A handler's progress is told at most so often.
#define PROGRESS_MS 50

// ----- what a handler sees

edri_port_t *
edri_task_port(const edri_task_t *self)
{
    return self->port;
}

void *
edri_task_state(const edri_task_t *self)
{
    return self->crew->state;
}

void *
edri_task_worker_state(const edri_task_t *self)
{
    return self->worker;
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

const char *
edri_task_sender(edri_task_t *self)
{
    edri_node_t *node = self->port->node;
    if (self->life == 0) {
        return node->name;
    }
    char *name = edri_task_alloc(self, NAME_MAX_SIZE);
    names_get(&node->names, self->life, name);
    return name;
}

bool
edri_task_trace(const edri_task_t *self, edri_trace_t *out)
{
    bool traced = self->env.trace.len == sizeof *out;
    *out = (edri_trace_t){{0}, {0}};
    if (traced) {
        memcpy(out, self->env.trace.data, sizeof *out);
    }
    return traced;
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

void
edri_task_progress(
    edri_task_t *self, uint64_t done, uint64_t total, const char *text)
{
    bool wanted = envelope_kind(self->env.flags) == EDRI_REQUEST &&
                  (self->env.flags & WIRE_PROGRESS) != 0;
    int64_t now_ms = wanted ? clock_ms() : 0;
    bool full = total > 0 && done == total;
    if (wanted && (full || now_ms - self->told_ms >= PROGRESS_MS)) {
        self->told_ms = now_ms;
        port_progress(self->port, &self->env, self->life, done, total, text);
    }
}

bool
edri_task_cancelled(const edri_task_t *self)
{
    if (self->far) {
        (void)port_sleep(self->port, 0); // the node may have said so
    }
    return atomic_load_explicit(&self->cancelled_ms, memory_order_relaxed) !=
               0 ||
           (self->deadline_ms >= 0 && clock_ms() >= self->deadline_ms);
}

bool
edri_task_redelivered(const edri_task_t *self)
{
    return (self->env.flags & WIRE_REDELIVERED) != 0;
}

uint32_t
edri_task_attempt(const edri_task_t *self)
{
    return self->env.attempt + self->attempt;
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

edri_err_t
crew_begin(const crew_t *self, void **worker_p)
{
    *worker_p = NULL;
    return self->begin != NULL
               ? self->begin(self->manager, self->state, worker_p)
               : EDRI_OK;
}

void
crew_end(const crew_t *self, void **worker_p)
{
    if (self->end != NULL && *worker_p != NULL) {
        self->end(*worker_p);
    }
    *worker_p = NULL;
}

// ----- running

int64_t
task_unwanted(const edri_task_t *self, uint64_t *id_p)
{
    *id_p = atomic_load(&self->running);
    int64_t cancelled_ms = atomic_load(&self->cancelled_ms);
    int64_t over_ms = atomic_load(&self->over_ms);
    // Read again: it may have ended meanwhile, and another begun.
    if (*id_p == 0 || atomic_load(&self->running) != *id_p) {
        return INT64_MAX;
    }
    bool sooner = cancelled_ms != 0 && (over_ms < 0 || cancelled_ms < over_ms);
    return sooner ? cancelled_ms : over_ms >= 0 ? over_ms : INT64_MAX;
}

void
task_begins(edri_task_t *self)
{
    uint32_t limit_ms = self->handler->limit_ms;
    int64_t until_ms = limit_ms > 0 ? clock_ms() + limit_ms : -1;
    if (until_ms >= 0 &&
        (self->deadline_ms < 0 || until_ms < self->deadline_ms)) {
        self->deadline_ms = until_ms;
    }
    // A notification's time to live is for its way, not for its handler.
    bool request = envelope_kind(self->env.flags) == EDRI_REQUEST;
    atomic_store(&self->over_ms, request ? self->deadline_ms : until_ms);
}

void
task_opened(edri_task_t *self)
{
    uint32_t limit_ms = self->handler->limit_ms;
    self->opened = true;
    self->deadline_ms = limit_ms > 0 ? clock_ms() + limit_ms : -1;
    self->port->cause.deadline_ms = self->deadline_ms;
    atomic_store(&self->over_ms, self->deadline_ms);
    if (self->job != NULL) {
        port_release(self->port, self->box, self->job->weight);
        self->job->weight = 0;
    }
}

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

// unpack makes the message in the arena, a copy that the handler may change; NULL when it
// is none.
static ProtobufCMessage *
unpack(edri_task_t *self, const ProtobufCMessageDescriptor *descriptor,
    const flat_t *flat, slice_t body)
{
    ProtobufCAllocator allocator = {take_memory, keep_memory, self->arena};
    ProtobufCMessage *message =
        flat != NULL || nesting_fits(descriptor, body)
            ? flat_unpack(flat, descriptor, body, &allocator)
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
        reply = unpack(
            self, self->handler->type->reply, self->handler->flat_reply, body);
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
    ProtobufCMessage *event =
        unpack(self, type->message, self->handler->flat, body);
    if (event == NULL) {
        self->text = edri_task_printf(self, "the body is no %s", type->name);
        return EDRI_UNDECODABLE;
    }
    if (type->reply != NULL) {
        *reply_p = arena_alloc(self->arena, type->reply->sizeof_message);
        protobuf_c_message_init(type->reply, *reply_p);
    }
    if (type->kind == EDRI_TUNNEL) {
        edri_err_t refusal = tunnel_accept(self);
        if (refusal != EDRI_OK) {
            return refusal;
        }
    }
    edri_err_t err =
        self->handler->call(self->handler->fn, self, event, *reply_p);
    if (type->kind == EDRI_TUNNEL) {
        tunnel_handled(self, err);
    }
    counter_add(&self->port->node->counters,
        err == EDRI_OK ? COUNTER_HANDLED : COUNTER_HANDLER_FAILED, 1);
    if (err != EDRI_OK) {
        faults_note(self->crew->faults, type, err, self->text);
    }
    return err;
}

// begin_work lets the port know what it works for from here on; end_work that
// it is done.
static void
begin_work(edri_task_t *self)
{
    cause_t *cause = &self->port->cause;
    cause->event = self->env.id;
    cause->life = self->life;
    cause->deadline_ms = self->deadline_ms;
    cause->traced = self->env.trace.len == WIRE_TRACE_SIZE;
    if (cause->traced) {
        memcpy(&cause->trace, self->env.trace.data, WIRE_TRACE_SIZE);
    }
    self->port->task = self;
}

static void
end_work(edri_task_t *self)
{
    edri_port_t *port = self->port;
    if (atomic_load(&self->cancelled_ms) != 0) {
        // Still with the task: a callback cannot ask again for it.
        (void)ask_cancel_caused(port, self->env.id, self->life);
    }
    port->task = NULL;
    port->cause.event = port->cause.life = 0;
    port->cause.deadline_ms = -1;
    port->cause.traced = false;
}

// run_request handles a request and answers, unless it was cancelled before.
static void
run_request(edri_task_t *self, slice_t body, int64_t now_ms)
{
    requests_t *requests = &self->port->node->requests;
    ProtobufCMessage *reply = NULL;
    atomic_store(&self->cancelled_ms, 0);
    if (!requests_enter(requests, self, now_ms)) {
        counter_add(&self->port->node->counters, COUNTER_NOT_BEGUN, 1);
        return;
    }
    task_begins(self);
    begin_work(self);
    atomic_store(&self->running, self->env.id);
    edri_err_t err = handle(self, body, &reply);
    atomic_store(&self->running, 0);
    requests_leave(requests, self);
    if (!self->opened || self->far) { // a tunnel has told its end itself
        self->port->soon = self->last;
        port_reply(self->port, &self->env, self->life, err, self->text, reply,
            self->handler->flat_reply);
        self->port->soon = false;
    }
    end_work(self);
    atomic_store(&self->cancelled_ms, 0);
}

static edri_err_t
run_notification(edri_task_t *self, slice_t body)
{
    task_begins(self);
    begin_work(self);
    bool ends = self->handler->limit_ms > 0;
    if (ends) {
        atomic_store(&self->running, self->env.id);
    }
    edri_err_t err = handle(self, body, &(ProtobufCMessage *){NULL});
    if (ends) {
        atomic_store(&self->running, 0);
    }
    if (self->far) {
        port_reply(
            self->port, &self->env, self->life, err, self->text, NULL, NULL);
        err = EDRI_OK; // the node sees to it
    } else if (err != EDRI_OK) {
        edri_log_warn("HANDLER-FAILED", "type=%s error=%s text=\"%s\"",
            self->handler->type->name, edri_err_name(err),
            self->text != NULL ? self->text : "");
    }
    end_work(self);
    return err;
}

// is_over says whether the event's time is over: it is counted, and a request
// ends at its asker, who watches the deadline.
static bool
is_over(const edri_task_t *self, int64_t now_ms)
{
    if (self->deadline_ms < 0 || now_ms < self->deadline_ms) {
        return false;
    }
    counter_add(&self->port->node->counters, COUNTER_EXPIRED, 1);
    note_drop(self, EDRI_DEADLINE);
    return true;
}

edri_err_t
task_run(edri_task_t *self, slice_t content, blob_t *blob, const run_t *origin,
    int64_t now_ms)
{
    if (envelope_read(content, &self->env) != EDRI_OK) {
        counter_add(&self->port->node->counters, COUNTER_MALFORMED, 1);
        return EDRI_OK;
    }
    if (origin->redelivered) {
        self->env.flags |= WIRE_REDELIVERED;
    }
    self->life = origin->life;
    self->text = NULL;
    self->tunnel = NULL;
    self->opened = false;
    self->told_ms = 0;
    self->deadline_ms =
        self->env.ttl_ms > 0 ? origin->base_ms + self->env.ttl_ms : -1;
    if (is_over(self, now_ms)) {
        return EDRI_OK;
    }
    slice_t body = self->env.body;
    if (blob != NULL) {
        body = (slice_t){blob_data(blob), blob_size(blob)};
    }
    if (self->handler->observe != NULL) {
        begin_work(self);
        observe(self, body);
        if (self->far) {
            port_reply(
                self->port, &self->env, self->life, EDRI_OK, NULL, NULL, NULL);
        }
        end_work(self);
    } else if (envelope_kind(self->env.flags) == EDRI_REQUEST) {
        run_request(self, body, now_ms);
    } else {
        return run_notification(self, body);
    }
    return EDRI_OK;
}

void
task_end(edri_task_t *self)
{
    arena_reset(self->arena);
}
