// SPDX-License-Identifier: MIT
// stress_listen.c - two nodes ask each other through a switch, one request at a time,
// so that ports' owners listen to the connections themselves (node/listen.h).
//
// usage: stress_listen SWITCH-PROGRAM
//
// It counts that they do; that while one of them works for long others are heard
// nevertheless; that waits end while somebody has the helm for long; that no request
// takes long while ports come and go; that all end while the switch is killed, and when
// a node stops.

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "edri/edri.h"
#include "node/node.h"
#include "work.edri.h"

#include "hub.h"
#include "stress.h"

enum {
    OFTEN = 300, // both must listen
    ROUNDS = 4,  // with one that takes long
    LONG_MS = 200,
    LATE_US = 12000, // of others meanwhile: the timer has 1 ms, other clocks 20
    HELD_MS = 1000,
    PORTS = 30,
    KILLS = 3,
    STOPS = 10
};

static edri_node_t *here;
static edri_node_t *there;
static atomic_ulong handled;
static atomic_bool at_it; // a handler takes long
static atomic_bool done;  // who comes and goes

static edri_err_t
on_job(edri_task_t *task, const Work__Job *job, Work__Result *result)
{
    (void)task;
    (void)result;
    if (job->how == WORK__HOW__HELD) {
        at_it = true;
        sleep_ms(LONG_MS);
        at_it = false;
    }
    handled++;
    return EDRI_OK;
}

static edri_err_t
on_below(edri_task_t *task, const Work__Below *below, Work__Result *result)
{
    (void)task;
    (void)below;
    (void)result;
    return EDRI_OK;
}

static edri_node_t *
start_node(const char *name, bool handles)
{
    edri_node_t *node = edri_node_new(0, NULL);
    (void)edri_node_set(node, "node.name", name);
    (void)edri_node_set(node, "node.switch", endpoint);
    (void)edri_node_set(node, "node.start_timeout", "60s");
    if (handles) {
        work_job_handle(edri_node_manager(node, "upper"), on_job, EDRI_METHOD);
        work_below_handle(
            edri_node_manager(node, "lower"), on_below, EDRI_METHOD);
    }
    check(edri_node_start(node) == EDRI_OK, edri_node_error(node));
    return node;
}

static uint64_t
listened(edri_node_t *node)
{
    uint64_t count = 0;
    check(edri_node_counter(node, "links.listened", &count) == EDRI_OK,
        "no such counter");
    return count;
}

static edri_err_t
ask_job(edri_port_t *port, Work__How how)
{
    Work__Job job = WORK__JOB__INIT;
    Work__Result *result = NULL;
    job.how = how;
    edri_err_t err = work_job_request(port, &job, 20000, &result);
    work_job_reply_free(&result);
    return err;
}

static edri_err_t
ask_below(edri_port_t *port)
{
    Work__Below below = WORK__BELOW__INIT;
    Work__Result *result = NULL;
    edri_err_t err = work_below_request(port, &below, 20000, &result);
    work_below_reply_free(&result);
    return err;
}

static void
ask_calmly(edri_port_t *port, int count)
{
    for (int i = 0; i < count; i++) {
        check(ask_job(port, WORK__HOW__AT_ONCE) == EDRI_OK,
            edri_port_error(port));
    }
}

// owners_listen: on a busy machine it may take some pauses until they do.
static void
owners_listen(void)
{
    edri_port_t *port = edri_node_port(here);
    int64_t begin_ms = clock_ms();
    int asked = 0;
    while (listened(here) < OFTEN || listened(there) < OFTEN) {
        check(clock_ms() - begin_ms < 20000, "owners do not listen");
        ask_calmly(port, 1);
        asked++;
    }
    printf("of %d: %lu replies heard by the asker, %lu requests by the "
           "manager\n",
        asked, (unsigned long)listened(here), (unsigned long)listened(there));
    edri_port_destroy(&port);
}

static void *
ask_for_long(void *arg)
{
    edri_port_t *port = edri_node_port(arg);
    check(ask_job(port, WORK__HOW__HELD) == EDRI_OK, edri_port_error(port));
    edri_port_destroy(&port);
    return NULL;
}

