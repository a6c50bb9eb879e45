// SPDX-License-Identifier: MIT
// pools.c - the threads and processes of a manager: which pool does what.

#include "node/pools.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "node/work/house.h"
#include "node/work/workers.h"

// in_house says whether a handler runs in the manager's own process, and there
// (own) in its own thread.
static bool
in_house(const edition_t *edition, const char *program,
    const handler_t *handler, bool own)
{
    unsigned kind = handler->workers.kind;
    bool alone = kind == WORKERS_METHOD || program != NULL;
    bool here = kind == WORKERS_METHOD || kind == WORKERS_THREADS;
    return edition->apart && here && alone == own;
}

// add_pool makes and starts a pool for some handlers.
static edri_err_t
add_pool(edri_manager_t *self, edition_t *edition, pool_plan_t *plan,
    handler_t **handlers, size_t count, const char *what)
{
    bool threads =
        plan->workers.kind == WORKERS_THREADS && plan->roster.house == NULL;
    plan->roster.manager = self->name;
    plan->roster.what = what;
    plan->roster.handlers = handlers;
    plan->roster.handler_count = count;
    plan->crew = threads ? &edition->crew : &self->crew;
    plan->manager = self->port;
    plan->held = &self->held;
    plan->wake_fd = self->wake_fd;
    pool_t *pool = pool_new(plan);
    edition->pools = mem_resize(
        edition->pools, (edition->pool_count + 1) * sizeof(pool_t *));
    edition->pools[edition->pool_count++] = pool;
    for (size_t i = 0; i < count; i++) {
        handlers[i]->pool = pool;
    }
    if (plan->roster.house != NULL && plan->roster.first_seat == 0) {
        house_owner(plan->roster.house, pool_jobs(pool));
    }
    return pool_start(pool);
}

// open_house makes the pool of what the manager's own thread runs elsewhere.
static edri_err_t
open_house(edri_manager_t *self, edition_t *edition)
{
    const settings_t *settings = self->node->settings;
    const char *program = self->section.program;
    unsigned seats = 1;
    size_t count = 0;
    self->inmates = mem_new((edition->handler_count + 1) * sizeof(handler_t *));
    for (size_t i = 0; i < edition->handler_count; i++) {
        handler_t *handler = edition->handlers[i];
        if (in_house(edition, program, handler, true)) {
            self->inmates[count++] = handler;
        } else if (in_house(edition, program, handler, false)) {
            seats += workers_count(handler->workers);
        }
    }
    self->house = house_new(seats,
        (restarts_t){
            .most = (uint32_t)settings_int(settings, "worker.restarts"),
            .within_ms = settings_int(settings, "worker.restarts_in")},
        self->wake_fd);
    pool_plan_t plan = {.workers = EDRI_THREADS(1),
        .roster = {.program = program, .house = self->house}};
    return add_pool(self, edition, &plan, self->inmates, count, self->name);
}

// jobs_before are those of the pool that a handler's comes after.
static backlog_t *
jobs_before(const edition_t *before, const handler_t *handler)
{
    const handler_t *old =
        before != NULL ? edition_handler(before, handler->type->id, false)
                       : NULL;
    return old != NULL ? pool_jobs(old->pool) : NULL;
}

edri_err_t
pools_start(edri_manager_t *self, edition_t *edition, const edition_t *before)
{
    unsigned seat = 1;
    edri_err_t err = edition->apart ? open_house(self, edition) : EDRI_OK;
    for (size_t i = 0; i < edition->handler_count && err == EDRI_OK; i++) {
        handler_t *handler = edition->handlers[i];
        pool_plan_t plan = {.workers = handler->workers,
            .roster = {.program = handler->program,
                .fresh = handler->workers.kind == WORKERS_FRESH}};
        bool adopts =
            before != NULL && handler->workers.kind != WORKERS_THREADS;
        if (handler->pool != NULL || adopts ||
            handler->workers.kind == WORKERS_METHOD) {
            continue;
        }
        if (in_house(edition, self->section.program, handler, false)) {
            plan.roster.house = self->house;
            plan.roster.first_seat = seat;
            seat += workers_count(handler->workers);
        }
        plan.jobs = jobs_before(before, handler);
        err = add_pool(self, edition, &plan, &edition->handlers[i], 1,
            handler->type->name);
    }
    return err;
}

void
pools_leave(edition_t *edition)
{
    for (size_t i = 0; i < edition->pool_count; i++) {
        pool_leave(edition->pools[i]);
    }
}

// has_gone says whether the threads that had a handler's jobs before have all left.
static bool
has_gone(const edri_manager_t *self, const handler_t *handler)
{
    bool gone = true;
    for (edition_t *old = self->ending; old != NULL; old = old->next) {
        const handler_t *twin = edition_handler(old, handler->type->id, false);
        if (twin != NULL && twin->pool != NULL && twin->pool != handler->pool) {
            gone = pool_left(twin->pool) && gone;
        }
    }
    return gone;
}

void
pools_open(edri_manager_t *self)
{
    for (size_t i = 0; i < self->now->handler_count; i++) {
        const handler_t *handler = self->now->handlers[i];
        // One thread keeps the order, so it waits for the one before it.
        if (handler->pool != NULL &&
            (workers_count(handler->workers) > 1 || has_gone(self, handler))) {
            pool_open(handler->pool);
        }
    }
}

bool
pools_left(edition_t *edition)
{
    bool all = true;
    for (size_t i = 0; i < edition->pool_count; i++) {
        all = pool_left(edition->pools[i]) && all;
    }
    return all;
}

// watch looks at the pools of one edition.
static void
watch(edri_manager_t *self, const edition_t *edition, int64_t now_ms)
{
    for (size_t i = 0; i < edition->pool_count; i++) {
        int64_t next_ms = pool_watch(edition->pools[i], now_ms);
        if (next_ms >= 0 && (self->watch_ms < 0 || next_ms < self->watch_ms)) {
            self->watch_ms = next_ms;
        }
    }
}

void
pools_watch(edri_manager_t *self)
{
    int64_t now_ms = clock_ms();
    if (self->watch_ms > now_ms) {
        return;
    }
    self->watch_ms = -1;
    watch(self, self->now, now_ms);
    for (edition_t *old = self->ending; old != NULL; old = old->next) {
        watch(self, old, now_ms);
    }
}

void
pools_end(edri_manager_t *self, edition_t *edition, jobs_t *left)
{
    bool current = edition == self->now;
    if (self->house != NULL && current) {
        house_stop(self->house);
    }
    while (edition->pool_count > 0) {
        pool_destroy(&edition->pools[--edition->pool_count], left);
    }
    for (size_t i = 0; i < edition->handler_count; i++) {
        edition->handlers[i]->pool = NULL;
    }
    if (current) {
        house_destroy(&self->house);
        free(self->inmates);
        self->inmates = NULL;
    }
}
