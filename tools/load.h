// SPDX-License-Identifier: MIT
// load.h - load that is offered by a schedule, and what its receivers saw; for 'edri
// bench latency' and the client of NATS that stands beside it.
//
// DESIGN: the generator sleeps between two wake-ups (pace.h), with the kernel's slack
// for its thread taken down to nothing.  To spin instead would be more punctual, but
// takes a whole processor from what is measured.  How late it was is tracked beside
// the latencies, which contain it.

#ifndef TOOLS_LOAD_H
#define TOOLS_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pace.h"

// What is not there so long after it was due does not come any more.
#define LOAD_PATIENCE_MS 30000

int64_t load_now_ns(void);

// load_share makes a schedule that this process and its children see alike.  It lives
// as long as the process.
pace_t *load_share(const pace_t *pace);

// load_t is how the generator sends an event, and how it waits.
typedef struct load {
    void (*emit)(void *arg, uint64_t number);
    // wait returns at 'until_ns' or before; it is called after each burst, too, with
    // 0: it must not wait.
    void (*wait)(void *arg, int64_t until_ns);
    void *arg;
} load_t;

// load_sleep is a 'wait' that sleeps.
void load_sleep(void *arg, int64_t until_ns);

// load_generate starts the schedule now and offers all its events; 'track' gets when
// each was sent.  Returns false when it is so far behind that it makes no sense.
bool load_generate(pace_t *pace, track_t *track, const load_t *load);

// receiver_t is one that events come to, in a thread of its own.
typedef struct receiver {
    const pace_t *pace;
    track_t track;
    uint64_t seen; // atomic
    int done_fd;   // readable when all have come
} receiver_t;

// receiver_init returns false when the system has no descriptor left.
bool receiver_init(receiver_t *self, const pace_t *pace);

// receiver_note notes an event: in the thread that they come in.
void receiver_note(receiver_t *self, uint64_t number);

// receiver_wait waits until all have come, and no longer than the schedule and
// LOAD_PATIENCE_MS; when 'silence_ms' is not 0, nor longer than nothing comes for so
// long.  Returns false when some have not come.
bool receiver_wait(receiver_t *self, int silence_ms);

// load_write writes all of it; load_read reads all of it within 'timeout_ms'.  They
// return false when they cannot.
bool load_write(int fd, const void *data, size_t size);
bool load_read(int fd, void *data, size_t size, int64_t timeout_ms);

// load_span_ms returns how long the schedule takes, with LOAD_PATIENCE_MS.
int64_t load_span_ms(const pace_t *pace);

#endif
