// SPDX-License-Identifier: MIT
// tunnels_tool.c - edri/tunnels.h: the open tunnels of running nodes, for tools.

#include "edri/tunnels.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "node/node.h"
#include "node/survey.h"

struct edri_tunnels {
    survey_t survey; // what the rows point into
    edri_tunnels_row_t *rows;
    size_t count;
    uint64_t more;
};

// name_of finds the node of a life among those that have answered.
static const char *
name_of(const survey_t *survey, uint64_t life)
{
    for (size_t i = 1; i < survey->count; i++) {
        if (survey->answers[i]->life == life) {
            return survey->answers[i]->name;
        }
    }
    return "";
}

static void
add_row(edri_tunnels_t *self, const char *node,
    const Edri__Link__TunnelInfo *info, int64_t now_us)
{
    self->rows = mem_resize(self->rows, (self->count + 1) * sizeof *self->rows);
    int64_t age_us = now_us - (int64_t)info->opened_us;
    self->rows[self->count++] = (edri_tunnels_row_t){.node = node,
        .manager = info->manager,
        .type = info->type,
        .peer = name_of(&self->survey, info->peer_life),
        .opener = info->opener,
        .id = info->id,
        .sent = info->sent,
        .received = info->received,
        .may_send = info->may_send,
        .may_receive = info->may_receive,
        .age_ms = age_us > 0 ? (uint64_t)age_us / 1000 : 0,
        .idle_ms = info->idle_ms};
}

static int
by_place(const void *a, const void *b)
{
    const edri_tunnels_row_t *left = a;
    const edri_tunnels_row_t *right = b;
    int nodes = strcmp(left->node, right->node);
    return nodes != 0 ? nodes
           : left->age_ms == right->age_ms
               ? (left->id > right->id) - (left->id < right->id)
           : left->age_ms > right->age_ms ? -1
                                          : 1;
}

edri_err_t
edri_tunnels_new(edri_node_t *node, const char *of, int timeout_ms,
    edri_tunnels_t **result_p)
{
    Edri__Link__Ask question = EDRI__LINK__ASK__INIT;
    survey_t survey;
    question.tunnels = true;
    *result_p = NULL;
    edri_err_t err = survey_one(node, &question, of, timeout_ms, &survey);
    if (err != EDRI_OK) {
        return err;
    }
    edri_tunnels_t *self = mem_new(sizeof *self);
    self->survey = survey;
    int64_t now_us = clock_unix_us();
    for (size_t i = 1; i < survey.count; i++) {
        const Edri__Link__Answer *answer = survey.answers[i];
        self->more += answer->tunnels_more;
        for (size_t j = 0; j < answer->n_tunnels; j++) {
            add_row(self, answer->name, answer->tunnels[j], now_us);
        }
    }
    if (self->count > 0) {
        qsort(self->rows, self->count, sizeof *self->rows, by_place);
    }
    *result_p = self;
    return EDRI_OK;
}

void
edri_tunnels_destroy(edri_tunnels_t **self_p)
{
    edri_tunnels_t *self = *self_p;
    *self_p = NULL;
    if (self != NULL) {
        free(self->rows);
        survey_clear(&self->survey);
        free(self);
    }
}

size_t
edri_tunnels_rows(const edri_tunnels_t *self, const edri_tunnels_row_t **rows_p,
    uint64_t *more_p)
{
    *rows_p = self->rows;
    *more_p = self->more;
    return self->count;
}

size_t
edri_tunnels_silent(const edri_tunnels_t *self, const char *const **names_p)
{
    *names_p = self->survey.silent;
    return self->survey.silent_count;
}
