// SPDX-License-Identifier: MIT
// system.c - what a node tells of itself and of others, as events.

#include "node/system.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "edri/system.edri.h"
#include "node/types.h"

bool
system_wanted(router_t *router, const edri_type_t *type)
{
    typeref_t *ref = NULL;
    char why[200];
    if (types_add(router->node, type, &ref, why, sizeof why) != EDRI_OK) {
        return false;
    }
    route_t *route = route_find(router, type->id);
    route->own = true;
    bool open = router->link_count > 0 && !route->resolve.known;
    return open || route->handler_count > 0;
}

void
system_emit(router_t *router, const edri_type_t *type,
    const ProtobufCMessage *message, bool here)
{
    if (!system_wanted(router, type)) {
        return;
    }
    size_t body = protobuf_c_message_get_packed_size(message);
    envelope_t env = {.id = ++router->own_events,
        .type = type->id,
        .flags =
            envelope_flags(EDRI_NOTIFICATION, EDRI_ALL, type->priority & 7u) |
            (here ? WIRE_NODE_ONLY : 0)};
    size_t size = envelope_size(&env, body);
    uint8_t *room = mem_resize(NULL, size);
    (void)protobuf_c_message_pack(
        message, envelope_write(&env, body, room, size));
    slice_t rest = {room, size};
    slice_t item;
    slice_t content;
    if (batch_next(&rest, &item, &content) &&
        envelope_route(content, &env) == EDRI_OK) {
        route_event(router, NULL, item, content, &env, &(run_t){0}, NULL);
    }
    slots_flush(router); // spans point into the room
    free(room);
}

void
system_node_up(router_t *router)
{
    Edri__NodeUp event = EDRI__NODE_UP__INIT;
    char host[256] = "";
    if (router->node->name[0] == '\0') {
        return; // a guest: nobody waits for it
    }
    (void)gethostname(host, sizeof host - 1);
    event.node = str_dup(router->node->name);
    event.life = router->node->life;
    event.host = host;
    event.pid = (uint32_t)getpid();
    system_emit(router, &edri_node_up_type, &event.base, false);
    free(event.node);
}

void
system_node_back(router_t *router, const char *node, uint64_t life)
{
    Edri__NodeUp event = EDRI__NODE_UP__INIT;
    event.node = str_dup(node);
    event.life = life;
    event.back = true;
    system_emit(router, &edri_node_up_type, &event.base, true);
    free(event.node);
}

void
system_node_down(router_t *router, const char *node, uint64_t life,
    edri_err_t reason, const char *text)
{
    Edri__NodeDown event = EDRI__NODE_DOWN__INIT;
    if (node[0] == '\0') {
        return; // a guest: nobody waits for it
    }
    event.node = str_dup(node);
    event.life = life;
    event.reason = str_dup(edri_err_name(reason));
    event.text = str_dup(text);
    system_emit(router, &edri_node_down_type, &event.base, true);
    free(event.node);
    free(event.reason);
    free(event.text);
}

void
system_manager(
    router_t *router, const char *manager, const char *state, const char *why)
{
    char *node = str_dup(router->node->name);
    char *name = str_dup(manager);
    if (why != NULL) {
        Edri__ManagerDown event = EDRI__MANAGER_DOWN__INIT;
        event.node = node;
        event.manager = name;
        event.state = str_dup(state);
        event.reason = str_dup(why);
        system_emit(router, &edri_manager_down_type, &event.base, false);
        free(event.state);
        free(event.reason);
    } else {
        Edri__ManagerUp event = EDRI__MANAGER_UP__INIT;
        event.node = node;
        event.manager = name;
        system_emit(router, &edri_manager_up_type, &event.base, false);
    }
    free(node);
    free(name);
}

void
system_worker_down(edri_port_t *port, const char *manager, const char *what,
    const char *reason)
{
    Edri__WorkerDown event = EDRI__WORKER_DOWN__INIT;
    edri_emit_options_t options = {.no_wait = true}; // for nobody's sake
    event.node = str_dup(port->node->name);
    event.manager = str_dup(manager);
    event.type = str_dup(what);
    event.reason = str_dup(reason);
    (void)edri_emit(port, &edri_worker_down_type, &event.base, &options);
    free(event.node);
    free(event.manager);
    free(event.type);
    free(event.reason);
}
