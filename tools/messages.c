// SPDX-License-Identifier: MIT
// messages.c - edri emit, edri request, edri listen: JSON both ways, for types
// that the program was never compiled with.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"
#include "schema/json.h"
#include "words.h"

// ----- the guest

// is_given says whether the user has set it; a configuration file counts for
// everything.
static bool
is_given(int argc, char **argv, const char *setting, const char *variable)
{
    for (int i = 1; i < argc; i++) {
        if (strstr(argv[i], setting) != NULL ||
            strncmp(argv[i], "--config", 8) == 0) {
            return true;
        }
    }
    return getenv(variable) != NULL || getenv("EDRI_CONFIG") != NULL;
}

edri_node_t *
guest_new(int argc, char **argv, int least, int most, char ***args_p,
    const char *usage)
{
    edri_node_t *node = edri_node_new(argc, argv);
    char **args = NULL;
    int count = edri_node_args(node, &args) - 1;
    if (edri_node_error(node)[0] != '\0') {
        fprintf(stderr, "edri: %s\n", edri_node_error(node));
        edri_node_destroy(&node);
        return NULL;
    }
    if (count < least || count > most) {
        fprintf(stderr, "usage: edri %s %s\n", argv[0], usage);
        edri_node_destroy(&node);
        return NULL;
    }
    if (!is_given(argc, argv, "node.switch=", "EDRI_NODE_SWITCH")) {
        (void)edri_node_set(node, "node.switch", "tcp://127.0.0.1:5590");
    }
    if (!is_given(
            argc, argv, "node.start_timeout=", "EDRI_NODE_START_TIMEOUT")) {
        (void)edri_node_set(node, "node.start_timeout", "5s");
    }
    // A guest, whatever is set: in a node's container these are the node's.
    (void)edri_node_set(node, "node.name", "");
    (void)edri_node_set(node, "node.ipc", "");
    if (args_p != NULL) {
        *args_p = args;
    }
    return node;
}

bool
guest_start(edri_node_t *node)
{
    return edri_node_start(node) == EDRI_OK;
}

// ----- messages

// message_t is what emit and request have in common.
typedef struct message {
    edri_node_t *node;
    edri_port_t *port;
    const edri_type_t *type;
    ProtobufCMessage *body;
} message_t;

static void
close_message(message_t *self)
{
    if (self->body != NULL) {
        protobuf_c_message_free_unpacked(self->body, NULL);
    }
    edri_port_destroy(&self->port);
    edri_node_destroy(&self->node);
}

// open_message joins the network, finds the type, which must be of that kind,
// and reads the JSON.  Returns 0, or the exit code after it has said what is
// wrong.
static int
open_message(int argc, char **argv, edri_kind_t kind, message_t *self)
{
    char **args = NULL;
    char why[512];
    *self = (message_t){0};
    self->node = guest_new(argc, argv, 1, 2, &args, "TYPE [JSON]");
    if (self->node == NULL) {
        return 2;
    }
    const char *json = args[2] != NULL ? args[2] : "{}";
    if (!guest_start(self->node) ||
        edri_network_find(self->node, args[1], GUEST_WAIT_MS, &self->type) !=
            EDRI_OK) {
        fprintf(stderr, "edri: %s\n", edri_node_error(self->node));
        return 1;
    }
    if (self->type->kind != kind) {
        fprintf(stderr, "edri: %s: %s\n", self->type->name,
            self->type->kind == EDRI_TUNNEL ? "a tunnel; use: edri tunnel open"
            : kind == EDRI_REQUEST          ? "a notification; use: edri emit"
                                            : "a request; use: edri request");
        return 2;
    }
    if (json_read(self->type->message, json, &self->body, why, sizeof why) !=
        EDRI_OK) {
        fprintf(stderr, "edri: %s: %s\n", args[1], why);
        return 2;
    }
    self->port = edri_node_port(self->node);
    return 0;
}

