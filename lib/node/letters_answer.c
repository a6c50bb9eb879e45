// SPDX-License-Identifier: MIT
// letters_answer.c - the router's side of edri/letters.h: what tools ask of this
// node's dead letters.

#include <stdlib.h>

#include "base/alloc.h"
#include "edri/log.h"
#include "node/books.h"
#include "node/link_words.h"
#include "wire/envelope.h"

// Rows of one list, bytes of an error's text in it, and of a body.
#define ROWS_MAX 1000
#define TEXT_MAX 256
#define BODY_MAX ((size_t)1024 * 1024)

// rows_t is an answer being made.
typedef struct rows {
    Edri__Link__Answer *answer;
    uint64_t only; // this letter, with its body; 0: all
} rows_t;

static slice_t
body_of(const letter_t *letter)
{
    envelope_t env;
    if (letter->blob != NULL) {
        return (slice_t){blob_data(letter->blob), blob_size(letter->blob)};
    }
    slice_t content = {letter->content, letter->size};
    return envelope_read(content, &env) == EDRI_OK ? env.body : (slice_t){0};
}

// add_row is the letters_visit_fn of a list.
static void
add_row(const letter_t *letter, void *arg)
{
    rows_t *rows = arg;
    Edri__Link__Answer *answer = rows->answer;
    if (rows->only != 0 && rows->only != letter->number) {
        return;
    }
    if (answer->n_letters == ROWS_MAX) {
        answer->letters_more++;
        return;
    }
    slice_t body = body_of(letter);
    Edri__Link__LetterInfo *row = mem_new(sizeof *row);
    edri__link__letter_info__init(row);
    row->number = letter->number;
    row->manager = str_dup(letter->manager);
    row->type = str_dup(letter->type_name);
    row->error = letter->err;
    row->text = rows->only != 0 ? str_dup(letter->text)
                                : str_printf("%.*s", TEXT_MAX, letter->text);
    row->tries = letter->tries;
    row->at_us = (uint64_t)letter->at_us;
    row->size = body.len;
    if (rows->only != 0 && body.len <= BODY_MAX) {
        row->body.len = body.len;
        row->body.data = memcpy(mem_resize(NULL, body.len + 1),
            body.data != NULL ? body.data : (const uint8_t *)"", body.len);
    }
    answer->letters = mem_resize(
        answer->letters, (answer->n_letters + 1) * sizeof *answer->letters);
    answer->letters[answer->n_letters++] = row;
}

// numbers_t is the letters that a change is about.
typedef struct numbers {
    uint64_t only; // 0: all
    uint64_t *list;
    size_t count;
} numbers_t;

static void
add_number(const letter_t *letter, void *arg)
{
    numbers_t *self = arg;
    if (self->only == 0 || self->only == letter->number) {
        self->list =
            mem_resize(self->list, (self->count + 1) * sizeof *self->list);
        self->list[self->count++] = letter->number;
    }
}

// find_slot returns the manager's slot if it still handles the type, or NULL.
static slot_t *
find_slot(const router_t *router, const letter_t *letter)
{
    const route_t *route = map_get(router->routes, letter->type);
    for (size_t i = 0; route != NULL && i < route->handler_count; i++) {
        slot_t *slot = route->handlers[i].slot;
        if (slot != NULL && streq(slot->manager, letter->manager)) {
            return slot;
        }
    }
    return NULL;
}

// try_again gives a letter to its manager once more.
static void
try_again(router_t *router, slot_t *slot, const letter_t *letter)
{
    envelope_t env;
    if (envelope_read((slice_t){letter->content, letter->size}, &env) !=
        EDRI_OK) {
        return;
    }
    size_t size = 0;
    uint8_t *item = envelope_copy(&env, &size);
    run_t run = {
        .life = letter->life, .base_ms = router->now_ms, .redelivered = true};
    slot_give(
        slot, (slice_t){item, size}, &env, &run, blob_share(letter->blob));
    slots_flush(router);
    free(item);
}

// change retries or drops.  Returns how many letters that was.
static uint64_t
change(router_t *router, bool retry, uint64_t only)
{
    letters_t *letters = &router->node->letters;
    numbers_t numbers = {.only = only};
    uint64_t changed = 0;
    letters_each(letters, add_number, &numbers);
    for (size_t i = 0; i < numbers.count; i++) {
        letter_t *letter = letters_take(letters, numbers.list[i]);
        slot_t *slot =
            letter != NULL && retry ? find_slot(router, letter) : NULL;
        if (letter != NULL && retry && slot == NULL) {
            letters_put_back(letters, &letter);
            continue;
        }
        if (slot != NULL) {
            try_again(router, slot, letter);
        }
        changed += letter != NULL;
        letter_free(&letter);
    }
    free(numbers.list);
    return changed;
}

void
letters_answer(link_t *link, const Edri__Link__Ask *ask)
{
    router_t *router = link->router;
    const Edri__Link__LettersAsk *question = ask->letters;
    Edri__Link__Answer *answer = mem_new(sizeof *answer);
    edri__link__answer__init(answer);
    answer->number = ask->number;
    answer->life = router->node->life;
    answer->name = str_dup(router->node->name);
    if (question->op == EDRI__LINK__LETTERS_ASK__OP__LIST) {
        rows_t rows = {.answer = answer, .only = question->number};
        letters_each(&router->node->letters, add_row, &rows);
    } else {
        answer->letters_changed =
            change(router, question->op == EDRI__LINK__LETTERS_ASK__OP__RETRY,
                question->number);
        edri_log_info("LETTERS-CHANGED", "op=%s letters=%llu",
            question->op == EDRI__LINK__LETTERS_ASK__OP__RETRY ? "retry"
                                                               : "drop",
            (unsigned long long)answer->letters_changed);
    }
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_ANSWER;
    word.answer = answer;
    link_say(link, &word);
    edri__link__answer__free_unpacked(answer, NULL);
}
