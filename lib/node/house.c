// SPDX-License-Identifier: MIT
// house.c - the process of a manager that has one of its own.

#include "node/house.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

struct house {
    unsigned seats;
    backlog_t *owner;
    int *bells;           // one per seat, and one for the manager's thread
    pthread_mutex_t lock; // guards the rest
    pthread_cond_t changed;
    restarts_t restarts;
    hand_t hand;
    carrier_t **carriers; // of the life, not taken yet
    bool lives;           // a process runs, or has not been buried
    uint64_t lived;       // lives that have been buried
    char *condemned;      // why it has to end; NULL: it has not
    char *how;            // the last one ended
    bool *been;           // by seat: its thread was ready once
    unsigned unready;     // seats whose was not
    bool stops;
    atomic_bool closed;
    edri_err_t err; // that closed it
    char *why;
    atomic_bool drain; // asked for
    atomic_bool drained;
};

// ring makes a bell readable.
static void
ring(const house_t *self, unsigned bell)
{
    uint64_t one = 1;
    (void)!write(self->bells[bell], &one, sizeof one);
}

static void
hear(const house_t *self, unsigned bell)
{
    uint64_t count = 0;
    (void)!read(self->bells[bell], &count, sizeof count);
}

static void
ring_all(const house_t *self)
{
    for (unsigned i = 0; i <= self->seats; i++) {
        ring(self, i);
    }
}

