// SPDX-License-Identifier: MIT
// stress_tunnels.c - many tunnels at once, ended in every way, while the switch is
// killed.
//
// usage: stress_tunnels SWITCH-PROGRAM [KILLS]
//
// Two nodes stand in this process.  OPENERS threads of each open tunnels, here and
// there, to workers that send back what comes, waiting or by callbacks; either end
// may finish, close it with a reason, return, or end its port.  Each message must come
// once and in order; at the end no tunnel may be left.

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/node.h"
#include "tunnel.edri.h"

#include "hub.h"
#include "stress.h"

enum {
    NODES = 2,
    OPENERS = 3,
    ROUNDS = 60, // of each opener
    AT_ONCE = 5, // tunnels of a round
    KILLS = 3,
    LARGE = 200000
};

static edri_node_t *nodes[NODES];
static atomic_ulong messages;
static atomic_ulong opened;

// ----- the acceptors

// is_end says whether that is how a tunnel may end here.
static bool
is_end(edri_err_t err)
{
    return err == EDRI_END || err == EDRI_CLOSED || err == EDRI_CANCELLED ||
           err == EDRI_FAILED || err == EDRI_RESPONDER_DIED ||
           err == EDRI_INVAL;
}

static void
on_ready(edri_tunnel_t *tunnel, void *arg)
{
    edri_bytes_t bytes;
    edri_err_t err = EDRI_OK;
    (void)arg;
    while ((err = pipe_bytes_receive_up(tunnel, 0, &bytes)) == EDRI_OK) {
        err = pipe_bytes_send_down(tunnel, bytes.data, bytes.size, -1);
        edri_bytes_free(&bytes);
        if (err != EDRI_OK) {
            break;
        }
    }
    check(err == EDRI_AGAIN || is_end(err), edri_err_name(err));
    if (err == EDRI_END) {
        (void)edri_tunnel_finish(tunnel);
    }
}

static edri_err_t
on_bytes(edri_task_t *task, const Pipe__Bytes *args, edri_tunnel_t *tunnel)
{
    static const edri_tunnel_calls_t calls = {.ready = on_ready};
    edri_bytes_t bytes;
    edri_err_t err = EDRI_OK;
    uint64_t left = args->size;
    if (args->way == PIPE__WAY__REFUSE) {
        return edri_task_fail(task, EDRI_DENIED, "no");
    }
    if (args->way == PIPE__WAY__CALLBACKS) {
        return edri_tunnel_on(tunnel, &calls, NULL);
    }
    while ((err = pipe_bytes_receive_up(tunnel, -1, &bytes)) == EDRI_OK) {
        if (args->way == PIPE__WAY__CLOSE && left-- == 0) {
            edri_bytes_free(&bytes);
            return edri_task_fail(task, EDRI_FAILED, "enough");
        }
        err = pipe_bytes_send_down(tunnel, bytes.data, bytes.size, -1);
        edri_bytes_free(&bytes);
        if (err != EDRI_OK) {
            break;
        }
    }
    check(is_end(err), edri_err_name(err));
    return EDRI_OK;
}

// ----- the openers

typedef struct line {
    edri_tunnel_t *tunnel;
    uint32_t sent;
    uint32_t came;
    uint32_t wanted;
    bool closes; // the other end does, some time
    bool over;
} line_t;

typedef struct opener {
    unsigned number;
    unsigned seed;
    edri_port_t *port;
    pthread_t thread;
} opener_t;

static void
open_line(opener_t *self, line_t *line)
{
    static const Pipe__Way ways[] = {PIPE__WAY__ECHO, PIPE__WAY__CALLBACKS,
        PIPE__WAY__CLOSE, PIPE__WAY__ECHO};
    Pipe__Bytes args = PIPE__BYTES__INIT;
    args.way = ways[rand_r(&self->seed) % 4];
    args.size = (unsigned)rand_r(&self->seed) % 60;
    *line = (line_t){.wanted = (uint32_t)rand_r(&self->seed) % 120,
        .closes = args.way == PIPE__WAY__CLOSE};
    edri_err_t err = pipe_bytes_open(self->port, &args, 60000, &line->tunnel);
    check(err == EDRI_OK, edri_port_error(self->port));
    atomic_fetch_add(&opened, 1);
    if (rand_r(&self->seed) % 8 == 0) {
        edri_tunnel_t *none = NULL;
        args.way = PIPE__WAY__REFUSE;
        check(pipe_bytes_open(self->port, &args, 60000, &none) == EDRI_DENIED,
            "it was not refused");
    }
}

static void
send_some(opener_t *self, line_t *line)
{
    static uint8_t data[LARGE];
    uint8_t head[64] = {0};
    while (line->sent < line->wanted && !line->over) {
        bool large = line->sent % 50 == 49;
        size_t size = large ? LARGE : 4 + line->sent % 60;
        edri_err_t err = EDRI_OK;
        if (large) {
            uint8_t *copy = malloc(size);
            check(copy != NULL, "no memory");
            memcpy(copy, data, size);
            memcpy(copy, &line->sent, sizeof line->sent);
            err =
                edri_tunnel_send_owned(line->tunnel, copy, size, free, copy, 0);
        } else {
            memcpy(head, &line->sent, sizeof line->sent);
            err = pipe_bytes_send_up(line->tunnel, head, size, 0);
        }
        if (err == EDRI_AGAIN) {
            return;
        }
        line->over = err != EDRI_OK;
        check(err == EDRI_OK || (line->closes && is_end(err)),
            edri_port_error(self->port));
        line->sent += err == EDRI_OK;
    }
}

