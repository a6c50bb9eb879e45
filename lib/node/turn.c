// SPDX-License-Identifier: MIT
// turn.c - what a manager's thread runs next.

#include "node/turn.h"

#include "base/clock.h"
#include "node/deadlock.h"
#include "node/tunnel.h"
#include "node/work/pool.h"

// How much of a load is worked off before its room is given back.
#define RELEASE_STEP ((size_t)16 * 1024)

// Events of a load that are put into a pool at once, at most: its threads begin.
#define GIVEN_MAX 32

// Jobs that are done before fences are looked at again.
#define TURN_MAX 64

// ----- begun

// tell_begun tells the router of the events that were begun.
static void
tell_begun(edri_manager_t *self)
{
    if (self->token != NULL) {
        port_begun(self->port, self->token, self->begun);
        self->token = NULL;
        self->begun = 0;
    }
}

// begin counts an event of a frame as begun; 'last' is the last one of a run,
// whose handler may take long.
static void
begin(edri_manager_t *self, token_t *token, bool last)
{
    if (token != self->token) {
        tell_begun(self);
        self->token = token;
    }
    self->begun++;
    if (last) {
        tell_begun(self);
    }
}

// ----- jobs: what cannot be run at once

// put_given puts what was given to a pool there.
static void
put_given(edri_manager_t *self)
{
    if (self->given != NULL) {
        pool_put(self->given_to, self->given);
        self->given = NULL;
        self->given_count = 0;
    }
}

// give_pool gives a pool an event to do: several of a row are put there at once.
static void
give_pool(edri_manager_t *self, pool_t *pool, job_t *job)
{
    if (self->given != NULL && self->given_to != pool) {
        put_given(self);
    }
    job->next = NULL;
    if (self->given != NULL) {
        self->given_last->next = job;
    } else {
        self->given = job;
    }
    self->given_last = job;
    self->given_to = pool;
    if (++self->given_count == GIVEN_MAX) {
        put_given(self);
    }
}

// give_job gives the thread or a pool an event to do later.
static void
give_job(edri_manager_t *self, job_t *job, int64_t now_ms)
{
    job->missed = port_missed(self->port);
    if (job->handler->pool != NULL) {
        give_pool(self, job->handler->pool, job);
    } else {
        agenda_put(self->agenda, &job->entry, job->priority, now_ms);
    }
}

void
turn_resume(edri_manager_t *self)
{
    job_t *lists[] = {jobs_take(&self->held), jobs_take(&self->waiting)};
    for (int i = 0; i < 2; i++) {
        job_t *job = lists[i];
        while (job != NULL) {
            job_t *next = job->next;
            const handler_t *old = job->handler; // it may be of a past edition
            job->handler =
                edition_handler(self->now, old->type->id, old->observe != NULL);
            if (job->handler->pool != NULL) {
                pool_again(job->handler->pool, job);
            } else {
                agenda_again(self->agenda, &job->entry);
            }
            job = next;
        }
    }
}

// new_task is a task of the manager's own thread.
static edri_task_t
new_task(const edri_manager_t *self, const handler_t *handler)
{
    return (edri_task_t){.port = self->port,
        .crew = &self->now->crew,
        .worker = self->now->worker,
        .handler = handler,
        .arena = self->arena};
}

// end_try delays a job that must be tried again, or ends it.
static void
end_try(edri_manager_t *self, job_t *job, bool again, int64_t due_ms)
{
    if (again) {
        agenda_delay(self->agenda, &job->entry, due_ms);
    } else {
        agenda_done(self->agenda, &job->entry);
        job_end(job, self->port, self->port->in);
    }
}

