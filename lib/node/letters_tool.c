// SPDX-License-Identifier: MIT
// letters_tool.c - edri/letters.h: dead letters of all nodes, for tools.

#include "edri/letters.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "node/node.h"
#include "node/survey.h"

struct edri_letters {
    survey_t survey; // what the letters point into
    edri_letter_t *letters;
    size_t count;
    uint64_t more;
};

// ask_letters asks one node, or (of NULL) all.
static edri_err_t
ask_letters(edri_node_t *node, Edri__Link__LettersAsk__Op op, const char *of,
    uint64_t number, int timeout_ms, survey_t *out)
{
    Edri__Link__Ask question = EDRI__LINK__ASK__INIT;
    Edri__Link__LettersAsk letters = EDRI__LINK__LETTERS_ASK__INIT;
    letters.op = op;
    letters.number = number;
    question.letters = &letters;
    return survey_one(node, &question, of, timeout_ms, out);
}

static void
add_letter(
    edri_letters_t *self, const char *node, const Edri__Link__LetterInfo *info)
{
    self->letters =
        mem_resize(self->letters, (self->count + 1) * sizeof *self->letters);
    self->letters[self->count++] = (edri_letter_t){.node = node,
        .number = info->number,
        .manager = info->manager,
        .type = info->type,
        .err = (edri_err_t)info->error,
        .text = info->text,
        .tries = info->tries,
        .at_us = info->at_us,
        .size = info->size,
        .body = info->body.data};
}

static int
by_place(const void *a, const void *b)
{
    const edri_letter_t *left = a;
    const edri_letter_t *right = b;
    int names = strcmp(left->node, right->node);
    return names != 0 ? names
                      : (left->number > right->number) -
                            (left->number < right->number);
}

edri_err_t
edri_letters_new(edri_node_t *node, const char *of, uint64_t number,
    int timeout_ms, edri_letters_t **result_p)
{
    survey_t survey;
    *result_p = NULL;
    edri_err_t err = ask_letters(node, EDRI__LINK__LETTERS_ASK__OP__LIST, of,
        number, timeout_ms, &survey);
    if (err != EDRI_OK) {
        return err;
    }
    edri_letters_t *self = mem_new(sizeof *self);
    self->survey = survey;
    for (size_t i = 1; i < survey.count; i++) {
        const Edri__Link__Answer *answer = survey.answers[i];
        self->more += answer->letters_more;
        for (size_t j = 0; j < answer->n_letters; j++) {
            add_letter(self, answer->name, answer->letters[j]);
        }
    }
    if (self->count > 0) {
        qsort(self->letters, self->count, sizeof *self->letters, by_place);
    }
    *result_p = self;
    return EDRI_OK;
}

void
edri_letters_destroy(edri_letters_t **self_p)
{
    edri_letters_t *self = *self_p;
    *self_p = NULL;
    if (self != NULL) {
        survey_clear(&self->survey);
        free(self->letters);
        free(self);
    }
}

size_t
edri_letters_list(const edri_letters_t *self, const edri_letter_t **letters_p)
{
    *letters_p = self->letters;
    return self->count;
}

uint64_t
edri_letters_more(const edri_letters_t *self)
{
    return self->more;
}

size_t
edri_letters_silent(const edri_letters_t *self, const char *const **names_p)
{
    *names_p = self->survey.silent;
    return self->survey.silent_count;
}

// change retries or drops letters of one node.
static edri_err_t
change(edri_node_t *node, Edri__Link__LettersAsk__Op op, const char *of,
    uint64_t number, int timeout_ms, uint64_t *count)
{
    survey_t survey;
    *count = 0;
    if (of == NULL) {
        return EDRI_INVAL;
    }
    edri_err_t err = ask_letters(node, op, of, number, timeout_ms, &survey);
    if (err != EDRI_OK) {
        return err;
    }
    *count = survey.answers[1]->letters_changed;
    survey_clear(&survey);
    return *count > 0 ? EDRI_OK
                      : node_fail(node, EDRI_NOT_FOUND,
                            "%s has no such dead letter, or its manager is "
                            "not there",
                            of);
}

edri_err_t
edri_letters_retry(edri_node_t *node, const char *of, uint64_t number,
    int timeout_ms, uint64_t *count)
{
    return change(node, EDRI__LINK__LETTERS_ASK__OP__RETRY, of, number,
        timeout_ms, count);
}

edri_err_t
edri_letters_drop(edri_node_t *node, const char *of, uint64_t number,
    int timeout_ms, uint64_t *count)
{
    return change(
        node, EDRI__LINK__LETTERS_ASK__OP__DROP, of, number, timeout_ms, count);
}
