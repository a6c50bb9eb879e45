// SPDX-License-Identifier: MIT
// tunnel.c - edri tunnel: a tunnel as a Unix pipe, and those that are open.
//
// What is declared as bytes is poured as it is; what is declared as a message is
// JSON, a line each.

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <edri/tunnels.h>

#include "guest.h"
#include "schema/json.h"
#include "words.h"

// A line of input may be so long.
#define LINE_LIMIT ((size_t)64 * 1024 * 1024)

// ----- open

typedef struct pipe_state {
    edri_port_t *port;
    edri_tunnel_t *tunnel;
    const edri_type_t *type;
    char *line; // what was read and has no end yet
    size_t size;
    size_t room;
    bool input; // there may be more
    bool ended; // nothing more comes
} pipe_state_t;

static int
complain(const char *what, const char *text)
{
    fprintf(stderr, "edri: %s%s%s\n", what, what[0] != '\0' ? ": " : "", text);
    return 1;
}

// send_line sends a line as a message.
static int
send_line(pipe_state_t *self, const char *line)
{
    char why[512];
    ProtobufCMessage *message = NULL;
    if (json_read(self->type->up, line, &message, why, sizeof why) != EDRI_OK) {
        return complain("stdin", why);
    }
    edri_err_t err = edri_tunnel_send(self->tunnel, message, -1);
    protobuf_c_message_free_unpacked(message, NULL);
    return err == EDRI_OK ? 0 : complain("", edri_port_error(self->port));
}

// send_lines sends what has ends; at the end of the input also the rest.
static int
send_lines(pipe_state_t *self)
{
    int code = 0;
    char *at = self->line;
    char *end = NULL;
    size_t left = self->size;
    while (code == 0 && left > 0 && (end = memchr(at, '\n', left)) != NULL) {
        *end = '\0';
        left -= (size_t)(end + 1 - at);
        code = at[0] != '\0' ? send_line(self, at) : 0;
        at = end + 1;
    }
    if (code == 0 && !self->input && left > 0) {
        at[left] = '\0';
        code = send_line(self, at);
        left = 0;
    }
    memmove(self->line, at, left);
    self->size = left;
    return code;
}

// read_input reads some, and sends it.
static int
read_input(pipe_state_t *self)
{
    if (self->room - self->size < 65536) {
        self->room = self->room * 2 + 131072;
        self->line = realloc(self->line, self->room + 1);
    }
    if (self->line == NULL || self->size > LINE_LIMIT) {
        return complain("stdin", "a line of more than 64 MiB");
    }
    ssize_t count =
        read(STDIN_FILENO, self->line + self->size, self->room - self->size);
    if (count < 0 && errno != EINTR && errno != EAGAIN) {
        return complain("stdin", strerror(errno));
    }
    self->input = count != 0;
    self->size += count > 0 ? (size_t)count : 0;
    if (self->type->up != NULL) {
        int code = send_lines(self);
        if (code != 0) {
            return code;
        }
    } else if (self->size > 0) {
        if (edri_tunnel_send_bytes(self->tunnel, self->line, self->size, -1) !=
            EDRI_OK) {
            return complain("", edri_port_error(self->port));
        }
        self->size = 0;
    }
    if (!self->input && edri_tunnel_finish(self->tunnel) != EDRI_OK) {
        return complain("", edri_port_error(self->port));
    }
    return 0;
}

// print_all prints what has come.
static int
print_all(pipe_state_t *self)
{
    edri_err_t err = EDRI_OK;
    while (err == EDRI_OK && !self->ended) {
        ProtobufCMessage *message = NULL;
        edri_bytes_t bytes = {0};
        if (self->type->down != NULL) {
            err = edri_tunnel_receive(self->tunnel, 0, &message);
        } else {
            err = edri_tunnel_receive_bytes(self->tunnel, 0, &bytes);
        }
        if (message != NULL) {
            char *json = json_write(message, 0);
            printf("%s\n", json);
            free(json);
            protobuf_c_message_free_unpacked(message, NULL);
        } else if (bytes.size > 0) {
            (void)fwrite(bytes.data, 1, bytes.size, stdout);
        }
        edri_bytes_free(&bytes);
    }
    if (fflush(stdout) != 0) {
        return complain("stdout", strerror(errno));
    }
    self->ended = self->ended || err == EDRI_END;
    return err == EDRI_OK || err == EDRI_AGAIN || err == EDRI_END
               ? 0
               : complain("", edri_port_error(self->port));
}

// talk passes lines on, each way.
static int
talk(pipe_state_t *self)
{
    int code = 0;
    self->input = true;
    while (code == 0 && (self->input || !self->ended)) {
        struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
        code = print_all(self);
        if (self->ended && edri_tunnel_is_closed(self->tunnel, NULL) != 0) {
            break; // it has all that it wanted
        }
        if (code == 0 && (self->input || !self->ended)) {
            (void)edri_port_wait(self->port, &fd, self->input ? 1 : 0, -1);
            code = fd.revents != 0 && self->input ? read_input(self) : 0;
        }
    }
    free(self->line);
    return code;
}

