// SPDX-License-Identifier: MIT
// nats.c - the client that edri bench --against nats measures with.
//
//   edri-bench-nats events URL SIZE COUNT SUBSCRIBERS
//       publishes COUNT messages to each of the subscribers, all in processes of their
//       own, and prints "RECEIVED SECONDS": core NATS, at most once
//   edri-bench-nats requests URL SIZE OUTSTANDING
//       answers each count (8 bytes, as the machine has them) on stdin with so many
//       round trips, so many at a time: the seconds that they took and the
//       microseconds of each, as doubles, on stdout
//   edri-bench-nats paced-events|paced-requests URL SIZE INTERVAL WARM COUNT
//       offers COUNT of them by a schedule, INTERVAL ns apart, the first WARM not
//       measured: two track_t (tools/pace.h) on stdout, sent and received; nats_paced.c

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nats_client.h"

// A subscriber that has heard nothing for so long hears no more.
#define SILENCE_S 3

static double
now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

void
client_check(natsStatus status, const char *what)
{
    if (status != NATS_OK) {
        fprintf(stderr, "edri-bench-nats: %s: %s\n", what,
            natsStatus_GetText(status));
        exit(1);
    }
}

natsConnection *
client_join(const char *url, bool asap)
{
    natsOptions *options = NULL;
    natsConnection *nats = NULL;
    client_check(natsOptions_Create(&options), "options");
    client_check(natsOptions_SetURL(options, url), url);
    client_check(natsOptions_SetSendAsap(options, asap), "options");
    client_check(natsConnection_Connect(&nats, options), url);
    natsOptions_Destroy(options);
    return nats;
}

pid_t
client_fork(void)
{
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(1);
    }
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return pid;
}

// ----- events

// heard_t is what one subscriber has heard.
typedef struct heard {
    uint64_t wanted;
    uint64_t count;
    double first;
    double last;
} heard_t;

static void
on_message(
    natsConnection *nats, natsSubscription *sub, natsMsg *message, void *arg)
{
    heard_t *heard = arg;
    (void)nats;
    (void)sub;
    natsMsg_Destroy(message);
    if (heard->count == 0) {
        heard->first = now();
    }
    if (heard->count + 1 == heard->wanted) {
        heard->last = now();
    }
    __atomic_store_n(&heard->count, heard->count + 1, __ATOMIC_RELEASE);
}

// subscribe says "ready" and then what it has heard, to 'out'.
static void
subscribe(const char *url, uint64_t count, int out)
{
    heard_t heard = {.wanted = count};
    natsConnection *nats = client_join(url, false);
    natsSubscription *sub = NULL;
    client_check(
        natsConnection_Subscribe(&sub, nats, "bench", on_message, &heard),
        "subscribe");
    client_check(natsSubscription_SetPendingLimits(sub, -1, -1), "limits");
    client_check(natsConnection_Flush(nats), "flush");
    if (write(out, "r", 1) != 1) {
        exit(1);
    }
    uint64_t before = 0;
    double since = now();
    while (before < count && (before == 0 || now() - since < SILENCE_S)) {
        struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
        uint64_t got = __atomic_load_n(&heard.count, __ATOMIC_ACQUIRE);
        since = got != before ? now() : since;
        before = got;
    }
    if (before < count) { // at most once: some were dropped
        heard.last = since;
    }
    heard.count = before;
    exit(write(out, &heard, sizeof heard) == (ssize_t)sizeof heard ? 0 : 1);
}

static void
publish(const char *url, size_t size, uint64_t count)
{
    natsConnection *nats = client_join(url, false);
    char *body = calloc(1, size + 1);
    for (uint64_t i = 0; i < count; i++) {
        client_check(
            natsConnection_Publish(nats, "bench", body, (int)size), "publish");
    }
    client_check(natsConnection_FlushTimeout(nats, 60000), "flush");
    exit(0);
}

static int
events(const char *url, size_t size, uint64_t count, unsigned subscribers)
{
    int pipes[64][2];
    char byte = 0;
    if (subscribers == 0 || subscribers > 64) {
        return 2;
    }
    for (unsigned i = 0; i < subscribers; i++) {
        if (pipe(pipes[i]) != 0) {
            return 1;
        }
        if (client_fork() == 0) {
            subscribe(url, count, pipes[i][1]);
        }
        (void)close(pipes[i][1]);
    }
    for (unsigned i = 0; i < subscribers; i++) {
        if (read(pipes[i][0], &byte, 1) != 1) {
            return 1;
        }
    }
    if (client_fork() == 0) {
        publish(url, size, count);
    }
    heard_t all = {.first = 1e18};
    for (unsigned i = 0; i < subscribers; i++) {
        heard_t heard;
        if (read(pipes[i][0], &heard, sizeof heard) != (ssize_t)sizeof heard) {
            return 1;
        }
        all.count += heard.count;
        all.first = heard.first < all.first ? heard.first : all.first;
        all.last = heard.last > all.last ? heard.last : all.last;
    }
    while (wait(NULL) > 0) {
    }
    printf("%llu %.9f\n", (unsigned long long)all.count, all.last - all.first);
    return 0;
}

// ----- requests

static void
on_request(
    natsConnection *nats, natsSubscription *sub, natsMsg *message, void *arg)
{
    (void)sub;
    (void)arg;
    (void)natsConnection_Publish(nats, natsMsg_GetReply(message),
        natsMsg_GetData(message), natsMsg_GetDataLength(message));
    natsMsg_Destroy(message);
}

