// SPDX-License-Identifier: MIT
// tunnel_open.c - how tunnels are opened, accepted and refused.

#include "node/tunnel_impl.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "node/tunnels.h"

// ----- opening

// An opening is what the request of edri_tunnel_open_async is for.
struct opening {
    edri_tunnel_opened_fn *fn;
    void *arg;
    cause_t cause; // once it is open: of the request
    tenant_t tenant;
};

// on_refused is called when the request ends without a tunnel.
static void
on_refused(edri_fn_t user, const edri_answer_t *answer, void *arg)
{
    struct opening *opening = arg;
    (void)user;
    opening->fn(NULL, answer->err, answer->text, opening->arg);
    free(opening);
}

void
tunnel_hand_over(edri_tunnel_t *self)
{
    edri_port_t *port = self->port;
    struct opening *opening = self->opening;
    cause_t cause = port->cause;
    self->opening = NULL;
    port->cause = opening->cause;
    tenant_t tenant = port_lend(port, &opening->tenant);
    opening->fn(self, EDRI_OK, "", opening->arg);
    port->cause = cause;
    port_lend_back(port, &tenant);
    free(opening);
}

static edri_err_t
open_tunnel(edri_port_t *port, const edri_type_t *type,
    const ProtobufCMessage *arguments, uint32_t timeout_ms, bool waits,
    edri_tunnel_opened_fn *fn, void *arg)
{
    struct opening *opening = mem_new(sizeof *opening);
    *opening = (struct opening){.fn = fn, .arg = arg};
    edri_err_t err = port_open_tunnel(
        port, type, arguments, timeout_ms, waits, on_refused, opening);
    if (err != EDRI_OK) {
        free(opening);
    }
    return err;
}

edri_err_t
edri_tunnel_open_async(edri_port_t *port, const edri_type_t *type,
    const ProtobufCMessage *arguments, uint32_t timeout_ms,
    edri_tunnel_opened_fn *fn, void *arg)
{
    return fn != NULL
               ? open_tunnel(port, type, arguments, timeout_ms, false, fn, arg)
               : EDRI_INVAL;
}

// outcome_t is how edri_tunnel_open went.
typedef struct outcome {
    bool done;
    edri_tunnel_t *tunnel;
    edri_err_t err;
    char *text;
} outcome_t;

static void
note_outcome(edri_tunnel_t *tunnel, edri_err_t err, const char *text, void *arg)
{
    outcome_t *outcome = arg;
    *outcome = (outcome_t){true, tunnel, err, str_dup(text)};
}

edri_err_t
edri_tunnel_open(edri_port_t *port, const edri_type_t *type,
    const ProtobufCMessage *arguments, uint32_t timeout_ms,
    edri_tunnel_t **tunnel_p)
{
    outcome_t outcome = {0};
    *tunnel_p = NULL;
    uint64_t outer = port != NULL ? atomic_load(&port->waits_for) : 0;
    edri_err_t err = open_tunnel(
        port, type, arguments, timeout_ms, true, note_outcome, &outcome);
    if (err != EDRI_OK) {
        return err;
    }
    uint64_t request = port->last_request;
    while (!outcome.done) {
        if (port_pump(port) == 0 && !outcome.done &&
            port_sleep(port, port_deadline(port)) == EDRI_CLOSED) {
            (void)edri_request_cancel(port, request);
        }
    }
    atomic_store(&port->waits_for, outer);
    *tunnel_p = outcome.tunnel;
    err = outcome.err;
    if (err != EDRI_OK) {
        (void)port_fail(port, err, "%s: %s%s%s", type->name, edri_err_text(err),
            outcome.text[0] != '\0' ? ": " : "", outcome.text);
    }
    free(outcome.text);
    return err;
}

