// SPDX-License-Identifier: MIT
// core/health.h - how a manager is: what its queue and its answers tell.
//
// DESIGN
// A manager is probed through the way that events take: a probe stands in its
// queue behind what waits there, and is answered when its turn comes.  Beside
// that, work must go on: while something waits or is being worked on, 'progress'
// must change.  How long the older of the two has been waited for is the state.
// Pure: 'now' comes in, in milliseconds.

#ifndef CORE_HEALTH_H
#define CORE_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

typedef enum health_state {
    HEALTH_OK,
    HEALTH_SLOW,
    HEALTH_STUCK,
    HEALTH_DEAD // it has ended
} health_state_t;

typedef struct health_times {
    int64_t probe_ms; // between two probes
    int64_t slow_ms;
    int64_t stuck_ms;
} health_times_t;

typedef struct health {
    health_state_t state;
    int64_t since_ms;    // of the state
    int64_t asked_ms;    // the probe that is not answered; 0: none
    int64_t next_ms;     // when to send the next
    int64_t delay_ms;    // that the last one took
    int64_t progress_ms; // when work last went on, or there was none
    uint64_t progress;
} health_t;

void health_init(health_t *self, int64_t now_ms);

// health_ask says whether a probe is to be sent now, and notes it.
bool health_ask(health_t *self, const health_times_t *times, int64_t now_ms);

// health_answered: the probe has been answered.
void health_answered(health_t *self, int64_t now_ms);

// health_look judges: 'busy' says whether something waits or is being worked on,
// 'progress' is any number that changes when work goes on.  Returns true when
// the state is another than before.
bool health_look(health_t *self, const health_times_t *times, bool busy,
    uint64_t progress, int64_t now_ms);

// health_name is "ok", "slow", "stuck" or "dead"; static.
const char *health_name(health_state_t state);

#endif
