// SPDX-License-Identifier: MIT
// health.c - how the managers of this node are: probes, and what tools ask.

#include "node/health.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "edri/log.h"
#include "node/faults.h"
#include "node/link_words.h"
#include "node/system.h"

// is_probed says whether a port belongs to a manager of this process.
static bool
is_probed(const slot_t *slot)
{
    return !slot->ipc && slot->manager != NULL;
}

// probe puts an envelope into the manager's queue that asks for nothing: its
// port says that it has come by (port_answer).
static void
probe(slot_t *slot, int64_t now_ms)
{
    envelope_t env = {.id = (uint64_t)now_ms,
        .flags = envelope_flags(EDRI_REPLY, EDRI_ONE, 3)};
    uint8_t room[64];
    size_t size = envelope_size(&env, 0);
    edri_assert(size <= sizeof room);
    (void)envelope_write(&env, 0, room, size);
    slot->probe_size = size;
    slot_give(slot, (slice_t){room, size}, &env, &(run_t){0}, NULL);
    slots_flush(slot->router);
}

static void
tell(slot_t *slot)
{
    const health_t *health = &slot->health;
    router_t *router = slot->router;
    char why[200];
    edri_log_warn("MANAGER-STATE", "manager=%s state=%s since_ms=%lld",
        slot->manager, health_name(health->state),
        (long long)(router->now_ms - health->since_ms));
    if (health->state == HEALTH_STUCK) {
        (void)snprintf(why, sizeof why,
            "nothing has gone on for %lld ms; %zu bytes wait",
            (long long)(router->now_ms - health->since_ms), slot_used(slot));
        system_manager(router, slot->manager, health_name(health->state), why);
        slot->told_stuck = true;
        atomic_store(&slot->port->stuck, true); // it may have a process to end
        slot_ring(slot, 0);
    } else if (health->state == HEALTH_OK && slot->told_stuck) {
        system_manager(router, slot->manager, NULL, NULL);
        slot->told_stuck = false;
    }
}

void
health_tick(router_t *router)
{
    const limits_t *limits = &router->node->limits;
    const health_times_t times = {
        limits->probe_ms, limits->slow_ms, limits->stuck_ms};
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->slots, &cursor, NULL, &value)) {
        slot_t *slot = value;
        health_t *health = &slot->health;
        if (!is_probed(slot)) {
            continue;
        }
        if (atomic_load(&slot->port->probed) == (uint64_t)health->asked_ms) {
            health_answered(health, atomic_load(&slot->port->probed_ms));
            slot->probe_bytes += slot->probe_size;
            slot->probe_size = 0;
        }
        // Probes that come by are no work that goes on.
        bool busy = slot_used(slot) > slot->probe_size;
        uint64_t progress = box_released(slot->port->in) - slot->probe_bytes;
        if (health_look(health, &times, busy, progress, router->now_ms)) {
            tell(slot);
        }
        if (health_ask(health, &times, router->now_ms)) {
            probe(slot, health->asked_ms);
        }
    }
}

// closed_t is a manager that has been closed.
struct closed {
    struct closed *next;
    char *manager;
    char *why;
    int64_t since_ms;
    int64_t at_us;
};

void
health_closed(router_t *router, const char *manager, const char *why)
{
    struct closed *closed = mem_new(sizeof *closed);
    *closed = (struct closed){.next = router->closed,
        .manager = str_dup(manager),
        .why = str_dup(why),
        .since_ms = router->now_ms,
        .at_us = clock_unix_us()};
    router->closed = closed;
    system_manager(router, manager, health_name(HEALTH_DEAD), why);
}

const char *
health_closed_why(const router_t *router, const char *manager)
{
    const struct closed *at = router->closed;
    while (at != NULL && !streq(at->manager, manager)) {
        at = at->next;
    }
    return at != NULL ? at->why : NULL;
}

void
health_clear(router_t *router)
{
    while (router->closed != NULL) {
        struct closed *next = router->closed->next;
        free(router->closed->manager);
        free(router->closed->why);
        free(router->closed);
        router->closed = next;
    }
}

// ----- for tools

// closed_row tells of a manager that was closed, and why, as its newest fault.
static Edri__Link__HealthInfo *
closed_row(const router_t *router, const struct closed *closed)
{
    Edri__Link__HealthInfo *row = mem_new(sizeof *row);
    Edri__Link__FaultInfo *fault = mem_new(sizeof *fault);
    edri__link__health_info__init(row);
    edri__link__fault_info__init(fault);
    row->manager = str_dup(closed->manager);
    row->state = str_dup(health_name(HEALTH_DEAD));
    row->since_ms = (uint64_t)(router->now_ms - closed->since_ms);
    fault->type = str_dup("");
    fault->error = EDRI_WORKER_DIED;
    fault->text = str_dup(closed->why);
    fault->at_us = (uint64_t)closed->at_us;
    row->faults = mem_new(sizeof *row->faults);
    row->faults[row->n_faults++] = fault;
    return row;
}

static void
add_faults(Edri__Link__HealthInfo *row, faults_t *faults)
{
    fault_t list[FAULTS_MAX];
    size_t count = faults_copy(faults, list);
    row->faults = mem_new((count + 1) * sizeof *row->faults);
    for (size_t i = 0; i < count; i++) {
        Edri__Link__FaultInfo *fault = mem_new(sizeof *fault);
        edri__link__fault_info__init(fault);
        fault->type = str_dup(list[i].type);
        fault->error = list[i].err;
        fault->text = str_dup(list[i].text);
        fault->at_us = (uint64_t)list[i].at_us;
        row->faults[row->n_faults++] = fault;
    }
}

static Edri__Link__HealthInfo *
make_row(const slot_t *slot)
{
    const health_t *health = &slot->health;
    int64_t now_ms = slot->router->now_ms;
    Edri__Link__HealthInfo *row = mem_new(sizeof *row);
    edri__link__health_info__init(row);
    row->manager = str_dup(slot->manager);
    row->state = str_dup(health_name(health->state));
    row->since_ms = (uint64_t)(now_ms - health->since_ms);
    row->delay_ms = (uint64_t)(health->asked_ms != 0 ? now_ms - health->asked_ms
                                                     : health->delay_ms);
    row->bytes = slot_used(slot);
    add_faults(row, slot->port->faults);
    return row;
}

void
health_answer(link_t *link, uint64_t number)
{
    router_t *router = link->router;
    Edri__Link__Answer *answer = mem_new(sizeof *answer);
    edri__link__answer__init(answer);
    answer->number = number;
    answer->life = router->node->life;
    answer->name = str_dup(router->node->name);
    size_t most = map_size(router->slots);
    for (const struct closed *at = router->closed; at != NULL; at = at->next) {
        most++;
    }
    answer->health = mem_new((most + 1) * sizeof *answer->health);
    health_tick(router); // as of now
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->slots, &cursor, NULL, &value)) {
        if (is_probed(value)) {
            answer->health[answer->n_health++] = make_row(value);
        }
    }
    for (const struct closed *at = router->closed; at != NULL; at = at->next) {
        answer->health[answer->n_health++] = closed_row(router, at);
    }
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_ANSWER;
    word.answer = answer;
    link_say(link, &word);
    edri__link__answer__free_unpacked(answer, NULL);
}
