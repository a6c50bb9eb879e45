// SPDX-License-Identifier: MIT
// retry.c - whether and when what has failed is tried again.

#include "core/retry.h"

bool
retry_may(const edri_type_t *type, uint32_t tries, edri_err_t err)
{
    bool passes = err == EDRI_FAILED || err == EDRI_SYSTEM ||
                  err == EDRI_OVERLOADED || err == EDRI_DRAINING ||
                  err == EDRI_UNREACHABLE || err == EDRI_NO_RESPONDER ||
                  err == EDRI_NODE_DIED || err == EDRI_RESPONDER_DIED ||
                  err == EDRI_WORKER_DIED;
    return passes && type->idempotent && tries < type->attempts;
}

int64_t
retry_pause_ms(const edri_type_t *type, uint32_t tries, uint64_t random)
{
    uint64_t pause = type->backoff_ms;
    for (uint32_t i = 1; i < tries && pause < type->backoff_max_ms; i++) {
        pause *= 2;
    }
    if (pause > type->backoff_max_ms) {
        pause = type->backoff_max_ms;
    }
    return (int64_t)(pause / 2 + random % (pause / 2 + 1));
}
