// SPDX-License-Identifier: MIT
// ask.c - requests of a port that wait for their replies.

#include "node/ask.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "wire/nesting.h"

// ----- the books: a map by id, a list by deadline

void
ask_begin(edri_port_t *port, ask_t *ask)
{
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
    *(ask->before != NULL ? &ask->before->after : &port->first_ask) =
        ask->after;
    *(ask->after != NULL ? &ask->after->before : &port->last_ask) = ask->before;
    ask->before = ask->after = NULL;
}

void
ask_drop(edri_port_t *port, ask_t *ask)
{
    unlink_ask(port, ask);
}

bool
port_asking(const edri_port_t *self)
{
    return self->first_ask != NULL;
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
    }
    if (ask->fn != NULL) {
        // May ask again on this port; 'ask' is out of the books when last.
        ask->fn(ask->user, answer, ask->arg);
    }
    if (answer->last) {
        ask->done = true;
        if (ask->heap) {
            free(ask);
        }
    }
}

void
port_answer(edri_port_t *self, const reader_t *at)
{
    envelope_t env;
    if (envelope_read(at->content, &env) != EDRI_OK) {
        counter_add(&self->node->counters, COUNTER_MALFORMED, 1);
        return;
    }
    ask_t *ask = map_get(self->asks, env.request);
    if (ask == NULL) {
        counter_add(&self->node->counters, COUNTER_LATE, 1);
        return;
    }
    if ((env.flags & WIRE_ASKED) != 0) {
        ask->expected = (uint32_t)env.position;
        return;
    }
    char *text = str_printf("%.*s", (int)env.text.len,
        env.text.data != NULL ? (const char *)env.text.data : "");
    edri_answer_t answer = {
        .err = (edri_err_t)env.error, .text = text, .life = at->run->life};
    ProtobufCMessage *reply = NULL;
    if (answer.err == EDRI_OK) {
        slice_t body = env.body;
        if (at->blob_p != NULL) {
            body = (slice_t){blob_data(*at->blob_p), blob_size(*at->blob_p)};
        }
        reply = nesting_fits(ask->type->reply, body)
                    ? protobuf_c_message_unpack(
                          ask->type->reply, NULL, body.len, body.data)
                    : NULL;
        if (reply == NULL) {
            answer.err = EDRI_UNDECODABLE;
            free(text);
            answer.text = text =
                str_printf("the reply is no %s", ask->type->reply->name);
            counter_add(&self->node->counters, COUNTER_UNDECODABLE, 1);
        }
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
    char text[64] = "";
    if (ask->all && err == EDRI_DEADLINE) {
        snprintf(
            text, sizeof text, "%u of %u answered", ask->got, ask->expected);
    }
    edri_answer_t answer = {.err = err, .text = text, .last = true};
    give(port, ask, &answer);
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
