// SPDX-License-Identifier: MIT
// house.c - the process of a manager that has one of its own.

#include "node/work/house.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

// life_t is one process.
typedef struct life {
    struct life *older; // that runs beside it: was renewed, and has not ended
    uint64_t number;
    hand_t hand;
    carrier_t **carriers; // of the seats, not taken yet
    unsigned inside;      // seats that have taken theirs, and not left
    bool ready;           // seat 0 is: the others may come
    char *condemned;      // why it has to end; NULL: it has not
    bool ends;            // a connection to it was found closed
    int64_t end_ms; // when it is killed, once nobody is inside; 0: not said
} life_t;

struct house {
    unsigned seats;
    backlog_t *owner;
    int wake_fd;          // the manager's
    int *bells;           // one per seat
    pthread_mutex_t lock; // guards the rest
    pthread_cond_t changed;
    restarts_t restarts;
    uint64_t numbers;         // of lives so far
    uint64_t ending;          // the one that is being buried; 0: none
    _Atomic(uint64_t) newest; // that is ready
    life_t *lives;            // the newest; NULL: none runs
    char *how;                // the last one ended
    bool *been;               // by seat: its thread was ready once
    unsigned unready;         // seats whose was not
    bool stops;
    atomic_bool closed;
    edri_err_t err; // that closed it
    char *why;
    atomic_bool drain; // asked for
    atomic_bool drained;
};

static void
ring(int fd)
{
    uint64_t one = 1;
    (void)!write(fd, &one, sizeof one);
}

static void
ring_all(const house_t *self)
{
    for (unsigned i = 0; i < self->seats; i++) {
        ring(self->bells[i]);
    }
    ring(self->wake_fd);
}

