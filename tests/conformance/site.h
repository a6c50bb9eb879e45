// SPDX-License-Identifier: MIT
// site.h - a node whose workers are to be tried, and what it has seen of them.
//
// The manager "work" has the handlers, run by workers of the kind that the test
// wants.  "sink" notes what they emit, "inner" answers what they ask, "full"
// takes nothing while it is held.

#ifndef TESTS_CONFORMANCE_SITE_H
#define TESTS_CONFORMANCE_SITE_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>

#include <edri/edri.h>

#include "duty.edri.h"

typedef struct seen {
    char what[24];
    uint64_t number;
    size_t size; // of its data
    bool whole;  // every byte of the data is right
} seen_t;

typedef struct site {
    edri_node_t *node;
    edri_manager_t *work;
    edri_port_t *port; // the main thread's
    pthread_mutex_t lock;
    pthread_cond_t changed;
    seen_t *seen; // in the order of their coming
    size_t count;
    bool held;    // "full" takes nothing
    bool forgets; // what "sink" gets; set before site_start
} site_t;

// site_new makes the node, with the settings of the command line; more may be
// set before site_start.  In a process of a worker site_start does not return.
site_t *site_new(int argc, char **argv, edri_workers_t workers);
void site_start(site_t *self);

// site_free ends the node at once if it still runs.
void site_free(site_t **self_p);

// site_wait waits until 'count' events of that name have been seen, for at most
// 20 s.  Returns whether they were.  site_seen returns how many were.
bool site_wait(site_t *self, const char *what, size_t count);
size_t site_seen(site_t *self, const char *what);

// site_hold closes or opens "full".
void site_hold(site_t *self, bool held);

// site_do asks for something; *done_p (may be NULL) is the caller's.  site_note
// emits it.
edri_err_t site_do(
    site_t *self, const char *what, uint64_t number, Duty__Done **done_p);
void site_note(site_t *self, const char *what, uint64_t number);

// site_counter returns a counter of the node.
uint64_t site_counter(const site_t *self, const char *name);

// site_on_flow handles duty.Flow, for those that want it.
edri_err_t site_on_flow(
    edri_task_t *task, const Duty__Flow *flow, edri_tunnel_t *tunnel);

// site_data gives 'size' bytes with a pattern; site_whole says whether bytes
// are these.
uint8_t *site_data(size_t size);
bool site_whole(const uint8_t *data, size_t size);

// wait_for polls a condition for at most 20 s.
#define wait_for(condition)                                       \
    for (int tries = 0; !(condition) && tries < 20000; tries++) { \
        (void)poll(NULL, 0, 1);                                   \
    }

// check ends the program with a line unless 'fine'.
#define check(fine, ...) \
    ((fine) ? (void)0 : check_failed(__FILE__, __LINE__, __VA_ARGS__))
void check_failed(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));

#endif
