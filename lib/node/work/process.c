// SPDX-License-Identifier: MIT
// process.c - a child process: started, watched, ended.
//
// DESIGN
// posix_spawn and not fork: the program has threads, and may have much memory.
// SIGTERM and SIGINT sent to a whole group (Ctrl-C, a service manager) are for
// the node, which drains; so they are blocked in its processes from their first
// instruction on.  The end is watched by a descriptor (pidfd), so it can be
// polled for beside others and no signal handler is needed.

#include "node/work/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

// The largest command line that is read.
#define ARGS_MAX ((size_t)1024 * 1024)

extern char **environ;

// ----- starting

// with_variable copies the environment with one variable set; strings are
// borrowed.
static char **
with_variable(const char *variable)
{
    size_t count = 0;
    size_t name = strcspn(variable, "=") + 1;
    while (environ[count] != NULL) {
        count++;
    }
    char **copy = mem_new((count + 2) * sizeof *copy);
    char **at = copy;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(environ[i], variable, name) != 0) {
            *at++ = environ[i];
        }
    }
    *at = (char *)(uintptr_t)variable; // posix_spawn writes to none of them
    return copy;
}

// arrange says which descriptors and signals the process begins with.  Returns
// 0 or an errno.
static int
arrange(const process_plan_t *plan, posix_spawn_file_actions_t *files,
    posix_spawnattr_t *attributes)
{
    sigset_t blocked;
    sigset_t defaults;
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigaddset(&blocked, SIGINT);
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    int err = plan->input >= 0 ? posix_spawn_file_actions_adddup2(
                                     files, plan->input, STDIN_FILENO)
                               : posix_spawn_file_actions_addopen(files,
                                     STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    // Out of each other's way first: one may stand where another has to go.
    int count = (int)plan->inherits_count;
    int above = PROCESS_FD + count;
    for (int i = 0; i < count; i++) {
        above = plan->inherits[i] >= above ? plan->inherits[i] + 1 : above;
    }
    for (int i = 0; i < count && err == 0; i++) {
        err = posix_spawn_file_actions_adddup2(
            files, plan->inherits[i], above + i);
    }
    for (int i = 0; i < count && err == 0; i++) {
        err =
            posix_spawn_file_actions_adddup2(files, above + i, PROCESS_FD + i);
    }
    if (err == 0) {
        err =
            posix_spawn_file_actions_addclosefrom_np(files, PROCESS_FD + count);
    }
    if (err == 0) {
        err = posix_spawnattr_setsigmask(attributes, &blocked);
    }
    if (err == 0) {
        err = posix_spawnattr_setsigdefault(attributes, &defaults);
    }
    return err != 0 ? err
                    : posix_spawnattr_setflags(attributes,
                          POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

edri_err_t
process_start(process_t *self, const process_plan_t *plan, const char **why_p)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawnattr_init(&attributes);
    char **environment = with_variable(plan->variable);
    int err = arrange(plan, &files, &attributes);
    if (err == 0) {
        err = posix_spawnp(&self->pid, plan->path, &files, &attributes,
            plan->argv, environment);
    }
    free(environment);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&files);
    if (err != 0) {
        self->pid = 0;
        *why_p = strerror(err);
        return EDRI_SYSTEM;
    }
    self->fd = pidfd_open(self->pid, 0);
    if (self->fd < 0) {
        *why_p = strerror(errno);
        (void)kill(self->pid, SIGKILL);
        (void)waitpid(self->pid, NULL, 0);
        self->pid = 0;
        return EDRI_SYSTEM;
    }
    return EDRI_OK;
}

// ----- ending

// wait_end waits until the process has ended.  Returns false at the deadline.
static bool
wait_end(const process_t *self, int64_t deadline_ms)
{
    struct pollfd item = {self->fd, POLLIN, 0};
    int count = 0;
    do {
        int64_t left = deadline_ms - clock_ms();
        count = poll(&item, 1, left > 0 ? (int)left : 0);
    } while (count < 0 && errno == EINTR);
    return count > 0;
}

bool
process_ended(const process_t *self)
{
    return wait_end(self, 0);
}

char *
process_reap(process_t *self, int64_t grace_ms)
{
    int status = 0;
    pid_t pid = 0;
    if (!wait_end(self, clock_ms() + grace_ms)) {
        (void)kill(self->pid, SIGKILL);
    }
    do {
        pid = waitpid(self->pid, &status, 0);
    } while (pid < 0 && errno == EINTR);
    (void)close(self->fd);
    self->pid = 0;
    if (pid < 0) {
        return str_dup("ended; somebody else has asked how");
    }
    return WIFSIGNALED(status)
               ? str_printf("was killed by signal %d (%s)", WTERMSIG(status),
                     sigdescr_np(WTERMSIG(status)))
               : str_printf("exited with status %d", WEXITSTATUS(status));
}

// ----- in the process itself

void
process_follow(void)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}

char *
process_own_program(void)
{
    char path[PATH_MAX + 1];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    path[size > 0 ? size : 0] = '\0';
    return str_dup(size > 0 ? path : "/proc/self/exe");
}

char **
process_own_args(void)
{
    char *text = mem_new(ARGS_MAX + 1);
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    size_t size = 0;
    ssize_t more = fd >= 0 ? 1 : 0;
    while (more > 0 && size < ARGS_MAX) {
        more = read(fd, text + size, ARGS_MAX - size);
        size += more > 0 ? (size_t)more : 0;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        count += text[i] == '\0';
    }
    // The pointers, then the strings.
    char **args = NULL;
    if (count > 0) {
        args = mem_new((count + 1) * sizeof *args + size);
        char *at = memcpy(args + count + 1, text, size);
        for (size_t i = 0; i < count; i++) {
            args[i] = at;
            at += strlen(at) + 1;
        }
    }
    free(text);
    return args;
}
