// SPDX-License-Identifier: MIT
// audit.c - the books of the running system, survey and compared.

#include "edri/audit.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "edri/wire.pb-c.h"
#include "node/node.h"
#include "node/survey.h"

struct edri_audit {
    survey_t survey; // the names below point into this
    size_t nodes;
    edri_audit_queue_t *queues;
    size_t queue_count;
    edri_audit_flow_t *flows;
    size_t flow_count;
    edri_audit_drop_t *drops;
    size_t drop_count;
    char *difference;
};

// ----- comparing

static const char *
lane_name(uint32_t lane)
{
    return lane == EDRI__WIRE__LANE__EVENT        ? "events"
           : lane == EDRI__WIRE__LANE__REPLY_LANE ? "replies"
                                                  : "bodies";
}

static const Edri__Link__Books *
books_of(const edri_audit_t *self, uint64_t life)
{
    for (size_t i = 0; i < self->survey.count; i++) {
        const Edri__Link__Books *books = self->survey.answers[i]->books;
        if (books != NULL && books->life == life) {
            return books;
        }
    }
    return NULL;
}

// other_end finds the receiver's row for what a source has sent, or NULL.
static const Edri__Link__FlowInfo *
other_end(const edri_audit_t *self, uint64_t from, uint64_t to, uint32_t lane)
{
    const Edri__Link__Books *books = books_of(self, to);
    for (size_t i = 0; books != NULL && i < books->n_flows; i++) {
        const Edri__Link__FlowInfo *row = books->flows[i];
        if (row->incoming && row->life == from && row->lane == lane) {
            return row;
        }
    }
    return NULL;
}

static void
differ(edri_audit_t *self, const edri_audit_flow_t *flow, uint64_t seq,
    const char *what)
{
    if (self->difference == NULL) {
        self->difference =
            str_printf("%s from %s to %s, at seq %" PRIu64 ": %s", flow->lane,
                flow->from, flow->to, seq, what);
    }
}

// compare compares the two ends of a flow.
static void
compare(edri_audit_t *self, edri_audit_flow_t *flow,
    const Edri__Link__FlowInfo *out, const Edri__Link__FlowInfo *in)
{
    flow->differ = in->differ;
    flow->compared = in->position == out->position;
    if (in->differ > 0) {
        differ(self, flow, in->differ_at,
            "the receiver got something else before it than was sent");
    } else if (in->position > out->position) {
        differ(self, flow, out->position,
            "the receiver has more than was ever sent");
    } else if (flow->compared && in->sum != out->sum) {
        differ(self, flow, in->position, "the sums of both ends differ");
    }
}

static void
add_flows(edri_audit_t *self, const Edri__Link__Books *books)
{
    for (size_t i = 0; i < books->n_flows; i++) {
        const Edri__Link__FlowInfo *out = books->flows[i];
        if (out->incoming) {
            continue;
        }
        self->flows = mem_resize(
            self->flows, (self->flow_count + 1) * sizeof *self->flows);
        edri_audit_flow_t *flow = &self->flows[self->flow_count++];
        const Edri__Link__Books *other = books_of(self, out->life);
        *flow = (edri_audit_flow_t){.from = books->name,
            .to = other != NULL ? other->name : out->name,
            .lane = lane_name(out->lane),
            .sent = out->events,
            .unsettled = out->kept};
        const Edri__Link__FlowInfo *in =
            other_end(self, books->life, out->life, out->lane);
        if (in != NULL) {
            compare(self, flow, out, in);
        }
    }
}

static void
add_books(edri_audit_t *self, const Edri__Link__Books *books)
{
    self->queues = mem_resize(self->queues,
        (self->queue_count + books->n_queues + 1) * sizeof *self->queues);
    for (size_t i = 0; i < books->n_queues; i++) {
        const Edri__Link__QueueInfo *row = books->queues[i];
        self->queues[self->queue_count++] =
            (edri_audit_queue_t){.node = books->name,
                .of_switch = books->of_switch,
                .name = row->name,
                .bytes = row->bytes,
                .limit = row->limit};
    }
    self->drops = mem_resize(self->drops,
        (self->drop_count + books->n_drops + 1) * sizeof *self->drops);
    for (size_t i = 0; i < books->n_drops; i++) {
        const Edri__Link__DropInfo *row = books->drops[i];
        self->drops[self->drop_count++] =
            (edri_audit_drop_t){.node = books->name,
                .type = row->type,
                .peer = row->peer,
                .reason = (edri_err_t)row->reason,
                .events = row->events};
    }
    add_flows(self, books);
}

edri_err_t
edri_audit_new(edri_node_t *node, int timeout_ms, edri_audit_t **result_p)
{
    Edri__Link__Ask question = EDRI__LINK__ASK__INIT;
    survey_t survey;
    question.books = true;
    *result_p = NULL;
    edri_err_t err = survey_nodes(node, &question, timeout_ms, &survey);
    if (err != EDRI_OK) {
        return err;
    }
    edri_audit_t *self = mem_new(sizeof *self);
    self->survey = survey;
    self->nodes = survey.count - 1;
    for (size_t i = 0; i < survey.count; i++) {
        if (survey.answers[i]->books != NULL) {
            add_books(self, survey.answers[i]->books);
        }
    }
    *result_p = self;
    return EDRI_OK;
}

void
edri_audit_destroy(edri_audit_t **self_p)
{
    edri_audit_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    survey_clear(&self->survey);
    free(self->queues);
    free(self->flows);
    free(self->drops);
    free(self->difference);
    free(self);
}

// ----- looking

size_t
edri_audit_queues(const edri_audit_t *self, const edri_audit_queue_t **queues_p)
{
    *queues_p = self->queues;
    return self->queue_count;
}

size_t
edri_audit_flows(const edri_audit_t *self, const edri_audit_flow_t **flows_p)
{
    *flows_p = self->flows;
    return self->flow_count;
}

size_t
edri_audit_drops(const edri_audit_t *self, const edri_audit_drop_t **drops_p)
{
    *drops_p = self->drops;
    return self->drop_count;
}

size_t
edri_audit_nodes(const edri_audit_t *self)
{
    return self->nodes;
}

size_t
edri_audit_silent(const edri_audit_t *self, const char *const **names_p)
{
    *names_p = self->survey.silent;
    return self->survey.silent_count;
}

const char *
edri_audit_difference(const edri_audit_t *self)
{
    return self->difference;
}
