// SPDX-License-Identifier: MIT
// flows.c - the words between the two ends of a flow, and their timers.
//
// DESIGN
// The rules are core/flow_out.h, core/flow_in.h and core/fence.h; here they
// meet heads of frames.  What came is told after TELL_COUNT frames or TELL_MS,
// with whatever head goes there, or alone.  A remote that has something to do
// at some time stands in router->due.

#include <stdlib.h>

#include "base/alloc.h"
#include "edri/log.h"
#include "node/frames.h"
#include "node/keyed.h"

// A full switch gets this long to run down.
#define FULL_MS 20

void
part_drop(void *cargo, void *arg)
{
    part_t *part = cargo;
    (void)arg;
    chunk_drop(&part->chunk);
    free(part);
}

void
remote_due(remote_t *self, int64_t at_ms)
{
    router_t *router = self->router;
    if (self->due_ms == INT64_MAX) {
        list_add(&router->due, self);
    }
    if (at_ms < self->due_ms) {
        self->due_ms = at_ms;
    }
    if (router->due.count == 1 || at_ms < router->due_ms) {
        router->due_ms = self->due_ms;
    }
}

// ----- telling

void
words_attach(remote_t *self, head_t *head, Edri__Wire__Flow *flows[LANES])
{
    head->flows = flows;
    for (int lane = 1; lane < LANES; lane++) {
        if (self->in[lane].tell) {
            flows[head->n_flows] = flow_in_word(&self->in[lane]);
            flows[head->n_flows++]->lane = (Edri__Wire__Lane)lane;
        }
    }
    head->cancels = self->cancels;
    head->n_cancels = self->cancel_count;
    self->cancel_count = 0;
    self->tell_ms = 0;
    if (self->movable > 0 && fence_ask(&self->fence, self->router->now_ms)) {
        head->ask = (uint64_t)self->fence.asked_ms;
    }
}

void
words_retell(remote_t *self, int64_t at_ms)
{
    bool any = self->cancel_count > 0;
    for (int lane = 1; lane < LANES; lane++) {
        flow_in_retell(&self->in[lane]);
        any = any || self->in[lane].tell;
    }
    if (any && self->gone_ms == 0 && self->tell_ms == 0) {
        self->tell_ms = at_ms;
        remote_due(self, at_ms);
    }
}

void
words_tell(remote_t *self)
{
    link_t *link = remote_link(self, true);
    if (link == NULL) {
        return; // the next path begins with all that is to be said
    }
    head_t head;
    Edri__Wire__Destination to;
    Edri__Wire__Destination *to_p;
    Edri__Wire__Flow *flows[LANES];
    frame_head(&head, &to, &to_p, self, EDRI__WIRE__LANE__CONTROL);
    words_attach(self, &head, flows);
    if (head.n_flows > 0 || head.n_cancels > 0 || head.ask != 0) {
        (void)link_send_head(link, &head, false);
    }
}

// confirm says what was given up: the rest is the receiver's, for a while from
// its ask, or (last) for ever.
static void
confirm(remote_t *self, uint64_t ask, bool last)
{
    link_t *link = remote_link(self, true);
    head_t head;
    Edri__Wire__Destination to;
    Edri__Wire__Destination *to_p;
    Edri__Wire__Confirm word = EDRI__WIRE__CONFIRM__INIT;
    if (link == NULL) {
        return;
    }
    frame_head(&head, &to, &to_p, self, EDRI__WIRE__LANE__CONTROL);
    word.echo = ask;
    word.last = last;
    word.event_gone = self->out[EDRI__WIRE__LANE__EVENT].gone;
    word.bulk_gone = self->out[EDRI__WIRE__LANE__BULK].gone;
    head.confirm = &word;
    lease_give(&self->lease, self->router->now_ms);
    (void)link_send_head(link, &head, false);
}

// ----- hearing

// never_sent counts a word about what was never sent: the peer is not what it
// says, or has mixed us up with somebody.
static void
never_sent(const remote_t *self, const char *what)
{
    counter_add(&self->router->node->counters, COUNTER_DENIED, 1);
    edri_log_warn("FLOW-NEVER-SENT", "node=%s life=%016llx what=%s", self->name,
        (unsigned long long)self->life, what);
}

