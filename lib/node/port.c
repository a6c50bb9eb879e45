// SPDX-License-Identifier: MIT
// port.c - what is attached to a router: a thread with two boxes and a bell.

#include "node/port.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "node/ask.h"
#include "node/orphans.h"
#include "node/tunnel.h"
#include "node/used.h"
#include "node/work/task.h"

// How long a port waits for the router to answer attach and detach.
#define ROUTER_WAIT_MS 10000

edri_err_t
port_fail(edri_port_t *self, edri_err_t err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    free(self->error);
    self->error = str_vprintf(format, args);
    va_end(args);
    return err;
}

edri_err_t
port_check(edri_port_t *self)
{
    if (self == NULL || self->magic != PORT_MAGIC) {
        return EDRI_STATE;
    }
    // The text is the owner's: nothing is written for a stranger.
    return pthread_equal(self->owner, pthread_self()) ? EDRI_OK : EDRI_STATE;
}

// ----- the bell

void
port_ring(edri_port_t *self, const void *data, size_t size)
{
    self->bell->ring(self, data, size);
}

void
port_filled(edri_port_t *self)
{
    if (!self->soon || self->bell->run == NULL || !self->bell->run(self)) {
        port_ring(self, NULL, 0);
    }
}

static edri_err_t
wait_bell(edri_port_t *self, int64_t deadline_ms)
{
    return self->bell->wait(self, deadline_ms);
}

static void
ring_router(edri_port_t *self, const void *data, size_t size)
{
    // Room is never short: one message per armed box, and the router reads.
    ear_touch(&self->ear);
    (void)zmq_send(self->other_end, data, size, ZMQ_DONTWAIT);
}

// hear reads all that the router has said.
static void
hear(edri_port_t *self)
{
    char word = 0;
    int size;
    while ((size = zmq_recv(self->other_end, &word, 1, ZMQ_DONTWAIT)) >= 0) {
        if (size == 0) {
            continue;
        }
        self->flushed = self->flushed || word == BELL_FLUSH;
        self->quit = self->quit || word == BELL_QUIT;
    }
    ear_empty(&self->ear);
}

// listen_or_poll is ears_poll, listening to the connections as well if that is to be.
static int
listen_or_poll(
    edri_port_t *self, zmq_pollitem_t *items, int count, const nap_t *nap)
{
    ear_t *ears[EARS_MAX] = {&self->ear};
    zmq_pollitem_t all[EARS_MAX];
    listen_wait_t wait = {.count = 0, .stay.cpu = -1};
    if (nap->ms != 0 && count <= EARS_MAX - LINKS_MAX &&
        listen_is(&self->node->listen, self)) {
        listen_begin(self, all + count, &wait);
    }
    if (wait.count == 0) {
        return ears_poll(ears, items, count, nap);
    }
    memcpy(all, items, (size_t)count * sizeof *items);
    int found = wait.count > 0 ? ears_poll(ears, all, count + wait.count, nap)
                               : ears_poll(ears, all, count, &(nap_t){.ms = 0});
    int error = errno;
    for (int i = 0; i < count; i++) {
        items[i].revents = found > 0 ? all[i].revents : 0;
    }
    listen_end(self, &wait);
    errno = error;
    return wait.count < 0 && found == 0
               ? 1
               : found; // its box may have got something
}

// wait_any waits for any word of the router, or one of the other items.
static edri_err_t
wait_any(edri_port_t *self, zmq_pollitem_t *items, int items_count,
    int64_t deadline_ms)
{
    items[0] = (zmq_pollitem_t){self->other_end, 0, ZMQ_POLLIN, 0};
    long wait = -1;
    if (deadline_ms >= 0) {
        int64_t left = deadline_ms - clock_ms();
        wait = left > 0 ? (long)left : 0;
    }
    if (items_count > EARS_MAX) {
        ear_touch(&self->ear);
    }
    int count =
        items_count <= EARS_MAX
            ? listen_or_poll(self, items, items_count,
                  &(nap_t){.ms = wait, .spin_us = self->node->limits.spin_us})
            : zmq_poll(items, items_count, wait);
    if (count > 0 && items[0].revents != 0) {
        hear(self);
    }
    // Interrupted counts as rung: the caller looks again.
    return count == 0 ? EDRI_DEADLINE : EDRI_OK;
}

static edri_err_t
wait_router(edri_port_t *self, int64_t deadline_ms)
{
    zmq_pollitem_t item;
    return wait_any(self, &item, 1, deadline_ms);
}

static edri_err_t
wait_router_fds(
    edri_port_t *self, zmq_pollitem_t *items, int count, int64_t deadline_ms)
{
    return wait_any(self, items + 1, count + 1, deadline_ms);
}

// run_router does the router's work for what is in the box, if it can.
static bool
run_router(edri_port_t *self)
{
    return helm_serve(&self->node->helm, self);
}

static const bell_t router_bell = {.ring = ring_router,
    .run = run_router,
    .wait = wait_router,
    .wait_fds = wait_router_fds};

edri_err_t
port_wait_with(
    edri_port_t *self, zmq_pollitem_t *items, int count, int64_t deadline_ms)
{
    return wait_any(self, items, count, deadline_ms);
}

