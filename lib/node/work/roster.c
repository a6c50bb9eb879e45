// SPDX-License-Identifier: MIT
// roster.c - what the processes of one pool share: how to start one, and which
// events have ended some.

#include "node/work/roster.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "node/work/workers.h"

// split_words splits a command at its blanks; one block, freed with free().
static char **
split_words(const char *command)
{
    size_t size = strlen(command) + 1;
    char **words = mem_new((size / 2 + 2) * sizeof *words + size);
    char *text = memcpy(words + size / 2 + 2, command, size);
    char *rest = NULL;
    size_t count = 0;
    for (char *word = strtok_r(text, " \t", &rest); word != NULL;
         word = strtok_r(NULL, " \t", &rest)) {
        words[count++] = word;
    }
    return words;
}

roster_t *
roster_new(const roster_plan_t *plan, edri_node_t *node,
    const atomic_bool *stop, int wake_fd)
{
    const settings_t *settings = node->settings;
    roster_t *self = mem_new(sizeof *self);
    self->plan = *plan;
    self->node = node;
    self->stop = stop;
    self->wake_fd = wake_fd;
    self->args =
        plan->program != NULL ? split_words(plan->program) : process_own_args();
    self->backoff =
        (backoff_t){.min_ms = settings_int(settings, "worker.backoff_min"),
            .max_ms = settings_int(settings, "worker.backoff_max")};
    self->start_ms = settings_int(settings, "worker.start");
    self->grace_ms = settings_int(settings, "worker.grace");
    self->kills_max = (uint32_t)settings_int(settings, "worker.kills");
    (void)pthread_mutex_init(&self->lock, NULL);
    return self;
}

void
roster_destroy(roster_t **self_p)
{
    roster_t *self = *self_p;
    *self_p = NULL;
    if (self != NULL) {
        (void)pthread_mutex_destroy(&self->lock);
        free(self->args);
        free(self->why);
        free(self);
    }
}

// ----- starting and ending

// pair_up makes 'count' socket pairs: our ends and theirs.
static bool
pair_up(int *ours, int *theirs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
            return false;
        }
        ours[i] = ends[0];
        theirs[i] = ends[1];
    }
    return true;
}

static void
close_all(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
}

// hire_ours starts this program again, with one end of each socket pair.
static edri_err_t
hire_ours(const roster_t *self, hand_t *hand, carrier_t **carriers,
    unsigned count, const char **why_p)
{
    int *ours = mem_new(2 * count * sizeof *ours);
    int *theirs = ours + count;
    memset(ours, -1, 2 * count * sizeof *ours);
    edri_err_t err = EDRI_OK;
    if (!pair_up(ours, theirs, count)) {
        *why_p = strerror(errno);
        err = EDRI_SYSTEM;
    }
    if (err == EDRI_OK) {
        char variable[64];
        (void)snprintf(variable, sizeof variable, "EDRI_WORKER=fd:%d-%u",
            PROCESS_FD, PROCESS_FD + count - 1);
        // The very program that runs here, also when its file is another by now.
        process_plan_t plan = {.path = atomic_load(&self->anew)
                                           ? self->node->program
                                           : "/proc/self/exe",
            .argv = self->args,
            .variable = variable,
            .inherits = theirs,
            .inherits_count = count,
            .input = -1};
        err = process_start(&hand->process, &plan, why_p);
    }
    close_all(theirs, count);
    for (unsigned i = 0; i < count && err == EDRI_OK; i++) {
        carriers[i] = carrier_stream(ours[i], self->node->limits.body_max);
    }
    close_all(ours, err == EDRI_OK ? 0 : count);
    free(ours);
    return err;
}

// meet makes a directory of our own and binds the carrier in it.
static bool
meet(const roster_t *self, hand_t *hand, carrier_t **carrier_p,
    char **endpoint_p)
{
    char directory[] = "/tmp/edri-XXXXXX";
    if (mkdtemp(directory) == NULL) {
        return false;
    }
    hand->directory = str_dup(directory);
    *endpoint_p = str_printf("ipc://%s/worker", directory);
    *carrier_p = carrier_pair(
        self->node->zmq, *endpoint_p, true, self->node->limits.body_max);
    return *carrier_p != NULL;
}

