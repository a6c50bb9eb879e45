// SPDX-License-Identifier: MIT
// check.h - reads the books of all nodes: is every number there, once, in order?

#ifndef FAULTS_CHECK_H
#define FAULTS_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "book.h"

#define NODES_MAX 8

typedef struct totals {
    uint64_t emitted;
    uint64_t begun;
    uint64_t marked;
    uint64_t requests;
    uint64_t failed; // of these, with an error
    uint64_t lost;
    uint64_t doubled; // without the mark
    uint64_t disorder;
    uint64_t wrong; // requests that ended twice, or with another's answer
} totals_t;

typedef struct check check_t;

// check_new follows the books of so many nodes, each both writer and reader.
check_t *check_new(book_t **books, unsigned count);
void check_destroy(check_t **self_p);

// check_follow reads what is new.  check_complete says whether every number
// that was emitted has been begun wherever it must be.
void check_follow(check_t *self);
bool check_complete(check_t *self);

// check_joins: a node is there from now on; what was emitted before is not its.
void check_joins(check_t *self, unsigned node);

// check_again says whether every node has heard every other one since then (in
// ms of the monotonic clock); *worst_p is the pair that took longest.
typedef struct pair {
    unsigned reader;
    unsigned writer;
    uint32_t ms;
} pair_t;

bool check_again(check_t *self, uint32_t since_ms, pair_t *worst_p);

// check_sum counts; the first things that are wrong are printed.
totals_t check_sum(check_t *self);

#endif