house_t *
house_new(unsigned seats, restarts_t restarts, int wake_fd)
{
    house_t *self = mem_new(sizeof *self);
    self->seats = seats;
    self->restarts = restarts;
    self->wake_fd = wake_fd;
    self->unready = seats;
    self->been = mem_new(seats * sizeof *self->been);
    self->bells = mem_new(seats * sizeof *self->bells);
    for (unsigned i = 0; i < seats; i++) {
        self->bells[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    (void)pthread_mutex_init(&self->lock, NULL);
    (void)pthread_cond_init(&self->changed, NULL);
    return self;
}

// end_life waits for the end of a process that is in no list any more, for at most
// grace_ms, and frees its life.  Returns how it ended.
static char *
end_life(house_t *self, life_t *life, int64_t grace_ms)
{
    for (unsigned i = 0; i < self->seats; i++) {
        carrier_destroy(&life->carriers[i]); // nobody has taken it
    }
    char *how =
        roster_dismiss(&life->hand, life->condemned != NULL ? 0 : grace_ms);
    if (life->condemned != NULL) {
        free(how);
        how = str_printf("was ended: %s", life->condemned);
    }
    free(life->carriers);
    free(life->condemned);
    free(life);
    return how;
}

void
house_destroy(house_t **self_p)
{
    house_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    while (self->lives != NULL) {
        life_t *life = self->lives;
        self->lives = life->older;
        free(end_life(self, life, 0));
    }
    for (unsigned i = 0; i < self->seats; i++) {
        (void)close(self->bells[i]);
    }
    (void)pthread_mutex_destroy(&self->lock);
    (void)pthread_cond_destroy(&self->changed);
    free(self->bells);
    free(self->been);
    free(self->how);
    free(self->why);
    free(self);
}

void
house_owner(house_t *self, backlog_t *jobs)
{
    self->owner = jobs;
}

// life_of finds a life that runs.
static life_t *
life_of(const house_t *self, uint64_t number)
{
    life_t *life = self->lives;
    while (life != NULL && life->number != number) {
        life = life->older;
    }
    return life;
}

// ----- seat 0

edri_err_t
house_start(house_t *self, const roster_t *roster, const char **why_p)
{
    life_t *life = mem_new(sizeof *life);
    life->carriers = mem_new(self->seats * sizeof(carrier_t *));
    edri_err_t err =
        roster_hire(roster, &life->hand, life->carriers, self->seats, why_p);
    if (err != EDRI_OK) {
        free(life->carriers);
        free(life);
        return err;
    }
    pthread_mutex_lock(&self->lock);
    life->number = ++self->numbers;
    life->older = self->lives;
    self->lives = life;
    pthread_mutex_unlock(&self->lock);
    return EDRI_OK;
}

// note_end notes how a life has ended; those who wait for that go on.
static void
note_end(house_t *self, uint64_t number, const char *how)
{
    pthread_mutex_lock(&self->lock);
    free(self->how);
    self->how = str_dup(how);
    self->ending = self->ending == number ? 0 : self->ending;
    (void)pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

char *
house_bury(house_t *self, int64_t grace_ms)
{
    pthread_mutex_lock(&self->lock);
    life_t *life = self->lives;
    uint64_t number = life != NULL ? life->number : 0;
    if (life != NULL) {
        self->lives = life->older;
        self->ending = number;
    }
    pthread_mutex_unlock(&self->lock);
    char *how = life != NULL ? end_life(self, life, grace_ms)
                             : str_dup("was not started");
    note_end(self, number, how);
    return how;
}

// is_over says whether a life that was renewed, and that nobody is in, has to end.
static bool
is_over(life_t *life, int64_t now_ms, int64_t grace_ms)
{
    if (process_ended(&life->hand.process)) {
        return true; // those inside find their connections closed
    }
    if (life->inside > 0) {
        return false;
    }
    life->end_ms = life->end_ms == 0 ? now_ms + grace_ms : life->end_ms;
    return now_ms >= life->end_ms;
}

void
house_clear(house_t *self, int64_t now_ms, int64_t grace_ms)
{
    life_t *over = NULL;
    pthread_mutex_lock(&self->lock);
    life_t **at = self->lives != NULL ? &self->lives->older : NULL;
    while (at != NULL && *at != NULL) {
        life_t *life = *at;
        if (is_over(life, now_ms, grace_ms)) {
            *at = life->older;
            life->older = over;
            over = life;
        } else {
            at = &life->older;
        }
    }
    pthread_mutex_unlock(&self->lock);
    while (over != NULL) {
        life_t *next = over->older;
        uint64_t number = over->number;
        char *how = end_life(self, over, 0);
        note_end(self, number, how);
        free(how);
        over = next;
    }
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
    ring(self->wake_fd);
}

// ----- all proxies

house_visit_t
house_enter(house_t *self, unsigned seat)
{
    house_visit_t visit = {.end_fd = -1};
    pthread_mutex_lock(&self->lock);
    life_t *life = self->lives;
    if (life != NULL && life->condemned == NULL && !life->ends &&
        (seat == 0 || life->ready)) {
        visit.carrier = life->carriers[seat];
        life->carriers[seat] = NULL;
    }
    if (visit.carrier != NULL) {
        visit.life = life->number;
        visit.pid = (int)life->hand.process.pid;
        visit.end_fd = seat == 0 ? life->hand.process.fd : -1;
        life->inside++;
    }
    pthread_mutex_unlock(&self->lock);
    return visit;
}

void
house_leave(house_t *self, uint64_t number)
{
    pthread_mutex_lock(&self->lock);
    life_t *life = life_of(self, number);
    if (life != NULL) {
        life->inside--;
    }
    bool last = life != NULL && life != self->lives && life->inside == 0;
    pthread_mutex_unlock(&self->lock);
    if (last) {
        backlog_nudge(self->owner); // to house_clear
    }
}

void
house_ready(house_t *self, unsigned seat)
{
    pthread_mutex_lock(&self->lock);
    self->unready -= !self->been[seat];
    self->been[seat] = true;
    if (seat == 0) {
        self->lives->ready = true;
        atomic_store(&self->newest, self->lives->number);
    }
    pthread_mutex_unlock(&self->lock);
    if (seat == 0) {
        ring_all(self);
    } else {
        ring(self->wake_fd);
    }
}

bool
house_lives(house_t *self, uint64_t number)
{
    pthread_mutex_lock(&self->lock);
    const life_t *life = life_of(self, number);
    bool lives = life != NULL && life->condemned == NULL && !life->ends;
    pthread_mutex_unlock(&self->lock);
    return lives;
}

bool
house_newer(house_t *self, uint64_t number)
{
    return atomic_load(&self->newest) > number;
}

// condemn is house_condemn under the lock.
static void
condemn(life_t *life, const char *why)
{
    if (life != NULL && life->condemned == NULL && life->hand.process.pid > 0) {
        life->condemned = str_dup(why);
        (void)kill(life->hand.process.pid, SIGKILL); // not reaped yet
    }
}

void
house_condemn(house_t *self, uint64_t number, const char *why)
{
    pthread_mutex_lock(&self->lock);
    life_t *life = life_of(self, number);
    if (why != NULL) {
        condemn(life, why);
    } else if (life != NULL) {
        life->ends = true;
    }
    pthread_mutex_unlock(&self->lock);
    backlog_nudge(self->owner);
}

char *
house_mourn(house_t *self, uint64_t number, int64_t grace_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += grace_ms / 1000 + 1;
    pthread_mutex_lock(&self->lock);
    while ((life_of(self, number) != NULL || self->ending == number) &&
           !self->stops) {
        if (pthread_cond_clockwait(
                &self->changed, &self->lock, CLOCK_MONOTONIC, &until) != 0) {
            condemn(life_of(self, number), "it has closed a connection");
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
    uint64_t count = 0;
    (void)!read(self->bells[seat], &count, sizeof count);
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

void
house_restart(house_t *self, const char *why)
{
    pthread_mutex_lock(&self->lock);
    for (life_t *life = self->lives; life != NULL; life = life->older) {
        condemn(life, why); // which of them stands still nobody knows
    }
    pthread_mutex_unlock(&self->lock);
    backlog_nudge(self->owner);
}

bool
house_has_drained(const house_t *self)
{
    return atomic_load(&self->drained);
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