// do_job runs one that was taken from the agenda, unless its fence holds it back
// or its source has given it to another.
static void
do_job(edri_manager_t *self, job_t *job)
{
    bool first = job->origin.token != NULL && job->tries == 0;
    token_may_t may =
        first ? jobs_hold(&self->waiting, job, &self->clock) : TOKEN_BEGIN;
    int64_t due_ms = 0;
    if (may == TOKEN_HOLD) {
        return;
    }
    if (may == TOKEN_GONE) {
        counter_add(&self->node->counters, COUNTER_WITHDRAWN, 1);
        agenda_done(self->agenda, &job->entry);
        job_drop(job, self->port, self->port->in);
        return;
    }
    job->origin.redelivered = job->origin.redelivered || may == TOKEN_MARKED;
    if (first) {
        port_begun(self->port, job->origin.token, 1);
    }
    edri_task_t task = new_task(self, job->handler);
    bool again = job_run(job, &task, &due_ms);
    end_try(self, job, again, due_ms);
}

bool
turn_next(edri_manager_t *self)
{
    size_t count = 0;
    agenda_entry_t *entry = NULL;
    while (count < TURN_MAX && agenda_next(self->agenda) != INT64_MAX &&
           !atomic_load_explicit(&self->port->stop, memory_order_relaxed) &&
           (entry = agenda_take(self->agenda, clock_ms())) != NULL) {
        do_job(self, (job_t *)(void *)entry);
        count++;
        if (port_has_load(self->port)) {
            break;
        }
    }
    return count > 0;
}

// ----- events

// copy_job makes a job of the event just read, with its attachment.
static job_t *
copy_job(edri_manager_t *self, const handler_t *handler, const reader_t *at,
    const envelope_t *env, const run_t *origin, size_t weight)
{
    blob_t *blob = at->blob_p != NULL ? *at->blob_p : NULL;
    if (at->blob_p != NULL) {
        *at->blob_p = NULL; // moves into the job
    }
    return job_new(
        &self->spares, handler, env, at->content, blob, origin, weight);
}

// is_next says whether an event may be run before all that waits here: nothing
// does, and none is more urgent than another.
static bool
is_next(const edri_manager_t *self)
{
    return !self->ranked && agenda_count(self->agenda) == 0 &&
           self->waiting.first == NULL;
}

// run_now runs a method.  Returns the bytes that are done with: 0 when the event
// must be tried again.
static size_t
run_now(edri_manager_t *self, const handler_t *handler, const reader_t *at,
    const envelope_t *env, const run_t *origin, size_t weight, int64_t now_ms)
{
    blob_t *blob = at->blob_p != NULL ? *at->blob_p : NULL;
    edri_task_t task = new_task(self, handler);
    task.missed = port_missed(self->port);
    task.last = reader_last(at) && !port_has_load(self->port);
    edri_err_t err = task_run(&task, at->content, blob, origin, now_ms);
    size_t done = weight;
    if (err != EDRI_OK) {
        int64_t due_ms = 0;
        job_t *job = copy_job(self, handler, at, env, origin, weight);
        bool again = job_again(job, &task, err, &due_ms);
        agenda_put(self->agenda, &job->entry, job->priority, now_ms);
        (void)agenda_take(self->agenda, now_ms); // nothing else is in it
        end_try(self, job, again, due_ms);
        done = 0;
    }
    task_end(&task);
    return done;
}

// run_first runs a method for an event that need not wait, unless its source has
// given it to another, or its fence holds it back.
static size_t
run_first(edri_manager_t *self, const handler_t *handler, const reader_t *at,
    const envelope_t *env, size_t weight, int64_t now_ms)
{
    run_t origin = *at->run;
    token_t *token = origin.token;
    bool movable = token != NULL && envelope_movable(env->flags);
    token_may_t may = movable ? token_may(token, &self->clock) : TOKEN_BEGIN;
    if (may == TOKEN_HOLD) {
        give_job(
            self, copy_job(self, handler, at, env, &origin, weight), now_ms);
        return 0;
    }
    origin.redelivered = origin.redelivered || may == TOKEN_MARKED;
    if (token != NULL) {
        begin(self, token, at->rest.len == 0);
    }
    if (may == TOKEN_GONE) {
        counter_add(&self->node->counters, COUNTER_WITHDRAWN, 1);
        return weight;
    }
    return run_now(self, handler, at, env, &origin, weight, now_ms);
}

