// SPDX-License-Identifier: MIT
// reload.c - tools that want managers to go over to new processes.

#include "node/reload.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "node/health.h"
#include "node/link_words.h"

// reload_t is a wish that is not answered.
struct reload {
    struct reload *next;
    link_t *link;    // that it came over,
    uint64_t opened; // in this session
    bool all;        // managers, and not one that was named
    uint32_t *open;  // targets whose managers are at it
    size_t open_count;
    Edri__Link__Answer *answer;
};

static void
add_row(
    struct reload *self, const char *manager, edri_err_t err, const char *text)
{
    Edri__Link__Answer *answer = self->answer;
    // Who asks for all means those that can.
    if (self->all && err == EDRI_INVAL) {
        return;
    }
    Edri__Link__ReloadInfo *row = mem_new(sizeof *row);
    edri__link__reload_info__init(row);
    row->manager = str_dup(manager);
    row->error = err;
    row->text = str_dup(text);
    answer->reloads =
        mem_resize(answer->reloads, (answer->n_reloads + 1) * sizeof(void *));
    answer->reloads[answer->n_reloads++] = row;
}

// ask_manager lets a manager begin, unless it is at it.
static void
ask_manager(struct reload *self, slot_t *slot)
{
    if (atomic_load(&slot->port->renew) == RENEW_NOT) {
        atomic_store(&slot->port->renew, RENEW_ASKED);
        slot_ring(slot, 0);
    }
    self->open =
        mem_resize(self->open, (self->open_count + 1) * sizeof *self->open);
    self->open[self->open_count++] = slot->number;
}

void
reload_begin(link_t *link, const Edri__Link__Ask *ask)
{
    router_t *router = link->router;
    const char *manager = ask->reload->manager;
    struct reload *self = mem_new(sizeof *self);
    self->next = router->reloads;
    router->reloads = self;
    self->link = link;
    self->opened = link->opened;
    self->all = manager[0] == '\0';
    self->answer = mem_new(sizeof *self->answer);
    edri__link__answer__init(self->answer);
    self->answer->number = ask->number;
    self->answer->life = router->node->life;
    self->answer->name = str_dup(router->node->name);
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->slots, &cursor, NULL, &value)) {
        slot_t *slot = value;
        if (!slot->ipc && slot->manager != NULL && !slot->left &&
            (self->all || streq(slot->manager, manager))) {
            ask_manager(self, slot);
        }
    }
    const char *why = health_closed_why(router, manager);
    if (self->open_count == 0 && why != NULL) {
        add_row(self, manager, EDRI_STATE, why); // the node has to start anew
    } else if (self->open_count == 0 && !self->all) {
        add_row(self, manager, EDRI_NOT_FOUND, "the node has no such manager");
    }
}

// note says in all wishes how it went with a manager.
static void
note(router_t *router, uint32_t target, const char *manager, edri_err_t err,
    const char *text)
{
    for (struct reload *self = router->reloads; self != NULL;
         self = self->next) {
        for (size_t i = self->open_count; i > 0; i--) {
            if (self->open[i - 1] == target) {
                self->open[i - 1] = self->open[--self->open_count];
                add_row(self, manager, err, text);
            }
        }
    }
}

// look_at sees whether a manager is done.
static void
look_at(router_t *router, uint32_t target)
{
    slot_t *slot = map_get(router->slots, target);
    if (slot == NULL) {
        note(router, target, "", EDRI_CLOSED, "the manager has ended");
    } else if (atomic_load(&slot->port->renew) == RENEW_DONE) {
        edri_port_t *port = slot->port;
        note(router, target, slot->manager, port->renew_err, port->renew_text);
        free(port->renew_text);
        port->renew_text = NULL;
        atomic_store(&port->renew, RENEW_NOT);
    }
}

static void
free_reload(struct reload *self)
{
    edri__link__answer__free_unpacked(self->answer, NULL);
    free(self->open);
    free(self);
}

// answer sends it, if who passed it on is still there.
static void
answer(struct reload *self)
{
    if (self->all && self->answer->n_reloads == 0) {
        add_row(self, "", EDRI_NOT_FOUND,
            "nothing of this node can be reloaded: all is part of "
            "its program");
    }
    if (self->link->opened == self->opened) {
        control_t word = EDRI__LINK__CONTROL__INIT;
        word.word_case = EDRI__LINK__CONTROL__WORD_ANSWER;
        word.answer = self->answer;
        link_say(self->link, &word);
    }
}

void
reload_look(router_t *router)
{
    for (struct reload **at = &router->reloads; *at != NULL;) {
        struct reload *self = *at;
        for (size_t i = self->open_count; i > 0; i--) {
            if (i <= self->open_count) {
                look_at(router, self->open[i - 1]);
            }
        }
        if (self->open_count > 0) {
            at = &self->next;
            continue;
        }
        answer(self);
        *at = self->next;
        free_reload(self);
    }
}

void
reload_clear(router_t *router)
{
    while (router->reloads != NULL) {
        struct reload *next = router->reloads->next;
        free_reload(router->reloads);
        router->reloads = next;
    }
}