static void
settled_in(remote_t *self, flow_out_t *out, const Edri__Wire__Settled *word)
{
    if (!flow_out_settled(out, word->target, 0, word->below)) {
        never_sent(self, "settled");
        return;
    }
    for (size_t i = 0; i < word->n_ranges; i++) {
        const Edri__Wire__Range *range = word->ranges[i];
        if (range->count > out->next || range->first > out->next ||
            !flow_out_settled(
                out, word->target, range->first, range->first + range->count)) {
            never_sent(self, "settled range");
            return;
        }
    }
    remote_takes_back(self, word->target); // nothing else may be open now
}

// returned_in takes what a manager there has not begun and never will: it goes to
// another, as new.
static void
returned_in(remote_t *self, flow_out_t *out, const Edri__Wire__Returned *word)
{
    for (size_t i = 0; i < word->n_ranges; i++) {
        const Edri__Wire__Range *range = word->ranges[i];
        if (range->count > out->next || range->first > out->next ||
            !flow_out_returned(
                out, word->target, range->first, range->first + range->count)) {
            never_sent(self, "returned range");
            return;
        }
    }
    remote_takes_back(self, word->target);
}

// go_on wakes what waited for a window or for the arrival of a body.
static void
go_on(remote_t *self)
{
    const flow_out_t *bulk = &self->out[EDRI__WIRE__LANE__BULK];
    for (size_t i = 0; i < self->dest_count; i++) {
        dest_t *dest = self->dests[i];
        if (dest->bulk_wait != 0 && bulk->arrived >= dest->bulk_wait) {
            dest->bulk_wait = 0;
        }
        dest_wake(dest);
    }
    remote_again(self);
    remote_wake(self);
    remote_wake_streams(self);
}

static void
flow_in_word_of(remote_t *self, const Edri__Wire__Flow *word)
{
    int64_t now_ms = self->router->now_ms;
    if (word->lane < 1 || (int)word->lane >= LANES) {
        never_sent(self, "lane");
        return;
    }
    flow_out_t *out = &self->out[word->lane];
    if (!flow_out_arrived(out, word->arrived, now_ms)) {
        never_sent(self, "arrived");
        return;
    }
    flow_out_known(out, word->path, now_ms);
    if (out->doubt) {
        remote_due(self, now_ms);
    }
    for (size_t i = 0; i < word->n_returned; i++) {
        returned_in(self, out, word->returned[i]);
    }
    for (size_t i = 0; i < word->n_settled; i++) {
        settled_in(self, out, word->settled[i]);
    }
    if (word->lost && flow_out_lost(out, word->path, 0, now_ms)) {
        counter_add(&self->router->node->counters, COUNTER_RESENT, 1);
        remote_restart(self);
    }
}

// raise says what was given up; an older word than the last changes nothing.
static bool
raise_gone(gate_t *gate, int which, uint64_t below)
{
    if (below <= atomic_load(&gate->gone[which])) {
        return false;
    }
    atomic_store(&gate->gone[which], below);
    return true;
}

static void
confirm_in(remote_t *self, const Edri__Wire__Confirm *word)
{
    bool was_open = fence_open(&self->fence, self->router->now_ms);
    if (word->last) {
        self->fence.free = true;
    } else if (!fence_echo(&self->fence, (int64_t)word->echo)) {
        never_sent(self, "ask");
        return;
    }
    bool event_gone = raise_gone(&self->gate, 0, word->event_gone);
    bool bulk_gone = raise_gone(&self->gate, 1, word->bulk_gone);
    if (!was_open || self->fenced || event_gone || bulk_gone || word->last) {
        gate_open(self, self->fence.free ? GATE_FREE : self->fence.until_ms);
    } else {
        atomic_store(&self->gate.until_ms, self->fence.until_ms);
    }
    if (self->movable > 0) {
        remote_due(self, fence_due(&self->fence));
    }
}

void
words_in(remote_t *self, const head_t *head)
{
    for (size_t i = 0; i < head->n_flows; i++) {
        flow_in_word_of(self, head->flows[i]);
    }
    if (head->n_flows > 0) {
        self->router->settled = true;
        go_on(self);
    }
    if (head->ask != 0) {
        confirm(self, head->ask, false);
    }
    if (head->confirm != NULL) {
        confirm_in(self, head->confirm);
    }
}

