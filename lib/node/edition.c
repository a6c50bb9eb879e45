// SPDX-License-Identifier: MIT
// edition.c - what a manager's code has set up: handlers, hooks, state.

#include "node/edition.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "node/manager.h"
#include "node/work/workers.h"

edition_t *
edition_new(const crew_t *crew, uint32_t number)
{
    edition_t *self = mem_new(sizeof *self);
    self->crew = *crew;
    self->number = number;
    self->by_type = map_new();
    self->observers = map_new();
    return self;
}

static void
free_handler(handler_t *handler)
{
    flat_destroy(&handler->flat);
    flat_destroy(&handler->flat_reply);
    free(handler);
}

void
edition_destroy(edition_t **self_p)
{
    edition_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    if (self->destroy_state != NULL) {
        self->destroy_state(self->crew.state);
    }
    for (size_t i = 0; i < self->handler_count; i++) {
        free_handler(self->handlers[i]);
    }
    free(self->handlers);
    free(self->pools);
    for (size_t i = 0; i < self->other_count; i++) {
        manager_destroy(&self->others[i]);
    }
    free(self->others);
    map_destroy(&self->by_type);
    map_destroy(&self->observers);
    library_close(&self->library);
    free(self);
}

handler_t *
edition_handler(const edition_t *self, uint64_t type, bool observes)
{
    return map_get(observes ? self->observers : self->by_type, type);
}

edri_err_t
edition_add(edition_t *self, handler_t *handler)
{
    map_t *map = handler->observe != NULL ? self->observers : self->by_type;
    if (map_get(map, handler->type->id) != NULL) {
        return EDRI_EXISTS;
    }
    (void)map_put(map, handler->type->id, handler);
    handler->flat = flat_new(handler->type->message);
    handler->flat_reply = flat_new(handler->type->reply);
    self->handlers = mem_resize(
        self->handlers, (self->handler_count + 1) * sizeof *self->handlers);
    self->handlers[self->handler_count++] = handler;
    return EDRI_OK;
}

static bool
is_process(const handler_t *handler)
{
    return handler->workers.kind == WORKERS_PROCESSES ||
           handler->workers.kind == WORKERS_FRESH;
}

bool
edition_lives_here(const edition_t *self)
{
    bool any = self->hooks.started != NULL || self->hooks.draining != NULL ||
               self->hooks.stopped != NULL;
    for (size_t i = 0; i < self->handler_count; i++) {
        any = any || !is_process(self->handlers[i]);
    }
    return any && !self->apart;
}

edri_err_t
edition_begin_worker(edition_t *self)
{
    for (size_t i = 0; i < self->handler_count && !self->apart; i++) {
        if (self->handlers[i]->workers.kind == WORKERS_METHOD) {
            return crew_begin(&self->crew, &self->worker);
        }
    }
    return EDRI_OK;
}

// ----- hooks

edri_err_t
edition_call_started(edition_t *self, edri_port_t *port)
{
    return self->hooks.started != NULL
               ? self->hooks.started(self->crew.manager, port, self->crew.state)
               : EDRI_OK;
}

void
edition_call_draining(edition_t *self, edri_port_t *port)
{
    if (self->hooks.draining != NULL) {
        self->hooks.draining(self->crew.manager, port, self->crew.state);
    }
}

void
edition_call_stopped(edition_t *self)
{
    if (self->hooks.stopped != NULL) {
        self->hooks.stopped(self->crew.manager, self->crew.state);
    }
}

// ----- one after another

// twin_of finds what an edition does with the same events.
static handler_t *
twin_of(const edition_t *self, const handler_t *handler)
{
    return edition_handler(self, handler->type->id, handler->observe != NULL);
}

// same_workers says whether the jobs of one handler can go over to another, as
// they are: the number of threads may change.
static bool
same_workers(const handler_t *a, const handler_t *b)
{
    return a->workers.kind == b->workers.kind &&
           (!is_process(a) || (a->workers.count == b->workers.count &&
                                  a->limit_ms == b->limit_ms));
}

edri_err_t
edition_follows(
    const edition_t *self, const edition_t *before, char *why, size_t why_size)
{
    for (size_t i = 0; i < before->handler_count; i++) {
        const handler_t *old = before->handlers[i];
        const handler_t *mine = twin_of(self, old);
        if (mine != NULL && (mine->replay != old->replay ||
                                mine->replay_age_ms != old->replay_age_ms)) {
            (void)snprintf(why, why_size,
                "%s: it wants another part of the past (edri_manager_replay); "
                "this takes a new start",
                old->type->name);
            return EDRI_MISMATCH;
        }
        if (mine == NULL || !same_workers(mine, old)) {
            (void)snprintf(why, why_size, "%s: %s; this takes a new start",
                old->type->name,
                mine == NULL ? "the new code does not handle it any more"
                             : "its workers differ (mode, or the time limit "
                               "of processes)");
            return EDRI_MISMATCH;
        }
    }
    for (size_t i = 0; i < self->handler_count; i++) {
        if (twin_of(before, self->handlers[i]) == NULL) {
            (void)snprintf(why, why_size,
                "%s: the old code did not handle it; this takes a new start",
                self->handlers[i]->type->name);
            return EDRI_MISMATCH;
        }
    }
    if (self->apart != before->apart || self->lossy != before->lossy ||
        self->queue != before->queue) {
        (void)snprintf(why, why_size,
            "%s differs from before; this takes a new start",
            self->apart != before->apart   ? "whether it has its own process"
            : self->lossy != before->lossy ? "whether it is lossy"
                                           : "the size of its queue");
        return EDRI_MISMATCH;
    }
    return EDRI_OK;
}

// give_pool moves a pool to another edition.
static void
give_pool(edition_t *from, edition_t *to, pool_t *pool)
{
    for (size_t i = 0; i < from->pool_count; i++) {
        if (from->pools[i] == pool) {
            from->pools[i] = from->pools[--from->pool_count];
            break;
        }
    }
    to->pools = mem_resize(to->pools, (to->pool_count + 1) * sizeof(pool_t *));
    to->pools[to->pool_count++] = pool;
}

void
edition_adopt(edition_t *self, edition_t *before)
{
    for (size_t i = before->handler_count; i > 0; i--) {
        handler_t *old = before->handlers[i - 1];
        handler_t *mine = is_process(old) ? twin_of(self, old) : NULL;
        for (size_t k = 0; mine != NULL && k < self->handler_count; k++) {
            if (self->handlers[k] == mine) {
                self->handlers[k] = old;
            }
        }
        if (mine != NULL) {
            (void)map_put(self->by_type, old->type->id, old);
            free_handler(mine);
            (void)map_take(before->by_type, old->type->id);
            before->handlers[i - 1] = before->handlers[--before->handler_count];
            give_pool(before, self, old->pool);
        }
    }
}
