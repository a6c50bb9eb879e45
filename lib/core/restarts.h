// SPDX-License-Identifier: MIT
// core/restarts.h - how often something may be started again.
//
// DESIGN
// What ends now and then is started again; what ends 'most' times within
// 'within_ms' is not: it would end again.  So a supervisor in Erlang/OTP counts
// ("restart intensity").  Pure.

#ifndef CORE_RESTARTS_H
#define CORE_RESTARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESTARTS_MAX 100

// restarts_t begins as zeros but for 'most' (0 to RESTARTS_MAX) and 'within_ms'.
typedef struct restarts {
    uint32_t most;
    int64_t within_ms;
    int64_t times[RESTARTS_MAX]; // of the newest ends
    size_t next;
    size_t count;
} restarts_t;

// restarts_note counts an end.  Returns whether it may be started again: 'most'
// ends within the time are forgiven.
bool restarts_note(restarts_t *self, int64_t now_ms);

#endif
