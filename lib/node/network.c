// SPDX-License-Identifier: MIT
// network.c - looking at the network: nodes, types, their descriptors.

#include "edri/network.h"

#include <errno.h>
#include <stdlib.h>
#include <zmq.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "edri/link.pb-c.h"
#include "node/network.h"
#include "node/node.h"

struct edri_network {
    Edri__Link__Answer *answer; // the names below point into it
    edri_network_node_t *nodes;
    size_t node_count;
    edri_network_type_t *types;
    size_t type_count;
};

// ----- asking

edri_err_t
network_hear(edri_node_t *node, int64_t deadline_ms, uint64_t number,
    Edri__Link__Answer **answer_p)
{
    for (;;) {
        zmq_pollitem_t item = {node->pipe, 0, ZMQ_POLLIN, 0};
        int64_t left = deadline_ms - clock_ms();
        int count = zmq_poll(&item, 1, left > 0 ? (long)left : 0);
        if (count == 0 || (count < 0 && zmq_errno() != EINTR)) {
            return node_fail(
                node, EDRI_DEADLINE, "the switch did not answer in time");
        }
        if (count < 0) {
            continue;
        }
        char word[16] = "";
        zmq_msg_t part;
        (void)zmq_recv(node->pipe, word, sizeof word - 1, 0);
        (void)zmq_msg_init(&part);
        int more = 1;
        size_t size = sizeof more;
        while (zmq_getsockopt(node->pipe, ZMQ_RCVMORE, &more, &size) == 0 &&
               more) {
            (void)zmq_msg_recv(&part, node->pipe, 0);
        }
        Edri__Link__Answer *answer =
            streq(word, "ANSWER")
                ? edri__link__answer__unpack(
                      NULL, zmq_msg_size(&part), zmq_msg_data(&part))
                : NULL;
        (void)zmq_msg_close(&part);
        if (streq(word, "UNREACHABLE")) {
            return node_fail(node, EDRI_UNREACHABLE, "no switch is connected");
        }
        if (answer != NULL && answer->number == number) {
            *answer_p = answer;
            return EDRI_OK;
        }
        if (answer != NULL) {
            edri__link__answer__free_unpacked(answer, NULL);
        }
    }
}

edri_err_t
network_ask(edri_node_t *node, Edri__Link__Ask *question, int64_t deadline_ms,
    Edri__Link__Answer **answer_p)
{
    if (node == NULL || atomic_load(&node->phase) != PHASE_RUNNING) {
        return EDRI_STATE;
    }
    question->number = ++node->ask_number;
    size_t size = edri__link__ask__get_packed_size(question);
    uint8_t *packed = mem_resize(NULL, size);
    (void)edri__link__ask__pack(question, packed);
    (void)zmq_send(node->pipe, "ASK", 3, ZMQ_SNDMORE);
    (void)zmq_send(node->pipe, packed, size, 0);
    free(packed);
    return network_hear(node, deadline_ms, question->number, answer_p);
}

static edri_err_t
ask(edri_node_t *node, Edri__Link__Ask *question, int timeout_ms,
    Edri__Link__Answer **answer_p)
{
    return network_ask(node, question, clock_ms() + timeout_ms, answer_p);
}

// ----- the view

static const char *const *
end_list(char **list, size_t count)
{
    const char **copy = mem_new((count + 1) * sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        copy[i] = list[i];
    }
    return copy;
}

static void
fill_node(edri_network_node_t *out, const Edri__Link__NodeInfo *in)
{
    *out = (edri_network_node_t){
        .name = in->name,
        .life = in->life,
        .guest = in->guest,
        .host = in->host,
        .pid = in->pid,
        .software = in->software,
        .connected_ms = in->connected_ms,
        .silent_ms = in->silent_ms,
        .managers = end_list(in->managers, in->n_managers),
        .frames_in = in->frames_in,
        .frames_out = in->frames_out,
        .queued_bytes = in->queued_bytes,
        .dropped = in->dropped,
    };
}

static const Edri__Link__TypeUse *
find_use(const Edri__Link__Answer *answer, uint64_t type)
{
    static const Edri__Link__TypeUse none = EDRI__LINK__TYPE_USE__INIT;
    for (size_t i = 0; i < answer->n_uses; i++) {
        if (answer->uses[i]->type == type) {
            return answer->uses[i];
        }
    }
    return &none;
}

static int
by_node_name(const void *a, const void *b)
{
    const edri_network_node_t *left = a;
    const edri_network_node_t *right = b;
    return strcmp(left->name, right->name);
}

static int
by_type_name(const void *a, const void *b)
{
    const edri_network_type_t *left = a;
    const edri_network_type_t *right = b;
    return strcmp(left->name, right->name);
}