static void
receive_some(opener_t *self, line_t *line)
{
    edri_bytes_t bytes;
    edri_err_t err = EDRI_OK;
    while (
        (err = pipe_bytes_receive_down(line->tunnel, 0, &bytes)) == EDRI_OK) {
        uint32_t number = 0;
        memcpy(&number, bytes.data, sizeof number);
        check(number == line->came, "a message is out of order");
        check(bytes.size == (number % 50 == 49 ? LARGE : 4 + number % 60),
            "a message is not whole");
        line->came++;
        atomic_fetch_add(&messages, 1);
        edri_bytes_free(&bytes);
    }
    line->over = line->over || err != EDRI_AGAIN;
    check(err == EDRI_AGAIN || (line->closes && is_end(err)),
        edri_port_error(self->port));
}

// end_line ends one in one of the ways.
static void
end_line(opener_t *self, line_t *line)
{
    edri_bytes_t bytes;
    if (!line->over && rand_r(&self->seed) % 2 == 0) {
        edri_err_t err = edri_tunnel_finish(line->tunnel);
        while (err == EDRI_OK) {
            err = pipe_bytes_receive_down(line->tunnel, 60000, &bytes);
            edri_bytes_free(&bytes);
        }
        check(err == EDRI_END || (line->closes && is_end(err)),
            edri_port_error(self->port));
    }
    edri_tunnel_close(&line->tunnel,
        rand_r(&self->seed) % 2 == 0 ? EDRI_OK : EDRI_FAILED, "it was enough");
}

static void *
run_opener(void *arg)
{
    opener_t *self = arg;
    edri_node_t *node = nodes[self->number % NODES];
    self->port = edri_node_port(node);
    for (int round = 0; round < ROUNDS; round++) {
        line_t lines[AT_ONCE];
        int left = AT_ONCE;
        for (int i = 0; i < AT_ONCE; i++) {
            open_line(self, &lines[i]);
        }
        // Some rounds end in the middle.
        int turns = rand_r(&self->seed) % 4 == 0 ? rand_r(&self->seed) % 5 : -1;
        while (left > 0 && turns-- != 0) {
            left = 0;
            for (int i = 0; i < AT_ONCE; i++) {
                line_t *line = &lines[i];
                if (!line->over && line->came < line->wanted) {
                    send_some(self, line);
                    receive_some(self, line);
                    left += !line->over && line->came < line->wanted;
                }
            }
            if (left > 0) {
                check(edri_port_wait(self->port, NULL, 0, 20000) == EDRI_OK,
                    "nothing has come for 20 s");
            }
        }
        if (rand_r(&self->seed) % 6 == 0) {
            edri_port_destroy(&self->port); // and its tunnels with it
            self->port = edri_node_port(node);
            continue;
        }
        for (int i = 0; i < AT_ONCE; i++) {
            end_line(self, &lines[i]);
        }
    }
    edri_port_destroy(&self->port);
    return NULL;
}

int
main(int argc, char **argv)
{
    opener_t openers[NODES * OPENERS];
    char directory[] = "/tmp/edri-tunnels-XXXXXX";
    check(argc >= 2, "usage: stress_tunnels SWITCH-PROGRAM [KILLS]");
    int kills = argc > 2 ? atoi(argv[2]) : KILLS;
    check(mkdtemp(directory) != NULL, "mkdtemp");
    (void)snprintf(program, sizeof program, "%s", argv[1]);
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/hub", directory);
    start_switch();
    for (unsigned i = 0; i < NODES; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "site-%u", i);
        nodes[i] = edri_node_new(0, NULL);
        (void)edri_node_set(nodes[i], "node.name", name);
        (void)edri_node_set(nodes[i], "node.switch", endpoint);
        (void)edri_node_set(nodes[i], "node.start_timeout", "60s");
        (void)edri_node_set(nodes[i], "tunnel.window", "64K");
        (void)pipe_bytes_handle(edri_node_manager(nodes[i], "pipe"), on_bytes,
            EDRI_THREADS(NODES * OPENERS * AT_ONCE));
        check(edri_node_start(nodes[i]) == EDRI_OK, edri_node_error(nodes[i]));
    }
    for (unsigned i = 0; i < NODES * OPENERS; i++) {
        openers[i] = (opener_t){.number = i, .seed = i + 1};
        check(pthread_create(
                  &openers[i].thread, NULL, run_opener, &openers[i]) == 0,
            "thread");
    }
    for (int i = 0; i < kills; i++) {
        sleep_ms(400);
        end_switch(SIGKILL);
        start_switch();
    }
    for (unsigned i = 0; i < NODES * OPENERS; i++) {
        (void)pthread_join(openers[i].thread, NULL);
    }
    for (int i = 0; i < 20000 && (atomic_load(&nodes[0]->tunnels_open) > 0 ||
                                     atomic_load(&nodes[1]->tunnels_open) > 0);
         i++) {
        sleep_ms(1);
    }
    for (unsigned i = 0; i < NODES; i++) {
        check(atomic_load(&nodes[i]->tunnels_open) == 0, "a tunnel is left");
        edri_node_destroy(&nodes[i]);
    }
    end_switch(SIGTERM);
    printf("stress_tunnels: %lu tunnels, %lu messages back\n",
        atomic_load(&opened), atomic_load(&messages));
    char command[160];
    (void)snprintf(command, sizeof command, "rm -r '%s'", directory);
    check(system(command) == 0, command);
    return 0;
}
