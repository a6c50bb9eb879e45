// SPDX-License-Identifier: MIT
// ipc.c - ports of other processes.

#include "node/ipc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "edri/log.h"
#include "node/parts.h"
#include "node/replay.h"
#include "node/system.h"

// Messages read in one wake-up; counted frames untaken by a process.
#define READ_MAX 64
#define WINDOW   8

#define PORTS_MAX 1024

edri_err_t
ipc_bind(router_t *router)
{
    const char *endpoint = settings_text(router->node->settings, "node.ipc");
    if (endpoint[0] == '\0') {
        return EDRI_OK;
    }
    int zero = 0;
    int one = 1;
    int hwm = 1024;
    int64_t largest = WIRE_BODY_MAX;
    router->ipc = zmq_socket(router->node->zmq, ZMQ_ROUTER);
    bool fine =
        router->ipc != NULL &&
        zmq_setsockopt(router->ipc, ZMQ_LINGER, &zero, sizeof zero) == 0 &&
        zmq_setsockopt(router->ipc, ZMQ_SNDHWM, &hwm, sizeof hwm) == 0 &&
        zmq_setsockopt(router->ipc, ZMQ_RCVHWM, &hwm, sizeof hwm) == 0 &&
        zmq_setsockopt(router->ipc, ZMQ_MAXMSGSIZE, &largest, sizeof largest) ==
            0 &&
        zmq_setsockopt(router->ipc, ZMQ_ROUTER_MANDATORY, &one, sizeof one) ==
            0 &&
        zmq_bind(router->ipc, endpoint) == 0;
    if (fine) {
        ear_open(&router->ipc_ear, router->ipc);
    }
    return fine ? EDRI_OK : EDRI_SYSTEM;
}

void
ipc_close(router_t *router)
{
    if (router->ipc != NULL) {
        zmq_close(router->ipc);
        router->ipc = NULL;
    }
}

// ----- sending

// send_to begins a message to a process.  Returns false when it has gone.
static bool
send_to(router_t *router, const uint8_t *routing, size_t size,
    const head_t *head, bool more)
{
    ear_touch(&router->ipc_ear);
    if (zmq_send(router->ipc, routing, size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        return false;
    }
    zmq_msg_t message;
    (void)zmq_msg_init_size(&message, head_size(head));
    (void)head_write(head, zmq_msg_data(&message));
    if (zmq_msg_send(&message, router->ipc,
            ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0) {
        (void)zmq_msg_close(&message);
        return false;
    }
    return true;
}

static bool
send_head(slot_t *slot, head_t *head, bool more)
{
    head->taken = slot->received;
    slot->told = slot->received;
    return send_to(slot->router, slot->routing, slot->routing_size, head, more);
}

static bool
say(slot_t *slot, control_t *word)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    head.control = &word;
    head.n_control = 1;
    return send_head(slot, &head, false);
}

// answer says a word to a process that is no port.
static void
answer(router_t *router, const uint8_t *routing, size_t size, control_t *word)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    head.control = &word;
    head.n_control = 1;
    (void)send_to(router, routing, size, &head, false);
}

static bool
send_chunk(slot_t *slot)
{
    router_t *router = slot->router;
    chunk_t *chunk = outq_take(&slot->queue);
    head_t head = EDRI__WIRE__HEAD__INIT;
    const run_t *origin = &chunk->origin;
    int64_t age = origin->base_ms > 0 ? router->now_ms - origin->base_ms : 0;
    head.from = origin->life != 0 ? origin->life : router->node->life;
    head.lane = EDRI__WIRE__LANE__EVENT;
    head.age_ms = age > 0 ? (uint32_t)age : 0;
    head.types = chunk->types;
    head.n_types = chunk->type_count;
    bool sent = send_head(slot, &head, true);
    if (sent) {
        slot->sent++;
        counter_add(&router->node->counters, COUNTER_DELIVERED, chunk->events);
        zmq_msg_t part;
        part_of_batch(&part, chunk);
        (void)zmq_msg_send(&part, router->ipc,
            ZMQ_DONTWAIT | (chunk->blob != NULL ? ZMQ_SNDMORE : 0));
        if (chunk->blob != NULL) {
            part_of_blob(&part, chunk->blob, 0, blob_size(chunk->blob));
            (void)zmq_msg_send(&part, router->ipc, ZMQ_DONTWAIT);
        }
    }
    outq_put(&slot->flying, chunk);
    return sent;
}

