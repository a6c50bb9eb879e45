// SPDX-License-Identifier: MIT
// bench_keys.c - edri bench keys: events of many keys in a pool of threads,
// with and without keys whose handlers fail.
//
// Every hundredth key is poisoned: its events fail, are tried again after a
// pause and end as dead letters, and what is behind them waits.  The others
// must not notice.  Order per key is checked as they come.

#include <stdatomic.h>
#include <stdlib.h>

#include "bench.edri.h"
#include "bench.h"

#define KEYS     10000
#define WORKERS  8
#define POISONED 100 // one key of so many
#define ROUNDS   5

typedef struct keyed {
    edri_node_t *node;
    bool poison;
    uint64_t wanted; // events of healthy keys
    atomic_ulong done;
    atomic_ulong disorder;
    uint32_t next[KEYS]; // of one key only one is handled at a time
    double last;
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
        self->last = bench_now();
        edri_node_quit(self->node);
    }
    return EDRI_OK;
}

// run measures one node and returns events of healthy keys a second.
static double
run(uint64_t count, bool poison)
{
    keyed_t *self = calloc(1, sizeof *self);
    uint64_t each = count / KEYS > 0 ? count / KEYS : 1;
    self->poison = poison;
    self->wanted = each * (KEYS - KEYS / POISONED);
    self->node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(self->node, "keys");
    (void)edri_manager_set_state(manager, self, NULL);
    (void)edri_bench_step_handle(manager, on_step, EDRI_THREADS(WORKERS));
    if (edri_node_start(self->node) != EDRI_OK) {
        bench_fail("%s", edri_node_error(self->node));
    }
    edri_port_t *port = edri_node_port(self->node);
    Edri__Bench__Step step = EDRI__BENCH__STEP__INIT;
    double first = bench_now();
    for (step.number = 0; step.number < each; step.number++) {
        for (step.key = 0; step.key < KEYS; step.key++) {
            if (edri_bench_step_emit(port, &step) != EDRI_OK) {
                bench_fail("%s", edri_port_error(port));
            }
        }
    }
    (void)edri_node_wait(self->node);
    double rate = (double)self->wanted / (self->last - first);
    edri_port_destroy(&port);
    (void)edri_node_stop(self->node, 0); // the poisoned ones are left
    if (self->disorder > 0) {
        bench_fail("%lu events of a key were out of order",
            (unsigned long)self->disorder);
    }
    edri_node_destroy(&self->node);
    free(self);
    return rate;
}

void
bench_keys(uint64_t count, result_t *result)
{
    double rates[2][ROUNDS];
    double ratios[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        // In turn: what the machine does meanwhile hits both.
        for (int j = 0; j < 2; j++) {
            bool poison = (i + j) % 2 > 0;
            rates[poison][i] = run(count, poison);
        }
        ratios[i] = rates[1][i] / rates[0][i];
    }
    result->against = "without poison";
    result->baseline_per_s = bench_percentiles(rates[0], ROUNDS).p50;
    result->events_per_s = bench_percentiles(rates[1], ROUNDS).p50;
    result->ratio = bench_percentiles(ratios, ROUNDS).p50;
}
