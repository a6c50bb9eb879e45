// SPDX-License-Identifier: MIT
// affinity.c - on which processors threads run.

#include "base/affinity.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edri/log.h"

// ----- one thread

// stay keeps a thread on a processor; 0: the caller.  Returns false when it may not run
// there, or nowhere else.
static bool
stay(affinity_stay_t *self, pid_t thread, int cpu)
{
    cpu_set_t one;
    self->cpu = -1;
    if (cpu < 0 ||
        sched_getaffinity(thread, sizeof self->before, &self->before) != 0 ||
        !CPU_ISSET(cpu, &self->before) || CPU_COUNT(&self->before) < 2) {
        return false;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(thread, sizeof one, &one) == 0) {
        self->cpu = cpu;
    }
    return self->cpu >= 0;
}

// leave lets it go.  Returns false when somebody else has done so meanwhile.
static bool
leave(affinity_stay_t *self, pid_t thread)
{
    cpu_set_t now;
    int cpu = self->cpu;
    self->cpu = -1;
    if (cpu < 0) {
        return true;
    }
    return sched_getaffinity(thread, sizeof now, &now) == 0 &&
           CPU_ISSET(cpu, &now) && CPU_COUNT(&now) == 1 &&
           sched_setaffinity(thread, sizeof self->before, &self->before) == 0;
}

void
affinity_stay(affinity_stay_t *self, int cpu)
{
    (void)stay(self, 0, cpu);
}

void
affinity_leave(affinity_stay_t *self)
{
    (void)leave(self, 0);
}

int
affinity_incoming(int fd)
{
    int cpu = -1;
    socklen_t size = sizeof cpu;
    if (fd < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &cpu, &size) != 0) {
        return -1;
    }
    return cpu;
}

// ----- threads that huddle

void
affinity_init(affinity_t *self)
{
    *self = (affinity_t){.off = true};
    huddle_init(&self->huddle);
}

void
affinity_close(affinity_t *self)
{
    for (unsigned i = 0; i < self->count; i++) {
        (void)close(self->threads[i].stat_fd);
    }
    affinity_init(self);
}

// read_turns adds what the kernel counts of a thread (proc(5), schedstat).
static bool
read_turns(int fd, huddle_seen_t *seen)
{
    char text[96];
    ssize_t size = pread(fd, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    char *rest = text;
    uint64_t ran_ns = strtoull(rest, &rest, 10);
    uint64_t waited_ns = strtoull(rest, &rest, 10);
    uint64_t turns = strtoull(rest, &rest, 10);
    seen->ran_ns += ran_ns;
    seen->waited_ns += waited_ns;
    seen->turns += turns;
    return turns > 0; // it had one at least
}

// allow takes note of where a thread may run.  Returns false if that leaves no choice.
static bool
allow(affinity_t *self, pid_t thread)
{
    cpu_set_t its;
    if (sched_getaffinity(thread, sizeof its, &its) != 0) {
        return false;
    }
    if (self->count > 0) {
        CPU_AND(&its, &its, &self->allowed);
    }
    self->allowed = its;
    return CPU_COUNT(&its) > 1;
}

bool
affinity_add(affinity_t *self, pid_t thread)
{
    char path[64];
    huddle_seen_t seen = {0};
    (void)snprintf(
        path, sizeof path, "/proc/self/task/%d/schedstat", (int)thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    self->off = self->count == AFFINITY_THREADS || fd < 0 ||
                !read_turns(fd, &seen) || !allow(self, thread);
    if (self->off) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return false;
    }
    self->threads[self->count].id = thread;
    self->threads[self->count].stat_fd = fd;
    self->threads[self->count++].stay.cpu = -1;
    return true;
}

static bool
is_named(const char *task, const char *name)
{
    char path[64];
    char comm[32] = "";
    (void)snprintf(path, sizeof path, "/proc/self/task/%.20s/comm", task);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        (void)!fgets(comm, sizeof comm, file);
        (void)fclose(file);
    }
    comm[strcspn(comm, "\n")] = '\0';
    return strcmp(comm, name) == 0;
}

bool
affinity_add_named(affinity_t *self, const char *name)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry = NULL;
    pid_t found = 0;
    while (tasks != NULL && found == 0 && (entry = readdir(tasks)) != NULL) {
        found = is_named(entry->d_name, name)
                    ? (pid_t)strtol(entry->d_name, NULL, 10)
                    : 0;
    }
    if (tasks != NULL) {
        (void)closedir(tasks);
    }
    self->off = true;
    return found > 0 && affinity_add(self, found);
}

// move has the threads huddle on a processor, or lets them go.
static void
move(affinity_t *self, int cpu)
{
    for (unsigned i = 0; i < self->count; i++) {
        bool fine = leave(&self->threads[i].stay, self->threads[i].id);
        self->off = self->off || !fine;
    }
    for (unsigned i = 0; cpu >= 0 && i < self->count && !self->off; i++) {
        self->off = !stay(&self->threads[i].stay, self->threads[i].id, cpu);
    }
    if (self->off && cpu >= 0) {
        huddle_end(&self->huddle);
        move(self, -1);
        return;
    }
    edri_log_debug("HUDDLE", "cpu=%d threads=%u allowed=%s", cpu, self->count,
        self->off ? "no" : "yes");
}

void
affinity_look(affinity_t *self, int cpu, int64_t now_ms)
{
    if (cpu == AFFINITY_HERE) { // or was when they began to be calm
        bool settled = self->huddle.cpu >= 0 || self->huddle.calm > 0;
        cpu = settled ? self->huddle.last.cpu : sched_getcpu();
    }
    bool may = cpu >= 0 && cpu < CPU_SETSIZE && CPU_ISSET(cpu, &self->allowed);
    huddle_seen_t seen = {.cpu = may ? cpu : -1};
    for (unsigned i = 0; i < self->count; i++) {
        (void)read_turns(self->threads[i].stat_fd, &seen);
    }
    int before = self->huddle.cpu;
    self->looked_ms = now_ms;
    if (huddle_look(&self->huddle, &seen, now_ms) != before) {
        move(self, self->huddle.cpu);
    }
}

void
affinity_end(affinity_t *self)
{
    if (self->huddle.cpu >= 0) {
        huddle_end(&self->huddle);
        move(self, -1);
    }
}
