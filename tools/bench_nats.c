// SPDX-License-Identifier: MIT
// bench_nats.c - core NATS beside us: Debian's nats-server, and a client of its own
// program (tests/bench/nats.c), so that this one needs no library of NATS.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

struct nats {
    pid_t server;
    int log_fd; // what it prints
    char url[64];
    pid_t client;
    int to_fd; // the client's stdin and stdout
    int from_fd;
};

// start_server waits until it listens, at a port that it picks itself.
static void
start_server(nats_t *self)
{
    static const char mark[] = "client connections on ";
    int pipes[2];
    char line[512];
    const char *found = NULL;
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        bench_fail("no pipe");
    }
    self->server = fork();
    if (self->server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(pipes[1], STDERR_FILENO);
        execlp("nats-server", "nats-server", "-a", "127.0.0.1", "-p", "-1",
            (char *)NULL);
        _exit(127);
    }
    (void)close(pipes[1]);
    self->log_fd = pipes[0];
    FILE *log = fdopen(dup(pipes[0]), "r");
    while (
        log != NULL && found == NULL && fgets(line, sizeof line, log) != NULL) {
        found = strstr(line, mark);
    }
    if (found == NULL) {
        bench_fail("nats-server did not start: install it (Debian: "
                   "nats-server), or leave '--against nats' out");
    }
    found += sizeof mark - 1;
    (void)snprintf(self->url, sizeof self->url, "nats://%.*s",
        (int)strcspn(found, "\r\n"), found);
    (void)fclose(log);
}

// start_client starts it with the arguments, which end with NULL.
static void
start_client(nats_t *self, char *const *arguments)
{
    int to[2];
    int from[2];
    char program[512];
    bench_beside_us(program, sizeof program, "edri-bench-nats");
    if (access(program, X_OK) != 0) {
        bench_fail("%s is not there: build with -DEDRI_TESTS=ON where libnats "
                   "is installed (Debian: libnats-dev)",
            program);
    }
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) {
        bench_fail("no pipe");
    }
    self->client = fork();
    if (self->client == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(to[0], STDIN_FILENO);
        (void)dup2(from[1], STDOUT_FILENO);
        execv(program, arguments);
        _exit(127);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    self->to_fd = to[1];
    self->from_fd = from[0];
}

static void
read_all(nats_t *self, void *data, size_t size)
{
    for (char *at = data; size > 0;) {
        ssize_t n = read(self->from_fd, at, size);
        if (n <= 0 && errno != EINTR) {
            bench_fail("edri-bench-nats has ended");
        }
        at += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
}

// end ends client and server.
static void
end(nats_t *self)
{
    (void)close(self->to_fd); // the client ends
    (void)close(self->from_fd);
    bench_join(self->client);
    (void)kill(self->server, SIGKILL);
    (void)waitpid(self->server, NULL, 0);
    (void)close(self->log_fd);
}

double
nats_events(size_t size, uint64_t count, unsigned subscribers)
{
    nats_t self = {0};
    char numbers[3][24];
    (void)snprintf(numbers[0], sizeof numbers[0], "%zu", size);
    (void)snprintf(
        numbers[1], sizeof numbers[1], "%llu", (unsigned long long)count);
    (void)snprintf(numbers[2], sizeof numbers[2], "%u", subscribers);
    start_server(&self);
    start_client(
        &self, (char *[]){(char[]){"edri-bench-nats"}, (char[]){"events"},
                   self.url, numbers[0], numbers[1], numbers[2], NULL});
    unsigned long long came = 0;
    double seconds = 0;
    FILE *out = fdopen(self.from_fd, "r");
    bool fine = out != NULL && fscanf(out, "%llu %lf", &came, &seconds) == 2;
    bench_join(self.client);
    if (!fine || seconds <= 0) {
        bench_fail("edri-bench-nats gave no result");
    }
    (void)fclose(out);
    (void)close(self.to_fd);
    (void)close(self.log_fd);
    (void)kill(self.server, SIGKILL);
    (void)waitpid(self.server, NULL, 0);
    return (double)came / seconds;
}

nats_t *
nats_begin(size_t size, unsigned outstanding)
{
    nats_t *self = calloc(1, sizeof *self);
    char numbers[2][24];
    (void)snprintf(numbers[0], sizeof numbers[0], "%zu", size);
    (void)snprintf(numbers[1], sizeof numbers[1], "%u", outstanding);
    start_server(self);
    start_client(
        self, (char *[]){(char[]){"edri-bench-nats"}, (char[]){"requests"},
                  self->url, numbers[0], numbers[1], NULL});
    return self;
}

double
nats_round_trips(nats_t *self, double *us, size_t count)
{
    uint64_t number = count;
    double seconds = 0;
    if (write(self->to_fd, &number, sizeof number) != (ssize_t)sizeof number) {
        bench_fail("edri-bench-nats has ended");
    }
    read_all(self, &seconds, sizeof seconds);
    read_all(self, us, count * sizeof *us);
    return seconds;
}

void
nats_end(nats_t **self_p)
{
    end(*self_p);
    free(*self_p);
    *self_p = NULL;
}

void
nats_paced(bool requests, paced_t *self)
{
    nats_t nats = {0};
    char numbers[4][32];
    const pace_t *pace = &self->pace;
    (void)snprintf(numbers[0], sizeof numbers[0], "%zu", self->size);
    (void)snprintf(numbers[1], sizeof numbers[1], "%.17g", pace->interval_ns);
    (void)snprintf(
        numbers[2], sizeof numbers[2], "%llu", (unsigned long long)pace->warm);
    (void)snprintf(
        numbers[3], sizeof numbers[3], "%llu", (unsigned long long)pace->count);
    start_server(&nats);
    start_client(&nats,
        (char *[]){(char[]){"edri-bench-nats"},
            requests ? (char[]){"paced-requests"} : (char[]){"paced-events"},
            nats.url, numbers[0], numbers[1], numbers[2], numbers[3], NULL});
    // Its own patience ends first.
    int64_t most_ms = load_span_ms(pace) + 2 * (int64_t)LOAD_PATIENCE_MS;
    if (!load_read(
            nats.from_fd, &self->offered, sizeof self->offered, most_ms) ||
        !load_read(
            nats.from_fd, &self->handled, sizeof self->handled, most_ms)) {
        bench_fail("edri-bench-nats gave no result");
    }
    end(&nats);
}
