// SPDX-License-Identifier: MIT
// main.c - edri-node: a node whose managers are plugins.
//
// Its configuration file (--config FILE) names them:
//
//     node
//         name = counter-1
//         switch = tcp://127.0.0.1:5590
//     managers
//         counter
//             plugin = libcounter.so

#include <edri/edri.h>

int
main(int argc, char **argv)
{
    edri_node_t *node = edri_node_new(argc, argv);
    // What goes wrong here is reported by edri_node_run.
    (void)edri_node_load_plugins(node);
    int code = edri_node_run(node);
    edri_node_destroy(&node);
    return code;
}