// may_go says whether the first chunk may be handed to the process now; one
// that its source has given to another is dropped.
static bool
may_go(slot_t *slot)
{
    router_t *router = slot->router;
    chunk_t *chunk = slot->queue.first;
    const token_t *token = chunk != NULL ? chunk->origin.token : NULL;
    while (token != NULL && chunk->keep) {
        clock_tick_t clock = {0};
        token_may_t may = token_may(token, &clock);
        if (may == TOKEN_BEGIN || may == TOKEN_MARKED) {
            return true;
        }
        if (may == TOKEN_HOLD) {
            return false;
        }
        counter_add(&router->node->counters, COUNTER_WITHDRAWN, chunk->events);
        chunk = outq_take(&slot->queue);
        slot_chunk_done(slot, &chunk);
        chunk = slot->queue.first;
        token = chunk != NULL ? chunk->origin.token : NULL;
    }
    return chunk != NULL;
}

// detach ends a port: its process has gone, or said BYE.
static void
detach(slot_t *slot, const char *why)
{
    router_t *router = slot->router;
    edri_log_info("PORT-GONE", "number=%u manager=%s why=\"%s\"", slot->number,
        slot->manager != NULL ? slot->manager : "", why);
    (void)list_remove(&router->ipc_slots, slot);
    links_demand(router, slot, false);
    slot_detach(slot);
}

// beat sends a heartbeat when it is time: a process that has died is seen when
// a message cannot be sent, and nothing else may be on its way to it.
static bool
beat(slot_t *slot)
{
    Edri__Link__Heartbeat heartbeat = EDRI__LINK__HEARTBEAT__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    heartbeat.number = ++slot->beats;
    word.word_case = EDRI__LINK__CONTROL__WORD_HEARTBEAT;
    word.heartbeat = &heartbeat;
    return say(slot, &word);
}

int64_t
ipc_next(const router_t *router)
{
    return router->ipc_slots.count > 0 ? router->ipc_beat_ms : INT64_MAX;
}

void
ipc_flush(router_t *router)
{
    if (router->ipc == NULL) {
        return;
    }
    bool beats = router->now_ms >= router->ipc_beat_ms;
    if (beats) {
        router->ipc_beat_ms =
            router->now_ms +
            settings_int(router->node->settings, "link.heartbeat");
    }
    for (size_t i = router->ipc_slots.count; i > 0; i--) {
        slot_t *slot = router->ipc_slots.items[i - 1];
        bool alive = true;
        while (alive && slot->sent - slot->taken < WINDOW && may_go(slot)) {
            alive = send_chunk(slot);
        }
        if (alive && slot->received != slot->told) {
            head_t head = EDRI__WIRE__HEAD__INIT;
            alive = send_head(slot, &head, false);
        }
        alive = alive && (!beats || beat(slot));
        if (!alive) {
            if (slot->manager != NULL) {
                system_manager(router, slot->manager, health_name(HEALTH_DEAD),
                    "its process has ended");
            }
            detach(slot, "its process has ended");
        }
    }
}

void
ipc_cancel(router_t *router, uint64_t life, const uint64_t *ids, size_t count)
{
    for (size_t i = 0; i < router->ipc_slots.count; i++) {
        slot_t *slot = router->ipc_slots.items[i];
        if (map_size(slot->handles) > 0) {
            head_t head = EDRI__WIRE__HEAD__INIT;
            head.from = life != 0 ? life : router->node->life;
            head.cancels = (uint64_t *)(uintptr_t)ids;
            head.n_cancels = count;
            (void)send_head(slot, &head, false);
        }
    }
}

