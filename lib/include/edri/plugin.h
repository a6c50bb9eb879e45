// SPDX-License-Identifier: MIT
// edri/plugin.h - what a plugin defines: managers in a shared object.

#ifndef EDRI_PLUGIN_H
#define EDRI_PLUGIN_H

#include "edri/manager.h"

// edri_plugin is defined by the plugin, called by edri-node once for each
// managers/NAME section that names it, before the node starts:
//
//     edri_err_t
//     edri_plugin(edri_manager_t *manager)
//     {
//         return shop_quote_handle(manager, on_quote, EDRI_THREADS(4));
//     }
//
// Anything but EDRI_OK keeps the node from starting.
__attribute__((visibility("default"))) edri_err_t edri_plugin(
    edri_manager_t *manager);

#endif
