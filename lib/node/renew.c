// SPDX-License-Identifier: MIT
// renew.c - a manager goes over to new code while it runs.

#include "node/renew.h"

#include "node/used.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "edri/log.h"
#include "node/ask.h"
#include "node/pools.h"
#include "node/tunnel.h"
#include "node/watch.h"
#include "schema/schema.h"

// end_renewal says how it went to whoever asked for it.
static void
end_renewal(edri_manager_t *self, edri_err_t err, const char *text)
{
    edri_port_t *port = self->port;
    self->renewing = false;
    if (err == EDRI_OK) {
        edri_log_info("MANAGER-RELOADED", "manager=%s", self->name);
    } else {
        edri_log_error("MANAGER-RELOAD", "manager=%s error=%s text=\"%s\"",
            self->name, edri_err_name(err), text);
    }
    if (atomic_load(&port->renew) == RENEW_ASKED) {
        port->renew_err = err;
        free(port->renew_text);
        port->renew_text = str_dup(text);
        atomic_store(&port->renew, RENEW_DONE);
        port_ring(port, NULL, 0);
    }
}

// ----- another edition

// settle_job lets a job of another edition be one of the edition in force.
static void
settle_job(job_t *job, void *arg)
{
    const edri_manager_t *self = arg;
    const handler_t *old = job->handler;
    job->handler =
        edition_handler(self->now, old->type->id, old->observe != NULL);
}

static void
settle_entry(agenda_entry_t *entry, void *arg)
{
    settle_job((job_t *)(void *)entry, arg);
}

// settle_jobs does so with all that wait.
static void
settle_jobs(edri_manager_t *self)
{
    agenda_each(self->agenda, settle_entry, self);
    jobs_each(&self->waiting, settle_job, self);
    jobs_each(&self->held, settle_job, self);
    for (size_t i = 0; i < self->now->handler_count; i++) {
        const handler_t *handler = self->now->handlers[i];
        if (handler->pool != NULL) {
            backlog_each(pool_jobs(handler->pool), settle_job, self);
        }
    }
}

// is_over says whether nothing of an edition runs or is waited for.
static bool
is_over(const edri_manager_t *self, edition_t *edition)
{
    return pools_left(edition) && !port_asks_for(self->port, edition->number) &&
           !tunnels_for(self->port, edition->number);
}

// stop_edition lets one go through the end of its life.
static void
stop_edition(edri_manager_t *self, edition_t *edition)
{
    pools_end(self, edition, NULL);
    crew_end(&edition->crew, &edition->worker);
    if (edition->is_ready) {
        edition_call_stopped(edition); // without a port
    }
}

// end_edition ends one whose threads have left, or do so now, and which is in no
// list; the node has nothing of it then.
static void
end_edition(edri_manager_t *self, edition_t *edition)
{
    stop_edition(self, edition);
    settle_jobs(self);
    used_clear(self->port);
    edition_destroy(&edition);
}

// end_editions ends those that are over.
static void
end_editions(edri_manager_t *self)
{
    for (edition_t **at = &self->ending; *at != NULL;) {
        edition_t *edition = *at;
        if (!is_over(self, edition)) {
            at = &edition->next;
            continue;
        }
        *at = edition->next;
        uint32_t number = edition->number;
        end_edition(self, edition);
        edri_log_info("PLUGIN-UNLOADED", "manager=%s edition=%u", self->name,
            (unsigned)number);
    }
}

// same_types says whether what the node knows of the types is what the edition
// says of them, too.
static edri_err_t
same_types(const edri_manager_t *self, const edition_t *edition, char *why,
    size_t why_size)
{
    edri_err_t err = EDRI_OK;
    for (size_t i = 0; i < edition->handler_count && err == EDRI_OK; i++) {
        const edri_type_t *type = edition->handlers[i]->type;
        const typeref_t *ref = shared_map_get(self->node->types, type->id);
        err = schema_same_options(ref->type, type, why, why_size);
    }
    return err;
}

// set_up lets new code set up an edition, and looks whether it may follow.
static edri_err_t
set_up(edri_manager_t *self, edition_t *edition, char *why, size_t why_size)
{
    free(self->error);
    self->error = NULL;
    self->draft = edition;
    edri_manager_t *before = setup_by(self);
    edri_err_t err = library_plugin(edition->library)(self);
    (void)setup_by(before);
    err = edition->err != EDRI_OK ? edition->err : err;
    if (err == EDRI_OK) {
        err = setup_configure(self, edition);
        if (err != EDRI_OK) {
            (void)edri_manager_fail(self, err, "program: " SETUP_PROGRAM);
        }
    }
    self->draft = self->now;
    if (err != EDRI_OK) {
        (void)snprintf(why, why_size, "%s%s%s", edri_err_text(err),
            self->error != NULL ? ": " : "",
            self->error != NULL ? self->error : "");
        return err;
    }
    err = edition_follows(edition, self->now, why, why_size);
    return err == EDRI_OK ? same_types(self, edition, why, why_size) : err;
}