int
word_emit(int argc, char **argv)
{
    message_t message;
    int code = open_message(argc, argv, EDRI_NOTIFICATION, &message);
    if (code == 0) {
        edri_err_t err =
            edri_emit(message.port, message.type, message.body, NULL);
        if (err == EDRI_OK) {
            err = edri_port_flush(message.port, GUEST_WAIT_MS);
        }
        if (err != EDRI_OK) {
            const char *text = edri_port_error(message.port);
            fprintf(stderr, "edri: %s\n",
                text[0] != '\0' ? text : edri_err_text(err));
            code = 1;
        }
    }
    close_message(&message);
    return code;
}

int
word_request(int argc, char **argv)
{
    message_t message;
    int code = open_message(argc, argv, EDRI_REQUEST, &message);
    if (code == 0) {
        ProtobufCMessage *reply = NULL;
        if (edri_request(message.port, message.type, message.body, 0, &reply) ==
            EDRI_OK) {
            char *json = json_write(reply, 0);
            printf("%s\n", json);
            free(json);
            protobuf_c_message_free_unpacked(reply, NULL);
        } else {
            fprintf(stderr, "edri: %s\n", edri_port_error(message.port));
            code = 1;
        }
    }
    close_message(&message);
    return code;
}

// ----- listening

typedef struct listener {
    edri_node_t *node;
    long left; // events to print; -1: no end
} listener_t;

static edri_err_t
print_event(edri_fn_t handler, edri_task_t *task, const ProtobufCMessage *event,
    ProtobufCMessage *reply)
{
    (void)handler;
    (void)reply;
    listener_t *self = edri_task_state(task);
    if (self->left == 0) {
        return EDRI_OK;
    }
    uint64_t missed = edri_task_missed(task);
    if (missed > 0) {
        fprintf(stderr, "edri: %llu events dropped: the output is too slow\n",
            (unsigned long long)missed);
    }
    char *json = json_write(event, 0);
    printf("%s\n", json);
    (void)fflush(stdout);
    free(json);
    if (self->left > 0 && --self->left == 0) {
        edri_node_quit(self->node);
    }
    return EDRI_OK;
}

static void
no_handler(void)
{
}

// find_type asks with a node of its own: a listener's demands are fixed before
// it starts.
static edri_node_t *
find_type(int argc, char **argv, const char *name, const edri_type_t **type)
{
    edri_node_t *node = guest_new(argc, argv, 1, 2, NULL, "TYPE [COUNT]");
    if (node != NULL && guest_start(node) &&
        edri_network_find(node, name, GUEST_WAIT_MS, type) == EDRI_OK) {
        return node;
    }
    if (node != NULL) {
        fprintf(stderr, "edri: %s\n", edri_node_error(node));
        edri_node_destroy(&node);
    }
    return NULL;
}

int
word_listen(int argc, char **argv)
{
    listener_t listener = {.left = -1};
    const edri_type_t *type = NULL;
    char **args = NULL;
    listener.node = guest_new(argc, argv, 1, 2, &args, "TYPE [COUNT]");
    if (listener.node == NULL) {
        return 2;
    }
    if (args[2] != NULL) {
        listener.left = strtol(args[2], NULL, 10);
    }
    edri_node_t *finder = find_type(argc, argv, args[1], &type);
    int code = 1;
    if (finder != NULL && type->kind != EDRI_NOTIFICATION) {
        fprintf(stderr,
            "edri: %s: a request; only notifications can be listened to\n",
            type->name);
    } else if (finder != NULL) {
        edri_manager_t *manager = edri_node_manager(listener.node, "listen");
        (void)edri_manager_set_state(manager, &listener, NULL);
        (void)edri_manager_lossy(manager);
        (void)edri_manager_handle(
            manager, type, print_event, no_handler, EDRI_METHOD);
        if (guest_start(listener.node)) {
            fprintf(stderr, "edri: listening to %s\n", type->name);
            (void)edri_node_wait(listener.node);
            code = 0;
        } else {
            fprintf(stderr, "edri: %s\n", edri_node_error(listener.node));
        }
    }
    edri_node_destroy(&listener.node);
    edri_node_destroy(&finder);
    return code;
}