// is_deadlocked says whether an event has ended because the only thread for it
// waits for it.
static bool
is_deadlocked(edri_manager_t *self, const handler_t *handler,
    const reader_t *at, const envelope_t *env)
{
    bool local =
        at->run->life == 0 && envelope_kind(env->flags) == EDRI_REQUEST;
    if (handler->pool == NULL) {
        return self->port->refused != NULL && local &&
               map_take(self->port->refused, env->id) != NULL;
    }
    uint64_t waited = pool_waits_for(handler->pool);
    bool found =
        waited != 0 && local && deadlock_found(self->node, waited, env->id);
    if (found) {
        deadlock_end(self->port, at->content, waited);
    }
    return found;
}

// dispatch gives one event to its handler.  Returns the bytes that are done
// with: 0 when it waits for its turn.
static size_t
dispatch(edri_manager_t *self, const reader_t *at, const envelope_t *env,
    int64_t now_ms)
{
    bool observed = (env->flags & WIRE_OBSERVED) != 0;
    handler_t *handler = edition_handler(self->now, env->type, observed);
    size_t weight = at->item.len;
    if (at->blob_p != NULL) {
        weight += blob_size(*at->blob_p);
    }
    if (handler == NULL || is_deadlocked(self, handler, at, env)) {
        counter_add(&self->node->counters, COUNTER_DENIED, handler == NULL);
        if (at->run->token != NULL) {
            begin(self, at->run->token, at->rest.len == 0);
        }
        return weight;
    }
    if (handler->pool == NULL && is_next(self)) {
        put_given(self); // it may take long
        return run_first(self, handler, at, env, weight, now_ms);
    }
    give_job(self, copy_job(self, handler, at, env, at->run, weight), now_ms);
    return 0;
}

// hear_tunnels reads what is said in tunnels, before a method of the same load can
// wait: what comes behind it must find them as they are.
static void
hear_tunnels(edri_manager_t *self)
{
    reader_t at = reader_begin(&self->load);
    envelope_t env;
    while (reader_next(&at, &env)) {
        if (envelope_kind(env.flags) == EDRI_TUNNEL) {
            port_tunnel(self->port, &at);
        }
    }
}

void
turn_load(edri_manager_t *self)
{
    reader_t at = reader_begin(&self->load);
    envelope_t env;
    size_t done = 0;
    int64_t now_ms = clock_ms();
    self->ranked = atomic_load(&self->port->ranked);
    if (!self->replies_done &&
        (map_size(self->port->tunnels) > 0 || self->port->openings > 0)) {
        hear_tunnels(self);
    }
    // What is left when the node stops goes back to where it came from.
    while (!atomic_load_explicit(&self->port->stop, memory_order_relaxed) &&
           reader_next(&at, &env)) {
        bool tunnel = envelope_kind(env.flags) == EDRI_TUNNEL;
        bool reply = envelope_kind(env.flags) == EDRI_REPLY &&
                     (env.flags & WIRE_OBSERVED) == 0;
        if (reply || tunnel) { // tunnels have been heard, or there are none
            if (reply && !self->replies_done) {
                put_given(self); // its callback may take long
                port_answer(self->port, &at);
            }
            done += at.item.len;
            done += at.blob_p != NULL ? blob_size(*at.blob_p) : 0;
        } else {
            // Handlers may take long: what came with ttl is judged anew.
            done +=
                dispatch(self, &at, &env, env.ttl_ms > 0 ? clock_ms() : now_ms);
        }
        if (done >= RELEASE_STEP) {
            port_release(self->port, self->port->in, done);
            done = 0;
        }
    }
    put_given(self);
    tell_begun(self);
    if (done > 0) {
        port_release(self->port, self->port->in, done);
    }
    load_reset(&self->load);
    if (self->port->heard != NULL) {
        tunnels_call(self->port);
    }
}