void
remote_dropped(router_t *router, unsigned link, const Edri__Link__Dropped *word)
{
    remote_t *self = map_get(router->remotes, word->life);
    if (self == NULL || word->lane < 1 || word->lane >= LANES) {
        return;
    }
    flow_out_t *out = &self->out[word->lane];
    if (word->error == EDRI_UNREACHABLE) {
        remote_unreached(self, link);
    } else if (word->error == EDRI_DENIED) {
        counter_add(&router->node->counters, COUNTER_REFUSED, word->events);
        drops_note(
            &router->node->drops, 0, self->name, "", EDRI_DENIED, word->events);
        (void)flow_out_deny(out, word->first);
    }
    int64_t pause_ms = word->error == EDRI_OVERLOADED    ? FULL_MS
                       : word->error == EDRI_UNREACHABLE ? UNKNOWN_MS
                                                         : 0;
    if (flow_out_lost(out, word->path, pause_ms, router->now_ms)) {
        counter_add(&router->node->counters, COUNTER_RESENT, 1);
        remote_restart(self);
        remote_due(self, router->now_ms + pause_ms);
    }
}

// ----- tokens

token_t *
token_of(remote_t *self, int lane, const flow_stamp_t *stamp, uint32_t target)
{
    token_t *token = token_new(self->router->tokens, stamp->events + 1);
    token->remote = self;
    token->gate = &self->gate;
    token->lane = lane;
    token->target = target;
    token->first = stamp->first;
    token->record = flow_in_open(
        &self->in[lane], target, stamp->first, stamp->first + stamp->events);
    return token;
}

void
token_moves(remote_t *self, token_t *token)
{
    if (token->movable) {
        return;
    }
    token->movable = true;
    self->movable++;
    if (!fence_open(&self->fence, self->router->now_ms)) {
        self->fenced = true; // the manager will find it closed
    }
    remote_due(self, fence_due(&self->fence));
}

void
flows_settle(router_t *router)
{
    token_t *token = tokens_take(router->tokens);
    while (token != NULL) {
        token_t *below = token->below;
        remote_t *remote = token->remote;
        router->settled = true;
        if (remote == NULL) {
            keyed_done(router, token);
            token_free(router->tokens, token);
            token = below;
            continue;
        }
        flow_in_done(&remote->in[token->lane], token->target, token->record);
        remote->movable -= token->movable;
        if (remote->gone_ms == 0 && remote->tell_ms == 0) {
            remote->tell_ms = router->now_ms + TELL_MS;
            remote_due(remote, remote->tell_ms);
        }
        token_free(router->tokens, token);
        token = below;
    }
}

void
gate_open(remote_t *self, int64_t until_ms)
{
    router_t *router = self->router;
    atomic_store(&self->gate.until_ms, until_ms);
    self->fenced = false;
    for (int lane = 1; lane < LANES; lane++) {
        const flow_in_t *in = &self->in[lane];
        for (size_t i = 0; i < in->ledger_count; i++) {
            slot_t *slot = map_get(router->slots, in->ledgers[i].target);
            if (in->ledgers[i].first != NULL && slot != NULL && !slot->ipc) {
                slot_ring(slot, 0);
            }
        }
    }
}

// give_back returns what no manager has begun, now that all have ended.
static void
give_back(router_t *router)
{
    flows_settle(router);
    for (token_t *at = router->tokens->open; at != NULL; at = at->next) {
        remote_t *remote = at->remote;
        if (remote != NULL && token_untouched(at) && remote->gone_ms == 0) {
            flow_in_return(&remote->in[at->lane], at->target, at->record);
            remote->tell_ms = router->now_ms;
        }
    }
}

void
flows_end(router_t *router)
{
    give_back(router);
    flows_tell(router);
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->remotes, &cursor, NULL, &value)) {
        remote_t *remote = value;
        bool any = remote->gone_ms == 0 &&
                   (remote->out[EDRI__WIRE__LANE__EVENT].path != 0);
        if (any) {
            confirm(remote, 0, true);
        }
    }
}

