// SPDX-License-Identifier: MIT
// reload_tool.c - edri/reload.h: managers of running nodes go over to new code.

#include "edri/reload.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "node/survey.h"

struct edri_reload {
    survey_t survey; // what the rows point into
    edri_reload_row_t *rows;
    size_t count;
};

static int
by_place(const void *a, const void *b)
{
    const edri_reload_row_t *left = a;
    const edri_reload_row_t *right = b;
    int nodes = strcmp(left->node, right->node);
    return nodes != 0 ? nodes : strcmp(left->manager, right->manager);
}

static void
add_row(
    edri_reload_t *self, const char *node, const Edri__Link__ReloadInfo *info)
{
    self->rows = mem_resize(self->rows, (self->count + 1) * sizeof *self->rows);
    self->rows[self->count++] = (edri_reload_row_t){.node = node,
        .manager = info->manager,
        .err = (edri_err_t)info->error,
        .text = info->text};
}

edri_err_t
edri_reload_new(edri_node_t *node, const char *of, const char *manager,
    int timeout_ms, edri_reload_t **result_p)
{
    Edri__Link__Ask question = EDRI__LINK__ASK__INIT;
    Edri__Link__ReloadAsk reload = EDRI__LINK__RELOAD_ASK__INIT;
    survey_t survey;
    char *name = str_dup(manager != NULL ? manager : "");
    reload.manager = name;
    question.reload = &reload;
    *result_p = NULL;
    edri_err_t err = survey_one(node, &question, of, timeout_ms, &survey);
    free(name);
    if (err != EDRI_OK) {
        return err;
    }
    edri_reload_t *self = mem_new(sizeof *self);
    self->survey = survey;
    for (size_t i = 1; i < survey.count; i++) {
        const Edri__Link__Answer *answer = survey.answers[i];
        for (size_t j = 0; j < answer->n_reloads; j++) {
            add_row(self, answer->name, answer->reloads[j]);
        }
    }
    if (self->count > 0) {
        qsort(self->rows, self->count, sizeof *self->rows, by_place);
    }
    *result_p = self;
    return EDRI_OK;
}

void
edri_reload_destroy(edri_reload_t **self_p)
{
    edri_reload_t *self = *self_p;
    *self_p = NULL;
    if (self != NULL) {
        free(self->rows);
        survey_clear(&self->survey);
        free(self);
    }
}

size_t
edri_reload_rows(const edri_reload_t *self, const edri_reload_row_t **rows_p)
{
    *rows_p = self->rows;
    return self->count;
}

size_t
edri_reload_silent(const edri_reload_t *self, const char *const **names_p)
{
    *names_p = self->survey.silent;
    return self->survey.silent_count;
}