static void
fill(edri_network_t *self, Edri__Link__Answer *answer)
{
    self->answer = answer;
    self->nodes = mem_new((answer->n_nodes + 1) * sizeof *self->nodes);
    self->types = mem_new((answer->n_types + 1) * sizeof *self->types);
    for (size_t i = 0; i < answer->n_nodes; i++) {
        fill_node(&self->nodes[self->node_count++], answer->nodes[i]);
    }
    for (size_t i = 0; i < answer->n_types; i++) {
        const Edri__Link__TypeInfo *info = answer->types[i];
        const Edri__Link__TypeUse *use = find_use(answer, info->type);
        self->types[self->type_count++] =
            (edri_network_type_t){.name = info->name,
                .id = info->type,
                .handlers = end_list(use->handlers, use->n_handlers),
                .emitters = end_list(use->emitters, use->n_emitters)};
    }
    qsort(self->nodes, self->node_count, sizeof *self->nodes, by_node_name);
    qsort(self->types, self->type_count, sizeof *self->types, by_type_name);
}

edri_err_t
edri_network_new(edri_node_t *node, int timeout_ms, edri_network_t **result_p)
{
    Edri__Link__Ask question = EDRI__LINK__ASK__INIT;
    Edri__Link__Answer *answer = NULL;
    question.nodes = true;
    question.types = true;
    *result_p = NULL;
    edri_err_t err = ask(node, &question, timeout_ms, &answer);
    if (err == EDRI_OK) {
        *result_p = mem_new(sizeof **result_p);
        fill(*result_p, answer);
    }
    return err;
}

void
edri_network_destroy(edri_network_t **self_p)
{
    edri_network_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->node_count; i++) {
        free((void *)(uintptr_t)self->nodes[i].managers);
    }
    for (size_t i = 0; i < self->type_count; i++) {
        free((void *)(uintptr_t)self->types[i].handlers);
        free((void *)(uintptr_t)self->types[i].emitters);
    }
    free(self->nodes);
    free(self->types);
    edri__link__answer__free_unpacked(self->answer, NULL);
    free(self);
}

size_t
edri_network_nodes(
    const edri_network_t *self, const edri_network_node_t **nodes_p)
{
    *nodes_p = self->nodes;
    return self->node_count;
}

size_t
edri_network_types(
    const edri_network_t *self, const edri_network_type_t **types_p)
{
    *types_p = self->types;
    return self->type_count;
}

// ----- building types

static edri_err_t
build(edri_node_t *node, const char *name, const Edri__Link__Describe *file,
    const edri_type_t **type_p)
{
    char why[256];
    schema_t *schema = NULL;
    edri_err_t err =
        schema_new((slice_t){file->descriptors.data, file->descriptors.len},
            &schema, why, sizeof why);
    if (err != EDRI_OK) {
        return node_fail(node, err, "%s: %s", name, why);
    }
    *type_p = schema_type(schema, name);
    if (*type_p == NULL) {
        schema_destroy(&schema);
        return node_fail(node, EDRI_UNDECODABLE,
            "%s: not an event type in the file that a node gave", name);
    }
    learned_keep(&node->learned, schema);
    return EDRI_OK;
}

edri_err_t
edri_network_find(edri_node_t *node, const char *name, int timeout_ms,
    const edri_type_t **type_p)
{
    Edri__Link__Ask question = EDRI__LINK__ASK__INIT;
    Edri__Link__Answer *answer = NULL;
    char *copy = str_dup(name);
    *type_p = NULL;
    question.types = true;
    question.type = copy;
    edri_err_t err = ask(node, &question, timeout_ms, &answer);
    if (err == EDRI_OK && answer->n_types == 0) {
        err = node_fail(node, EDRI_NOT_FOUND,
            "%s: no node handles or emits this type; 'edri types' lists all",
            name);
    }
    if (err == EDRI_OK) {
        Edri__Link__Answer *files = NULL;
        Edri__Link__Ask second = EDRI__LINK__ASK__INIT;
        second.files = &answer->types[0]->file;
        second.n_files = 1;
        second.type = copy;
        err = ask(node, &second, timeout_ms, &files);
        if (err == EDRI_OK && files->n_files != 1) {
            err = node_fail(node, EDRI_NOT_FOUND,
                "%s: the switch has no descriptors of it", name);
        }
        if (err == EDRI_OK) {
            err = build(node, name, files->files[0], type_p);
        }
        if (files != NULL) {
            edri__link__answer__free_unpacked(files, NULL);
        }
    }
    if (answer != NULL) {
        edri__link__answer__free_unpacked(answer, NULL);
    }
    free(copy);
    return err;
}