void
flows_tell(router_t *router)
{
    flows_settle(router);
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->remotes, &cursor, NULL, &value)) {
        remote_t *remote = value;
        if (remote->tell_ms != 0) {
            words_tell(remote);
        }
    }
}

// ----- time

// probe sends an empty frame behind the data of a lane: how far are you?
static void
probe(remote_t *self, int lane)
{
    flow_out_t *out = &self->out[lane];
    link_t *link = remote_link(self, true);
    flow_stamp_t stamp;
    if (link == NULL || !flow_out_asks(out)) {
        out->progress_ms = self->router->now_ms; // looked at again later
        out->doubt = false;
        return;
    }
    flow_out_probe(out, self->router->now_ms, &stamp);
    frame_probe(link, self, lane, &stamp);
}

void
flows_probe(router_t *router)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->remotes, &cursor, NULL, &value)) {
        remote_t *remote = value;
        for (int lane = 1; lane < LANES; lane++) {
            flow_out_t *out = &remote->out[lane];
            if (out->first != NULL && remote->probed[lane] != out->next) {
                remote->probed[lane] = out->next;
                probe(remote, lane);
            }
        }
    }
}

static int64_t
earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// want_again lets those who wait for credit say so once more.
static void
want_again(remote_t *self)
{
    self->want_ms = 0;
    for (size_t i = 0; i < self->dest_count; i++) {
        dest_t *dest = self->dests[i];
        if (dest->credit.wanted != 0 && dest->queue.first != NULL) {
            dest->credit.wanted = 0;
            dest_wake(dest);
        }
    }
}

// look does what is due for one remote and returns when to look again.
static int64_t
look(remote_t *self)
{
    int64_t now_ms = self->router->now_ms;
    if (self->tell_ms != 0 && now_ms >= self->tell_ms) {
        self->tell_ms = 0;
        words_tell(self);
        // What is begun from now on is told a little later again.
        atomic_store(&self->router->tokens->bell, true);
    }
    int64_t next = self->tell_ms != 0 ? self->tell_ms : INT64_MAX;
    for (int lane = 1; lane < LANES && self->gone_ms == 0; lane++) {
        flow_out_t *out = &self->out[lane];
        if (out->pause_ms != 0 && now_ms >= out->pause_ms) {
            out->pause_ms = 0;
            go_on(self);
        }
        if (now_ms >= flow_out_due(out)) {
            probe(self, lane);
        }
        next = earlier(next, out->pause_ms != 0 ? out->pause_ms : INT64_MAX);
        next = earlier(next, flow_out_due(out));
    }
    if (self->movable > 0 && !self->fence.free) {
        if (now_ms >= fence_due(&self->fence)) {
            words_tell(self);
        }
        // Without a link nobody is asked: the next one asks at once.
        int64_t due = fence_due(&self->fence);
        next = earlier(next, due > now_ms ? due : INT64_MAX);
    }
    if (self->want_ms != 0 && now_ms >= self->want_ms) {
        want_again(self);
    }
    next = earlier(next, self->want_ms != 0 ? self->want_ms : INT64_MAX);
    if (self->end_ms != 0) {
        next = earlier(next, self->end_ms);
    }
    return next;
}

void
flows_tick(router_t *router)
{
    if (router->due.count == 0 || router->now_ms < router->due_ms) {
        return;
    }
    for (size_t i = router->due.count; i > 0; i--) {
        remote_t *remote = router->due.items[i - 1];
        if (remote->end_ms != 0 && router->now_ms >= remote->end_ms) {
            remote_end(remote);
        }
        if (router->now_ms >= remote->due_ms) {
            remote->due_ms = look(remote);
        }
        if (remote->due_ms == INT64_MAX) {
            (void)list_remove(&router->due, remote);
        }
    }
    router->due_ms = INT64_MAX;
    for (size_t i = 0; i < router->due.count; i++) {
        const remote_t *remote = router->due.items[i];
        router->due_ms = earlier(router->due_ms, remote->due_ms);
    }
}

int64_t
flows_next(const router_t *router)
{
    return router->due.count > 0 ? router->due_ms : INT64_MAX;
}
