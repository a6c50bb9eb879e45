// SPDX-License-Identifier: MIT
// node/work/process.h - a child process: started, watched, ended.
//
// A process belongs to the thread that started it: the kernel ends it with that
// thread, if it asked for that (process_follow).

#ifndef NODE_WORK_PROCESS_H
#define NODE_WORK_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "edri/err.h"

// The descriptor from which on a process finds what it inherits.
#define PROCESS_FD 3

typedef struct process {
    pid_t pid; // 0: none
    int fd;    // readable once it has ended
} process_t;

// process_plan_t says what to start.
typedef struct process_plan {
    const char *path;     // looked for in PATH when it has no '/'
    char *const *argv;    // ended by NULL
    const char *variable; // "NAME=VALUE" beside the environment of this process
    const int *inherits;  // descriptors that it finds from PROCESS_FD on;
    unsigned inherits_count; // so many
    int input;               // as its standard input; -1: /dev/null
} process_plan_t;

// process_start starts a process.  SIGTERM and SIGINT are blocked in it, and
// every descriptor but those of the plan and standard output and error closed.
// Returns EDRI_OK, or EDRI_SYSTEM with errno as text in *why_p (static).
edri_err_t process_start(process_t *self, const process_plan_t *plan,
    const char **why_p) EDRI_MUST_CHECK;

// process_ended says whether it has ended.
bool process_ended(const process_t *self);

// process_reap waits for the end, for at most grace_ms, then kills it.  Returns
// how it ended, such as "was killed by signal 11 (Segmentation fault)"; the
// caller frees it.  Blocks.
char *process_reap(process_t *self, int64_t grace_ms);

// process_follow makes this process end when the thread that started it does.
void process_follow(void);

// process_own_args gives the arguments that this process was started with,
// ended by NULL; one block, freed with free().  NULL when they cannot be read.
char **process_own_args(void);

// process_own_program gives the path of the program that runs here; the caller
// frees it.
char *process_own_program(void);

#endif
