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

// keep keeps a thread on a processor; 0: the caller.  Returns false when it may not run
// there, or nowhere else.
static bool
keep(affinity_stay_t *self, pid_t thread, int cpu)
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

// widen lets a thread run where it may, which is 'its'.  The kernel takes what was asked
// for as a wish for as long as the thread lives, whatever cpuset it gets later: as a rule
// the wish is everything.
static bool
widen(pid_t thread, const cpu_set_t *its)
{
    cpu_set_t all;
    memset(&all, 0xff, sizeof all);
    return (sched_setaffinity(thread, sizeof all, &all) == 0 &&
               sched_getaffinity(thread, sizeof all, &all) == 0 &&
               CPU_EQUAL(&all, its)) ||
           sched_setaffinity(thread, sizeof *its, its) == 0;
}

// release lets it go.  Returns false when somebody else has done so meanwhile.
static bool
release(affinity_stay_t *self, pid_t thread)
{
    cpu_set_t now;
    int cpu = self->cpu;
    self->cpu = -1;
    if (cpu < 0) {
        return true;
    }
    if (sched_getaffinity(thread, sizeof now, &now) != 0) {
        return false;
    }
    bool ours = CPU_ISSET(cpu, &now) && CPU_COUNT(&now) == 1;
    return widen(thread, ours ? &self->before : &now) && ours;
}

void
affinity_stay(affinity_stay_t *self, int cpu)
{
    (void)keep(self, 0, cpu);
}

void
affinity_leave(affinity_stay_t *self)
{
    (void)release(self, 0);
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

// ----- which threads

void
affinity_init(affinity_t *self)
{
    *self = (affinity_t){.count = 0};
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

// read_turns adds what the kernel counts of a thread (proc(5), schedstat).  Returns false
// when it has had no turn: then it does not count.
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
    return turns > 0;
}

// has_choice says whether a thread may run on several processors.
static bool
has_choice(pid_t thread)
{
    cpu_set_t its;
    return sched_getaffinity(thread, sizeof its, &its) == 0 &&
           CPU_COUNT(&its) > 1;
}

static void
add(affinity_t *self, pid_t thread, bool kept)
{
    char path[64];
    huddle_seen_t seen = {0};
    if (self->off || self->count == AFFINITY_THREADS ||
        (kept && !has_choice(thread))) {
        self->off = true;
        return;
    }
    (void)snprintf(
        path, sizeof path, "/proc/self/task/%d/schedstat", (int)thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || !read_turns(fd, &seen)) {
        self->off = true;
        if (fd >= 0) {
            (void)close(fd);
        }
        return;
    }
    self->threads[self->count].id = thread;
    self->threads[self->count].stat_fd = fd;
    self->threads[self->count].kept = kept;
    self->threads[self->count++].stay.cpu = -1;
    affinity_end(self);
}

void
affinity_add(affinity_t *self, pid_t thread)
{
    add(self, thread, true);
}

void
affinity_want(affinity_t *self, const char *name)
{
    (void)snprintf(self->wanted, sizeof self->wanted, "%s", name);
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

// add_wanted adds the thread that is wanted by its name.
static void
add_wanted(affinity_t *self)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry = NULL;
    pid_t found = 0;
    unsigned count = 0;
    while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] != '.' && is_named(entry->d_name, self->wanted)) {
            found = (pid_t)strtol(entry->d_name, NULL, 10);
            count++;
        }
    }
    if (tasks != NULL) {
        (void)closedir(tasks);
    }
    self->wanted[0] = '\0';
    self->off = count != 1; // of two nobody knows which is ours
    if (!self->off) {
        add(self, found, true);
    }
}

void
affinity_count(affinity_t *self, pid_t thread)
{
    add(self, thread, false);
}

bool
affinity_counts(const affinity_t *self, pid_t thread)
{
    bool any = false;
    for (unsigned i = 0; i < self->count; i++) {
        any = any || (!self->threads[i].kept &&
                         (thread == 0 || self->threads[i].id == thread));
    }
    return any;
}

void
affinity_uncount(affinity_t *self)
{
    unsigned count = 0;
    affinity_end(self);
    for (unsigned i = 0; i < self->count; i++) {
        if (self->threads[i].kept) {
            self->threads[count++] = self->threads[i];
        } else {
            (void)close(self->threads[i].stat_fd);
        }
    }
    self->count = count;
}

// ----- what they do

// scatter lets them go.
static void
scatter(affinity_t *self)
{
    for (unsigned i = 0; i < self->count; i++) {
        bool fine = release(&self->threads[i].stay, self->threads[i].id);
        self->off = self->off || !fine;
    }
    edri_log_debug("HUDDLE", "cpu=none%s",
        self->off ? " reason=\"another sets where they run\"" : "");
}

// gather keeps them on a processor, if all may run there.
static void
gather(affinity_t *self, int cpu)
{
    bool fine = true;
    for (unsigned i = 0; i < self->count && fine; i++) {
        fine = !self->threads[i].kept ||
               keep(&self->threads[i].stay, self->threads[i].id, cpu);
    }
    if (!fine) {
        affinity_end(self);
        return;
    }
    edri_log_debug("HUDDLE", "cpu=%d", cpu);
}

// count_turns counts what all have done.  Returns false when one of them has ended.
static bool
count_turns(const affinity_t *self, huddle_seen_t *seen)
{
    bool fine = true;
    for (unsigned i = 0; i < self->count; i++) {
        fine = read_turns(self->threads[i].stat_fd, seen) && fine;
    }
    return fine;
}

void
affinity_look(affinity_t *self, int cpu, int64_t now_ms)
{
    huddle_seen_t seen = {.free = cpu == AFFINITY_HERE};
    self->looked_ms = now_ms;
    if (self->wanted[0] != '\0') {
        add_wanted(self);
    }
    if (self->off) {
        return;
    }
    if (!count_turns(self, &seen)) {
        affinity_uncount(self);
        return;
    }
    seen.cpu = seen.free ? sched_getcpu() : cpu;
    int before = self->huddle.cpu;
    if (huddle_look(&self->huddle, &seen, now_ms) == before) {
        return;
    }
    if (before >= 0) {
        scatter(self);
    } else {
        gather(self, self->huddle.cpu);
    }
}

void
affinity_end(affinity_t *self)
{
    bool huddled = self->huddle.cpu >= 0;
    huddle_end(&self->huddle);
    if (huddled) {
        scatter(self);
    }
}