// ----- receiving

static slot_t *
find_slot(const router_t *router, const uint8_t *routing, size_t size)
{
    for (size_t i = 0; i < router->ipc_slots.count; i++) {
        slot_t *slot = router->ipc_slots.items[i];
        if (slot->routing_size == size &&
            memcmp(slot->routing, routing, size) == 0) {
            return slot;
        }
    }
    return NULL;
}

static uint16_t
free_number(router_t *router)
{
    uint16_t number = 0;
    do {
        uint32_t serial = atomic_fetch_add(&router->node->next_serial, 1);
        number = (uint16_t)(serial % 65535 + 1);
    } while (map_get(router->slots, number) != NULL ||
             shared_map_get(router->node->ports, number) != NULL);
    return number;
}

static void
refuse(router_t *router, const uint8_t *routing, size_t size, edri_err_t err,
    const char *why)
{
    char text[128];
    Edri__Link__Refused refused = EDRI__LINK__REFUSED__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    (void)snprintf(text, sizeof text, "%s", why);
    refused.error = err;
    refused.text = text;
    word.word_case = EDRI__LINK__CONTROL__WORD_REFUSED;
    word.refused = &refused;
    answer(router, routing, size, &word);
}

// welcome answers HELLO; a guest, which only looks, has no number.
static void
welcome(router_t *router, const uint8_t *routing, size_t size, uint64_t number)
{
    Edri__Link__Welcome welcomed = EDRI__LINK__WELCOME__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    welcomed.version = 1;
    welcomed.life = router->node->life;
    welcomed.session = number;
    word.word_case = EDRI__LINK__CONTROL__WORD_WELCOME;
    word.welcome = &welcomed;
    answer(router, routing, size, &word);
}

static void
on_hello(router_t *router, const uint8_t *routing, size_t size,
    const Edri__Link__Hello *hello)
{
    const char *wrong =
        hello->version != 1        ? "this node speaks version 1"
        : strlen(hello->node) > 64 ? "a name has at most 64 characters"
        : router->ipc_slots.count >= PORTS_MAX ? "too many ports"
                                               : NULL;
    if (wrong != NULL) {
        edri_log_warn("PORT-REFUSED", "version=%u ports=%zu why=\"%s\"",
            hello->version, router->ipc_slots.count, wrong);
        refuse(router, routing, size, EDRI_INVAL, wrong);
        return;
    }
    if (hello->guest) {
        bool ready = router->told_ready || router->link_count == 0;
        if (ready && !router->draining) {
            welcome(router, routing, size, 0);
        } else {
            refuse(router, routing, size, EDRI_STATE,
                router->draining ? "the node is shutting down"
                                 : "the node is not ready yet");
        }
        return;
    }
    slot_t *slot = mem_new(sizeof *slot);
    slot->ipc = true;
    slot_init(slot, router);
    slot->number = free_number(router);
    slot->manager = hello->node[0] != '\0' ? str_dup(hello->node) : NULL;
    slot->routing_size = size;
    memcpy(slot->routing, routing, size);
    (void)map_put(router->slots, slot->number, slot);
    list_add(&router->ipc_slots, slot);
    welcome(router, routing, size, slot->number);
}

// on_stranger handles the first words of a process.
static void
on_stranger(
    router_t *router, const uint8_t *routing, size_t size, const head_t *head)
{
    Edri__Link__Control__WordCase first =
        head->n_control > 0 ? head->control[0]->word_case
                            : EDRI__LINK__CONTROL__WORD__NOT_SET;
    if (first == EDRI__LINK__CONTROL__WORD_HELLO) {
        on_hello(router, routing, size, head->control[0]->hello);
    } else if (first != EDRI__LINK__CONTROL__WORD_BYE) {
        Edri__Link__Who who = EDRI__LINK__WHO__INIT;
        control_t word = EDRI__LINK__CONTROL__INIT;
        word.word_case = EDRI__LINK__CONTROL__WORD_WHO;
        word.who = &who;
        answer(router, routing, size, &word);
        counter_add(&router->node->counters, COUNTER_DENIED, 1);
    }
}

