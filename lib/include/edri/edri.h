// SPDX-License-Identifier: MIT
// edri/edri.h - all of EDRI in one include.

#ifndef EDRI_EDRI_H
#define EDRI_EDRI_H

#include "edri/audit.h"
#include "edri/err.h"
#include "edri/health.h"
#include "edri/letters.h"
#include "edri/log.h"
#include "edri/manager.h"
#include "edri/network.h"
#include "edri/node.h"
#include "edri/plugin.h"
#include "edri/port.h"
#include "edri/task.h"
#include "edri/tunnel.h"
#include "edri/type.h"

#define EDRI_VERSION "0.1.0"

#endif