// close_unwanted closes a tunnel that nobody waits for any more.
static void
close_unwanted(edri_port_t *port, const envelope_t *opened, uint64_t life)
{
    static const char text[] = "nobody waits for the tunnel any more";
    envelope_t env = {.type = opened->type,
        .id = opened->request,
        .flags = envelope_flags(EDRI_TUNNEL, EDRI_ONE, 3) | WIRE_CLOSE,
        .request = opened->id,
        .to = life,
        .error = EDRI_CANCELLED,
        .text = {(const uint8_t *)text, sizeof text - 1}};
    port_put(port, &env, &(content_t){0});
}

void
tunnel_opened_in(edri_port_t *port, const envelope_t *env, uint64_t life)
{
    ask_t *ask = map_get(port->asks, env->request);
    if (ask == NULL || ask->fn != on_refused) {
        counter_add(&port->node->counters, COUNTER_LATE, 1);
        close_unwanted(port, env, life);
        return;
    }
    struct opening *opening = ask->arg;
    edri_tunnel_t *self = tunnel_new(port, ask->type, ask->id);
    self->opener = self->opened = true;
    self->life = life;
    self->peer = env->id;
    (void)window_out_granted(&self->out, env->position);
    window_in_init(&self->in, ask->window); // as was granted with the request
    opening->cause = ask->cause;
    self->tenant = opening->tenant = ask->tenant;
    self->cause = ask->cause;
    self->cause.deadline_ms = -1;
    self->opening = opening;
    ask_opened(port, ask);
    // The acceptor knows; its router does not.
    tunnel_say(self, WIRE_CREDIT, self->in.granted, EDRI_OK, NULL, NULL);
    tunnel_list(self);
}

// ----- a worker's

edri_err_t
tunnel_accept(edri_task_t *task)
{
    edri_port_t *port = task->port;
    size_t limit = port->node->limits.tunnel_limit;
    if (atomic_load(&port->node->tunnels_open) >= limit) {
        task->text = edri_task_printf(task,
            "%zu ends of tunnels are open at the node, as many as tunnel.limit "
            "allows",
            limit);
        return EDRI_OVERLOADED;
    }
    edri_tunnel_t *self =
        tunnel_new(port, task->handler->type, ++port->next_id);
    self->life = task->life != 0 ? task->life : port->node->life;
    self->peer = task->env.id;
    self->task = task;
    (void)window_out_granted(&self->out, task->env.position);
    task->tunnel = self;
    return EDRI_OK;
}

edri_tunnel_t *
edri_task_tunnel(edri_task_t *task)
{
    return task->tunnel;
}

void
tunnel_handled(edri_task_t *task, edri_err_t err)
{
    edri_tunnel_t *self = task->tunnel;
    if (self == NULL) {
        return; // the handler has closed it
    }
    if (err != EDRI_OK && !self->opened) {
        tunnel_free(self); // refused
    } else if (err != EDRI_OK) {
        edri_tunnel_close(&self, err, task->text);
    } else if (!self->has_calls) {
        (void)edri_tunnel_finish(self);
        edri_tunnel_close(&self, EDRI_OK, NULL);
    } else {
        self->handed = true;
        self->task = NULL;
        task->tunnel = NULL;
        tunnel_call_back(self); // it may be over
    }
}

void
tunnels_settle(edri_port_t *port)
{
    size_t cursor = 0;
    void *value = NULL;
    bool any = true;
    while (any && !port->quit) {
        any = false;
        cursor = 0;
        while (!any && map_next(port->tunnels, &cursor, NULL, &value)) {
            any = ((edri_tunnel_t *)value)->handed;
        }
        if (any && port_pump(port) == 0) {
            (void)port_sleep(port, port_deadline(port));
        }
    }
}

bool
tunnels_for(const edri_port_t *port, uint32_t edition)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(port->tunnels, &cursor, NULL, &value)) {
        if (((edri_tunnel_t *)value)->tenant.edition == edition) {
            return true;
        }
    }
    return false;
}

void
tunnels_end(edri_port_t *port)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(port->tunnels, &cursor, NULL, &value)) {
        tunnel_free(value);
    }
    map_destroy(&port->tunnels);
}