// wish_of notes what a process wants to be given of the past.
static void
wish_of(slot_t *slot, const route_t *route, const ProtobufCBinaryData *bytes)
{
    Edri__Link__Replay *replay =
        bytes->len > 0
            ? edri__link__replay__unpack(NULL, bytes->len, bytes->data)
            : NULL;
    if (replay != NULL) {
        replay_wish(slot, route, replay->age_ms);
        edri__link__replay__free_unpacked(replay, NULL);
    } else if (bytes->len > 0) {
        counter_add(&slot->router->node->counters, COUNTER_MALFORMED, 1);
    }
}

static void
on_demand(slot_t *slot, const Edri__Link__Demand *demand)
{
    router_t *router = slot->router;
    Edri__Link__InForce in_force = EDRI__LINK__IN_FORCE__INIT;
    Edri__Link__Refusal refusal = EDRI__LINK__REFUSAL__INIT;
    Edri__Link__Refusal *refused[] = {&refusal};
    char text[] = "a port without a name cannot demand";
    for (size_t i = 0; i < demand->n_add && slot->manager != NULL; i++) {
        const Edri__Link__Wanted *wanted = demand->add[i];
        bool observer = wanted->role == EDRI__LINK__ROLE__OBSERVER;
        route_t *route = route_find(router, wanted->type);
        (void)map_put(
            observer ? slot->observes : slot->handles, route->type, route);
        wish_of(slot, route, &wanted->replay);
        route_add(router, route, observer, (member_t){.slot = slot}, 0);
    }
    for (size_t i = 0; i < demand->n_remove; i++) {
        const Edri__Link__Wanted *wanted = demand->remove[i];
        bool observer = wanted->role == EDRI__LINK__ROLE__OBSERVER;
        route_t *route =
            map_take(observer ? slot->observes : slot->handles, wanted->type);
        if (route != NULL) {
            route_remove(router, route, observer, slot, NULL, 0);
            links_withdraw(router, slot, route, observer);
        }
    }
    if (slot->manager == NULL && demand->n_add > 0) {
        refusal.type = demand->add[0]->type;
        refusal.error = EDRI_DENIED;
        refusal.text = text;
        in_force.refused = refused;
        in_force.n_refused = 1;
    }
    in_force.generation = demand->generation;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_IN_FORCE;
    word.in_force = &in_force;
    links_demand(router, slot, true);
    (void)say(slot, &word);
}

static void
close_message(void *hint)
{
    zmq_msg_t *message = hint;
    (void)zmq_msg_close(message);
    free(message);
}

// events_in routes what a port emitted.
static void
events_in(slot_t *slot, const head_t *head, zmq_msg_t *parts, size_t count)
{
    router_t *router = slot->router;
    slice_t rest = {zmq_msg_data(&parts[0]), zmq_msg_size(&parts[0])};
    run_t run = {.base_ms = router->now_ms - head->age_ms};
    slice_t item;
    slice_t content;
    envelope_t env;
    size_t next = 1;
    bool fine = true;
    while (fine && batch_next(&rest, &item, &content)) {
        fine = envelope_route(content, &env) == EDRI_OK &&
               (env.id >> 48 == slot->number ||
                   envelope_kind(env.flags) == EDRI_REPLY) &&
               item.len <= WIRE_BATCH_MAX &&
               ((env.flags & WIRE_ATTACHED) == 0 || next < count);
        if (!fine) {
            break;
        }
        blob_t *blob = NULL;
        if ((env.flags & WIRE_ATTACHED) != 0) {
            zmq_msg_t *message = mem_new(sizeof *message);
            (void)zmq_msg_init(message);
            (void)zmq_msg_move(message, &parts[next++]);
            blob = blob_wrap(zmq_msg_data(message), zmq_msg_size(message),
                close_message, message);
        }
        counter_add(&router->node->counters, COUNTER_ROUTED, 1);
        route_event(router, slot, item, content, &env, &run,
            blob != NULL ? &blob : NULL);
        blob_drop(&blob);
    }
    slots_flush(router);
    if (!fine || rest.len > 0) {
        counter_add(&router->node->counters, COUNTER_MALFORMED, 1);
        edri_log_warn("PORT-MALFORMED", "number=%u what=batch", slot->number);
    }
}

