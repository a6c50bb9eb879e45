// SPDX-License-Identifier: MIT
// edri/letters.h - dead letters: events whose handlers failed for good.
//
// A notification whose handler returned an error, in its last try (option
// retry), stays at the node where it failed until somebody takes it away: tried
// again or dropped.  They are in memory, at most node.letters bytes; the oldest
// make room.

#ifndef EDRI_LETTERS_H
#define EDRI_LETTERS_H

#include <stddef.h>
#include <stdint.h>

#include "edri/node.h"

typedef struct edri_letters edri_letters_t;

typedef struct edri_letter {
    const char *node;
    uint64_t number; // in that node
    const char *manager;
    const char *type;
    edri_err_t err;
    const char *text; // of the error, cut to 256 bytes in lists
    uint32_t tries;
    uint64_t at_us;   // when it failed, since 1970-01-01 UTC
    size_t size;      // of the packed event, in bytes
    const void *body; // the packed event; NULL in lists, and over 1 MiB
} edri_letter_t;

// edri_letters_new asks the nodes for their dead letters, waiting at most
// timeout_ms: 'of' names one node, NULL means all; 'number' one letter, with its
// body, 0 means all (the oldest 1,000 of each node).  Caller owns *result_p.
// Returns EDRI_OK, also when some node has not answered (edri_letters_silent);
// EDRI_NOT_FOUND when there is no such node; EDRI_DEADLINE, EDRI_UNREACHABLE (no
// switch), EDRI_STATE.  Blocks.
edri_err_t edri_letters_new(edri_node_t *node, const char *of, uint64_t number,
    int timeout_ms, edri_letters_t **result_p) EDRI_MUST_CHECK;

// edri_letters_destroy frees it with all that was borrowed from it.
void edri_letters_destroy(edri_letters_t **self_p);

// edri_letters_list gives the letters, borrowed, by node and number, and returns
// how many; _more how many there are beside; _silent the nodes that did not
// answer in time.
size_t edri_letters_list(
    const edri_letters_t *self, const edri_letter_t **letters_p);
uint64_t edri_letters_more(const edri_letters_t *self);
size_t edri_letters_silent(
    const edri_letters_t *self, const char *const **names_p);

// edri_letters_retry gives letters of the node 'of' to their managers again,
// marked redelivered; edri_letters_drop drops them.  'number' 0 means all that
// the node has.  *count is how many.  A letter whose manager is not there any
// more stays.  Returns as edri_letters_new, and EDRI_NOT_FOUND when there was
// none.  Blocks.
edri_err_t edri_letters_retry(edri_node_t *node, const char *of,
    uint64_t number, int timeout_ms, uint64_t *count) EDRI_MUST_CHECK;
edri_err_t edri_letters_drop(edri_node_t *node, const char *of, uint64_t number,
    int timeout_ms, uint64_t *count) EDRI_MUST_CHECK;

#endif
