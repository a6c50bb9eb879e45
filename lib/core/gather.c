// SPDX-License-Identifier: MIT
// gather.c - a request to ALL: who was asked, and how it ended with each.

#include "core/gather.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "edri/wire.pb-c.h"

// Who did not answer is named up to this number, and quoted so far.
#define NAMED_MAX 3
#define QUOTE_MAX 120

typedef struct end {
    bool known;
    edri_err_t err;
    char *text; // or NULL
} end_t;

struct gather {
    Edri__Wire__Asked *asked;
    end_t *ends; // by responder
};

gather_t *
gather_new(slice_t asked)
{
    Edri__Wire__Asked *message =
        edri__wire__asked__unpack(NULL, asked.len, asked.data);
    if (message == NULL) {
        return NULL;
    }
    gather_t *self = mem_new(sizeof *self);
    self->asked = message;
    self->ends = mem_new((message->n_responders + 1) * sizeof *self->ends);
    return self;
}

void
gather_destroy(gather_t **self_p)
{
    gather_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->asked->n_responders; i++) {
        free(self->ends[i].text);
    }
    free(self->ends);
    edri__wire__asked__free_unpacked(self->asked, NULL);
    free(self);
}

void
gather_answer(gather_t *self, uint64_t life, uint32_t target, edri_err_t err,
    const char *text)
{
    for (size_t i = 0; i < self->asked->n_responders; i++) {
        const Edri__Wire__Responder *responder = self->asked->responders[i];
        if (!self->ends[i].known && responder->life == life &&
            (target == 0 || responder->target == target)) {
            self->ends[i] = (end_t){.known = true, .err = err};
            self->ends[i].text =
                text[0] != '\0' ? str_printf("%.*s", QUOTE_MAX, text) : NULL;
            return;
        }
    }
}

// add puts one more who did not answer behind the line so far.
static char *
add(char *line, const Edri__Wire__Responder *responder, edri_err_t err,
    const char *text)
{
    char *longer = str_printf("%s; %s%s%s: %s%s%s", line, responder->node,
        responder->node[0] != '\0' ? "/" : "", responder->manager,
        edri_err_text(err), text != NULL ? ": " : "", text != NULL ? text : "");
    free(line);
    return longer;
}

char *
gather_text(const gather_t *self, edri_err_t rest)
{
    size_t asked = self->asked->n_responders;
    size_t answered = 0;
    for (size_t i = 0; i < asked; i++) {
        answered += self->ends[i].known && self->ends[i].err == EDRI_OK;
    }
    char *line = str_printf("%zu of %zu answered", answered, asked);
    size_t named = 0;
    for (size_t i = 0; i < asked && named < NAMED_MAX; i++) {
        const end_t *end = &self->ends[i];
        if (!end->known || end->err != EDRI_OK) {
            line = add(line, self->asked->responders[i],
                end->known ? end->err : rest, end->text);
            named++;
        }
    }
    if (asked - answered > named) {
        char *longer =
            str_printf("%s; and %zu more", line, asked - answered - named);
        free(line);
        line = longer;
    }
    return line;
}
