// SPDX-License-Identifier: MIT
// node/books.h - what a node holds and has dropped: for edri audit, and as
// events.

#ifndef NODE_BOOKS_H
#define NODE_BOOKS_H

#include "node/router.h"

// books_answer sends the node's books to the switch that asked.
void books_answer(link_t *link, uint64_t number);

// letters_answer does what a tool asks of the dead letters, and answers
// (letters_answer.c).
void letters_answer(link_t *link, const Edri__Link__Ask *ask);

// books_tell emits edri.Dropped for what has been dropped since the last time.
void books_tell(router_t *router);

#endif
