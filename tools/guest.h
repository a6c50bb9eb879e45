// SPDX-License-Identifier: MIT
// guest.h - the command line's node: a guest that waits for nobody.

#ifndef TOOLS_GUEST_H
#define TOOLS_GUEST_H

#include <stdbool.h>

#include <edri/edri.h>

#define GUEST_WAIT_MS 5000

// guest_new makes a guest node from the arguments behind a word.  What is left
// of them, 'least' to 'most', is given in *args_p (may be NULL), which ends with
// NULL.  NULL after wrong use, which is said on stderr.
edri_node_t *guest_new(int argc, char **argv, int least, int most,
    char ***args_p, const char *usage);

// guest_start starts it; false with the node's error.
bool guest_start(edri_node_t *node);

#endif
