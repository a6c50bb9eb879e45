// SPDX-License-Identifier: MIT
// node/work/workers.h - who runs a handler: what code and configuration say.

#ifndef NODE_WORK_WORKERS_H
#define NODE_WORK_WORKERS_H

#include <stdbool.h>

#include "edri/manager.h"

// The kinds of edri_workers_t.
enum {
    WORKERS_METHOD,
    WORKERS_THREADS,
    WORKERS_PROCESSES,
    WORKERS_FRESH
};

// More than this many of one handler is a mistake.
#define WORKERS_MAX 256

// workers_fit says whether a value is one of the four, with a count from 1 to
// WORKERS_MAX; WORKERS_FRESH may have 0, as many as there are processors.
bool workers_fit(edri_workers_t workers);

// workers_read reads "method", "threads:N", "processes:N", "fresh" or
// "fresh:N".  Returns false when the text is none of these.
bool workers_read(const char *text, edri_workers_t *workers);

// workers_count returns how many run at once.
unsigned workers_count(edri_workers_t workers);

#endif
