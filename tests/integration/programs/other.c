// SPDX-License-Identifier: MIT
// other.c - a plugin whose shop.OrderPlaced differs from everybody else's.

#include <edri/edri.h>

#include "shop.edri.h"

static edri_err_t
on_order(edri_task_t *task, const Shop__OrderPlaced *order)
{
    (void)task;
    (void)order;
    return EDRI_OK;
}

edri_err_t
edri_plugin(edri_manager_t *manager)
{
    return shop_order_placed_handle(manager, on_order, EDRI_METHOD);
}
