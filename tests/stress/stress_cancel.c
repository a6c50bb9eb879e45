// SPDX-License-Identifier: MIT
// stress_cancel.c - many threads ask and change their mind.
//
// ASKERS threads ask through ports of their own and cancel at random; who
// handles that asks below, in a pool or a method, and waits or does not.  Two
// nodes in one process do so at the same time.  Every request must end once,
// nothing may be left.

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/node.h"
#include "work.edri.h"

#include "stress.h"

enum {
    NODES = 2,
    ASKERS = 3,
    REQUESTS = 3000, // of each
    OPEN = 16        // at once
};

static void
ignore(const edri_answer_t *answer, const Work__Result *result, void *arg)
{
    (void)answer;
    (void)result;
    atomic_fetch_add((atomic_ulong *)arg, 1);
}

static atomic_ulong begun_later;
static atomic_ulong ended_later;

static edri_err_t
on_job(edri_task_t *task, const Work__Job *job, Work__Result *result)
{
    edri_port_t *port = edri_task_port(task);
    Work__Below below = WORK__BELOW__INIT;
    Work__Result *got = NULL;
    edri_err_t err = EDRI_OK;
    (void)result;
    if (job->how == WORK__HOW__ASK) {
        err = work_below_request(port, &below, 0, &got);
        work_below_reply_free(&got);
    } else if (job->how == WORK__HOW__ASK_LATER) {
        err = work_below_request_async(port, &below, 0, ignore, &ended_later);
        begun_later += err == EDRI_OK;
    }
    return edri_task_cancelled(task) ? EDRI_CANCELLED : err;
}

static edri_err_t
on_below(edri_task_t *task, const Work__Below *below, Work__Result *result)
{
    (void)below;
    result->left_ms = edri_task_cancelled(task);
    return EDRI_OK;
}

// one_t is one request on its way.
typedef struct one {
    uint64_t request; // 0: none
    unsigned ends;
} one_t;

static atomic_ulong answered;
static atomic_ulong cancelled;

static void
on_answer(const edri_answer_t *answer, const Work__Result *result, void *arg)
{
    one_t *one = arg;
    (void)result;
    check(answer->last && one->ends == 0, "a request ended twice");
    one->ends++;
    cancelled += answer->err == EDRI_CANCELLED;
    answered += answer->err == EDRI_OK;
}

static void
ask(edri_port_t *port, one_t *one, unsigned *random)
{
    static const Work__How hows[] = {
        WORK__HOW__AT_ONCE, WORK__HOW__ASK, WORK__HOW__ASK_LATER};
    Work__Job job = WORK__JOB__INIT;
    job.how = hows[rand_r(random) % 3];
    *one = (one_t){.request = 1};
    check(work_job_request_async(port, &job, 60000, on_answer, one) == EDRI_OK,
        "a request could not be made");
    one->request = edri_port_last_request(port);
}

static void *
run_asker(void *arg)
{
    edri_port_t *port = edri_node_port(arg);
    unsigned random = (unsigned)(uintptr_t)&port;
    one_t ones[OPEN] = {{0}};
    check(port != NULL, "no port");
    for (int i = 0; i < REQUESTS; i++) {
        one_t *one = &ones[rand_r(&random) % OPEN];
        while (one->request != 0 && one->ends == 0) {
            if (rand_r(&random) % 2 == 0) {
                check(edri_request_cancel(port, one->request) == EDRI_OK,
                    "a request that is open could not be cancelled");
            } else {
                (void)edri_port_poll(port, 1);
            }
        }
        ask(port, one, &random);
    }
    edri_port_destroy(&port); // cancels the rest
    for (int i = 0; i < OPEN; i++) {
        check(ones[i].request == 0 || ones[i].ends == 1,
            "a request did not end with its port");
    }
    return NULL;
}

int
main(void)
{
    edri_node_t *nodes[NODES];
    pthread_t askers[NODES][ASKERS];
    for (int n = 0; n < NODES; n++) {
        nodes[n] = edri_node_new(0, NULL);
        edri_manager_t *upper = edri_node_manager(nodes[n], "upper");
        edri_manager_t *lower = edri_node_manager(nodes[n], "lower");
        work_job_handle(upper, on_job, n == 0 ? EDRI_METHOD : EDRI_THREADS(3));
        work_below_handle(
            lower, on_below, n == 0 ? EDRI_THREADS(3) : EDRI_METHOD);
        check(edri_node_start(nodes[n]) == EDRI_OK, edri_node_error(nodes[n]));
        for (int i = 0; i < ASKERS; i++) {
            check(pthread_create(&askers[n][i], NULL, run_asker, nodes[n]) == 0,
                "thread");
        }
    }
    for (int n = 0; n < NODES; n++) {
        for (int i = 0; i < ASKERS; i++) {
            pthread_join(askers[n][i], NULL);
        }
        check(edri_node_stop(nodes[n], 60000) == EDRI_OK, "drain");
        check(requests_count(&nodes[n]->requests) == 0, "requests are left");
        edri_node_destroy(&nodes[n]);
    }
    check(begun_later == ended_later, "a request below did not end");
    check(answered + cancelled == NODES * ASKERS * REQUESTS, "ends");
    printf("stress_cancel: %lu answered, %lu cancelled, each once\n", answered,
        cancelled);
    return 0;
}
