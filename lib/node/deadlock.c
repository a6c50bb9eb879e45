// SPDX-License-Identifier: MIT
// deadlock.c - requests whose handler waits for them.

#include "node/deadlock.h"

#include <stdio.h>

#include "base/clock.h"
#include "edri/log.h"

// Requests that wait for one another, at most.
#define CHAIN_MAX 64

bool
deadlock_found(edri_node_t *node, uint64_t waited, uint64_t request)
{
    uint64_t life = 0;
    for (int i = 0; i < CHAIN_MAX && life == 0; i++) {
        if (request == waited) {
            return true;
        }
        if (!requests_asker(&node->requests, request, &request, &life)) {
            return false;
        }
    }
    return false;
}

void
deadlock_end(edri_port_t *port, slice_t content, uint64_t waited)
{
    char text[160];
    envelope_t env;
    if (envelope_read(content, &env) != EDRI_OK) {
        counter_add(&port->node->counters, COUNTER_MALFORMED, 1);
        return;
    }
    const char *manager = port->manager != NULL ? port->manager : "";
    const typeref_t *ref = shared_map_get(port->node->types, env.type);
    (void)snprintf(text, sizeof text,
        "the only thread for it, of manager %.60s, waits for what it was asked "
        "for",
        manager);
    counter_add(&port->node->counters, COUNTER_DEADLOCKED, 1);
    edri_log_error("DEADLOCK",
        "manager=%s type=%s request=%016llx waits_for=%016llx", manager,
        ref != NULL ? ref->type->name : "", (unsigned long long)env.id,
        (unsigned long long)waited);
    port_reply(port, &env, 0, EDRI_DEADLOCK, text, NULL, NULL);
}

// is_method says whether the manager's own thread handles a type.
static bool
is_method(const edri_port_t *port, uint64_t type)
{
    for (size_t i = 0; i < port->demand_count; i++) {
        const demand_t *demand = &port->demands[i];
        if (demand->ref->type->id == type && !demand->observer) {
            return !demand->pooled;
        }
    }
    return false;
}

void
deadlock_refuse(edri_port_t *port, const reader_t *at, const envelope_t *env)
{
    uint64_t waited = atomic_load(&port->waits_for);
    if (waited == 0 || envelope_kind(env->flags) != EDRI_REQUEST ||
        at->run->life != 0 || !is_method(port, env->type) ||
        !deadlock_found(port->node, waited, env->id)) {
        return;
    }
    if (port->refused == NULL) {
        port->refused = map_new();
    }
    (void)map_put(port->refused, env->id, port);
    deadlock_end(port, at->content, waited);
}
