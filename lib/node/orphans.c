// SPDX-License-Identifier: MIT
// orphans.c - what a manager has not begun when it is closed before its node
// stops.

#include "node/orphans.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "node/letters.h"
#include "node/remote.h"
#include "node/route.h"
#include "node/work/job.h"

// give_to_other gives an event of this node to another member of the group.
static bool
give_to_other(slot_t *slot, const job_t *job)
{
    router_t *router = slot->router;
    envelope_t env;
    slice_t content = {job->content, job->size};
    if (!slot->left || job->origin.life != 0 || job->tries > 0 ||
        envelope_route(content, &env) != EDRI_OK ||
        !envelope_movable(env.flags)) {
        return false;
    }
    size_t size = 0;
    uint8_t *item = batch_wrap(content, &size);
    bool given =
        route_again(router, route_find(router, env.type), slot->manager,
            (slice_t){item, size}, &env, &job->origin, job->blob, false);
    slots_flush(router); // spans point into the item
    free(item);
    return given;
}

// goes_back says whether the event's source takes it back with its frame.
static bool
goes_back(const slot_t *slot, const job_t *job)
{
    const remote_t *source = map_get(slot->router->remotes, job->origin.life);
    return job->returns && job->movable && source != NULL &&
           source->gone_ms == 0;
}

// place sees to one.
static void
place(slot_t *slot, const job_t *job)
{
    edri_node_t *node = slot->router->node;
    if (goes_back(slot, job) || give_to_other(slot, job)) {
        counter_add(&node->counters, COUNTER_RETURNED, 1);
        return;
    }
    size_t dropped = letters_add(
        &node->letters, job, EDRI_WORKER_DIED, atomic_load(&slot->port->why));
    counter_add(&node->counters, COUNTER_LETTERS, 1);
    counter_add(&node->counters, COUNTER_LETTERS_DROPPED, dropped);
    drops_note(&node->drops, 0, NULL, "dead letters", EDRI_OVERLOADED, dropped);
}

// give_back returns the frames that nobody has begun.
static void
give_back(slot_t *slot)
{
    router_t *router = slot->router;
    token_t *token = router->tokens->open;
    while (token != NULL) {
        token_t *next = token->next;
        remote_t *remote = token->remote;
        if (remote != NULL && token->target == slot->number &&
            token_untouched(token)) {
            flow_in_t *in = &remote->in[token->lane];
            if (remote->gone_ms == 0) {
                flow_in_return(in, token->target, token->record);
            } else {
                flow_in_done(in, token->target, token->record);
            }
            remote->movable -= token->movable;
            remote->tell_ms = router->now_ms;
            remote_due(remote, remote->tell_ms);
            token_free(router->tokens, token);
        }
        token = next;
    }
}

static job_t *
take(edri_port_t *port)
{
    job_t *job = atomic_load(&port->orphans);
    if (job != NULL) {
        atomic_store(&port->orphans, job->next);
    }
    return job;
}

void
orphans_place(slot_t *slot)
{
    router_t *router = slot->router;
    handing_t before = router->handing;
    job_t *job = NULL;
    router->handing = HAND_SENT; // older than what waits of the same key
    while ((job = take(slot->port)) != NULL) {
        token_t *token = job->origin.token; // of a key: open until now
        job->origin.token = NULL;
        place(slot, job);
        if (token != NULL) {
            (void)token_begun(router->tokens, token, 1);
        }
        blob_drop(&job->blob);
        free(job);
    }
    router->handing = before;
    if (slot->left) {
        give_back(slot);
    }
}

void
orphans_drop(edri_port_t *port)
{
    job_t *job = NULL;
    while ((job = take(port)) != NULL) {
        counter_add(&port->node->counters, COUNTER_LOST, 1);
        blob_drop(&job->blob);
        free(job);
    }
}
