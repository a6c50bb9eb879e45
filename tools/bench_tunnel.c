// SPDX-License-Identifier: MIT
// bench_tunnel.c - edri bench tunnel: node → switch → node, three processes.

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.edri.h"
#include "bench.h"

// ----- the acceptor

static edri_err_t
read_all(edri_tunnel_t *tunnel)
{
    edri_bytes_t bytes;
    edri_err_t err = EDRI_OK;
    uint64_t next = 0;
    while ((err = edri_tunnel_receive_bytes(tunnel, -1, &bytes)) == EDRI_OK) {
        uint64_t number = 0;
        memcpy(&number, bytes.data, sizeof number);
        bool right = number == next++;
        edri_bytes_free(&bytes);
        if (!right) {
            return EDRI_PROTO;
        }
    }
    return err == EDRI_END
               ? edri_tunnel_send_bytes(tunnel, &next, sizeof next, -1)
               : err;
}

static void
on_ready(edri_tunnel_t *tunnel, void *arg)
{
    edri_bytes_t bytes;
    edri_err_t err = EDRI_OK;
    (void)arg;
    while ((err = edri_tunnel_receive_bytes(tunnel, 0, &bytes)) == EDRI_OK) {
        err = edri_tunnel_send_bytes(tunnel, bytes.data, bytes.size, -1);
        edri_bytes_free(&bytes);
        if (err != EDRI_OK) {
            return;
        }
    }
    if (err == EDRI_END) {
        (void)edri_tunnel_finish(tunnel);
    }
}

static edri_err_t
on_stream(
    edri_task_t *task, const Edri__Bench__Stream *args, edri_tunnel_t *tunnel)
{
    static const edri_tunnel_calls_t echo = {.ready = on_ready};
    static const edri_tunnel_calls_t stand = {.ready = NULL};
    (void)task;
    switch (args->way) {
    case EDRI__BENCH__STREAM__WAY__READ:
        return read_all(tunnel);
    case EDRI__BENCH__STREAM__WAY__ECHO:
        return edri_tunnel_on(tunnel, &echo, NULL);
    case EDRI__BENCH__STREAM__WAY__STAND:
        return edri_tunnel_on(tunnel, &stand, NULL);
    case _EDRI__BENCH__STREAM__WAY_IS_INT_SIZE:
        break;
    }
    return EDRI_INVAL;
}

typedef struct acceptor {
    char endpoint[128];
    edri_workers_t workers;
    int ready_fd;
    pid_t hub;
    pid_t pid;
} acceptor_t;

static int
accept_all(void *arg)
{
    acceptor_t *self = arg;
    edri_node_t *node = edri_node_new(0, NULL);
    (void)edri_node_set(node, "node.name", "acceptor");
    (void)edri_node_set(node, "node.switch", self->endpoint);
    (void)edri_bench_stream_handle(
        edri_node_manager(node, "stream"), on_stream, self->workers);
    if (edri_node_start(node) != EDRI_OK ||
        write(self->ready_fd, "x", 1) != 1) {
        return 1;
    }
    (void)edri_node_wait(node);
    edri_node_destroy(&node);
    return 0;
}

// begin starts a switch and the acceptor.
static acceptor_t
begin(edri_workers_t workers)
{
    acceptor_t self = {.workers = workers};
    int ready[2];
    char byte = 0;
    self.hub = bench_switch(self.endpoint, sizeof self.endpoint);
    if (pipe(ready) != 0) {
        bench_fail("no pipe");
    }
    self.ready_fd = ready[1];
    self.pid = bench_fork(accept_all, &self);
    (void)close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) {
        bench_fail("the acceptor did not start");
    }
    (void)close(ready[0]);
    return self;
}

static void
end(acceptor_t *self)
{
    (void)kill(self->pid, SIGTERM);
    (void)waitpid(self->pid, NULL, 0);
    (void)kill(self->hub, SIGTERM);
    (void)waitpid(self->hub, NULL, 0);
}

// ----- throughput