void
client_respond(const char *url, int out)
{
    natsConnection *nats = client_join(url, true);
    natsSubscription *sub = NULL;
    client_check(natsConnection_Subscribe(&sub, nats, "echo", on_request, NULL),
        "subscribe");
    client_check(natsConnection_Flush(nats), "flush");
    if (write(out, "r", 1) != 1) {
        exit(1);
    }
    for (;;) {
        (void)pause();
    }
}

// asker_t has so many requests under way at a time.
typedef struct asker {
    natsConnection *nats;
    natsInbox *inbox;
    char *body;
    size_t size;
    double *start;
    double *us;
    uint64_t count;
    uint64_t asked;
    uint64_t answered;
    pthread_mutex_t lock;
    pthread_cond_t done;
} asker_t;

static void
ask_next(asker_t *self)
{
    if (self->asked < self->count) {
        uint64_t number = self->asked++;
        memcpy(self->body, &number, sizeof number);
        self->start[number] = now();
        client_check(natsConnection_PublishRequest(self->nats, "echo",
                         self->inbox, self->body, (int)self->size),
            "request");
    }
}

static void
on_reply(
    natsConnection *nats, natsSubscription *sub, natsMsg *message, void *arg)
{
    asker_t *self = arg;
    uint64_t number = 0;
    (void)nats;
    (void)sub;
    memcpy(&number, natsMsg_GetData(message), sizeof number);
    natsMsg_Destroy(message);
    pthread_mutex_lock(&self->lock);
    self->us[number] = (now() - self->start[number]) * 1e6;
    ask_next(self);
    if (++self->answered == self->count) {
        pthread_cond_signal(&self->done);
    }
    pthread_mutex_unlock(&self->lock);
}

static void
ask_many(asker_t *self, unsigned outstanding)
{
    pthread_mutex_lock(&self->lock);
    self->asked = self->answered = 0;
    for (unsigned i = 0; i < outstanding; i++) {
        ask_next(self);
    }
    while (self->answered < self->count) {
        (void)pthread_cond_wait(&self->done, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
}

static void
ask_one_by_one(asker_t *self)
{
    for (uint64_t i = 0; i < self->count; i++) {
        natsMsg *reply = NULL;
        double start = now();
        client_check(natsConnection_Request(&reply, self->nats, "echo",
                         self->body, (int)self->size, 10000),
            "request");
        self->us[i] = (now() - start) * 1e6;
        natsMsg_Destroy(reply);
    }
}

static bool
write_all(const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        ssize_t n = write(STDOUT_FILENO, at, size);
        if (n <= 0) {
            return false;
        }
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static int
requests(const char *url, size_t size, unsigned outstanding)
{
    int ready[2];
    char byte = 0;
    if (pipe(ready) != 0) {
        return 1;
    }
    if (client_fork() == 0) {
        client_respond(url, ready[1]);
    }
    if (read(ready[0], &byte, 1) != 1) {
        return 1;
    }
    asker_t asker = {.nats = client_join(url, true),
        .size = size > 8 ? size : 8,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .done = PTHREAD_COND_INITIALIZER};
    natsSubscription *sub = NULL;
    asker.body = calloc(1, asker.size);
    client_check(natsInbox_Create(&asker.inbox), "inbox");
    client_check(natsConnection_Subscribe(
                     &sub, asker.nats, asker.inbox, on_reply, &asker),
        "inbox");
    while (read(STDIN_FILENO, &asker.count, sizeof asker.count) ==
           (ssize_t)sizeof asker.count) {
        asker.us = calloc(asker.count, sizeof(double));
        asker.start = calloc(asker.count, sizeof(double));
        double start = now();
        if (outstanding > 1) {
            ask_many(&asker, outstanding);
        } else {
            ask_one_by_one(&asker);
        }
        double seconds = now() - start;
        if (!write_all(&seconds, sizeof seconds) ||
            !write_all(asker.us, asker.count * sizeof(double))) {
            return 1;
        }
        free(asker.us);
        free(asker.start);
    }
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "events") == 0) {
        return events(argv[2], strtoull(argv[3], NULL, 10),
            strtoull(argv[4], NULL, 10), (unsigned)atoi(argv[5]));
    }
    if (argc == 5 && strcmp(argv[1], "requests") == 0) {
        return requests(
            argv[2], strtoull(argv[3], NULL, 10), (unsigned)atoi(argv[4]));
    }
    if (argc == 7 && strncmp(argv[1], "paced-", 6) == 0) {
        pace_t pace = {.interval_ns = strtod(argv[4], NULL),
            .warm = strtoull(argv[5], NULL, 10),
            .count = strtoull(argv[6], NULL, 10)};
        size_t size = strtoull(argv[3], NULL, 10);
        return strcmp(argv[1], "paced-events") == 0
                   ? paced_events(argv[2], size, &pace)
                   : paced_requests(argv[2], size, &pace);
    }
    fprintf(stderr,
        "usage: edri-bench-nats events URL SIZE COUNT SUBSCRIBERS\n"
        "       edri-bench-nats requests URL SIZE OUTSTANDING\n"
        "       edri-bench-nats paced-events|paced-requests URL SIZE INTERVAL "
        "WARM COUNT\n");
    return 2;
}
