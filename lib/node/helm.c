// SPDX-License-Identifier: MIT
// helm.c - who runs the router.

#include "node/helm.h"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "node/port.h"
#include "node/ports.h"

// How often one thread serves others' notes before the router's own takes over.
#define ROUNDS_MAX 16

void
helm_init(helm_t *self)
{
    pthread_mutex_init(&self->lock, NULL);
    atomic_init(&self->noted, NULL);
    self->router = NULL;
    self->wake_fd = -1;
    self->deaf = false;
}

void
helm_destroy(helm_t *self)
{
    pthread_mutex_destroy(&self->lock);
    if (self->wake_fd >= 0) {
        (void)close(self->wake_fd);
    }
}

void
helm_open(helm_t *self)
{
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->deaf = self->wake_fd < 0;
}

void
helm_give(helm_t *self, struct router *router)
{
    pthread_mutex_lock(&self->lock);
    self->router = router;
    pthread_mutex_unlock(&self->lock);
}

void
helm_take(helm_t *self)
{
    pthread_mutex_lock(&self->lock);
}

bool
helm_take_soon(helm_t *self)
{
    struct timespec until;
    if (pthread_mutex_trylock(&self->lock) == 0) {
        return true;
    }
    // Not pthread_mutex_clocklock: GCC 12's ThreadSanitizer does not know it.
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += HELM_SOON_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    return pthread_mutex_timedlock(&self->lock, &until) == 0;
}

void
helm_leave(helm_t *self)
{
    pthread_mutex_unlock(&self->lock);
}

bool
helm_sleep(helm_t *self)
{
    // First the lock, then the look: who leaves a note does the opposite.
    pthread_mutex_unlock(&self->lock);
    atomic_thread_fence(memory_order_seq_cst);
    return !helm_any_noted(self);
}

void
helm_woken(helm_t *self)
{
    uint64_t count = 0;
    (void)!read(self->wake_fd, &count, sizeof count);
}

bool
helm_wake(const helm_t *self)
{
    uint64_t one = 1;
    return self->wake_fd >= 0 &&
           write(self->wake_fd, &one, sizeof one) == (ssize_t)sizeof one;
}

// ----- notes

static void
push(helm_t *self, edri_port_t *port)
{
    edri_port_t *top = atomic_load(&self->noted);
    do {
        port->note.below = top;
    } while (!atomic_compare_exchange_weak(&self->noted, &top, port));
}

static void
leave_note(helm_t *self, edri_port_t *port)
{
    if (!atomic_exchange(&port->note.left, true)) {
        push(self, port);
    }
}

edri_port_t *
helm_noted(helm_t *self)
{
    // Only one thread takes, so that what was on top is still there, or is below.
    edri_port_t *top = atomic_load(&self->noted);
    while (top != NULL &&
           !atomic_compare_exchange_weak(&self->noted, &top, top->note.below)) {
    }
    if (top != NULL) {
        atomic_store(&top->note.left, false); // before its box is looked at
    }
    return top;
}

bool
helm_any_noted(const helm_t *self)
{
    return atomic_load(&self->noted) != NULL;
}

// take_note_back takes one port's note off the stack, wherever it lies.
static void
take_note_back(helm_t *self, const edri_port_t *port)
{
    edri_port_t *at = atomic_exchange(&self->noted, NULL);
    while (at != NULL) {
        edri_port_t *below = at->note.below;
        if (at != port) {
            push(self, at);
        }
        at = below;
    }
}

bool
helm_detach(helm_t *self, edri_port_t *port)
{
    if (self->wake_fd < 0) {
        return false;
    }
    // Whoever has the helm may be about to look at the port: after this nobody is.
    pthread_mutex_lock(&self->lock);
    take_note_back(self, port);
    listen_forget(&port->node->listen, port, clock_ms());
    if (self->router != NULL) {
        ports_detach(self->router, port);
    }
    pthread_mutex_unlock(&self->lock);
    (void)helm_wake(self); // for other notes, and what has changed
    return true;
}

bool
helm_serve(helm_t *self, edri_port_t *port)
{
    bool fine = true;
    if (self->deaf) {
        return false;
    }
    leave_note(self, port);
    for (int i = 0; fine && i < ROUNDS_MAX && helm_any_noted(self); i++) {
        if (pthread_mutex_trylock(&self->lock) != 0) {
            return true; // who has it will look
        }
        fine = self->router != NULL && router_serve(self->router);
        pthread_mutex_unlock(&self->lock);
        atomic_thread_fence(memory_order_seq_cst); // as in helm_sleep
    }
    return (fine && !helm_any_noted(self)) || helm_wake(self);
}
