// SPDX-License-Identifier: MIT
// ask.c - requests of a port that wait for their replies.

#include "node/ask.h"

#include "node/tunnel.h"
#include "node/used.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "node/deadlock.h"
#include "node/work/task.h"
#include "wire/nesting.h"

// ----- the books: a map by id, a list by deadline

void
ask_begin(edri_port_t *port, ask_t *ask)
{
    port->openings += ask->opens;
    (void)map_put(port->asks, ask->id, ask);
    // Most requests have the same timeout: the end of the list is the place.
    ask_t *before = port->last_ask;
    while (before != NULL && before->deadline_ms > ask->deadline_ms) {
        before = before->before;
    }
    ask->before = before;
    ask->after = before != NULL ? before->after : port->first_ask;
    *(before != NULL ? &before->after : &port->first_ask) = ask;
    *(ask->after != NULL ? &ask->after->before : &port->last_ask) = ask;
}

static void
unlink_ask(edri_port_t *port, ask_t *ask)
{
    (void)map_take(port->asks, ask->id);
    port->openings -= ask->opens;
    *(ask->before != NULL ? &ask->before->after : &port->first_ask) =
        ask->after;
    *(ask->after != NULL ? &ask->after->before : &port->last_ask) = ask->before;
    ask->before = ask->after = NULL;
}

void
ask_drop(edri_port_t *port, ask_t *ask)
{
    atomic_store(&port->waits_for, ask->outer);
    unlink_ask(port, ask);
}

bool
port_asking(const edri_port_t *self)
{
    return self->first_ask != NULL;
}

bool
port_asks_for(const edri_port_t *self, uint32_t edition)
{
    const ask_t *ask = self->first_ask;
    while (ask != NULL && ask->tenant.edition != edition) {
        ask = ask->after;
    }
    return ask != NULL;
}

int64_t
port_deadline(const edri_port_t *self)
{
    return self->first_ask != NULL ? self->first_ask->deadline_ms : -1;
}

// ----- answers

static void
remember_error(edri_port_t *port, const ask_t *ask, const edri_answer_t *answer)
{
    free(port->error);
    port->error =
        str_printf("%s: %s%s%s", ask->type->name, edri_err_text(answer->err),
            answer->text[0] != '\0' ? ": " : "", answer->text);
}

// sum_up says how a request to ALL ended; those that have not answered did so
// with 'rest'.  To be freed by the caller.
static char *
sum_up(const ask_t *ask, edri_err_t rest)
{
    return ask->gather != NULL ? gather_text(ask->gather, rest)
                               : str_dup("nobody was asked yet");
}

tenant_t
port_lend(edri_port_t *self, const tenant_t *to)
{
    tenant_t before = self->tenant;
    if (to->edition != before.edition) {
        self->tenant = *to;
    }
    return before;
}

void
port_lend_back(edri_port_t *self, const tenant_t *before)
{
    if (self->tenant.edition != before->edition) {
        self->tenant = *before;
    }
}

// give hands one answer to whoever asked and ends the request with the last.
static void
give(edri_port_t *port, ask_t *ask, edri_answer_t *answer)
{
    ask->got++;
    answer->last = answer->last || !ask->all || ask->got == ask->expected;
    if (answer->err == EDRI_OK) {
        ask->replied++;
    } else if (ask->err == EDRI_OK) {
        ask->err = answer->err;
        remember_error(port, ask, answer);
    }
    if (answer->last) {
        unlink_ask(port, ask);
        if (ask->gather != NULL && ask->err != EDRI_OK) {
            char *text = sum_up(ask, answer->err);
            free(port->error);
            port->error = str_printf("%s: %s", ask->type->name, text);
            free(text);
        }
        gather_destroy(&ask->gather);
    }
    if (ask->fn != NULL) {
        // May ask again on this port; 'ask' is out of the books when last, and
        // gone when the callback cancels it.
        cause_t before = port->cause;
        port->cause = ask->cause;
        tenant_t tenant = port_lend(port, &ask->tenant);
        ask->fn(ask->user, answer, ask->arg);
        port_lend_back(port, &tenant);
        port->cause = before;
    }
    if (answer->last) {
        ask->done = true;
        if (ask->heap) {
            free(ask);
        }
    }
}

