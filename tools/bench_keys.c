// SPDX-License-Identifier: MIT
// bench_keys.c - edri bench keys: events of many keys in a pool of threads,
// with and without keys whose handlers fail.
//
// Every hundredth key is poisoned: its events fail, are tried again after a
// pause and end as dead letters, and what is behind them waits.  The others
// must not notice.  Order per key is checked as they come.
//
// Two nodes are there at once, one with poison, and have slices of the events in
// turn, a tenth of a second each or so: what else the machine does hits both.

#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "bench.edri.h"
#include "bench.h"

#define KEYS     10000
#define WORKERS  8
#define POISONED 100 // one key of so many
#define HEALTHY  (KEYS - KEYS / POISONED)
#define ROUNDS   10 // in a slice each key has so many events

typedef struct keyed {
    edri_node_t *node;
    edri_port_t *port;
    bool poison;
    atomic_ulong wanted; // events of healthy keys
    atomic_ulong done;
    atomic_ulong disorder;
    sem_t all_done;
    uint32_t next[KEYS]; // of one key only one is handled at a time
} keyed_t;

static edri_err_t
on_step(edri_task_t *task, const Edri__Bench__Step *step)
{
    keyed_t *self = edri_task_state(task);
    bool poisoned = step->key % POISONED == 0;
    if (poisoned && self->poison) {
        return EDRI_FAILED;
    }
    if (step->number != self->next[step->key]) {
        self->disorder++;
    }
    self->next[step->key] = step->number + 1;
    if (!poisoned && ++self->done == self->wanted) {
        (void)sem_post(&self->all_done);
    }
    return EDRI_OK;
}

static keyed_t *
begin(bool poison)
{
    keyed_t *self = calloc(1, sizeof *self);
    self->poison = poison;
    (void)sem_init(&self->all_done, 0, 0);
    self->node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(self->node, "keys");
    (void)edri_manager_set_state(manager, self, NULL);
    (void)edri_bench_step_handle(manager, on_step, EDRI_THREADS(WORKERS));
    if (edri_node_start(self->node) != EDRI_OK) {
        bench_fail("%s", edri_node_error(self->node));
    }
    self->port = edri_node_port(self->node);
    return self;
}

static void
end(keyed_t *self)
{
    edri_port_destroy(&self->port);
    (void)edri_node_stop(self->node, 0); // the poisoned ones are left
    if (self->disorder > 0) {
        bench_fail("%lu events of a key were out of order",
            (unsigned long)self->disorder);
    }
    edri_node_destroy(&self->node);
    (void)sem_destroy(&self->all_done);
    free(self);
}

// play emits a slice and returns healthy events a second, until the last of them.
static double
play(keyed_t *self, uint32_t slice)
{
    Edri__Bench__Step step = EDRI__BENCH__STEP__INIT;
    double first = bench_now();
    self->wanted += (uint64_t)ROUNDS * HEALTHY;
    step.number = slice * ROUNDS;
    for (; step.number < (slice + 1) * ROUNDS; step.number++) {
        for (step.key = 0; step.key < KEYS; step.key++) {
            if (edri_bench_step_emit(self->port, &step) != EDRI_OK) {
                bench_fail("%s", edri_port_error(self->port));
            }
        }
    }
    while (sem_wait(&self->all_done) != 0) {
    }
    return ROUNDS * HEALTHY / (bench_now() - first);
}

void
bench_keys(uint64_t count, result_t *result)
{
    uint64_t slices = (count + ROUNDS * KEYS - 1) / (ROUNDS * KEYS);
    double *rates[] = {calloc(slices, sizeof(double)),
        calloc(slices, sizeof(double)), calloc(slices, sizeof(double))};
    keyed_t *sides[] = {begin(false), begin(true)};
    for (uint32_t i = 0; i < slices; i++) {
        for (unsigned j = 0; j < 2; j++) {
            unsigned side = (i + j) % 2;
            rates[side][i] = play(sides[side], i);
        }
        rates[2][i] = rates[1][i] / rates[0][i];
    }
    result->count = slices * ROUNDS * KEYS;
    result->against = "without poison";
    result->baseline_per_s = bench_percentiles(rates[0], slices).p50;
    result->events_per_s = bench_percentiles(rates[1], slices).p50;
    result->ratio = bench_percentiles(rates[2], slices).p50;
    for (unsigned i = 0; i < 3; i++) {
        free(rates[i]);
    }
    end(sides[0]);
    end(sides[1]);
}
