// SPDX-License-Identifier: MIT
// token.c - a frame in the hands of a manager, until its events are begun.

#include "node/token.h"

#include <stdlib.h>

#include "base/alloc.h"

token_t *
token_new(tokens_t *self, uint32_t events)
{
    token_t *token = mem_new(sizeof *token);
    token->left = events;
    token->next = self->open;
    if (self->open != NULL) {
        self->open->before = token;
    }
    self->open = token;
    return token;
}

void
token_free(tokens_t *self, token_t *token)
{
    *(token->before != NULL ? &token->before->next : &self->open) = token->next;
    if (token->next != NULL) {
        token->next->before = token->before;
    }
    free(token);
}

bool
token_begun(tokens_t *self, token_t *token, uint32_t events)
{
    if (atomic_fetch_sub_explicit(&token->left, events, memory_order_acq_rel) !=
        events) {
        return false;
    }
    token_t *top = atomic_load_explicit(&self->done, memory_order_relaxed);
    do {
        token->below = top;
    } while (!atomic_compare_exchange_weak(&self->done, &top, token));
    return atomic_load(&self->bell) && atomic_exchange(&self->bell, false);
}

bool
token_untouched(const token_t *token)
{
    return atomic_load(&token->left) == token->given;
}

token_t *
tokens_take(tokens_t *self)
{
    if (atomic_load_explicit(&self->done, memory_order_relaxed) == NULL) {
        return NULL;
    }
    return atomic_exchange(&self->done, NULL);
}

token_may_t
token_may(const token_t *token, clock_tick_t *clock)
{
    const gate_t *gate = token->gate;
    bool bulk = token->lane != 2; // EVENT
    int64_t until = atomic_load_explicit(&gate->until_ms, memory_order_acquire);
    if (token->first <
        atomic_load_explicit(&gate->gone[bulk], memory_order_acquire)) {
        return TOKEN_GONE;
    }
    if (clock_tick_ms(clock) >= until) {
        return TOKEN_HOLD;
    }
    return until == GATE_MARKED ? TOKEN_MARKED : TOKEN_BEGIN;
}
