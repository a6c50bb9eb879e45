// SPDX-License-Identifier: MIT
// node/survey.h - questions that the switch passes on to nodes, and all their
// answers.

#ifndef NODE_SURVEY_H
#define NODE_SURVEY_H

#include "node/network.h"

// survey_t is the answers, the switch's first; texts are borrowed from them.
typedef struct survey {
    Edri__Link__Answer **answers;
    size_t count;
    const char **silent; // nodes that did not answer
    size_t silent_count;
} survey_t;

// survey_nodes asks and waits for the answers of all nodes that the switch has asked.
// Returns EDRI_OK, also when some are missing at the deadline; or as network_ask
// when the switch did not answer: *out is empty then.
edri_err_t survey_nodes(edri_node_t *node, Edri__Link__Ask *question,
    int timeout_ms, survey_t *out) EDRI_MUST_CHECK;

// survey_one does so for one node, or (of NULL) all.  Returns also EDRI_NOT_FOUND
// when there is no such node, EDRI_DEADLINE when it did not answer.
edri_err_t survey_one(edri_node_t *node, Edri__Link__Ask *question,
    const char *of, int timeout_ms, survey_t *out) EDRI_MUST_CHECK;

void survey_clear(survey_t *self);

#endif
