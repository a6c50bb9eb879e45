// SPDX-License-Identifier: MIT
// network.c - edri types, edri nodes.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "guest.h"
#include "words.h"

static void
print_list(const char *label, const char *const *names)
{
    if (names[0] == NULL) {
        return;
    }
    printf("  %s", label);
    for (size_t i = 0; names[i] != NULL; i++) {
        printf("%s %s", i > 0 ? "," : "",
            names[i][0] != '\0' ? names[i] : "(guest)");
    }
    printf("\n");
}

static int
look(int argc, char **argv, void (*print)(const edri_network_t *network))
{
    edri_network_t *network = NULL;
    edri_node_t *node = guest_new(argc, argv, 0, 0, NULL, "");
    if (node == NULL) {
        return 2;
    }
    int code = 1;
    if (guest_start(node) &&
        edri_network_new(node, GUEST_WAIT_MS, &network) == EDRI_OK) {
        print(network);
        edri_network_destroy(&network);
        code = 0;
    } else {
        fprintf(stderr, "edri: %s\n", edri_node_error(node));
    }
    edri_node_destroy(&node);
    return code;
}

static void
print_types(const edri_network_t *network)
{
    const edri_network_type_t *types = NULL;
    size_t count = edri_network_types(network, &types);
    for (size_t i = 0; i < count; i++) {
        printf("%s\n", types[i].name);
        print_list("handled by", types[i].handlers);
        print_list("emitted by", types[i].emitters);
    }
}

static void
print_nodes(const edri_network_t *network)
{
    const edri_network_node_t *nodes = NULL;
    size_t count = edri_network_nodes(network, &nodes);
    for (size_t i = 0; i < count; i++) {
        const edri_network_node_t *node = &nodes[i];
        if (node->guest) {
            continue; // this very command, and others like it
        }
        printf("%s  host %s, pid %u, up %.1f s, silent %.1f s, frames in "
               "%" PRIu64 ", out %" PRIu64 ", queued %" PRIu64
               " bytes, dropped %" PRIu64 "\n",
            node->name, node->host, node->pid, (double)node->connected_ms / 1e3,
            (double)node->silent_ms / 1e3, node->frames_in, node->frames_out,
            node->queued_bytes, node->dropped);
        print_list("managers", node->managers);
    }
}

int
word_types(int argc, char **argv)
{
    return look(argc, argv, print_types);
}

int
word_nodes(int argc, char **argv)
{
    return look(argc, argv, print_nodes);
}
