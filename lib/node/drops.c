// SPDX-License-Identifier: MIT
// drops.c - what was dropped: by type, peer and reason.

#include "node/drops.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

void
drops_init(drops_t *self)
{
    *self = (drops_t){0};
    (void)pthread_mutex_init(&self->lock, NULL);
}

void
drops_clear(drops_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        free(self->rows[i].peer);
    }
    free(self->rows);
    (void)pthread_mutex_destroy(&self->lock);
}

// is_peer says whether that is the row's peer, without making a text.
static bool
is_peer(const char *peer, const char *node, const char *manager)
{
    size_t size = strlen(node);
    if (size == 0) {
        return streq(peer, manager);
    }
    return strncmp(peer, node, size) == 0 && peer[size] == '/' &&
           streq(peer + size + 1, manager);
}

static drop_t *
find(drops_t *self, uint64_t type, const char *node, const char *manager,
    edri_err_t reason)
{
    for (size_t i = 0; i < self->count; i++) {
        drop_t *row = &self->rows[i];
        if (row->type == type && row->reason == reason &&
            is_peer(row->peer, node, manager)) {
            return row;
        }
    }
    if (self->count == DROPS_MAX) {
        return &self->rows[DROPS_MAX - 1];
    }
    char *peer =
        node[0] != '\0' ? str_printf("%s/%s", node, manager) : str_dup(manager);
    bool rest = self->count == DROPS_MAX - 1;
    self->rows = mem_resize(self->rows, (self->count + 1) * sizeof *self->rows);
    drop_t *row = &self->rows[self->count++];
    *row = (drop_t){.type = rest ? 0 : type, .peer = peer, .reason = reason};
    return row;
}

void
drops_note(drops_t *self, uint64_t type, const char *node, const char *manager,
    edri_err_t reason, uint64_t events)
{
    if (events == 0) {
        return;
    }
    pthread_mutex_lock(&self->lock);
    find(self, type, node != NULL ? node : "", manager, reason)->events +=
        events;
    pthread_mutex_unlock(&self->lock);
}

void
drops_each(drops_t *self, drops_visit_fn *visit, void *arg)
{
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->count; i++) {
        visit(&self->rows[i], arg);
    }
    pthread_mutex_unlock(&self->lock);
}
