// SPDX-License-Identifier: MIT
// core/retry.h - whether and when what has failed is tried again.

#ifndef CORE_RETRY_H
#define CORE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "edri/err.h"
#include "edri/type.h"

// retry_may says whether one more try of what ended with 'err' may end better,
// and the type allows it: 'tries' were begun so far.
bool retry_may(const edri_type_t *type, uint32_t tries, edri_err_t err);

// retry_pause_ms is the time before the next try: the type's backoff, doubled
// with each try that was begun but the first, at most its backoff_max; between
// half of it and the whole by 'random', so that what failed together does not
// come back together.
int64_t retry_pause_ms(
    const edri_type_t *type, uint32_t tries, uint64_t random);

#endif
