// SPDX-License-Identifier: MIT
// node/link_words.h - what link.c and link_words.c share.

#ifndef NODE_LINK_WORDS_H
#define NODE_LINK_WORDS_H

#include "node/router.h"

// link_word handles one control word of the switch.
void link_word(link_t *self, const control_t *word);

// link_end gives the session up; the next try comes after a pause.
void link_end(link_t *self, const char *why);

// link_ask_table asks for the table of one type.
void link_ask_table(link_t *self, uint64_t type);

// links_resume: a switch is settled; replies that waited for one go on.
void links_resume(link_t *self);

// links_requeue moves what waited for a closed session to another link that
// reaches the same nodes, or keeps it for the next session.
void links_requeue(link_t *self);

#endif
