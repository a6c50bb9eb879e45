// SPDX-License-Identifier: MIT
// health_tool.c - edri/health.h: how the managers of all nodes are, for tools.

#include "edri/health.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "node/node.h"
#include "node/survey.h"

struct edri_health {
    survey_t survey; // what the rows point into
    edri_health_manager_t *managers;
    size_t count;
};

static void
add_manager(
    edri_health_t *self, const char *node, const Edri__Link__HealthInfo *info)
{
    edri_fault_t *faults = mem_new((info->n_faults + 1) * sizeof *faults);
    for (size_t i = 0; i < info->n_faults; i++) {
        const Edri__Link__FaultInfo *fault = info->faults[i];
        faults[i] = (edri_fault_t){.type = fault->type,
            .err = (edri_err_t)fault->error,
            .text = fault->text,
            .at_us = fault->at_us};
    }
    self->managers =
        mem_resize(self->managers, (self->count + 1) * sizeof *self->managers);
    self->managers[self->count++] = (edri_health_manager_t){.node = node,
        .manager = info->manager,
        .state = info->state,
        .since_ms = info->since_ms,
        .delay_ms = info->delay_ms,
        .bytes = info->bytes,
        .faults = faults,
        .fault_count = info->n_faults};
}

static int
by_place(const void *a, const void *b)
{
    const edri_health_manager_t *left = a;
    const edri_health_manager_t *right = b;
    int nodes = strcmp(left->node, right->node);
    return nodes != 0 ? nodes : strcmp(left->manager, right->manager);
}

edri_err_t
edri_health_new(
    edri_node_t *node, const char *of, int timeout_ms, edri_health_t **result_p)
{
    Edri__Link__Ask question = EDRI__LINK__ASK__INIT;
    survey_t survey;
    question.health = true;
    *result_p = NULL;
    edri_err_t err = survey_one(node, &question, of, timeout_ms, &survey);
    if (err != EDRI_OK) {
        return err;
    }
    edri_health_t *self = mem_new(sizeof *self);
    self->survey = survey;
    for (size_t i = 1; i < survey.count; i++) {
        const Edri__Link__Answer *answer = survey.answers[i];
        for (size_t j = 0; j < answer->n_health; j++) {
            add_manager(self, answer->name, answer->health[j]);
        }
    }
    if (self->count > 0) {
        qsort(self->managers, self->count, sizeof *self->managers, by_place);
    }
    *result_p = self;
    return EDRI_OK;
}

void
edri_health_destroy(edri_health_t **self_p)
{
    edri_health_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->count; i++) {
        free((void *)(uintptr_t)self->managers[i].faults);
    }
    free(self->managers);
    survey_clear(&self->survey);
    free(self);
}

size_t
edri_health_managers(
    const edri_health_t *self, const edri_health_manager_t **managers_p)
{
    *managers_p = self->managers;
    return self->count;
}

size_t
edri_health_silent(const edri_health_t *self, const char *const **names_p)
{
    *names_p = self->survey.silent;
    return self->survey.silent_count;
}
