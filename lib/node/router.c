// SPDX-License-Identifier: MIT
// router.c - the router's thread: polls, commands, timers.

#include "node/router.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "edri/log.h"
#include "node/books.h"
#include "node/health.h"
#include "node/ipc.h"
#include "node/keyed.h"
#include "node/ports.h"
#include "node/reload.h"
#include "node/replay.h"
#include "node/tunnels.h"

// After so many events at once more are about to come, from threads that wait for its
// processor: it lets them run before it sleeps, since a wake-up takes longer.
#define BUSY 8

// Between two looks at what may be overdue, or have changed.
#define TICK_MS 1000

// A standstill of this length shifts the deadlines: it was ours, not a peer's.
#define GAP_MS 1000

uint64_t
router_random(router_t *self)
{
    // splitmix64 (S. Vigna, 2015): a choice, not a secret.
    return hash_mix(self->random += UINT64_C(0x9E3779B97F4A7C15));
}

void
router_tell(
    router_t *self, const char *word, edri_err_t err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    uint32_t code = err;
    ear_touch(&self->pipe_ear);
    (void)zmq_send(self->pipe, word, strlen(word), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(self->pipe, &code, sizeof code, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(self->pipe, text, strlen(text), ZMQ_DONTWAIT);
    free(text);
}

// ----- commands of the node

static void
read_pipe(router_t *self)
{
    char word[16] = "";
    int size = zmq_recv(self->pipe, word, sizeof word - 1, ZMQ_DONTWAIT);
    if (size < 0) {
        ear_empty(&self->pipe_ear);
        return;
    }
    if (streq(word, "OPEN")) {
        links_open(self);
    } else if (streq(word, "DRAIN")) {
        drain_begin(self);
    } else if (streq(word, "ASK")) {
        zmq_msg_t body;
        (void)zmq_msg_init(&body);
        (void)zmq_msg_recv(&body, self->pipe, 0);
        if (links_ask(self, zmq_msg_data(&body), zmq_msg_size(&body)) !=
            EDRI_OK) {
            router_tell(self, "UNREACHABLE", EDRI_UNREACHABLE, "%s",
                "no switch is connected");
        }
        (void)zmq_msg_close(&body);
    } else if (streq(word, "QUIT")) {
        ports_quit(self);
    } else if (streq(word, "STOP")) {
        self->stop = true;
    }
}

// ----- the loop

// is_owed says whether there is something to do at once.
static bool
is_owed(const router_t *self)
{
    return self->ready.count > 0 || tokens_wait(self->tokens) ||
           helm_any_noted(&self->node->helm);
}

// next_due is when something has to be done, on clock_ms; INT64_MAX: never.
static int64_t
next_due(const router_t *self)
{
    int64_t next = links_next(self);
    int64_t beat = ipc_next(self);
    next = beat < next ? beat : next;
    int64_t flows = flows_next(self);
    next = flows < next ? flows : next;
    int64_t retry = asked_next(self);
    next = retry < next ? retry : next;
    if ((self->first_asked != NULL || map_size(self->remotes) > 0 ||
            self->node->manager_count > 0) &&
        self->expire_ms < next) {
        next = self->expire_ms;
    }
    if (self->draining && !self->told_drained) {
        // Boxes run empty without a ring: look again soon.
        next = self->now_ms + 5 < next ? self->now_ms + 5 : next;
    }
    return next;
}

// time_to_wait is how long the thread may sleep, in ms; -1: for ever.
static long
time_to_wait(router_t *self)
{
    int64_t next = is_owed(self) ? self->now_ms : next_due(self);
    self->slept_ms = self->now_ms;
    self->wakes_ms = next;
    if (next == INT64_MAX) {
        return -1;
    }
    return next > self->now_ms ? (long)(next - self->now_ms) : 0;
}

static void
note_time(router_t *self, long waited_for, bool timed_out)
{
    int64_t now = clock_ms();
    int64_t late = now - self->slept_ms - (waited_for > 0 ? waited_for : 0);
    self->now_ms = now;
    if (late > GAP_MS && waited_for >= 0) {
        edri_log_warn("ROUTER-STOOD-STILL", "ms=%lld", (long long)late);
        for (unsigned i = 0; i < self->link_count; i++) {
            session_shift(&self->links[i].session, late);
        }
    }
    // Sooner when the time wakes it anyway: as a rule for a heartbeat.
    if (now >= self->expire_ms - (timed_out ? TICK_MS / 2 : 0)) {
        asked_expire(self);
        remotes_tick(self);
        routes_tick(self);
        books_tell(self);
        health_tick(self);
        tunnels_tick(self);
        self->expire_ms = now + TICK_MS;
    }
}

// What the thread waits for; connections from LINKS on.
enum {
    PIPE,
    PORTS,
    IPC,
    WAKE,
    TIMER,
    LINKS,
    ITEMS_MAX = LINKS + LINKS_MAX
};

// pass does what one wake-up asks for.
static void
pass(router_t *self, zmq_pollitem_t *items, const unsigned *links, int count)
{
    ports_note(self);
    if ((items[PIPE].revents & ZMQ_POLLIN) != 0) {
        read_pipe(self);
    }
    if ((items[PORTS].revents & ZMQ_POLLIN) != 0) {
        ports_hear(self);
    }
    if ((items[IPC].revents & ZMQ_POLLIN) != 0) {
        ipc_read(self);
    }
    self->came = (lookout_for_t){0};
    for (int i = LINKS; i < count; i++) {
        if ((items[i].revents & ZMQ_POLLIN) != 0) {
            (void)link_read(&self->links[links[i]]);
        }
    }
    listen_heard(&self->node->listen, &self->came, self->now_ms);
    ports_take(self);
    if (self->reloads != NULL) {
        reload_look(self);
    }
    flows_settle(self);
    links_tick(self);
    flows_tick(self);
    asked_retry(self);
    keyed_go_on(self);
    if (self->full.count > 0) {
        slots_check(self);
    }
    for (unsigned i = 0; i < self->link_count; i++) {
        link_flush(&self->links[i]);
    }
    ipc_flush(self);
    listen_tend(self, false);
    ports_tell_flushed(self);
    drain_check(self);
}

static bool
step(router_t *self, bool may_wait)
{
    helm_t *helm = &self->node->helm;
    const listen_t *listen = &self->node->listen;
    // Descriptors that are not there are -1, which poll passes over.
    zmq_pollitem_t items[ITEMS_MAX] = {
        [PIPE] = {self->pipe, 0, ZMQ_POLLIN, 0},
        [PORTS] = {self->ports, 0, ZMQ_POLLIN, 0},
        [IPC] = {self->ipc, self->ipc == NULL ? -1 : 0,
            self->ipc == NULL ? 0 : ZMQ_POLLIN, 0},
        [WAKE] = {NULL, helm->wake_fd, ZMQ_POLLIN, 0},
        [TIMER] = {NULL, listen->timer_fd, ZMQ_POLLIN, 0},
    };
    ear_t *ears[ITEMS_MAX] = {[PIPE] = &self->pipe_ear,
        [PORTS] = &self->ports_ear,
        [IPC] = self->ipc != NULL ? &self->ipc_ear : NULL};
    unsigned links[ITEMS_MAX] = {0};
    int count = LINKS;
    for (unsigned i = 0; i < self->link_count; i++) {
        // The lookout hears what comes, but not what calls here took note of.
        if (self->links[i].socket != NULL &&
            (!listen->on || ear_look(&self->links[i].ear))) {
            links[count] = i;
            ears[count] = &self->links[i].ear;
            items[count++] =
                (zmq_pollitem_t){self->links[i].socket, 0, ZMQ_POLLIN, 0};
        }
    }
    long wait = time_to_wait(self);
    wait = may_wait ? wait : 0;
    nap_t nap = {.ms = wait,
        .yields = self->lately >= BUSY,
        .spin_us = listen->on ? 0 : self->node->limits.spin_us,
        .helm = helm};
    self->lately = 0;
    int found = ears_poll(ears, items, count, &nap);
    if (found < 0 && zmq_errno() != EINTR) {
        edri_log_error(
            "ROUTER-POLL", "error=\"%s\"", zmq_strerror(zmq_errno()));
        return false;
    }
    if (items[WAKE].revents != 0) {
        helm_woken(helm);
    }
    note_time(self, wait, found == 0);
    if (items[TIMER].revents != 0) {
        listen_rang(self);
    }
    pass(self, items, links, count);
    return !self->stop;
}

bool
router_step(router_t *self, bool may_wait)
{
    helm_take(&self->node->helm);
    bool goes_on = step(self, may_wait);
    helm_leave(&self->node->helm);
    return goes_on;
}

// is_left says whether there is something that only the router's thread does.
static bool
is_left(const router_t *self)
{
    bool left = self->reloads != NULL || self->flushing.count > 0;
    for (unsigned i = 0; i < self->link_count && !left; i++) {
        left =
            self->links[i].broken && self->links[i].session.state == SESSION_UP;
    }
    return left || is_owed(self) || next_due(self) < self->wakes_ms;
}

// any_readable says whether a socket has something to read of which its descriptor
// need not tell the thread that sleeps: a call here may have noticed it on its way.
static bool
any_readable(router_t *self)
{
    bool any = ear_look(&self->pipe_ear) || ear_look(&self->ports_ear) ||
               (self->ipc != NULL && ear_look(&self->ipc_ear));
    for (unsigned i = 0; i < self->link_count && !any; i++) {
        any = self->links[i].socket != NULL && ear_look(&self->links[i].ear);
    }
    return any;
}

static bool
serve(router_t *self)
{
    ports_serve_noted(self);
    flows_settle(self);
    keyed_go_on(self);
    if (self->full.count > 0) {
        slots_check(self);
    }
    for (unsigned i = 0; i < self->link_count; i++) {
        link_flush(&self->links[i]);
    }
    ipc_flush(self);
    return !any_readable(self) && !is_left(self);
}

bool
router_serve(router_t *self)
{
    self->now_ms = clock_ms();
    return serve(self);
}

bool
router_listen(router_t *self, edri_port_t *port)
{
    self->now_ms = clock_ms();
    if (self->wakes_ms < self->now_ms - GAP_MS) {
        return false; // after a standstill the thread sets the clocks right first
    }
    self->came = (lookout_for_t){0};
    self->near = port;
    for (unsigned i = 0; i < self->link_count; i++) {
        if (self->links[i].socket != NULL) {
            ear_touch(&self->links[i].ear);
            if (link_read(&self->links[i]) > 0) {
                self->node->listen.heard_fd = self->links[i].fd;
            }
        }
    }
    listen_heard(&self->node->listen, &self->came, self->now_ms);
    bool all = serve(self);
    self->near = NULL;
    listen_tend(self, true);
    return all;
}

// ----- starting and ending

static void *
bind_ports(edri_node_t *node)
{
    void *socket = zmq_socket(node->zmq, ZMQ_ROUTER);
    int zero = 0;
    int one = 1;
    bool fine =
        socket != NULL &&
        zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero) == 0 &&
        zmq_setsockopt(socket, ZMQ_SNDHWM, &zero, sizeof zero) == 0 &&
        zmq_setsockopt(socket, ZMQ_RCVHWM, &zero, sizeof zero) == 0 &&
        zmq_setsockopt(socket, ZMQ_ROUTER_MANDATORY, &one, sizeof one) == 0 &&
        zmq_bind(socket, NODE_PORTS_ENDPOINT) == 0;
    if (!fine && socket != NULL) {
        zmq_close(socket);
        socket = NULL;
    }
    return socket;
}

edri_err_t
router_open(router_t *self)
{
    edri_node_t *node = self->node;
    int zero = 0;
    self->pipe = zmq_socket(node->zmq, ZMQ_PAIR);
    (void)zmq_setsockopt(self->pipe, ZMQ_LINGER, &zero, sizeof zero);
    (void)zmq_connect(self->pipe, NODE_PIPE_ENDPOINT);
    ear_open(&self->pipe_ear, self->pipe);
    self->ports = bind_ports(node);
    if (self->ports != NULL) {
        ear_open(&self->ports_ear, self->ports);
    }
    edri_err_t err = self->ports != NULL ? ipc_bind(self) : EDRI_SYSTEM;
    if (err != EDRI_OK) {
        router_tell(self, "ERROR", err, "node.ipc %s: %s",
            settings_text(node->settings, "node.ipc"),
            zmq_strerror(zmq_errno()));
    } else {
        helm_give(&self->node->helm, self);
        router_tell(self, "BOUND", EDRI_OK, "%s", "");
    }
    return err;
}

void
router_close(router_t *self)
{
    helm_give(&self->node->helm, NULL);
    helm_take(&self->node->helm); // ports still look who listens
    links_bye(self);
    helm_leave(&self->node->helm);
    if (self->ports != NULL) {
        zmq_close(self->ports);
    }
    ipc_close(self);
    zmq_close(self->pipe);
}

static void *
run_router(void *arg)
{
    router_t *self = arg;
    thread_name("router");
    helm_open(&self->node->helm);
    if (!self->node->helm.deaf) {
        listen_open(&self->node->listen,
            self->node->limits.huddles ? self->node->io_thread : NULL);
    }
    if (router_open(self) == EDRI_OK) {
        while (router_step(self, true)) {
        }
    }
    router_close(self);
    return NULL;
}

router_t *
router_make(edri_node_t *node)
{
    router_t *self = mem_new(sizeof *self);
    self->node = node;
    self->slots = map_new();
    self->routes = map_new();
    self->remotes = map_new();
    self->asked = map_new();
    self->tunnels = map_new();
    self->now_ms = clock_ms();
    self->tokens = &node->tokens;
    self->handing = HAND_NONE;
    atomic_init(&self->open_gate.until_ms, GATE_FREE);
    self->random = random_u64();
    links_init(self, settings_text(node->settings, "node.switch"));
    return self;
}

edri_err_t
router_new(edri_node_t *node, router_t **self_p)
{
    router_t *self = router_make(node);
    *self_p = self;
    if (pthread_create(&self->thread, NULL, run_router, self) != 0) {
        self->thread = 0;
        router_free(self_p);
        return EDRI_SYSTEM;
    }
    return EDRI_OK;
}

void
router_destroy(router_t **self_p)
{
    if (*self_p != NULL) {
        (void)pthread_join((*self_p)->thread, NULL);
        router_free(self_p);
    }
}

void
router_free(router_t **self_p)
{
    router_t *self = *self_p;
    *self_p = NULL;
    helm_give(&self->node->helm, NULL); // it may have been killed
    asked_destroy(self);
    tunnels_destroy(self);
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->slots, &cursor, NULL, &value)) {
        slot_free(value);
    }
    map_destroy(&self->slots);
    links_destroy(self);
    health_clear(self);
    reload_clear(self);
    remotes_destroy(self);
    routes_destroy(self);
    replays_destroy(self);
    list_clear(&self->ready);
    list_clear(&self->retries);
    waiting_clear(self);
    list_clear(&self->spans);
    list_clear(&self->tokened);
    list_clear(&self->moving);
    list_clear(&self->full);
    list_clear(&self->flushing);
    list_clear(&self->ipc_slots);
    load_clear(&self->load);
    free(self);
}
