// SPDX-License-Identifier: MIT
// stress_workers.c - processes that are killed at random under load:
// stress_workers [SECONDS [own]], own: that of a manager with one of its own, in
// which its pools are threads.
//
// Threads ask and emit without a pause; one kills workers with SIGKILL or
// SIGSEGV.  Every request must end once, in its reply or in an error that says
// why; at the end the pool is full, nothing is left over, and no descriptor.

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "site.h"

enum {
    ASKERS = 3,
    WORKERS = 3,
    POOLS = 5, // of the site's manager "work"
    PAUSE_MS = 15,
    OWN_PAUSE_MS = 60,
    SECONDS = 10,
    LARGE_EVERY = 50
};

typedef struct load {
    site_t *site;
    bool own; // one process has all
    atomic_bool stop;
    atomic_ulong replied;
    atomic_ulong died;
    atomic_ulong emitted;
    atomic_ulong callbacks;
    atomic_ulong asked;
} load_run_t;

// ----- those who ask

static void
count_answer(const edri_answer_t *answer, const Duty__Done *done, void *arg)
{
    load_run_t *self = arg;
    check(answer->last, "more than one answer");
    check(answer->err == EDRI_OK ? done->number == 7
                                 : answer->err == EDRI_WORKER_DIED,
        "%s: %s", edri_err_name(answer->err), answer->text);
    *(answer->err == EDRI_OK ? &self->replied : &self->died) += 1;
    self->callbacks++;
}

static void
emit_note(load_run_t *self, edri_port_t *port, uint64_t number)
{
    Duty__Note note = DUTY__NOTE__INIT;
    note.what = (char[]){"see"};
    note.number = number;
    check(duty_note_emit(port, &note) == EDRI_OK, "%s", edri_port_error(port));
    self->emitted++;
}

static void *
run_asker(void *arg)
{
    load_run_t *self = arg;
    edri_port_t *port = edri_node_port(self->site->node);
    uint8_t *data = site_data((size_t)200 << 10);
    check(port != NULL, "no port");
    for (uint64_t i = 0; !self->stop; i++) {
        Duty__Do request = DUTY__DO__INIT;
        request.what = i % 2 == 0 ? (char[]){"echo"} : (char[]){"emit"};
        request.number = 7;
        request.data.data = data;
        request.data.len = i % LARGE_EVERY == 0 ? (size_t)200 << 10 : 0;
        self->asked++;
        check(duty_do_request_async(port, &request, 0, count_answer, self) ==
                  EDRI_OK,
            "%s", edri_port_error(port));
        if (i % 4 == 0) {
            emit_note(self, port, i);
        }
        // A few at a time.
        while (self->asked - self->callbacks > 20) {
            (void)edri_port_poll(port, 5);
        }
    }
    int64_t deadline = clock_ms() + 30000;
    while (self->asked > self->callbacks && clock_ms() < deadline) {
        (void)edri_port_poll(port, 5);
    }
    edri_port_destroy(&port);
    free(data);
    return NULL;
}

// ----- those who are killed

// children gives the processes that this one has started; zombies, too.
static size_t
children(pid_t *pids, size_t most, size_t *zombies)
{
    size_t count = 0;
    DIR *directory = opendir("/proc");
    struct dirent *entry = NULL;
    *zombies = 0;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char path[300];
        char state = 0;
        int of = 0;
        (void)snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file != NULL &&
            fscanf(file, "%*d (%*[^)]) %c %d", &state, &of) == 2 &&
            of == (int)getpid() && count < most) {
            *zombies += state == 'Z';
            pids[count++] = (pid_t)atoi(entry->d_name);
        }
        if (file != NULL) {
            (void)fclose(file);
        }
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
    return count;
}

static size_t
descriptors(void)
{
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory != NULL && readdir(directory) != NULL) {
        count++;
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
    return count;
}

// kill_some kills one process after the other.  Returns how many.
static unsigned long
kill_some(const load_run_t *self, int64_t until_ms, unsigned *seed)
{
    unsigned long killed = 0;
    pid_t pids[64];
    size_t zombies = 0;
    while (clock_ms() < until_ms) {
        size_t count = children(pids, 64, &zombies);
        if (count > 0) {
            pid_t victim = pids[(size_t)rand_r(seed) % count];
            int how = rand_r(seed) % 2 == 0 ? SIGKILL : SIGSEGV;
            killed += kill(victim, how) == 0;
        }
        (void)poll(NULL, 0, self->own ? OWN_PAUSE_MS : PAUSE_MS);
    }
    return killed;
}

// await_full waits until every worker is there again, and no zombie.
static void
await_full(const load_run_t *self, const char *when)
{
    size_t full = self->own ? 1 : WORKERS * POOLS;
    pid_t pids[64];
    size_t zombies = 0;
    size_t count = 0;
    int64_t deadline = clock_ms() + 30000;
    do {
        count = children(pids, 64, &zombies);
        (void)poll(NULL, 0, 5);
    } while ((count != full || zombies > 0) && clock_ms() < deadline);
    check(count == full && zombies == 0, "%s: %zu processes, %zu zombies", when,
        count, zombies);
}

// await_ready asks each pool until its processes answer.
static void
await_ready(site_t *site)
{
    for (int i = 0; i < 50; i++) {
        check(site_do(site, "echo", 7, NULL) == EDRI_OK, "%s",
            edri_port_error(site->port));
    }
}

int
main(int argc, char **argv)
{
    static load_run_t load;
    pthread_t threads[ASKERS];
    unsigned seed = (unsigned)time(NULL);
    int seconds = argc > 1 ? atoi(argv[1]) : SECONDS;
    pid_t pids[64];
    size_t zombies = 0;
    load.own = argc > 2 && streq(argv[2], "own");
    load.site = site_new(
        argc, argv, load.own ? EDRI_THREADS(WORKERS) : EDRI_PROCESSES(WORKERS));
    load.site->forgets = true;
    if (load.own) {
        (void)edri_manager_own_process(load.site->work);
        (void)edri_node_set(load.site->node, "worker.restarts", "100");
        (void)edri_node_set(load.site->node, "worker.restarts_in", "100ms");
    }
    (void)edri_node_set(load.site->node, "worker.backoff_max", "100ms");
    (void)edri_node_set(load.site->node, "emit.wait", "60s");
    site_start(load.site);
    await_full(&load, "at first");
    await_ready(load.site);
    size_t before = descriptors();
    for (size_t i = 0; i < ASKERS; i++) {
        check(pthread_create(&threads[i], NULL, run_asker, &load) == 0,
            "no thread");
    }
    unsigned long killed = kill_some(&load, clock_ms() + seconds * 1000, &seed);
    load.stop = true;
    for (size_t i = 0; i < ASKERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    check(load.asked == load.callbacks, "%lu asked, %lu ended (seed %u)",
        load.asked, load.callbacks, seed);
    await_full(&load, "at the end");
    await_ready(load.site);
    wait_for(descriptors() == before); // an idle seat looks once a second
    check(descriptors() == before, "descriptors: %zu, then %zu", before,
        descriptors());
    check(edri_node_stop(load.site->node, 20000) == EDRI_OK, "not drained");
    check(children(pids, 64, &zombies) == 0, "children are left");
    printf("stress_workers: %lu requests, %lu replies, %lu died with their "
           "worker, %lu notes, %lu workers killed\n",
        load.asked, load.replied, load.died, load.emitted, killed);
    site_free(&load.site);
    return 0;
}