house_t *
house_new(unsigned seats, restarts_t restarts)
{
    house_t *self = mem_new(sizeof *self);
    self->seats = seats;
    self->restarts = restarts;
    self->unready = seats;
    self->been = mem_new(seats * sizeof *self->been);
    self->hand.lifeline = -1;
    self->carriers = mem_new(seats * sizeof(carrier_t *));
    self->bells = mem_new((seats + 1) * sizeof *self->bells);
    for (unsigned i = 0; i <= seats; i++) {
        self->bells[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    (void)pthread_mutex_init(&self->lock, NULL);
    (void)pthread_cond_init(&self->changed, NULL);
    return self;
}

void
house_destroy(house_t **self_p)
{
    house_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    for (unsigned i = 0; i <= self->seats; i++) {
        (void)close(self->bells[i]);
    }
    (void)pthread_mutex_destroy(&self->lock);
    (void)pthread_cond_destroy(&self->changed);
    free(self->bells);
    free(self->been);
    free(self->carriers);
    free(self->condemned);
    free(self->how);
    free(self->why);
    free(self);
}

void
house_owner(house_t *self, backlog_t *jobs)
{
    self->owner = jobs;
}

// ----- seat 0

edri_err_t
house_start(house_t *self, const roster_t *roster, const char **why_p)
{
    hand_t hand;
    carrier_t **carriers = mem_new(self->seats * sizeof(carrier_t *));
    edri_err_t err = roster_hire(roster, &hand, carriers, self->seats, why_p);
    if (err != EDRI_OK) {
        free(carriers);
        return err;
    }
    pthread_mutex_lock(&self->lock);
    free(self->carriers);
    free(self->condemned);
    self->condemned = NULL;
    self->hand = hand;
    self->carriers = carriers;
    self->lives = true;
    pthread_mutex_unlock(&self->lock);
    ring_all(self);
    return EDRI_OK;
}

void
house_bury(house_t *self, int64_t grace_ms, const char **why_p)
{
    pthread_mutex_lock(&self->lock);
    for (unsigned i = 0; i < self->seats; i++) {
        carrier_destroy(&self->carriers[i]); // nobody has taken it
    }
    hand_t hand = self->hand; // nobody else ends it from here on
    bool lives = self->lives;
    char *condemned = self->condemned;
    self->condemned = NULL;
    self->hand = (hand_t){.lifeline = -1};
    pthread_mutex_unlock(&self->lock);
    char *how = lives ? roster_dismiss(&hand, condemned != NULL ? 0 : grace_ms)
                      : str_dup("was not started");
    if (condemned != NULL) {
        free(how);
        how = str_printf("was ended: %s", condemned);
        free(condemned);
    }
    pthread_mutex_lock(&self->lock);
    free(self->how);
    self->how = how;
    self->lives = false;
    self->lived++;
    (void)pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    *why_p = how;
}

bool
house_ended(house_t *self, int64_t now_ms, edri_err_t err, const char *why)
{
    pthread_mutex_lock(&self->lock);
    bool again = restarts_note(&self->restarts, now_ms) && self->unready == 0;
    if (!again && !self->stops) {
        self->err = err;
        free(self->why);
        self->why = str_dup(why);
        atomic_store(&self->closed, true);
    }
    pthread_mutex_unlock(&self->lock);
    if (!again) {
        ring_all(self);
    }
    return again;
}

bool
house_wants_drain(house_t *self)
{
    return atomic_load(&self->drain) && !atomic_load(&self->drained);
}

void
house_drained(house_t *self)
{
    atomic_store(&self->drained, true);
    ring(self, self->seats);
}

// ----- all proxies

house_visit_t
house_enter(house_t *self, unsigned seat)
{
    house_visit_t visit = {.end_fd = -1};
    pthread_mutex_lock(&self->lock);
    if (self->lives && self->condemned == NULL) {
        visit = (house_visit_t){.carrier = self->carriers[seat],
            .life = self->lived,
            .pid = (int)self->hand.process.pid,
            .end_fd = seat == 0 ? self->hand.process.fd : -1};
        self->carriers[seat] = NULL;
    }
    pthread_mutex_unlock(&self->lock);
    return visit;
}

void
house_ready(house_t *self, unsigned seat)
{
    pthread_mutex_lock(&self->lock);
    self->unready -= !self->been[seat];
    self->been[seat] = true;
    pthread_mutex_unlock(&self->lock);
    ring(self, self->seats);
}

bool
house_lives(house_t *self)
{
    pthread_mutex_lock(&self->lock);
    bool lives = self->lives && self->condemned == NULL;
    pthread_mutex_unlock(&self->lock);
    return lives;
}

// condemn is house_condemn under the lock.
static void
condemn(house_t *self, const char *why)
{
    if (self->condemned == NULL && self->hand.process.pid > 0) {
        self->condemned = str_dup(why);
        (void)kill(self->hand.process.pid, SIGKILL); // not reaped yet
    }
}

void
house_condemn(house_t *self, const char *why)
{
    pthread_mutex_lock(&self->lock);
    if (why != NULL) {
        condemn(self, why);
    }
    pthread_mutex_unlock(&self->lock);
    backlog_nudge(self->owner);
}

char *
house_mourn(house_t *self, uint64_t life, int64_t grace_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += grace_ms / 1000 + 1;
    pthread_mutex_lock(&self->lock);
    while (self->lived == life && !self->stops) {
        if (pthread_cond_clockwait(
                &self->changed, &self->lock, CLOCK_MONOTONIC, &until) != 0) {
            condemn(self, "it has closed a connection");
            until.tv_sec += 1;
        }
    }
    char *how = str_dup(self->how != NULL ? self->how : "has ended");
    pthread_mutex_unlock(&self->lock);
    return how;
}

bool
house_closed(const house_t *self)
{
    return atomic_load(&self->closed);
}

int
house_bell(const house_t *self, unsigned seat)
{
    return self->bells[seat];
}

void
house_heard(house_t *self, unsigned seat)
{
    hear(self, seat);
}

// ----- the manager's thread

edri_err_t
house_begun(house_t *self, const char **why_p)
{
    pthread_mutex_lock(&self->lock);
    edri_err_t err = self->unready == 0           ? EDRI_OK
                     : atomic_load(&self->closed) ? self->err
                                                  : EDRI_AGAIN;
    *why_p = self->why;
    pthread_mutex_unlock(&self->lock);
    return err;
}

void
house_drain(house_t *self)
{
    atomic_store(&self->drain, true);
    backlog_nudge(self->owner);
}

bool
house_has_drained(const house_t *self)
{
    return atomic_load(&self->drained);
}

int
house_fd(const house_t *self)
{
    return self->bells[self->seats];
}

void
house_seen(house_t *self)
{
    hear(self, self->seats);
}

const char *
house_why(house_t *self, edri_err_t *err_p)
{
    pthread_mutex_lock(&self->lock);
    const char *why = self->why; // stays once it is closed
    *err_p = self->err;
    pthread_mutex_unlock(&self->lock);
    return why != NULL ? why : "";
}

void
house_stop(house_t *self)
{
    pthread_mutex_lock(&self->lock);
    self->stops = true;
    (void)pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    ring_all(self);
}
