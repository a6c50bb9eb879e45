// SPDX-License-Identifier: MIT
// listen.c - a port's owner listens to the connections.

#include "node/listen.h"

#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "node/port.h"
#include "node/router.h"

// How long the lookout may be awake before the router's thread hears of it.
#define AWAKE_NS 1000000

void
listen_init(listen_t *self)
{
    *self = (listen_t){.timer_fd = -1, .heard_fd = -1};
    affinity_init(&self->affinity);
    atomic_init(&self->who, NULL);
    atomic_init(&self->set, 0);
}

void
listen_open(listen_t *self, const char *io_thread)
{
    if (io_thread != NULL) {
        affinity_want(&self->affinity, io_thread);
    }
    self->timer_fd =
        timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
}

void
listen_close(listen_t *self)
{
    if (self->timer_fd >= 0) {
        (void)close(self->timer_fd);
    }
    affinity_close(&self->affinity);
}

// ----- who has the helm

// name_lookout tells the ports who is the lookout now.
static void
name_lookout(listen_t *self)
{
    edri_port_t *who = self->timer_fd >= 0 ? self->lookout.who : NULL;
    if (who != atomic_load_explicit(&self->who, memory_order_relaxed)) {
        self->on = false;
        atomic_store(&self->who, who);
        affinity_uncount(&self->affinity);
    }
}

void
listen_heard(listen_t *self, const lookout_for_t *came, int64_t now_ms)
{
    lookout_heard(&self->lookout, came, now_ms);
    name_lookout(self);
}

void
listen_dismiss(listen_t *self, int64_t now_ms)
{
    lookout_dismiss(&self->lookout, now_ms);
    name_lookout(self);
}

void
listen_forget(listen_t *self, const edri_port_t *port, int64_t now_ms)
{
    if (self->lookout.who == port) {
        listen_dismiss(self, now_ms);
    }
    if (self->lookout.likely == port) { // another may get its address
        self->lookout.likely = NULL;
    }
}

void
listen_tend(router_t *router, bool by_lookout)
{
    listen_t *self = &router->node->listen;
    if (!affinity_due(&self->affinity, router->now_ms) ||
        atomic_load_explicit(&self->who, memory_order_relaxed) == NULL) {
        return;
    }
    if (by_lookout && !affinity_counts(&self->affinity, gettid())) {
        affinity_uncount(&self->affinity);
        affinity_count(&self->affinity, gettid());
    }
    if (affinity_counts(&self->affinity, 0)) {
        affinity_look(
            &self->affinity, affinity_incoming(self->heard_fd), router->now_ms);
    }
}

static void
set_timer(listen_t *self, uint64_t turn)
{
    struct itimerspec in = {.it_value.tv_nsec = AWAKE_NS};
    atomic_store(&self->set, turn);
    (void)timerfd_settime(self->timer_fd, 0, &in, NULL);
}

// any_waits says whether something waits to be read.
static bool
any_waits(const router_t *router)
{
    struct pollfd fds[LINKS_MAX];
    nfds_t count = 0;
    for (unsigned i = 0; i < router->link_count; i++) {
        if (router->links[i].socket != NULL) {
            fds[count++] = (struct pollfd){
                .fd = router->links[i].ear.fd, .events = POLLIN};
        }
    }
    return poll(fds, count, 0) > 0;
}

void
listen_rang(router_t *router)
{
    listen_t *self = &router->node->listen;
    uint64_t times = 0;
    (void)!read(self->timer_fd, &times, sizeof times);
    // First this, then the look at the turn: who wakes does the opposite.
    uint64_t set = atomic_exchange(&self->set, 0);
    edri_port_t *port = self->on ? self->lookout.who : NULL;
    uint64_t turn = port != NULL ? atomic_load(&port->turn) : 0;
    if (turn % 2 == 0) {
        return;
    }
    if (turn != set) {
        set_timer(self, turn);
        return;
    }
    self->on = false; // until it sleeps again, unless that was too late already
    if (any_waits(router)) {
        listen_dismiss(self, router->now_ms);
    }
}

// ----- the lookout

// fill fills in the connections' descriptors; -1: there is something to read; 0: not all
// have one.
static int
fill(router_t *router, zmq_pollitem_t *items)
{
    int count = 0;
    for (unsigned i = 0; i < router->link_count; i++) {
        link_t *link = &router->links[i];
        if (link->socket != NULL) {
            if (link->ear.fd < 0) {
                return 0;
            }
            if (ear_look(&link->ear)) {
                return -1;
            }
            items[count++] =
                (zmq_pollitem_t){NULL, link->ear.fd, ZMQ_POLLIN, 0};
        }
    }
    return count;
}

void
listen_begin(edri_port_t *port, zmq_pollitem_t *items, listen_wait_t *wait)
{
    helm_t *helm = &port->node->helm;
    listen_t *self = &port->node->listen;
    *wait = (listen_wait_t){.items = items, .stay.cpu = -1};
    if (!helm_take_soon(helm)) {
        return; // it counts as awake, so that the thread will listen
    }
    int count = helm->router != NULL && self->lookout.who == port
                    ? fill(helm->router, items)
                    : 0;
    bool begins = count > 0 && !self->on;
    if (begins) {
        self->on = true;
    }
    if (count > 0) {
        uint64_t turn = atomic_load(&port->turn);
        atomic_store(&port->turn, turn + turn % 2);
    }
    int cpu = count > 0 ? affinity_cpu(&self->affinity) : -1;
    bool quiet = helm_sleep(helm);
    if (begins || !quiet) {
        helm_wake(helm);
    }
    wait->count = count;
    affinity_stay(&wait->stay, cpu);
}

void
listen_end(edri_port_t *port, listen_wait_t *wait)
{
    helm_t *helm = &port->node->helm;
    listen_t *self = &port->node->listen;
    bool any = wait->count < 0;
    affinity_leave(&wait->stay);
    if (wait->count > 0) {
        uint64_t turn = atomic_fetch_add(&port->turn, 1) + 1;
        if (listen_is(self, port) && atomic_load(&self->set) == 0) {
            set_timer(self, turn);
        }
    }
    for (int i = 0; i < wait->count && !any; i++) {
        any = wait->items[i].revents != 0;
    }
    if (!any) {
        return;
    }
    if (!helm_take_soon(helm)) {
        return; // likewise
    }
    // It may have been dismissed while it waited: then it is not its turn any more.
    bool mine = helm->router != NULL && self->lookout.who == port;
    bool fine = true;
    if (mine) {
        counter_add(&port->node->counters, COUNTER_LISTENED, 1);
        fine = router_listen(helm->router, port) && self->lookout.who == port;
    }
    if (!helm_sleep(helm) || !fine) {
        helm_wake(helm);
    }
}
