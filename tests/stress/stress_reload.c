// SPDX-License-Identifier: MIT
// stress_reload.c - a plugin becomes another, again and again, under load.
//
// One thread emits what methods and threads of the plugin handle, another asks, so
// that its callbacks and handlers are at work all the time.  The plugin's file, which
// is watched, is written to RELOADS times.  All that was emitted must come, once and
// in order; every request must end; every edition must be unloaded.

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <edri/edri.h>

#include "integration/reload/test_reload.h"
#include "reload.edri.h"

#include "stress.h"

enum {
    RELOADS = 24,
    ACCOUNTS = 5,
    OPEN_EVENTS = 500, // of each kind
    OPEN = 8           // requests at once
};

// ----- what the plugin says

static atomic_uint lines;
static atomic_uint steps[ACCOUNTS];
static atomic_uint step_count;
static atomic_uint started;
static atomic_uint unloaded;
static atomic_int workers;
static atomic_uint answers;

void
seen_line(int edition, uint32_t number)
{
    check(edition > 0, "a line with another edition's surroundings");
    check(atomic_fetch_add(&lines, 1) == number, "a line out of order");
}

void
seen_step(int edition, uint32_t account, uint32_t number)
{
    check(edition > 0, "a step with another edition's surroundings");
    if (account < ACCOUNTS) {
        check(atomic_fetch_add(&steps[account], 1) == number,
            "a step out of order");
        atomic_fetch_add(&step_count, 1);
    }
}

void
seen_answer(int edition, int number)
{
    check(edition > 0 && (number == 1 || number == 2), "another answer");
    atomic_fetch_add(&answers, 1);
}

void
seen_solo(int edition, uint32_t number, bool begins)
{
    (void)edition;
    (void)number;
    (void)begins;
}

void
seen_progress(int edition, int state)
{
    check(edition == state, "progress of another edition's request");
}

void
seen_err(edri_err_t err)
{
    check(err == EDRI_OK, edri_err_name(err));
}

void
seen_turn(int edition, const char *what)
{
    check(edition > 0, "another edition's state");
    started += strcmp(what, "started") == 0;
    unloaded += strcmp(what, "unloaded") == 0;
}

void
seen_worker(int more)
{
    check(more != 0, "another edition's worker");
    workers += more;
}

void
wait_for_gate(int edition)
{
    struct timespec moment = {.tv_nsec = 200000}; // it works so long
    (void)edition;
    (void)nanosleep(&moment, NULL);
}

// ----- the load

typedef struct load {
    edri_node_t *node;
    atomic_bool stop;
    unsigned emitted;
    unsigned asked; // Which
    unsigned ended; // of all requests
} load_t;

static void *
emit_all(void *arg)
{
    load_t *self = arg;
    edri_port_t *port = edri_node_port(self->node);
    Reload__Line line = RELOAD__LINE__INIT;
    Reload__Step step = RELOAD__STEP__INIT;
    while (!atomic_load(&self->stop)) {
        if (self->emitted > lines + OPEN_EVENTS ||
            self->emitted > step_count + OPEN_EVENTS) {
            (void)
                sched_yield(); // the plugin emits to itself: it must not be full
            continue;
        }
        line.number = self->emitted;
        step.account = self->emitted % ACCOUNTS;
        step.number = self->emitted / ACCOUNTS;
        seen_err(reload_line_emit(port, &line));
        seen_err(reload_step_emit(port, &step));
        self->emitted++;
    }
    edri_port_destroy(&port);
    return NULL;
}

static void
on_end(const edri_answer_t *answer, const Reload__Answer *reply, void *arg)
{
    seen_err(answer->err);
    check(reply->edition > 0, "no edition has answered");
    ++*(unsigned *)arg;
}

