// SPDX-License-Identifier: MIT
// stress_helm.c - many threads ask in one node, one request at a time, so that they and
// the managers do the router's work (node/helm.h).
//
// A wake-up that got lost is made up for by the router's clock, a second later: so
// requests that take long are counted.  A busy machine has a few, too; with the router's
// thread woken by bells instead of a descriptor one in some hundreds was late on one
// processor.  So this runs on one first, then on all.  Ports come and go meanwhile, and
// at the end the node stops while all ask.

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "edri/edri.h"
#include "work.edri.h"

#include "stress.h"

enum {
    ASKERS = 4,
    PORTS = 20,     // one after the other, of each
    REQUESTS = 100, // through each
    HASTY = 2000,   // ports with one request
    STOPS = 15,
    LATE_MS = 400,
    LATE_MAX = 5
};

static atomic_ulong handled;

static edri_err_t
on_job(edri_task_t *task, const Work__Job *job, Work__Result *result)
{
    Work__Below below = WORK__BELOW__INIT;
    Work__Result *got = NULL;
    edri_err_t err = EDRI_OK;
    (void)result;
    if (job->how == WORK__HOW__ASK) {
        err = work_below_request(edri_task_port(task), &below, 0, &got);
        work_below_reply_free(&got);
    }
    handled++;
    return err;
}

static edri_err_t
on_below(edri_task_t *task, const Work__Below *below, Work__Result *result)
{
    (void)task;
    (void)below;
    (void)result;
    return EDRI_OK;
}

static atomic_ulong late;

// ask asks once; every third request makes its handler ask another manager.
static edri_err_t
ask(edri_port_t *port, int i)
{
    Work__Job job = WORK__JOB__INIT;
    Work__Result *result = NULL;
    job.how = i % 3 == 0 ? WORK__HOW__ASK : WORK__HOW__AT_ONCE;
    int64_t start_ms = clock_ms();
    edri_err_t err = work_job_request(port, &job, 20000, &result);
    late += clock_ms() - start_ms > LATE_MS;
    work_job_reply_free(&result);
    return err;
}

static void *
run_asker(void *arg)
{
    for (int p = 0; p < PORTS; p++) {
        edri_port_t *port = edri_node_port(arg);
        check(port != NULL, "no port");
        for (int i = 0; i < REQUESTS; i++) {
            check(ask(port, i) == EDRI_OK, edri_port_error(port));
        }
        edri_port_destroy(&port);
    }
    return NULL;
}

// run_to_the_end asks until the node stops.
static void *
run_to_the_end(void *arg)
{
    edri_port_t *port = edri_node_port(arg);
    edri_err_t err = EDRI_OK;
    for (int i = 0; port != NULL && err != EDRI_CLOSED; i++) {
        err = ask(port, i);
    }
    edri_port_destroy(&port);
    return NULL;
}

// run_hasty asks through ports that end with their only request, answered or not.
static void *
run_hasty(void *arg)
{
    for (int i = 0; i < HASTY; i++) {
        Work__Job job = WORK__JOB__INIT;
        Work__Result *result = NULL;
        edri_port_t *port = edri_node_port(arg);
        check(port != NULL, "no port");
        edri_err_t err = work_job_request(port, &job, 1, &result);
        check(err == EDRI_OK || err == EDRI_DEADLINE, edri_port_error(port));
        work_job_reply_free(&result);
        edri_port_destroy(&port);
    }
    return NULL;
}

static void
run_all(edri_node_t *node, void *(*run)(void *))
{
    pthread_t threads[ASKERS];
    for (int i = 0; i < ASKERS; i++) {
        check(pthread_create(&threads[i], NULL, run, node) == 0, "thread");
    }
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(threads[i], NULL);
    }
}

// run_stop stops a node while all ask, and their ports end meanwhile.
static void
run_stop(edri_node_t *node)
{
    pthread_t askers[ASKERS];
    handled = 0;
    for (int i = 0; i < ASKERS; i++) {
        check(pthread_create(&askers[i], NULL, run_to_the_end, node) == 0,
            "thread");
    }
    int64_t begin_ms = clock_ms();
    while (handled < 200) {
        check(clock_ms() - begin_ms < 60000, "nothing goes on");
        (void)sched_yield();
    }
    check(edri_node_stop(node, 60000) == EDRI_OK, "drain");
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(askers[i], NULL);
    }
    check(clock_ms() - begin_ms < 60000, "a port did not end");
    edri_node_destroy(&node);
}

static edri_node_t *
start_node(const char *spin_us)
{
    edri_node_t *node = edri_node_new(0, NULL);
    check(edri_node_set(node, "node.spin", spin_us) == EDRI_OK, "node.spin");
    work_job_handle(edri_node_manager(node, "upper"), on_job, EDRI_METHOD);
    work_below_handle(edri_node_manager(node, "lower"), on_below, EDRI_METHOD);
    check(edri_node_start(node) == EDRI_OK, edri_node_error(node));
    return node;
}

static void
run_askers(edri_node_t *node, int count)
{
    pthread_t askers[ASKERS];
    handled = late = 0;
    for (int i = 0; i < count; i++) {
        check(pthread_create(&askers[i], NULL, run_asker, node) == 0, "thread");
    }
    for (int i = 0; i < count; i++) {
        pthread_join(askers[i], NULL);
    }
    printf("%d askers: %lu requests, %lu of them late\n", count, handled, late);
    check(handled == (unsigned long)count * PORTS * REQUESTS, "ends");
    check(late <= LATE_MAX, "requests were late: wake-ups get lost");
}

int
main(void)
{
    cpu_set_t all;
    cpu_set_t one;
    CPU_ZERO(&one);
    check(sched_getaffinity(0, sizeof all, &all) == 0, "processors");
    for (int cpu = 0; CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &all)) {
            CPU_SET(cpu, &one);
        }
    }
    (void)sched_setaffinity(0, sizeof one, &one);
    edri_node_t *node = start_node("0");
    run_askers(node, 1);
    run_askers(node, ASKERS);
    edri_node_destroy(&node);
    (void)sched_setaffinity(0, sizeof all, &all);
    node = start_node("100");
    run_askers(node, 1);
    run_askers(node, ASKERS);
    edri_node_destroy(&node);
    node = start_node("0");
    run_askers(node, 1);
    run_askers(node, ASKERS);
    run_all(node, run_hasty);
    run_stop(node);
    for (int i = 0; i < STOPS; i++) {
        run_stop(start_node("0"));
    }
    return 0;
}