// others_are_heard: the manager that listens works for long, and another of its node is
// asked.
static void
others_are_heard(void)
{
    edri_port_t *port = edri_node_port(here);
    int late = 0;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t thread;
        uint64_t before = listened(there);
        int64_t begin_ms = clock_ms();
        while (listened(there) < before + 10) { // after the pause of the last
            check(clock_ms() - begin_ms < 20000, "nobody listens any more");
            ask_calmly(port, 1);
        }
        check(pthread_create(&thread, NULL, ask_for_long, here) == 0, "thread");
        while (!at_it) {
            (void)sched_yield();
        }
        int64_t begin_us = clock_us();
        check(ask_below(port) == EDRI_OK, edri_port_error(port));
        late += clock_us() - begin_us > LATE_US;
        pthread_join(thread, NULL);
    }
    printf("%d of %d late while the lookout worked\n", late, ROUNDS);
    check(late < ROUNDS, "what comes waits for the lookout");
    edri_port_destroy(&port);
}

// held_t is a helm that is not given away, as when a log sink hangs.
typedef struct held {
    pthread_t thread;
    atomic_bool taken;
    atomic_bool enough;
} held_t;

static void *
hold_helm(void *arg)
{
    held_t *self = arg;
    int64_t begin_ms = clock_ms();
    helm_take(&here->helm);
    self->taken = true;
    while (!self->enough && clock_ms() - begin_ms < 2 * HELD_MS) {
        sleep_ms(1);
    }
    helm_leave(&here->helm);
    return NULL;
}

// waits_end: the lookout's do when somebody has the helm for long.
static void
waits_end(void)
{
    edri_port_t *port = edri_node_port(here);
    held_t held = {0};
    int64_t begin_ms = clock_ms();
    while (!listen_is(&here->listen, port)) {
        check(clock_ms() - begin_ms < 20000, "the port does not listen");
        ask_calmly(port, 1);
    }
    check(pthread_create(&held.thread, NULL, hold_helm, &held) == 0, "thread");
    while (!held.taken) {
        (void)sched_yield();
    }
    begin_ms = clock_ms();
    check(edri_port_poll(port, 20) == EDRI_AGAIN, "something came");
    check(clock_ms() - begin_ms < HELD_MS, "a wait does not end");
    held.enough = true;
    pthread_join(held.thread, NULL);
    ask_calmly(port, 10);
    edri_port_destroy(&port);
}

static void *
come_and_go(void *arg)
{
    for (int i = 0; i < PORTS; i++) {
        edri_port_t *port = edri_node_port(arg);
        ask_calmly(port, 40);
        edri_port_destroy(&port);
    }
    done = true;
    return NULL;
}

static void
switches_die(void)
{
    pthread_t thread;
    check(pthread_create(&thread, NULL, come_and_go, here) == 0, "thread");
    for (int i = 0; i < KILLS; i++) {
        unsigned long before = handled;
        while (handled < before + 100 && !done) {
            sleep_ms(1);
        }
        end_switch(SIGKILL);
        start_switch();
    }
    pthread_join(thread, NULL);
}

static void *
ask_to_the_end(void *arg)
{
    edri_port_t *port = edri_node_port(arg);
    edri_err_t err = EDRI_OK;
    while (port != NULL && err == EDRI_OK) {
        err = ask_job(port, WORK__HOW__AT_ONCE);
    }
    edri_port_destroy(&port);
    return NULL;
}

// nodes_stop stops a node whose port listens.
static void
nodes_stop(void)
{
    for (int i = 0; i < STOPS; i++) {
        pthread_t thread;
        edri_node_t *node = start_node("third", false);
        check(
            pthread_create(&thread, NULL, ask_to_the_end, node) == 0, "thread");
        int64_t begin_ms = clock_ms();
        while (listened(node) < 10) {
            check(clock_ms() - begin_ms < 20000, "its port does not listen");
            sleep_ms(1);
        }
        check(edri_node_stop(node, 60000) == EDRI_OK, "drain");
        pthread_join(thread, NULL);
        check(clock_ms() - begin_ms < 20000, "the stop takes long");
        edri_node_destroy(&node);
    }
}

int
main(int argc, char **argv)
{
    char directory[] = "/tmp/edri-listen-XXXXXX";
    char command[160];
    check(argc == 2, "usage: stress_listen SWITCH-PROGRAM");
    check(mkdtemp(directory) != NULL, "mkdtemp");
    (void)snprintf(program, sizeof program, "%s", argv[1]);
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/hub", directory);
    start_switch();
    there = start_node("there", true);
    here = start_node("here", false);
    owners_listen();
    others_are_heard();
    waits_end();
    switches_die();
    nodes_stop();
    edri_node_destroy(&here);
    edri_node_destroy(&there);
    end_switch(SIGTERM);
    (void)snprintf(command, sizeof command, "rm -r '%s'", directory);
    check(system(command) == 0, command);
    return 0;
}