static void
handle(router_t *router, const uint8_t *routing, size_t size, zmq_msg_t *parts,
    size_t count)
{
    slot_t *slot = find_slot(router, routing, size);
    head_t *head = NULL;
    const char *why = "no head";
    slice_t bytes = {0};
    if (count > 0) {
        bytes = (slice_t){zmq_msg_data(&parts[0]), zmq_msg_size(&parts[0])};
    }
    if (count == 0 || head_read(bytes, &head, &why) != EDRI_OK) {
        counter_add(&router->node->counters, COUNTER_MALFORMED, 1);
        edri_log_warn("PORT-MALFORMED", "what=\"%s\"", why);
        return;
    }
    if (slot == NULL) {
        on_stranger(router, routing, size, head);
        head_free(&head);
        return;
    }
    if (head->taken > slot->taken && head->taken <= slot->sent) {
        while (slot->taken < head->taken) {
            chunk_t *chunk = outq_take(&slot->flying);
            slot_chunk_done(slot, &chunk);
            slot->taken++;
        }
    }
    for (size_t i = 0; i < head->n_control; i++) {
        if (head->control[i]->word_case == EDRI__LINK__CONTROL__WORD_DEMAND) {
            on_demand(slot, head->control[i]->demand);
        }
        if (head->control[i]->word_case == EDRI__LINK__CONTROL__WORD_BYE) {
            detach(slot, "it said BYE");
            head_free(&head);
            return;
        }
    }
    if (head->lane != EDRI__WIRE__LANE__CONTROL) {
        slot->received++;
        if (count > 1) {
            events_in(slot, head, parts + 1, count - 1);
        }
    }
    for (size_t i = 0; i < head->n_cancels; i++) {
        cancel_asked(router, slot, head->cancels[i]);
    }
    head_free(&head);
}

void
ipc_read(router_t *router)
{
    for (int i = 0; i < READ_MAX; i++) {
        uint8_t routing[sizeof((slot_t *)0)->routing];
        int size = zmq_recv(router->ipc, routing, sizeof routing, ZMQ_DONTWAIT);
        if (size < 0) {
            ear_empty(&router->ipc_ear);
            return;
        }
        zmq_msg_t parts[FRAME_PARTS_MAX];
        size_t count = 0;
        int more = 1;
        size_t more_size = sizeof more;
        (void)zmq_getsockopt(router->ipc, ZMQ_RCVMORE, &more, &more_size);
        while (more) {
            zmq_msg_t part;
            (void)zmq_msg_init(&part);
            if (zmq_msg_recv(&part, router->ipc, ZMQ_DONTWAIT) < 0) {
                break;
            }
            more = zmq_msg_more(&part);
            if (count < FRAME_PARTS_MAX) {
                (void)zmq_msg_init(&parts[count]);
                (void)zmq_msg_move(&parts[count++], &part);
            }
            (void)zmq_msg_close(&part);
        }
        if (size <= (int)sizeof routing) {
            handle(router, routing, (size_t)size, parts, count);
        }
        for (size_t j = 0; j < count; j++) {
            (void)zmq_msg_close(&parts[j]);
        }
    }
}