// tell_progress tells the port's owner how far a handler is.
static void
tell_progress(edri_port_t *self, const ask_t *ask, uint64_t life,
    const char *text, slice_t body)
{
    Edri__Wire__Progress *said =
        edri__wire__progress__unpack(NULL, body.len, body.data);
    if (said == NULL) {
        counter_add(&self->node->counters, COUNTER_MALFORMED, 1);
        return;
    }
    const tenant_t *tenant = &ask->tenant;
    if (tenant->on_progress != NULL) {
        edri_progress_t progress = {.request = ask->id,
            .life = life,
            .done = said->done,
            .total = said->total,
            .text = text};
        tenant->on_progress(&progress, tenant->progress_arg);
    }
    edri__wire__progress__free_unpacked(said, NULL);
}

void
port_answer(edri_port_t *self, const reader_t *at)
{
    envelope_t env;
    if (envelope_read(at->content, &env) != EDRI_OK) {
        counter_add(&self->node->counters, COUNTER_MALFORMED, 1);
        return;
    }
    if (env.request == 0) { // a probe (health.h)
        atomic_store(&self->probed_ms, clock_ms());
        atomic_store(&self->probed, env.id);
        return;
    }
    ask_t *ask = map_get(self->asks, env.request);
    if (ask == NULL) {
        counter_add(&self->node->counters, COUNTER_LATE, 1);
        return;
    }
    slice_t body = env.body;
    if (at->blob_p != NULL) {
        body = (slice_t){blob_data(*at->blob_p), blob_size(*at->blob_p)};
    }
    if ((env.flags & WIRE_ASKED) != 0) {
        ask->expected = (uint32_t)env.position;
        gather_destroy(&ask->gather);
        // Without names nobody was there.
        ask->gather = body.len > 0 ? gather_new(body) : NULL;
        return;
    }
    char *text = str_printf("%.*s", (int)env.text.len,
        env.text.data != NULL ? (const char *)env.text.data : "");
    if ((env.flags & WIRE_PROGRESS) != 0) {
        tell_progress(self, ask, at->run->life, text, body);
        free(text);
        return;
    }
    edri_answer_t answer = {.request = ask->id,
        .err = (edri_err_t)env.error,
        .text = text,
        .life = at->run->life};
    ProtobufCMessage *reply = NULL;
    if (answer.err == EDRI_OK) {
        reply = ask->type->reply != NULL && nesting_fits(ask->type->reply, body)
                    ? flat_unpack(used_reply(self, ask->type), ask->type->reply,
                          body, NULL)
                    : NULL;
        if (reply == NULL) {
            answer.err = EDRI_UNDECODABLE;
            free(text);
            answer.text = text = str_printf("the reply is no %s",
                ask->type->reply != NULL ? ask->type->reply->name
                                         : "word of a tunnel");
            counter_add(&self->node->counters, COUNTER_UNDECODABLE, 1);
        }
    }
    if (ask->gather != NULL) {
        gather_answer(ask->gather, answer.life, (uint32_t)env.position,
            answer.err, answer.text);
    }
    answer.reply = reply;
    if (ask->fn == NULL && ask->reply == NULL) {
        ask->reply = reply; // the waiter's: the first one
        reply = NULL;
    }
    give(self, ask, &answer);
    if (reply != NULL) {
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    free(text);
}

// end_ask ends a request that gets no more answers.
static void
end_ask(edri_port_t *port, ask_t *ask, edri_err_t err)
{
    char *text = ask->all ? sum_up(ask, err) : str_dup("");
    edri_answer_t answer = {
        .request = ask->id, .err = err, .text = text, .last = true};
    give(port, ask, &answer);
    free(text);
}

void
ask_opened(edri_port_t *port, ask_t *ask)
{
    unlink_ask(port, ask);
    free(ask);
}

void
ask_cancel(edri_port_t *port, ask_t *ask)
{
    port_cancel(port, ask->id);
    end_ask(port, ask, EDRI_CANCELLED);
}

size_t
ask_cancel_caused(edri_port_t *port, uint64_t event, uint64_t life)
{
    size_t ended = 0;
    for (ask_t *ask = port->first_ask; ask != NULL;) {
        if (ask->cause.event == event && ask->cause.life == life) {
            ask_cancel(port, ask);
            ended++;
            ask = port->first_ask; // its callback may have changed the list
        } else {
            ask = ask->after;
        }
    }
    return ended;
}

size_t
port_expire(edri_port_t *self, int64_t now_ms)
{
    size_t ended = 0;
    while (self->first_ask != NULL && self->first_ask->deadline_ms <= now_ms) {
        end_ask(self, self->first_ask, EDRI_DEADLINE);
        ended++;
    }
    return ended;
}

void
ask_end_all(edri_port_t *port, edri_err_t err)
{
    while (port->first_ask != NULL) {
        end_ask(port, port->first_ask, err);
    }
}

// ----- waiting

// defer keeps a load with events in it for the manager.
static void
defer(edri_port_t *self, const load_t *load)
{
    self->deferred = mem_resize(
        self->deferred, (self->deferred_count + 1) * sizeof *self->deferred);
    self->deferred[self->deferred_count++] = *load;
}

// pump_load takes one load and handles its replies.  Returns false when there was
// none: the box is armed then.
static bool
pump_load(edri_port_t *self, size_t *ran)
{
    load_t load = self->spare;
    self->spare = (load_t){0};
    if (!box_take(self->in, &load)) {
        self->spare = load;
        return false;
    }
    reader_t at = reader_begin(&load);
    envelope_t env;
    bool events = false;
    while (reader_next(&at, &env)) {
        if (envelope_kind(env.flags) == EDRI_TUNNEL) {
            port_tunnel(self, &at);
            (*ran)++;
        } else if (envelope_kind(env.flags) == EDRI_REPLY &&
                   (env.flags & WIRE_OBSERVED) == 0) {
            port_answer(self, &at);
            (*ran)++;
        } else {
            deadlock_refuse(self, &at, &env);
            events = true;
        }
    }
    if (events) {
        defer(self, &load);
        return true;
    }
    size_t weight = load.weight;
    load_reset(&load);
    load_clear(&self->spare);
    self->spare = load;
    port_release(self, self->in, weight);
    return true;
}

size_t
port_pump(edri_port_t *self)
{
    size_t ran = port_expire(self, self->first_ask != NULL ? clock_ms() : 0);
    if (self->task != NULL && atomic_load(&self->task->cancelled_ms) != 0) {
        ran += ask_cancel_caused(self, self->task->env.id, self->task->life);
    }
    // Whoever sleeps after that must have found the box empty, else the next
    // reply does not ring.
    while (ran == 0 && pump_load(self, &ran)) {
    }
    if (self->heard != NULL || self->starved) {
        tunnels_call(self);
    }
    return ran;
}

bool
port_has_load(const edri_port_t *self)
{
    return self->deferred_count > 0 || box_any(self->in);
}

bool
port_next_load(edri_port_t *self, load_t *load, bool *replies_done)
{
    *replies_done = self->deferred_count > 0;
    if (*replies_done) {
        load_clear(load);
        *load = self->deferred[0];
        self->deferred_count--;
        memmove(self->deferred, self->deferred + 1,
            self->deferred_count * sizeof *self->deferred);
        return true;
    }
    return box_take(self->in, load);
}

void
ask_waits(edri_port_t *port, ask_t *ask)
{
    atomic_store(&port->waits_for, ask->id);
}

edri_err_t
ask_wait(edri_port_t *port, ask_t *ask)
{
    while (!ask->done) {
        if (port_pump(port) > 0 || ask->done) {
            continue;
        }
        edri_err_t err = port_sleep(port, port_deadline(port));
        if (err == EDRI_DEADLINE) {
            (void)port_expire(port, clock_ms());
        } else if (err != EDRI_OK && !ask->done) {
            end_ask(port, ask, err);
        }
    }
    atomic_store(&port->waits_for, ask->outer);
    return ask->err;
}

void
ask_settle(edri_port_t *port)
{
    while (port_asking(port)) {
        if (port_pump(port) > 0) {
            continue;
        }
        edri_err_t err = port_sleep(port, port_deadline(port));
        if (err == EDRI_DEADLINE) {
            (void)port_expire(port, clock_ms());
        } else if (err != EDRI_OK) {
            ask_end_all(port, err);
        }
    }
}