edri_err_t
port_sleep(edri_port_t *self, int64_t deadline_ms)
{
    edri_err_t err = self->quit ? EDRI_CLOSED : wait_bell(self, deadline_ms);
    return self->quit ? EDRI_CLOSED : err;
}

uint64_t
port_missed(edri_port_t *self)
{
    // Per event: a look costs nothing, an exchange would.
    if (atomic_load_explicit(&self->missed, memory_order_relaxed) == 0) {
        return 0;
    }
    return atomic_exchange(&self->missed, 0);
}

void
port_cancel(edri_port_t *self, uint64_t request)
{
    uint8_t word[9] = {BELL_CANCEL};
    memcpy(word + 1, &request, 8);
    port_ring(self, word, sizeof word);
}

void
port_begun(edri_port_t *self, token_t *token, uint32_t events)
{
    if (token_begun(&self->node->tokens, token, events)) {
        port_ring(self, NULL, 0);
    }
}

void
port_release(edri_port_t *self, box_t *box, size_t size)
{
    if (box_release(box, size)) {
        port_ring(self, NULL, 0);
    }
}

// ----- making and ending

// number_of gives ports numbers from 1 to 65535 in turn.
static uint16_t
number_of(uint32_t serial)
{
    return (uint16_t)(serial % 65535 + 1);
}

// await waits for the router's answer to attach or detach.
static bool
await(edri_port_t *self, bool attached)
{
    int64_t deadline = clock_ms() + ROUTER_WAIT_MS;
    while (atomic_load(&self->attached) != attached &&
           wait_bell(self, deadline) == EDRI_OK) {
    }
    return atomic_load(&self->attached) == attached;
}

void
port_leave(edri_port_t *self)
{
    int64_t deadline = clock_ms() + ROUTER_WAIT_MS;
    port_ring(self, (char[]){BELL_LEAVE}, 1);
    while (!atomic_load(&self->left) && !self->quit &&
           wait_bell(self, deadline) == EDRI_OK) {
    }
}

// make makes a port that is attached to nothing.
static edri_port_t *
make(edri_node_t *node, const bell_t *bell, size_t out_limit, size_t queue)
{
    edri_port_t *self = mem_new(sizeof *self);
    self->magic = PORT_MAGIC;
    self->node = node;
    self->bell = bell;
    self->owner = pthread_self();
    self->out = box_new(out_limit);
    self->queue = queue > 0 ? queue : node->limits.manager_queue;
    self->in = box_new(self->queue);
    self->types = map_new();
    self->asks = map_new();
    self->tunnels = map_new();
    self->cause.deadline_ms = -1;
    return self;
}

static bool
connect_router(edri_port_t *self)
{
    self->other_end = zmq_socket(self->node->zmq, ZMQ_DEALER);
    int zero = 0;
    uint8_t routing[PORT_ROUTING_SIZE] = {'P'};
    memcpy(routing + 1, &self->number, 2);
    memcpy(routing + 3, &self->serial, 4);
    if (self->other_end == NULL) {
        return false;
    }
    ear_open(&self->ear, self->other_end);
    return zmq_setsockopt(self->other_end, ZMQ_LINGER, &zero, sizeof zero) ==
               0 &&
           zmq_setsockopt(self->other_end, ZMQ_SNDHWM, &zero, sizeof zero) ==
               0 &&
           zmq_setsockopt(
               self->other_end, ZMQ_ROUTING_ID, routing, sizeof routing) == 0 &&
           zmq_connect(self->other_end, NODE_PORTS_ENDPOINT) == 0;
}

edri_port_t *
port_new(edri_node_t *node, const edri_port_t *like)
{
    if (atomic_load(&node->phase) != PHASE_RUNNING) {
        return NULL;
    }
    edri_port_t *self = make(node, &router_bell, node->limits.port_queue,
        like != NULL ? like->queue : 0);
    if (like != NULL) {
        self->manager = like->manager;
        self->demands = like->demands;
        self->demand_count = like->demand_count;
        self->lossy = like->lossy;
        self->tunnel_limit = like->tunnel_limit;
        self->priority = like->priority;
        self->faults = like->faults;
        atomic_init(&self->ranked, atomic_load(&like->ranked));
        self->worker = like->worker;
        self->target = like->target;
        self->drains = like->drains;
    }
    // Last: from here on the router may find it.
    do {
        self->serial = atomic_fetch_add(&node->next_serial, 1);
        self->number = number_of(self->serial);
    } while (shared_map_add(node->ports, self->number, self) != self);
    self->target = self->manager != NULL ? self->number : self->target;
    // Ids go on from where an earlier port of that number cannot have come.
    self->next_id = (uint64_t)self->number << 48 |
                    (uint64_t)(self->serial / 65535 & 0xffff) << 32;
    if (!connect_router(self)) {
        edri_port_destroy(&self);
        return NULL;
    }
    port_ring(self, (char[]){BELL_ATTACH}, 1);
    if (!await(self, true)) {
        edri_port_destroy(&self);
    }
    return self;
}