// hire_foreign starts another program.  It knows of our end by the end of its
// standard input.
static edri_err_t
hire_foreign(const roster_t *self, hand_t *hand, carrier_t **carrier_p,
    const char **why_p)
{
    char *endpoint = NULL;
    int ends[2] = {-1, -1};
    if (!meet(self, hand, carrier_p, &endpoint) ||
        pipe2(ends, O_CLOEXEC) != 0) {
        *why_p = strerror(errno);
        free(endpoint);
        return EDRI_SYSTEM;
    }
    char *variable = str_printf("EDRI_WORKER=%s", endpoint);
    process_plan_t plan = {.path = self->args[0],
        .argv = self->args,
        .variable = variable,
        .input = ends[0]};
    edri_err_t err = process_start(&hand->process, &plan, why_p);
    (void)close(ends[0]);
    hand->lifeline = ends[1];
    free(variable);
    free(endpoint);
    return err;
}

edri_err_t
roster_hire(const roster_t *self, hand_t *hand, carrier_t **carriers,
    unsigned count, const char **why_p)
{
    *hand = (hand_t){.lifeline = -1};
    memset(carriers, 0, count * sizeof *carriers);
    if (self->args == NULL || self->args[0] == NULL) {
        *why_p = "its command line is not known";
        return EDRI_SYSTEM;
    }
    edri_err_t err = self->plan.program != NULL
                         ? hire_foreign(self, hand, &carriers[0], why_p)
                         : hire_ours(self, hand, carriers, count, why_p);
    if (err != EDRI_OK) {
        carrier_destroy(&carriers[0]);
        free(roster_dismiss(hand, 0));
    }
    return err;
}

char *
roster_dismiss(hand_t *hand, int64_t grace_ms)
{
    if (hand->lifeline >= 0) {
        (void)close(hand->lifeline);
    }
    char *how =
        hand->process.pid > 0 ? process_reap(&hand->process, grace_ms) : NULL;
    if (hand->directory != NULL) {
        char *path = str_printf("%s/worker", hand->directory);
        (void)unlink(path);
        (void)rmdir(hand->directory);
        free(path);
        free(hand->directory);
    }
    *hand = (hand_t){.lifeline = -1};
    return how;
}

// ----- the program anew

void
roster_renew(roster_t *self, unsigned count)
{
    pthread_mutex_lock(&self->lock);
    self->renewing = count;
    self->renewed = EDRI_OK;
    free(self->why);
    self->why = NULL;
    self->was_anew = atomic_exchange(&self->anew, true);
    atomic_fetch_add(&self->renewal, 1);
    pthread_mutex_unlock(&self->lock);
}

edri_err_t
roster_renewed(roster_t *self, const char **why_p)
{
    pthread_mutex_lock(&self->lock);
    edri_err_t err = self->renewing > 0 ? EDRI_AGAIN : self->renewed;
    *why_p = self->why;
    pthread_mutex_unlock(&self->lock);
    return err;
}

void
roster_note_renewed(roster_t *self, edri_err_t err, const char *why)
{
    uint64_t one = 1;
    pthread_mutex_lock(&self->lock);
    if (err != EDRI_OK && self->renewed == EDRI_OK) {
        self->renewed = err;
        self->why = str_dup(why);
        atomic_store(&self->anew, self->was_anew); // what ran before runs on
    }
    self->renewing -= self->renewing > 0;
    bool last = self->renewing == 0;
    pthread_mutex_unlock(&self->lock);
    if (last && self->wake_fd >= 0) {
        (void)!write(self->wake_fd, &one, sizeof one);
    }
}

// ----- events that end processes

void
roster_blame(roster_t *self, uint64_t life, uint64_t id)
{
    pthread_mutex_lock(&self->lock);
    (void)kills_note(&self->kills, life, id);
    pthread_mutex_unlock(&self->lock);
}

bool
roster_barred(roster_t *self, uint64_t life, uint64_t id)
{
    pthread_mutex_lock(&self->lock);
    bool barred = kills_of(&self->kills, life, id) >= self->kills_max;
    pthread_mutex_unlock(&self->lock);
    return barred;
}