static void *
ask_all(void *arg)
{
    load_t *self = arg;
    edri_port_t *port = edri_node_port(self->node);
    Reload__Which which = RELOAD__WHICH__INIT;
    Reload__Held held = RELOAD__HELD__INIT;
    unsigned asked = 0;
    which.asks = true;
    while (!atomic_load(&self->stop) || self->ended < asked) {
        while (!atomic_load(&self->stop) && asked < self->ended + OPEN) {
            self->asked++;
            asked += 2;
            seen_err(reload_which_request_async(
                port, &which, 60000, on_end, &self->ended));
            seen_err(reload_held_request_async(
                port, &held, 60000, on_end, &self->ended));
        }
        (void)edri_port_poll(port, 1000);
    }
    edri_port_destroy(&port);
    return NULL;
}

static edri_err_t
on_later(edri_task_t *task, const Reload__Later *later, Reload__Answer *reply)
{
    (void)task;
    reply->edition = later->number;
    return EDRI_OK;
}

// ----- the file

// wait_until waits for a number, for at most 60 s.
static void
wait_until(atomic_uint *number, unsigned least, const char *what)
{
    struct timespec moment = {.tv_nsec = 1000000};
    for (int i = 0; i < 60000 && atomic_load(number) < least; i++) {
        (void)nanosleep(&moment, NULL);
    }
    check(atomic_load(number) >= least, what);
}

// copy_plugin writes one over what stands there, or lets it take its place.
static void
copy_plugin(const char *from, const char *to, bool over)
{
    char command[1024];
    (void)snprintf(command, sizeof command,
        over ? "cp '%s' '%s'" : "f='%s' t='%s'; cp $f $t.new && mv $t.new $t",
        from, to);
    check(system(command) == 0, command);
}

static edri_node_t *
new_node(const char *directory, const char *plugin)
{
    char file[128];
    (void)snprintf(file, sizeof file, "%s/node.zpl", directory);
    FILE *out = fopen(file, "w");
    check(out != NULL, file);
    (void)fprintf(out,
        "managers\n    lab\n        plugin = %s\n        watch = 1\n", plugin);
    (void)fclose(out);
    edri_node_t *node = edri_node_new(
        3, (char *[]){(char[]){"stress_reload"}, (char[]){"--config"}, file});
    check(edri_node_load_plugins(node) == EDRI_OK, edri_node_error(node));
    seen_err(reload_later_handle(
        edri_node_manager(node, "later"), on_later, EDRI_THREADS(2)));
    check(edri_node_start(node) == EDRI_OK, edri_node_error(node));
    return node;
}

// main gets the editions' files.
int
main(int argc, char **argv)
{
    char directory[] = "/tmp/edri-reload-XXXXXX";
    char plugin[64];
    pthread_t threads[2];
    check(argc > 1, "usage: stress_reload PLUGIN...");
    check(mkdtemp(directory) != NULL, "mkdtemp");
    (void)snprintf(plugin, sizeof plugin, "%s/plugin.so", directory);
    copy_plugin(argv[1], plugin, true);
    load_t load = {.node = new_node(directory, plugin)};
    check(pthread_create(&threads[0], NULL, emit_all, &load) == 0, "thread");
    check(pthread_create(&threads[1], NULL, ask_all, &load) == 0, "thread");
    for (int i = 0; i < RELOADS; i++) {
        wait_until(&step_count, step_count + 200, "no steps");
        copy_plugin(argv[1 + (i + 1) % (argc - 1)], plugin, i % 2 == 0);
        wait_until(&started, (unsigned)i + 2, "no other edition");
    }
    atomic_store(&load.stop, true);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    wait_until(&unloaded, RELOADS, "an edition was not unloaded");
    wait_until(&step_count, load.emitted, "steps are lost");
    wait_until(&lines, load.emitted, "lines are lost");
    wait_until(&answers, 2 * load.asked, "answers are lost");
    edri_node_destroy(&load.node);
    check(workers == 0, "a worker's state is left");
    check(unloaded == started && started == RELOADS + 1, "an edition is left");
    check(lines == load.emitted && step_count == load.emitted &&
              answers == 2 * load.asked,
        "more came than there was");
    (void)snprintf(plugin, sizeof plugin, "rm -r '%s'", directory);
    check(system(plugin) == 0, plugin);
    printf("stress_reload: %u lines, %u steps, %u requests, %u editions\n",
        load.emitted, load.emitted, load.ended, (unsigned)unloaded);
    return 0;
}