static edri_tunnel_t *
open_stream(edri_port_t *port, Edri__Bench__Stream__Way way)
{
    Edri__Bench__Stream args = EDRI__BENCH__STREAM__INIT;
    edri_tunnel_t *tunnel = NULL;
    args.way = way;
    if (edri_bench_stream_open(port, &args, 0, &tunnel) != EDRI_OK) {
        bench_fail("%s", edri_port_error(port));
    }
    return tunnel;
}

// send_numbered sends one message of that size, by reference.
static void
send_numbered(
    edri_port_t *port, edri_tunnel_t *tunnel, size_t size, uint64_t number)
{
    uint8_t *data = malloc(size);
    if (data == NULL) {
        bench_fail("no memory");
    }
    memset(data, (int)number, size); // as the raw side does
    memcpy(data, &number, sizeof number);
    if (edri_tunnel_send_owned(tunnel, data, size, free, data, -1) != EDRI_OK) {
        bench_fail("%s", edri_port_error(port));
    }
}

// peak_kib is the most memory that a process of the run, this one or a child, had.
static long
peak_kib(void)
{
    struct rusage mine;
    struct rusage children;
    (void)getrusage(RUSAGE_SELF, &mine);
    (void)getrusage(RUSAGE_CHILDREN, &children);
    return mine.ru_maxrss > children.ru_maxrss ? mine.ru_maxrss
                                               : children.ru_maxrss;
}

void
bench_tunnel(size_t size, uint64_t count, result_t *result)
{
    size = size > sizeof(uint64_t) ? size : sizeof(uint64_t);
    result->size = size;
    result->count = count;
    acceptor_t acceptor = begin(EDRI_THREADS(1));
    edri_node_t *node = bench_node("opener", acceptor.endpoint);
    edri_port_t *port = edri_node_port(node);
    edri_tunnel_t *tunnel = open_stream(port, EDRI__BENCH__STREAM__WAY__READ);
    edri_bytes_t bytes;
    uint64_t came = 0;
    double start = bench_now();
    for (uint64_t i = 0; i < count; i++) {
        send_numbered(port, tunnel, size, i);
    }
    (void)edri_tunnel_finish(tunnel);
    if (edri_tunnel_receive_bytes(tunnel, 60000, &bytes) == EDRI_OK &&
        bytes.size == sizeof came) {
        memcpy(&came, bytes.data, sizeof came);
    }
    result->events_per_s = (double)count / (bench_now() - start);
    edri_bytes_free(&bytes);
    if (came != count) {
        bench_fail("%" PRIu64 " of %" PRIu64 " messages came: %s", came, count,
            edri_tunnel_text(tunnel));
    }
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
    end(&acceptor);
    result->peak_kib = peak_kib(); // before the raw side has any
    result->baseline_per_s = raw_switch(size, count);
}

// ----- many

typedef struct many {
    edri_tunnel_t **tunnels;
    uint64_t opened;
    uint64_t answered;
} many_t;

static void
on_answer(edri_tunnel_t *tunnel, void *arg)
{
    many_t *self = arg;
    edri_bytes_t bytes;
    while (edri_tunnel_receive_bytes(tunnel, 0, &bytes) == EDRI_OK) {
        self->answered++;
        edri_bytes_free(&bytes);
    }
}

static void
on_opened(edri_tunnel_t *tunnel, edri_err_t err, const char *text, void *arg)
{
    static const edri_tunnel_calls_t calls = {.ready = on_answer};
    many_t *self = arg;
    if (err != EDRI_OK) {
        bench_fail("%s: %s", edri_err_name(err), text);
    }
    (void)edri_tunnel_on(tunnel, &calls, self);
    self->tunnels[self->opened++] = tunnel;
}

