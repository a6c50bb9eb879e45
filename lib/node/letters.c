// SPDX-License-Identifier: MIT
// letters.c - dead letters: events whose handlers failed for good.

#include "node/letters.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "node/work/job.h"

void
letters_init(letters_t *self)
{
    *self = (letters_t){0};
    (void)pthread_mutex_init(&self->lock, NULL);
}

void
letter_free(letter_t **self_p)
{
    letter_t *self = *self_p;
    *self_p = NULL;
    if (self != NULL) {
        blob_drop(&self->blob);
        free(self->content);
        free(self->text);
        free(self->type_name);
        free(self);
    }
}

static size_t
weight(const letter_t *letter)
{
    return sizeof *letter + strlen(letter->type_name) + letter->size +
           strlen(letter->text) +
           (letter->blob != NULL ? blob_size(letter->blob) : 0);
}

// take_first takes the oldest out.
static letter_t *
take_first(letters_t *self)
{
    letter_t *first = self->first;
    self->first = first->next;
    self->last = self->first != NULL ? self->last : NULL;
    self->count--;
    self->bytes -= weight(first);
    return first;
}

void
letters_clear(letters_t *self)
{
    while (self->first != NULL) {
        letter_t *first = take_first(self);
        letter_free(&first);
    }
    (void)pthread_mutex_destroy(&self->lock);
}

size_t
letters_add(
    letters_t *self, const struct job *job, edri_err_t err, const char *text)
{
    size_t dropped = 0;
    letter_t *letter = mem_new(sizeof *letter);
    *letter = (letter_t){.type = job->handler->type->id,
        .type_name = str_dup(job->handler->type->name),
        .manager = job->handler->manager,
        .life = job->origin.life,
        .err = err,
        .text = str_dup(text != NULL ? text : ""),
        .tries = job->tries,
        .at_us = clock_unix_us(),
        .blob = blob_share(job->blob),
        .size = job->size,
        .content = mem_resize(NULL, job->size + 1)};
    memcpy(letter->content, job->content, job->size);
    pthread_mutex_lock(&self->lock);
    letter->number = ++self->number;
    *(self->last != NULL ? &self->last->next : &self->first) = letter;
    self->last = letter;
    self->count++;
    self->bytes += weight(letter);
    while (self->bytes > self->limit) {
        letter_t *first = take_first(self);
        letter_free(&first);
        dropped++;
    }
    pthread_mutex_unlock(&self->lock);
    return dropped;
}

letter_t *
letters_take(letters_t *self, uint64_t number)
{
    letter_t *found = NULL;
    letter_t *before = NULL;
    pthread_mutex_lock(&self->lock);
    letter_t *at = self->first;
    while (at != NULL && at->number != number) {
        before = at;
        at = at->next;
    }
    if (at != NULL) {
        *(before != NULL ? &before->next : &self->first) = at->next;
        self->last = self->last == at ? before : self->last;
        self->count--;
        self->bytes -= weight(at);
        at->next = NULL;
        found = at;
    }
    pthread_mutex_unlock(&self->lock);
    return found;
}

void
letters_put_back(letters_t *self, letter_t **letter_p)
{
    letter_t *letter = *letter_p;
    *letter_p = NULL;
    pthread_mutex_lock(&self->lock);
    letter_t **at = &self->first;
    while (*at != NULL && (*at)->number < letter->number) {
        at = &(*at)->next;
    }
    letter->next = *at;
    *at = letter;
    if (letter->next == NULL) {
        self->last = letter;
    }
    self->count++;
    self->bytes += weight(letter);
    pthread_mutex_unlock(&self->lock);
}

void
letters_each(letters_t *self, letters_visit_fn *visit, void *arg)
{
    pthread_mutex_lock(&self->lock);
    for (const letter_t *at = self->first; at != NULL; at = at->next) {
        visit(at, arg);
    }
    pthread_mutex_unlock(&self->lock);
}
