// SPDX-License-Identifier: MIT
// retire.c - a manager is closed before its node stops.

#include "node/retire.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "node/tunnel.h"

// gather_load makes jobs of the events of a load; replies are handled.
static void
gather_load(edri_manager_t *self, jobs_t *jobs, bool replies_done)
{
    reader_t at = reader_begin(&self->load);
    envelope_t env;
    while (reader_next(&at, &env)) {
        bool observed = (env.flags & WIRE_OBSERVED) != 0;
        const handler_t *handler =
            edition_handler(self->now, env.type, observed);
        bool reply = envelope_kind(env.flags) == EDRI_REPLY && !observed;
        bool tunnel = envelope_kind(env.flags) == EDRI_TUNNEL;
        if ((reply || tunnel) && !replies_done) {
            (reply ? port_answer : port_tunnel)(self->port, &at);
        }
        if (reply || tunnel || handler == NULL) {
            continue;
        }
        blob_t *blob = at.blob_p != NULL ? *at.blob_p : NULL;
        if (blob != NULL) {
            *at.blob_p = NULL; // moves into the job
        }
        jobs_add(
            jobs, job_new(NULL, handler, &env, at.content, blob, at.run, 0));
    }
    load_reset(&self->load);
}

// take_all moves the jobs of one list behind those of another.
static void
take_all(jobs_t *jobs, jobs_t *from)
{
    job_t *job = jobs_take(from);
    while (job != NULL) {
        job_t *next = job->next;
        jobs_add(jobs, job);
        job = next;
    }
}

// refuse ends a request.
static void
refuse(edri_manager_t *self, const job_t *job, const char *why)
{
    envelope_t env;
    if (envelope_read((slice_t){job->content, job->size}, &env) == EDRI_OK) {
        port_reply(self->port, &env, job->origin.life, EDRI_WORKER_DIED, why,
            NULL, NULL);
    }
}

// is_ours says whether it is an event of this node, of a key: it counts as open until
// it has been placed.
static bool
is_ours(const job_t *job)
{
    const token_t *token = job->origin.token;
    return token != NULL && token->remote == NULL && job->tries == 0;
}

// leave_one lets a job end here, or go on elsewhere: then it is put behind *last.
static job_t **
leave_one(edri_manager_t *self, job_t *job, job_t **last, const char *why)
{
    bool observes = job->handler->observe != NULL;
    bool request = job->handler->type->kind != EDRI_NOTIFICATION;
    bool ours = is_ours(job) && !observes && !request;
    if (!ours && !job->returns && job->origin.token != NULL &&
        job->tries == 0) {
        port_begun(self->port, job->origin.token, 1);
    }
    if (!ours) {
        job->origin.token = NULL; // it may be gone
    }
    job->next = NULL;
    if (observes || request) {
        if (!observes) {
            refuse(self, job, why);
        }
        blob_drop(&job->blob);
        free(job);
        return last;
    }
    *last = job;
    return &job->next;
}

// gather_all takes everything that waits, the oldest first.
static job_t *
gather_all(edri_manager_t *self, jobs_t *ended)
{
    jobs_t jobs;
    bool replies_done = false;
    agenda_entry_t *entry = NULL;
    jobs_init(&jobs);
    take_all(&jobs, &self->held);
    take_all(&jobs, ended);
    take_all(&jobs, &self->waiting);
    while ((entry = agenda_drop(self->agenda)) != NULL) {
        jobs_add(&jobs, (job_t *)(void *)entry);
    }
    while (port_next_load(self->port, &self->load, &replies_done)) {
        gather_load(self, &jobs, replies_done);
    }
    job_t *first = jobs_take(&jobs);
    jobs_clear(&jobs);
    return first;
}

void
retire(edri_manager_t *self, jobs_t *ended, const char *why)
{
    atomic_store(&self->port->why, why);
    port_leave(self->port);
    job_t *first = gather_all(self, ended);
    job_t *orphans = NULL;
    job_t **last = &orphans;
    // Before any is touched: which frames go back as a whole.
    for (job_t *job = first; job != NULL; job = job->next) {
        const token_t *token = job->origin.token;
        // Of one that was begun the token may be gone.
        job->returns = job->tries == 0 && token != NULL &&
                       token->remote != NULL && token_untouched(token);
    }
    while (first != NULL) {
        job_t *next = first->next;
        last = leave_one(self, first, last, why);
        first = next;
    }
    atomic_store(&self->port->orphans, orphans);
}
