// SPDX-License-Identifier: MIT
// edri/plugin.h - what a plugin defines: managers in a shared object.

#ifndef EDRI_PLUGIN_H
#define EDRI_PLUGIN_H

#include "edri/manager.h"

// edri_plugin is defined by the plugin, called by edri-node once for each
// managers/NAME section that names it, before the node starts, and again, in the
// manager's thread, when the plugin's file has become another one (edri/reload.h):
//
//     edri_err_t
//     edri_plugin(edri_manager_t *manager)
//     {
//         return shop_quote_handle(manager, on_quote, EDRI_THREADS(4));
//     }
//
// Anything but EDRI_OK keeps the node from starting, or the old code in force.  It
// sets up that manager alone.
__attribute__((visibility("default"))) edri_err_t edri_plugin(
    edri_manager_t *manager);

#endif