edri_port_t *
port_new_far(
    edri_node_t *node, const bell_t *bell, void *other_end, uint64_t last_id)
{
    // Full as soon as something could not be carried off.
    edri_port_t *self = make(node, bell, 1, 0);
    self->other_end = other_end;
    self->number = (uint16_t)(last_id >> 48);
    self->next_id = last_id;
    return self;
}

void
edri_port_destroy(edri_port_t **self_p)
{
    edri_port_t *self = self_p != NULL ? *self_p : NULL;
    if (self == NULL) {
        return;
    }
    *self_p = NULL;
    ask_end_all(self, EDRI_CANCELLED);
    tunnels_end(self);
    if (self->bell == &router_bell) {
        // What was emitted is taken before the router forgets us.  First the map: a
        // bell that says attach may still be on its way.
        (void)shared_map_take(self->node->ports, self->number);
        if (!helm_detach(&self->node->helm, self) && self->attached &&
            atomic_load(&self->node->phase) == PHASE_RUNNING) {
            port_ring(self, (char[]){BELL_DETACH}, 1);
            (void)await(self, false);
        }
        (void)zmq_close(self->other_end);
    }
    for (size_t i = 0; i < self->deferred_count; i++) {
        load_clear(&self->deferred[i]);
    }
    free(self->deferred);
    orphans_drop(self); // the router has stopped before it could take them
    map_destroy(&self->refused);
    load_clear(&self->spare);
    box_destroy(&self->out);
    box_destroy(&self->in);
    used_clear(self);
    map_destroy(&self->types);
    map_destroy(&self->asks);
    free(self->error);
    free(self->renew_text);
    self->magic = 0;
    free(self);
}

const char *
edri_port_error(const edri_port_t *self)
{
    return self != NULL && self->error != NULL ? self->error : "";
}

// ----- waiting

edri_err_t
edri_port_poll(edri_port_t *self, int timeout_ms)
{
    if (port_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    int64_t deadline = timeout_ms < 0 ? -1 : clock_ms() + timeout_ms;
    for (;;) {
        if (port_pump(self) > 0) {
            return EDRI_OK;
        }
        int64_t until = port_deadline(self);
        if (until < 0 || (deadline >= 0 && deadline < until)) {
            until = deadline;
        }
        edri_err_t err = port_sleep(self, until);
        if (err == EDRI_CLOSED) {
            return err;
        }
        if (err == EDRI_DEADLINE && until == deadline) {
            return port_pump(self) > 0 ? EDRI_OK : EDRI_AGAIN;
        }
    }
}

edri_err_t
edri_port_wait(
    edri_port_t *self, struct pollfd *fds, size_t count, int timeout_ms)
{
    if (port_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    for (size_t i = 0; i < count; i++) {
        fds[i].revents = 0;
    }
    // Calls of one tunnel may have read what was for another.
    bool news = port_pump(self) > 0 || self->news;
    self->news = false;
    if (news) {
        return EDRI_OK;
    }
    int64_t until_ms = port_deadline(self);
    int64_t deadline_ms = timeout_ms < 0 ? -1 : clock_ms() + timeout_ms;
    bool sooner = deadline_ms >= 0 && (until_ms < 0 || deadline_ms < until_ms);
    zmq_pollitem_t *items = mem_new((count + 2) * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        items[i + 2] = (zmq_pollitem_t){.fd = fds[i].fd,
            .events =
                (short)(((fds[i].events & POLLIN) != 0 ? ZMQ_POLLIN : 0) |
                        ((fds[i].events & POLLOUT) != 0 ? ZMQ_POLLOUT : 0))};
    }
    edri_err_t err = self->quit ? EDRI_CLOSED
                                : self->bell->wait_fds(self, items, (int)count,
                                      sooner ? deadline_ms : until_ms);
    for (size_t i = 0; i < count && err == EDRI_OK; i++) {
        short seen = items[i + 2].revents;
        fds[i].revents = (short)(((seen & ZMQ_POLLIN) != 0 ? POLLIN : 0) |
                                 ((seen & ZMQ_POLLOUT) != 0 ? POLLOUT : 0) |
                                 ((seen & ZMQ_POLLERR) != 0 ? POLLERR : 0));
    }
    free(items);
    (void)port_pump(self);
    return self->quit                       ? EDRI_CLOSED
           : err == EDRI_DEADLINE && sooner ? EDRI_AGAIN
                                            : EDRI_OK;
}

void
port_ask_flush(edri_port_t *self)
{
    self->flushed = false;
    port_ring(self, (char[]){BELL_FLUSH}, 1);
}

edri_err_t
edri_port_flush(edri_port_t *self, int timeout_ms)
{
    if (port_check(self) != EDRI_OK) {
        return EDRI_STATE;
    }
    int64_t deadline = timeout_ms < 0 ? -1 : clock_ms() + timeout_ms;
    port_ask_flush(self);
    while (!self->flushed) {
        edri_err_t err = port_sleep(self, deadline);
        if (err != EDRI_OK) {
            return err;
        }
        (void)port_pump(self);
    }
    return EDRI_OK;
}
