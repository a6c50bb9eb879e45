// SPDX-License-Identifier: MIT
// counters.c - what a node counts: one table.

#include "node/counters.h"

const char *
counter_name(counter_t which)
{
    static const char *const names[COUNTER_COUNT] = {
#define X(id, name, help) name,
        COUNTER_MAP(X)
#undef X
    };
    return names[which];
}

const char *
counter_help(counter_t which)
{
    static const char *const helps[COUNTER_COUNT] = {
#define X(id, name, help) help,
        COUNTER_MAP(X)
#undef X
    };
    return helps[which];
}
