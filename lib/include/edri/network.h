// SPDX-License-Identifier: MIT
// edri/network.h - looking at the network: nodes, types, their descriptors.
//
// For gateways, dashboards and the command line: programs that work with types
// they were never compiled with.

#ifndef EDRI_NETWORK_H
#define EDRI_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edri/node.h"
#include "edri/type.h"

typedef struct edri_network edri_network_t;

typedef struct edri_network_node {
    const char *name; // "" for a guest
    uint64_t life;
    bool guest;
    const char *host;
    uint32_t pid;
    const char *software;
    uint64_t connected_ms;
    uint64_t silent_ms;
    const char *const *managers; // ends with NULL
    uint64_t frames_in;          // that the switch took from it
    uint64_t frames_out;         // that the switch sent to it
    uint64_t queued_bytes;       // that wait at the switch for it
    uint64_t dropped;
} edri_network_node_t;

typedef struct edri_network_type {
    const char *name;
    uint64_t id;
    const char *const *handlers; // "node/manager", ends with NULL
    const char *const *emitters; // "node", ends with NULL
} edri_network_type_t;

// edri_network_new asks the switches of a started node who is there and which
// types exist, waiting at most timeout_ms.  Caller owns *result_p.
// Returns EDRI_OK, EDRI_DEADLINE, EDRI_UNREACHABLE (no switch), EDRI_STATE.
edri_err_t edri_network_new(edri_node_t *node, int timeout_ms,
    edri_network_t **result_p) EDRI_MUST_CHECK;

// edri_network_destroy frees the answer with all that was borrowed from it.
void edri_network_destroy(edri_network_t **self_p);

// edri_network_nodes and _types give what was found, sorted by name, borrowed.
size_t edri_network_nodes(
    const edri_network_t *self, const edri_network_node_t **nodes_p);
size_t edri_network_types(
    const edri_network_t *self, const edri_network_type_t **types_p);

// edri_network_find fetches the descriptors of the type 'name' and builds a
// usable edri_type_t, which lives as long as the node.
// Returns EDRI_OK; EDRI_NOT_FOUND when no node handles or emits it;
// EDRI_UNREACHABLE; EDRI_DEADLINE; EDRI_UNDECODABLE when the descriptors are
// broken; edri_node_error says more.  Blocks.
edri_err_t edri_network_find(edri_node_t *node, const char *name,
    int timeout_ms, const edri_type_t **type_p) EDRI_MUST_CHECK;

#endif
