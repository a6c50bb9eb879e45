// SPDX-License-Identifier: MIT
// nats_paced.c - load that is offered to NATS by a schedule (tools/load.h).
//
// As bench_paced.c does it with EDRI: the publisher is this process, the subscriber or
// the responder another.  Events are published through the client's buffer, without
// which it does not reach its rate: the client's thread sends what is there, and waits
// up to 1 ms before.  Requests are sent at once.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nats_client.h"

// A receiver that has heard nothing for so long hears no more: core NATS loses some
// when it is too much.
#define SILENCE_MS 3000

#define START_MS 30000

static void
on_message(
    natsConnection *nats, natsSubscription *sub, natsMsg *message, void *arg)
{
    uint64_t number = 0;
    (void)nats;
    (void)sub;
    memcpy(&number, natsMsg_GetData(message), sizeof number);
    receiver_note(arg, number);
    natsMsg_Destroy(message);
}

// receive notes in 'receiver' what comes for a subject.
static natsSubscription *
receive(natsConnection *nats, const char *subject, receiver_t *receiver)
{
    natsSubscription *sub = NULL;
    client_check(
        natsConnection_Subscribe(&sub, nats, subject, on_message, receiver),
        "subscribe");
    client_check(natsSubscription_SetPendingLimits(sub, -1, -1), "limits");
    client_check(natsConnection_Flush(nats), "flush");
    return sub;
}

static receiver_t *
new_receiver(const pace_t *pace)
{
    receiver_t *self = calloc(1, sizeof *self);
    if (!receiver_init(self, pace)) {
        perror("eventfd");
        exit(1);
    }
    return self;
}

// start runs 'work' in another process until it says that it is there; what it says
// then can be read from the result.
static int
start(void (*work)(const char *url, const pace_t *pace, int out),
    const char *url, const pace_t *pace)
{
    int pipes[2];
    char byte = 0;
    if (pipe(pipes) != 0) {
        perror("pipe");
        exit(1);
    }
    if (client_fork() == 0) {
        work(url, pace, pipes[1]);
    }
    (void)close(pipes[1]);
    if (!load_read(pipes[0], &byte, 1, START_MS)) {
        fprintf(stderr, "edri-bench-nats: the other side did not start\n");
        exit(1);
    }
    return pipes[0];
}

// publisher_t sends to a subject, or to 'inbox', too, where a reply goes.
typedef struct publisher {
    natsConnection *nats;
    natsInbox *inbox; // NULL: events
    char *body;
    size_t size;
} publisher_t;

static void
emit(void *arg, uint64_t number)
{
    publisher_t *self = arg;
    memcpy(self->body, &number, sizeof number);
    client_check(self->inbox == NULL
                     ? natsConnection_Publish(
                           self->nats, "bench", self->body, (int)self->size)
                     : natsConnection_PublishRequest(self->nats, "echo",
                           self->inbox, self->body, (int)self->size),
        "publish");
}

// publish offers all; it returns when they are with the server.
static void
publish(publisher_t *self, size_t size, pace_t *pace, track_t *track)
{
    load_t load = {emit, load_sleep, self};
    self->size = size > 8 ? size : 8;
    self->body = calloc(1, self->size);
    if (!load_generate(pace, track, &load)) {
        fprintf(stderr, "edri-bench-nats: too much: the next is %d s late\n",
            LOAD_PATIENCE_MS / 1000);
        exit(1);
    }
    client_check(
        natsConnection_FlushTimeout(self->nats, LOAD_PATIENCE_MS), "flush");
    free(self->body);
}

// tell writes what was sent and what was received.
static int
tell(const track_t *sent, const track_t *received)
{
    return load_write(STDOUT_FILENO, sent, sizeof *sent) &&
                   load_write(STDOUT_FILENO, received, sizeof *received)
               ? 0
               : 1;
}

static void
subscribe(const char *url, const pace_t *pace, int out)
{
    receiver_t *receiver = new_receiver(pace);
    natsConnection *nats = client_join(url, false);
    (void)receive(nats, "bench", receiver);
    bool fine = load_write(out, "r", 1);
    (void)receiver_wait(receiver, SILENCE_MS);
    natsConnection_Destroy(nats); // nothing comes any more
    fine = fine && load_write(out, &receiver->track, sizeof receiver->track);
    exit(fine ? 0 : 1);
}

int
paced_events(const char *url, size_t size, const pace_t *schedule)
{
    pace_t *pace = load_share(schedule);
    int from = start(subscribe, url, pace);
    publisher_t publisher = {.nats = client_join(url, false)};
    track_t *sent = calloc(1, sizeof *sent);
    track_t *received = calloc(1, sizeof *received);
    publish(&publisher, size, pace, sent);
    if (!load_read(from, received, sizeof *received,
            load_span_ms(pace) + SILENCE_MS)) {
        fprintf(stderr, "edri-bench-nats: the subscriber has failed\n");
        return 1;
    }
    return tell(sent, received);
}

static void
respond(const char *url, const pace_t *pace, int out)
{
    (void)pace;
    client_respond(url, out);
}

int
paced_requests(const char *url, size_t size, const pace_t *schedule)
{
    pace_t *pace = load_share(schedule);
    (void)start(respond, url, pace);
    publisher_t publisher = {.nats = client_join(url, true)};
    receiver_t *receiver = new_receiver(pace);
    track_t *sent = calloc(1, sizeof *sent);
    client_check(natsInbox_Create(&publisher.inbox), "inbox");
    (void)receive(publisher.nats, (const char *)publisher.inbox, receiver);
    publish(&publisher, size, pace, sent);
    (void)receiver_wait(receiver, SILENCE_MS);
    natsConnection_Destroy(publisher.nats); // nothing comes any more
    return tell(sent, &receiver->track);
}