static int
pour(pipe_state_t *self)
{
    if (self->type->up != NULL || self->type->down != NULL) {
        return talk(self);
    }
    edri_err_t err =
        edri_tunnel_pump(self->tunnel, STDIN_FILENO, STDOUT_FILENO, NULL, NULL);
    if (err == EDRI_SYSTEM) {
        return complain("", strerror(errno));
    }
    return err == EDRI_OK ? 0 : complain("", edri_port_error(self->port));
}

static int
open_tunnel(edri_node_t *node, const char *name, const char *json)
{
    pipe_state_t self = {0};
    ProtobufCMessage *arguments = NULL;
    char why[512];
    if (edri_network_find(node, name, GUEST_WAIT_MS, &self.type) != EDRI_OK) {
        return complain("", edri_node_error(node));
    }
    if (self.type->kind != EDRI_TUNNEL) {
        (void)complain(name, "no tunnel; use: edri emit, or edri request");
        return 2;
    }
    if (json_read(self.type->message, json, &arguments, why, sizeof why) !=
        EDRI_OK) {
        (void)complain(name, why);
        return 2;
    }
    self.port = edri_node_port(node);
    int code = 0;
    if (edri_tunnel_open(self.port, self.type, arguments, 0, &self.tunnel) !=
        EDRI_OK) {
        code = complain("", edri_port_error(self.port));
    } else {
        code = pour(&self);
    }
    protobuf_c_message_free_unpacked(arguments, NULL);
    edri_tunnel_close(&self.tunnel, code == 0 ? EDRI_OK : EDRI_CANCELLED,
        "edri tunnel ended");
    edri_port_destroy(&self.port);
    return code;
}

// ----- list

static const char *
or_dash(const char *text)
{
    return text[0] != '\0' ? text : "-";
}

static int
list_tunnels(edri_node_t *node, const char *of)
{
    edri_tunnels_t *tunnels = NULL;
    const edri_tunnels_row_t *rows = NULL;
    const char *const *silent = NULL;
    uint64_t more = 0;
    if (edri_tunnels_new(node, of, GUEST_WAIT_MS, &tunnels) != EDRI_OK) {
        return complain("", edri_node_error(node));
    }
    size_t count = edri_tunnels_rows(tunnels, &rows, &more);
    size_t missing = edri_tunnels_silent(tunnels, &silent);
    if (count > 0) {
        printf("%-16s %-16s %-24s %-16s %12s %12s %10s %10s %8s %8s\n", "NODE",
            "MANAGER", "TYPE", "PEER", "SENT", "RECEIVED", "MAY-SEND",
            "MAY-RECV", "AGE", "IDLE");
    }
    for (size_t i = 0; i < count; i++) {
        const edri_tunnels_row_t *row = &rows[i];
        printf("%-16s %-16s %-24s %s%-15s %12llu %12llu %10llu %10llu %7.1fs "
               "%7.1fs\n",
            row->node, or_dash(row->manager), row->type,
            row->opener ? ">" : "<", or_dash(row->peer),
            (unsigned long long)row->sent, (unsigned long long)row->received,
            (unsigned long long)row->may_send,
            (unsigned long long)row->may_receive, (double)row->age_ms / 1000,
            (double)row->idle_ms / 1000);
    }
    if (count == 0) {
        printf("no tunnels are open\n");
    }
    if (more > 0) {
        printf("and %llu more\n", (unsigned long long)more);
    }
    for (size_t i = 0; i < missing; i++) {
        printf("no answer from %s\n", silent[i]);
    }
    edri_tunnels_destroy(&tunnels);
    return missing == 0 ? 0 : 1;
}

// ----- the word

int
word_tunnel(int argc, char **argv)
{
    static const char usage[] = "open TYPE [JSON] | list [NODE]";
    char **args = NULL;
    edri_node_t *node = guest_new(argc, argv, 1, 3, &args, usage);
    if (node == NULL) {
        return 2;
    }
    bool opens = strcmp(args[1], "open") == 0 && args[2] != NULL;
    bool lists =
        strcmp(args[1], "list") == 0 && (args[2] == NULL || args[3] == NULL);
    int code = 2;
    (void)signal(SIGPIPE, SIG_IGN); // writing says so
    if (!opens && !lists) {
        fprintf(stderr, "usage: edri tunnel %s\n", usage);
    } else if (!guest_start(node)) {
        code = complain("", edri_node_error(node));
    } else if (opens) {
        code = open_tunnel(node, args[2], args[3] != NULL ? args[3] : "{}");
    } else {
        code = list_tunnels(node, args[2]);
    }
    edri_node_destroy(&node);
    return code;
}
