// SPDX-License-Identifier: MIT
// node/network.h - what node.c needs of network.c.

#ifndef NODE_NETWORK_H
#define NODE_NETWORK_H

#include "edri/network.h"

// network_destroy_found frees the types that edri_network_find built.
void network_destroy_found(edri_node_t *node);

#endif
