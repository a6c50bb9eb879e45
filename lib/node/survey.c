// SPDX-License-Identifier: MIT
// survey.c - questions that the switch passes on to nodes, and all their
// answers.

#include "node/survey.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "node/node.h"

static void
add_answer(survey_t *self, Edri__Link__Answer *answer)
{
    self->answers =
        mem_resize(self->answers, (self->count + 1) * sizeof *self->answers);
    self->answers[self->count++] = answer;
}

static bool
has_answered(const survey_t *self, const char *name)
{
    for (size_t i = 1; i < self->count; i++) {
        if (streq(self->answers[i]->name, name)) {
            return true;
        }
    }
    return false;
}

edri_err_t
survey_nodes(
    edri_node_t *node, Edri__Link__Ask *question, int timeout_ms, survey_t *out)
{
    int64_t deadline_ms = clock_ms() + timeout_ms;
    Edri__Link__Answer *answer = NULL;
    *out = (survey_t){0};
    edri_err_t err = network_ask(node, question, deadline_ms, &answer);
    if (err != EDRI_OK) {
        return err;
    }
    const Edri__Link__Answer *first = answer;
    add_answer(out, answer);
    while (err == EDRI_OK && out->count <= first->n_asked) {
        err = network_hear(node, deadline_ms, question->number, &answer);
        if (err == EDRI_OK) {
            add_answer(out, answer);
        }
    }
    out->silent = mem_new((first->n_asked + 1) * sizeof *out->silent);
    for (size_t i = 0; i < first->n_asked; i++) {
        if (!has_answered(out, first->asked[i])) {
            out->silent[out->silent_count++] = first->asked[i];
        }
    }
    return EDRI_OK;
}

edri_err_t
survey_one(edri_node_t *node, Edri__Link__Ask *question, const char *of,
    int timeout_ms, survey_t *out)
{
    char *name = str_dup(of != NULL ? of : "");
    question->node = name;
    edri_err_t err = survey_nodes(node, question, timeout_ms, out);
    free(name);
    if (err != EDRI_OK || of == NULL) {
        return err;
    }
    if (out->answers[0]->n_asked == 0) {
        err = node_fail(
            node, EDRI_NOT_FOUND, "%s: no such node is connected", of);
    } else if (out->silent_count > 0) {
        err = node_fail(node, EDRI_DEADLINE, "%s did not answer in time", of);
    }
    if (err != EDRI_OK) {
        survey_clear(out);
    }
    return err;
}

void
survey_clear(survey_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        edri__link__answer__free_unpacked(self->answers[i], NULL);
    }
    free(self->answers);
    free(self->silent);
    *self = (survey_t){0};
}
