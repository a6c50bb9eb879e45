// SPDX-License-Identifier: MIT
// base/affinity.h - on which processors threads run: Linux's part of base/huddle.h.
//
// Whoever else sets where a thread may run has the last word: what it set is not undone.
// A thread that is kept on a processor is not woken elsewhere, nor does the kernel move
// it; what it starts would be kept there, too.

#ifndef BASE_AFFINITY_H
#define BASE_AFFINITY_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/huddle.h"

#define AFFINITY_THREADS 2

// Instead of a processor: where the caller runs, or they are already.
#define AFFINITY_HERE (-2)

// affinity_stay_t keeps one thread on one processor for a while.
typedef struct affinity_stay {
    cpu_set_t before; // where it may run else
    int cpu;          // -1: it is not kept anywhere
} affinity_stay_t;

// affinity_t are threads of this process that may huddle.  One thread at a time may call
// these functions.
typedef struct affinity {
    huddle_t huddle;
    struct {
        pid_t id;
        int stat_fd; // what the kernel counts of it
        bool kept;   // while they huddle; else it is only counted
        affinity_stay_t stay;
    } threads[AFFINITY_THREADS];
    unsigned count;
    char wanted[16]; // a thread of this name is to be added; "": none
    int64_t looked_ms;
    bool off; // it cannot be done
} affinity_t;

// affinity_init begins without threads: none ever huddle.  affinity_close forgets all,
// wherever they are kept.
void affinity_init(affinity_t *self);
void affinity_close(affinity_t *self);

// affinity_add adds a thread of this process that is kept while they huddle,
// affinity_want the only one of a name (15 characters at most), for which the next look
// looks, affinity_count one that is only counted.  When there is no such thread, the
// kernel does not count its turns, or it has one processor only, they never huddle.
void affinity_add(affinity_t *self, pid_t thread);
void affinity_want(affinity_t *self, const char *name);
void affinity_count(affinity_t *self, pid_t thread);

// affinity_counts says whether a thread is only counted (0: any); affinity_uncount forgets
// those, and lets all go.
bool affinity_counts(const affinity_t *self, pid_t thread);
void affinity_uncount(affinity_t *self);

// affinity_due says whether it is time for a look.
static inline bool
affinity_due(const affinity_t *self, int64_t now_ms)
{
    return !self->off && (self->count > 0 || self->wanted[0] != '\0') &&
           now_ms - self->looked_ms >= HUDDLE_LOOK_MS;
}

// affinity_look looks how the threads do, and has them huddle on 'cpu' or lets them go
// (base/huddle.h).  Some microseconds.
void affinity_look(affinity_t *self, int cpu, int64_t now_ms);

// affinity_end lets them go at once.
void affinity_end(affinity_t *self);

// affinity_cpu says where they huddle; -1: nowhere.
static inline int
affinity_cpu(const affinity_t *self)
{
    return self->huddle.cpu;
}

// affinity_incoming says on which processor the last packet of a connection arrived; -1:
// unknown, or fd is none.
int affinity_incoming(int fd);

// affinity_stay keeps the calling thread on a processor (-1: nowhere) until
// affinity_leave: for a sleep, so that it wakes there.
void affinity_stay(affinity_stay_t *self, int cpu);
void affinity_leave(affinity_stay_t *self);

#endif
