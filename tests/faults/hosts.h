// SPDX-License-Identifier: MIT
// hosts.h - a network of hosts on one machine: namespaces joined by a wire.
//
// DESIGN
// Each host is a network namespace with one TAP device, 10.77.0.<host + 1>.
// A thread carries the frames between the devices: that is the wire, which can
// be cut in either direction, lose and delay.  Nothing of the machine is
// changed; all of it ends with the process.

#ifndef FAULTS_HOSTS_H
#define FAULTS_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define HOSTS_MAX 16

typedef struct hosts hosts_t;

// hosts_new makes so many.  NULL: the machine does not allow it, *why says why
// (static).  hosts_destroy ends the wire.
hosts_t *hosts_new(unsigned count, const char **why);
void hosts_destroy(hosts_t **self_p);

// hosts_run starts a program on a host, its output appended to a file;
// 'descriptors' (0: as here) is how many it may have.  -1: it cannot be started.
pid_t hosts_run(hosts_t *self, unsigned host, char *const argv[],
    const char *output, unsigned descriptors);

// hosts_connect opens a TCP connection from a host to a port of another.
int hosts_connect(hosts_t *self, unsigned from, unsigned to, unsigned port);

// hosts_cut cuts what comes from the host, what goes to it, or (false) neither;
// hosts_weather lets each frame of it be late and some be lost.
void hosts_cut(hosts_t *self, unsigned host, bool from, bool to);
void hosts_weather(
    hosts_t *self, unsigned host, unsigned delay_ms, unsigned loss_percent);

#endif
