// SPDX-License-Identifier: MIT
// cancel.c - requests that nobody waits for any more.
//
// DESIGN
// A cancel goes the way of its request: from the port to the router, which
// knows whom it asked (asked.c), to the handlers here (node/requests.h) or, as a
// word in a head, to the nodes of the others.  What has not left is dropped
// where it waits.  The word may be lost or come twice; then the deadline, which
// went with the request, ends the work.  A deadline itself needs no word.

#include <stdlib.h>

#include "base/alloc.h"
#include "node/ipc.h"
#include "node/remote.h"

// Ids to be told to one node, at most: the others end by their deadlines.
#define WORDS_MAX 1024

// wake is the requests_found_fn: the handler may be waiting.
static void
wake(uint16_t port, void *arg)
{
    slot_t *slot = map_get(((router_t *)arg)->slots, port);
    if (slot != NULL) {
        slot_ring(slot, 0);
    }
}

void
cancel_here(router_t *router, uint64_t life, const uint64_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ids[i] != CANCELS_ALL) { // is nobody's
            requests_cancel(&router->node->requests, life, ids[i],
                router->now_ms, wake, router);
        }
    }
    ipc_cancel(router, life, ids, count);
}

void
cancel_life(router_t *router, uint64_t life)
{
    requests_life_gone(
        &router->node->requests, life, router->now_ms, wake, router);
}

void
cancel_there(dest_t *dest, uint64_t id)
{
    remote_t *remote = dest->remote;
    dest->stale = dest->stale || dest->queue.first != NULL;
    if (remote->gone_ms != 0 || remote->cancel_count == WORDS_MAX) {
        return;
    }
    if (remote->cancel_count == remote->cancel_room) {
        remote->cancel_room = remote->cancel_room * 2 + 16;
        remote->cancels = mem_resize(
            remote->cancels, remote->cancel_room * sizeof *remote->cancels);
    }
    remote->cancels[remote->cancel_count++] = id;
    remote->tell_ms = remote->router->now_ms;
    remote_due(remote, remote->tell_ms);
}

void
cancel_asked(router_t *router, const slot_t *from, uint64_t id)
{
    if (id >> 48 != from->number) {
        counter_add(&router->node->counters, COUNTER_DENIED, 1);
        return;
    }
    if (asked_cancel(router, id)) {
        return;
    }
    // It has ended, or waits for somebody to be known.
    if (waiting_any(router)) {
        cancels_add(&router->cancels, 0, id, router->now_ms);
    }
}
