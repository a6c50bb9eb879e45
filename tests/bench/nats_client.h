// SPDX-License-Identifier: MIT
// nats_client.h - what the files of edri-bench-nats share.

#ifndef TESTS_BENCH_NATS_CLIENT_H
#define TESTS_BENCH_NATS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <nats/nats.h>

#include "load.h"

// client_check ends the program when the call has failed.
void client_check(natsStatus status, const char *what);

// client_join connects; 'asap' sends each message at once.
natsConnection *client_join(const char *url, bool asap);

// client_fork forks; what it does ends with this process.
pid_t client_fork(void);

// client_respond answers requests for ever; it says "r" to 'out' when it is there.
void client_respond(const char *url, int out);

// paced_events and paced_requests offer load by the schedule; the result is the
// program's.
int paced_events(const char *url, size_t size, const pace_t *schedule);
int paced_requests(const char *url, size_t size, const pace_t *schedule);

#endif