// memory_of is what a process has for itself, in KiB.
static double
memory_of(pid_t pid)
{
    char path[64];
    char line[256];
    double total = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        double kib = 0;
        if (sscanf(line, "Private_Clean: %lf", &kib) == 1 ||
            sscanf(line, "Private_Dirty: %lf", &kib) == 1) {
            total += kib;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return total;
}

// poll_until lets callbacks run until a number is reached.
static void
poll_until(edri_port_t *port, const uint64_t *number, uint64_t wanted)
{
    while (*number < wanted) {
        if (edri_port_poll(port, 30000) != EDRI_OK) {
            bench_fail("%" PRIu64 " of %" PRIu64 " came", *number, wanted);
        }
    }
}

void
bench_tunnels(uint64_t count, bool json)
{
    acceptor_t acceptor = begin(EDRI_METHOD);
    edri_node_t *node = bench_node("opener", acceptor.endpoint);
    edri_port_t *port = edri_node_port(node);
    Edri__Bench__Stream args = EDRI__BENCH__STREAM__INIT;
    many_t many = {.tunnels = calloc(count, sizeof(edri_tunnel_t *))};
    args.way = EDRI__BENCH__STREAM__WAY__ECHO;
    double here = memory_of(getpid());
    double there = memory_of(acceptor.pid);
    double start = bench_now();
    for (uint64_t i = 0; i < count; i++) {
        if (edri_bench_stream_open_async(port, &args, 0, on_opened, &many) !=
            EDRI_OK) {
            bench_fail("%s", edri_port_error(port));
        }
        poll_until(port, &many.opened, i > 500 ? i - 500 : 0);
    }
    poll_until(port, &many.opened, count);
    double opened_s = bench_now() - start;
    here = (memory_of(getpid()) - here) * 1024 / (double)count;
    there = (memory_of(acceptor.pid) - there) * 1024 / (double)count;
    start = bench_now();
    for (uint64_t i = 0; i < count; i++) {
        if (edri_tunnel_send_bytes(many.tunnels[i], &i, sizeof i, -1) !=
            EDRI_OK) {
            bench_fail("%s", edri_port_error(port));
        }
    }
    poll_until(port, &many.answered, count);
    double answered_s = bench_now() - start;
    printf(json
               ? "{\"scenario\":\"tunnels\",\"count\":%" PRIu64
                 ",\"opened_s\":%.2f,\"answered_s\":%.2f,\"opener_bytes\":%.0f,"
                 "\"acceptor_bytes\":%.0f}\n"
               : "tunnels: %" PRIu64 " open at once after %.2f s, all have "
                 "answered after %.2f s more; a tunnel takes %.0f bytes at its "
                 "opener, %.0f at its acceptor\n",
        count, opened_s, answered_s, here, there);
    for (uint64_t i = 0; i < count; i++) {
        edri_tunnel_close(&many.tunnels[i], EDRI_OK, NULL);
    }
    free(many.tunnels);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
    end(&acceptor);
}

// ----- beside one whose reader stands

// rate_for sends for so long and returns messages a second.
static double
rate_for(edri_port_t *port, edri_tunnel_t *tunnel, size_t size, double seconds,
    uint64_t *number)
{
    double start = bench_now();
    uint64_t before = *number;
    while (bench_now() - start < seconds) {
        send_numbered(port, tunnel, size, (*number)++);
    }
    return (double)(*number - before) / (bench_now() - start);
}

void
bench_beside(size_t size, uint64_t seconds, result_t *result)
{
    size = size > sizeof(uint64_t) ? size : sizeof(uint64_t);
    acceptor_t acceptor = begin(EDRI_THREADS(2));
    edri_node_t *node = bench_node("opener", acceptor.endpoint);
    edri_port_t *port = edri_node_port(node);
    edri_tunnel_t *fast = open_stream(port, EDRI__BENCH__STREAM__WAY__READ);
    uint64_t number = 0;
    double half = (double)seconds / 2;
    (void)rate_for(port, fast, size, 0.5, &number); // warm
    double alone = rate_for(port, fast, size, half, &number);
    edri_tunnel_t *stopped = open_stream(port, EDRI__BENCH__STREAM__WAY__STAND);
    uint8_t *data = calloc(1, size);
    while (edri_tunnel_send_bytes(stopped, data, size, 100) == EDRI_OK) {
    }
    result->events_per_s = rate_for(port, fast, size, (double)seconds, &number);
    edri_tunnel_close(&stopped, EDRI_OK, NULL);
    alone += rate_for(port, fast, size, half, &number);
    free(data);
    result->baseline_per_s = alone / 2;
    result->against = "alone";
    result->size = size;
    result->count = number;
    edri_tunnel_close(&fast, EDRI_OK, NULL);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
    end(&acceptor);
}