// begin lets an edition begin beside the one in force; its threads take nothing yet.
static edri_err_t
begin(edri_manager_t *self, edition_t *edition, char *why, size_t why_size)
{
    edri_port_t *port = self->port;
    tenant_t before = port_lend(port, &(tenant_t){.edition = edition->number});
    self->failed = "its worker cannot begin";
    edri_err_t err = edition_begin_worker(edition);
    if (err == EDRI_OK) {
        self->failed = "its hook, started, failed";
        err = edition_call_started(edition, port);
        edition->is_ready = err == EDRI_OK;
    }
    edition->tenant = port->tenant;
    port_lend_back(port, &before);
    if (err == EDRI_OK) {
        self->failed = "its threads cannot begin";
        err = pools_start(self, edition, self->now);
    }
    if (err != EDRI_OK) {
        char *text = manager_why(self, err);
        (void)snprintf(why, why_size, "%s", text);
        free(text);
    }
    return err;
}

// exchange puts an edition in force that has begun.
static void
exchange(edri_manager_t *self, edition_t *edition)
{
    edition_t *old = self->now;
    edition_adopt(edition, old);
    self->now = self->draft = edition;
    settle_jobs(self);
    pools_leave(old);
    edition_call_draining(old, self->port);
    self->port->tenant = edition->tenant;
    old->next = self->ending;
    self->ending = old;
    pools_open(self);
}

// leave_off ends an edition that could not begin.
static void
leave_off(edri_manager_t *self, edition_t *edition)
{
    pools_leave(edition);
    settle_jobs(self);
    edition->next = self->ending;
    self->ending = edition;
}

// load_anew goes over to the plugin as it stands in its file now.  Returns EDRI_OK,
// or an error with a text in 'why': then the old one goes on; only what the node has
// heard of types that were new to it stays.
static edri_err_t
load_anew(edri_manager_t *self, char *why, size_t why_size)
{
    library_t *library =
        library_open(library_path(self->now->library), true, why, why_size);
    if (library == NULL) {
        return EDRI_NOT_FOUND;
    }
    edition_t *edition = edition_new(&self->crew, ++self->editions);
    edition->library = library;
    edri_err_t err = set_up(self, edition, why, why_size);
    if (err == EDRI_OK) {
        err = begin(self, edition, why, why_size);
    }
    if (err == EDRI_OK) {
        exchange(self, edition);
    } else {
        leave_off(self, edition);
    }
    // EDRI_INVAL would mean that there is nothing to reload.
    return err == EDRI_INVAL ? EDRI_FAILED : err;
}

// ----- as a whole

// begin_renewal renews what runs in the node, and begins to renew the processes.
static void
begin_renewal(edri_manager_t *self)
{
    char why[512];
    edri_err_t err = EDRI_OK;
    bool here = self->now->library != NULL && edition_lives_here(self->now);
    if (atomic_load(&self->port->drain) != DRAIN_NOT) {
        end_renewal(self, EDRI_DRAINING, "the node is being stopped");
        return;
    }
    if (here) {
        err = load_anew(self, why, sizeof why);
    }
    for (size_t i = 0; i < self->now->pool_count && err == EDRI_OK; i++) {
        self->renewing = pool_renew(self->now->pools[i]) || self->renewing;
    }
    if (err != EDRI_OK) {
        end_renewal(self, err, why);
    } else if (!self->renewing && here) {
        end_renewal(self, EDRI_OK, "");
    } else if (!self->renewing) {
        end_renewal(self, EDRI_INVAL,
            "it is part of the program that runs: plugins, and what runs in "
            "processes ('run = process', 'mode = processes:N'), can be "
            "reloaded");
    }
}

// look_at_renewal begins to renew when somebody wants it, and says when that is
// done.
static void
look_at_renewal(edri_manager_t *self)
{
    bool asked = atomic_load_explicit(
                     &self->port->renew, memory_order_relaxed) == RENEW_ASKED;
    edri_err_t worst = EDRI_OK;
    const char *text = "";
    if (!self->renewing) {
        if (watch_changed(self->watch) || asked) {
            begin_renewal(self);
        }
        return;
    }
    for (size_t i = 0; i < self->now->pool_count; i++) {
        const char *why = NULL;
        edri_err_t err = pool_renewed(self->now->pools[i], &why);
        if (err == EDRI_AGAIN) {
            return;
        }
        text = worst == EDRI_OK && err != EDRI_OK ? why : text;
        worst = worst == EDRI_OK ? err : worst;
    }
    char *said =
        worst != EDRI_OK && self->now->library != NULL &&
                edition_lives_here(self->now)
            ? str_printf("the plugin has gone over in the node, but not "
                         "its processes: %s",
                  text)
            : str_dup(text);
    end_renewal(self, worst, said);
    free(said);
}

void
renew_tend(edri_manager_t *self)
{
    look_at_renewal(self);
    if (self->ending != NULL) {
        // In this order: a thread that leaves in between is seen by the second, or
        // rings; after the last edition has ended nobody looks any more.
        end_editions(self);
        pools_open(self);
    }
}

void
renew_close(edri_manager_t *self)
{
    if (self->renewing && self->port != NULL) {
        end_renewal(self, EDRI_CLOSED, "the manager ends");
    }
    for (edition_t *old = self->ending; old != NULL; old = old->next) {
        stop_edition(self, old);
    }
}
