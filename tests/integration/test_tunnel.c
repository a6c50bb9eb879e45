// SPDX-License-Identifier: MIT
// test_tunnel.c - tunnels, within a node and between two.

#include <poll.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "node/node.h"
#include "support/network.h"
#include "tunnel.edri.h"

TestSuite(tunnel, .timeout = 60);

#define UNTIL(condition)                              \
    do {                                              \
        int64_t end_ms = clock_ms() + 20000;          \
        while (!(condition) && clock_ms() < end_ms) { \
            (void)poll(NULL, 0, 1);                   \
        }                                             \
        cr_assert(condition);                         \
    } while (0)

static atomic_bool go;        // STAND may read
static atomic_int standing;   // so many wait for that
static atomic_int returned;   // handlers
static atomic_int last_err;   // of what a handler met
static atomic_int closed;     // callbacks
static atomic_uint closed_as; // of the newest

// ----- handlers

static edri_err_t
echo(edri_tunnel_t *tunnel)
{
    edri_bytes_t bytes;
    edri_err_t err = EDRI_OK;
    while (err == EDRI_OK) {
        err = pipe_bytes_receive_up(tunnel, -1, &bytes);
        if (err == EDRI_OK) {
            err = pipe_bytes_send_down(tunnel, bytes.data, bytes.size, -1);
        }
        edri_bytes_free(&bytes);
    }
    return err == EDRI_END ? EDRI_OK : err;
}

static edri_err_t
count(edri_tunnel_t *tunnel)
{
    edri_bytes_t bytes;
    uint64_t total = 0;
    while (pipe_bytes_receive_up(tunnel, -1, &bytes) == EDRI_OK) {
        total += bytes.size;
        edri_bytes_free(&bytes);
    }
    return pipe_bytes_send_down(tunnel, &total, sizeof total, -1);
}

static edri_err_t
send_all(edri_tunnel_t *tunnel, uint64_t size, size_t part)
{
    uint8_t *data = mem_new(part);
    edri_err_t err = EDRI_OK;
    for (uint64_t at = 0; at < size && err == EDRI_OK; at += part) {
        memset(data, (int)(at / part), part);
        err = pipe_bytes_send_down(tunnel, data, part, -1);
    }
    free(data);
    return err;
}

static void
on_ready(edri_tunnel_t *tunnel, void *arg)
{
    edri_bytes_t bytes;
    edri_err_t err = EDRI_OK;
    (void)arg;
    while ((err = pipe_bytes_receive_up(tunnel, 0, &bytes)) == EDRI_OK) {
        cr_assert_eq(
            pipe_bytes_send_down(tunnel, bytes.data, bytes.size, -1), EDRI_OK);
        edri_bytes_free(&bytes);
    }
    if (err == EDRI_END) {
        (void)edri_tunnel_finish(tunnel);
    }
}

static void
on_closed(edri_tunnel_t *tunnel, edri_err_t reason, const char *text, void *arg)
{
    (void)tunnel;
    (void)text;
    (void)arg;
    closed_as = reason;
    closed++;
}

static edri_err_t
on_bytes(edri_task_t *task, const Pipe__Bytes *args, edri_tunnel_t *tunnel)
{
    static const edri_tunnel_calls_t calls = {
        .ready = on_ready, .closed = on_closed};
    edri_bytes_t bytes = {0};
    edri_err_t err = EDRI_OK;
    switch (args->way) {
    case PIPE__WAY__ECHO:
        err = echo(tunnel);
        break;
    case PIPE__WAY__CALLBACKS:
        err = edri_tunnel_on(tunnel, &calls, NULL);
        on_ready(tunnel, NULL);
        break;
    case PIPE__WAY__REFUSE:
        return edri_task_fail(task, EDRI_DENIED, "not for %s", "you");
    case PIPE__WAY__CLOSE:
        err = pipe_bytes_receive_up(tunnel, -1, &bytes);
        edri_bytes_free(&bytes);
        return edri_task_fail(task, EDRI_INVAL, "no good");
    case PIPE__WAY__DROP:
        err = count(tunnel);
        break;
    case PIPE__WAY__STAND:
        cr_assert_eq(pipe_bytes_send_down(tunnel, "!", 1, -1), EDRI_OK);
        standing++;
        UNTIL(go);
        err = count(tunnel);
        break;
    case PIPE__WAY__SEND:
        err = send_all(tunnel, args->size, args->part);
        break;
    case PIPE__WAY__DIE:
    case PIPE__WAY__QUIT:
    case _PIPE__WAY_IS_INT_SIZE:
        break;
    }
    last_err = (int)err;
    returned++;
    return err;
}

static edri_err_t
on_talk(edri_task_t *task, const Pipe__Talk *args, edri_tunnel_t *tunnel)
{
    Pipe__Say *said = NULL;
    edri_err_t err = EDRI_OK;
    uint32_t number = 0;
    (void)task;
    while ((err = pipe_talk_receive_up(tunnel, -1, &said)) == EDRI_OK) {
        Pipe__Heard heard = PIPE__HEARD__INIT;
        char *text = str_printf("%s: %s", args->room, said->text);
        heard.text = text;
        heard.count = ++number;
        err = pipe_talk_send_down(tunnel, &heard, -1);
        free(text);
        pipe_talk_up_free(&said);
        if (err != EDRI_OK) {
            break;
        }
    }
    return err == EDRI_END ? EDRI_OK : err;
}

// ----- places

typedef struct place {
    hub_t hub;
    edri_node_t *here;  // opens
    edri_node_t *there; // accepts; may be the same
    edri_port_t *port;
} place_t;

static void
accept_here(edri_node_t *node, edri_workers_t workers)
{
    edri_manager_t *manager = edri_node_manager(node, "pipe");
    cr_assert_eq(pipe_bytes_handle(manager, on_bytes, workers), EDRI_OK, "%s",
        edri_node_error(node));
    cr_assert_eq(pipe_talk_handle(manager, on_talk, workers), EDRI_OK);
}

static place_t
open_local(edri_workers_t workers)
{
    place_t self = {.here = edri_node_new(0, NULL)};
    self.there = self.here;
    accept_here(self.here, workers);
    start(self.here);
    self.port = edri_node_port(self.here);
    return self;
}

static place_t
open_two(edri_workers_t workers)
{
    place_t self = {.hub = start_switch()};
    self.there = new_node(&self.hub, "there");
    self.here = new_node(&self.hub, "here");
    accept_here(self.there, workers);
    start(self.there);
    start(self.here);
    self.port = edri_node_port(self.here);
    return self;
}

static void
close_place(place_t *self)
{
    edri_port_destroy(&self->port);
    UNTIL(self->there == NULL || atomic_load(&self->there->tunnels_open) == 0);
    cr_expect_eq(atomic_load(&self->here->tunnels_open), 0);
    if (self->there != self->here) {
        edri_node_destroy(&self->there);
    }
    edri_node_destroy(&self->here);
    if (self->hub.pid != 0) {
        stop_switch(&self->hub);
    }
}

static edri_tunnel_t *
open_bytes(const place_t *self, Pipe__Way way)
{
    Pipe__Bytes args = PIPE__BYTES__INIT;
    edri_tunnel_t *tunnel = NULL;
    args.way = way;
    cr_assert_eq(pipe_bytes_open(self->port, &args, 0, &tunnel), EDRI_OK, "%s",
        edri_port_error(self->port));
    return tunnel;
}

// expect_bytes receives what must be the next.
static void
expect_bytes(edri_tunnel_t *tunnel, const void *data, size_t size)
{
    edri_bytes_t bytes;
    cr_assert_eq(pipe_bytes_receive_down(tunnel, 10000, &bytes), EDRI_OK);
    cr_assert_eq(bytes.size, size);
    cr_assert_eq(memcmp(bytes.data, data, size), 0);
    edri_bytes_free(&bytes);
}

static void
echo_some(place_t *place, Pipe__Way way)
{
    edri_tunnel_t *tunnel = open_bytes(place, way);
    edri_bytes_t bytes;
    static const size_t sizes[] = {
        0, 1, 100, 24576, 24577, 70000, 200000, 3000000};
    size_t count = sizeof sizes / sizeof sizes[0];
    uint8_t *data = mem_new(3000000);
    for (size_t i = 0; i < 3000000; i++) {
        data[i] = (uint8_t)(i * 31 + i / 251);
    }
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(pipe_bytes_send_up(tunnel, data, sizes[i], 10000), EDRI_OK,
            "%s", edri_port_error(place->port));
        expect_bytes(tunnel, data, sizes[i]);
    }
    for (uint32_t i = 0; i < 2000; i++) { // many under way
        cr_assert_eq(pipe_bytes_send_up(tunnel, &i, sizeof i, 10000), EDRI_OK);
    }
    for (uint32_t i = 0; i < 2000; i++) {
        expect_bytes(tunnel, &i, sizeof i);
    }
    cr_assert_eq(pipe_bytes_receive_down(tunnel, 0, &bytes), EDRI_AGAIN);
    cr_assert_eq(edri_tunnel_finish(tunnel), EDRI_OK);
    cr_assert_eq(pipe_bytes_receive_down(tunnel, 10000, &bytes), EDRI_END);
    cr_assert_eq(pipe_bytes_send_up(tunnel, data, 1, 0), EDRI_STATE);
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    free(data);
}

Test(tunnel, echo_from_a_thread) // within a node
{
    place_t place = open_local(EDRI_THREADS(2));
    echo_some(&place, PIPE__WAY__ECHO);
    close_place(&place);
}

Test(tunnel, echo_from_a_method_by_callbacks)
{
    place_t place = open_local(EDRI_METHOD);
    echo_some(&place, PIPE__WAY__CALLBACKS);
    UNTIL(closed == 1);
    close_place(&place);
}

Test(tunnel, echo_between_nodes)
{
    place_t place = open_two(EDRI_THREADS(2));
    echo_some(&place, PIPE__WAY__ECHO);
    echo_some(&place, PIPE__WAY__CALLBACKS);
    close_place(&place);
}

Test(tunnel, echo_between_nodes_by_a_method)
{
    place_t place = open_two(EDRI_METHOD);
    echo_some(&place, PIPE__WAY__CALLBACKS);
    close_place(&place);
}

Test(tunnel, messages_are_typed)
{
    place_t place = open_two(EDRI_THREADS(1));
    Pipe__Talk args = PIPE__TALK__INIT;
    Pipe__Say say = PIPE__SAY__INIT;
    Pipe__Heard *heard = NULL;
    edri_tunnel_t *tunnel = NULL;
    args.room = (char[]){"hall"};
    say.text = (char[]){"hello"};
    cr_assert_eq(pipe_talk_open(place.port, &args, 0, &tunnel), EDRI_OK, "%s",
        edri_port_error(place.port));
    for (uint32_t i = 1; i < 100; i++) {
        cr_assert_eq(pipe_talk_send_up(tunnel, &say, -1), EDRI_OK);
        cr_assert_eq(pipe_talk_receive_down(tunnel, 10000, &heard), EDRI_OK);
        cr_assert_str_eq(heard->text, "hall: hello");
        cr_assert_eq(heard->count, i);
        pipe_talk_down_free(&heard);
    }
    // The other direction's message, and bytes, are refused.
    Pipe__Heard wrong = PIPE__HEARD__INIT;
    cr_assert_eq(pipe_talk_send_down(tunnel, &wrong, 0), EDRI_INVAL);
    cr_assert_eq(edri_tunnel_send_bytes(tunnel, "x", 1, 0), EDRI_INVAL);
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    close_place(&place);
}

static void
refusals(place_t *place)
{
    Pipe__Bytes args = PIPE__BYTES__INIT;
    edri_tunnel_t *tunnel = NULL;
    edri_bytes_t bytes;
    args.way = PIPE__WAY__REFUSE;
    cr_assert_eq(pipe_bytes_open(place->port, &args, 0, &tunnel), EDRI_DENIED);
    cr_assert_null(tunnel);
    cr_assert_not_null(strstr(edri_port_error(place->port), "not for you"),
        "%s", edri_port_error(place->port));
    // A reason of the acceptor comes behind what it has sent.
    tunnel = open_bytes(place, PIPE__WAY__CLOSE);
    cr_assert_eq(pipe_bytes_send_up(tunnel, "x", 1, 10000), EDRI_OK);
    cr_assert_eq(pipe_bytes_receive_down(tunnel, 10000, &bytes), EDRI_INVAL);
    cr_assert_str_eq(edri_tunnel_text(tunnel), "no good");
    cr_assert_eq(pipe_bytes_send_up(tunnel, "x", 1, 0), EDRI_INVAL);
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    // One that returns at once has finished.
    tunnel = open_bytes(place, PIPE__WAY__QUIT);
    cr_assert_eq(pipe_bytes_receive_down(tunnel, 10000, &bytes), EDRI_END);
    // While it has room, a send does not look.
    UNTIL(edri_port_poll(place->port, 0) == EDRI_AGAIN &&
          pipe_bytes_send_up(tunnel, "x", 1, 0) == EDRI_CLOSED);
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    // A reason of the opener.
    returned = 0;
    tunnel = open_bytes(place, PIPE__WAY__ECHO);
    edri_tunnel_close(&tunnel, EDRI_CANCELLED, "enough");
    UNTIL(returned == 1);
    cr_assert_eq((int)last_err, EDRI_CANCELLED);
}

Test(tunnel, either_end_gives_a_reason)
{
    place_t place = open_local(EDRI_THREADS(2));
    refusals(&place);
    close_place(&place);
}

Test(tunnel, either_end_gives_a_reason_between_nodes)
{
    place_t place = open_two(EDRI_THREADS(2));
    refusals(&place);
    close_place(&place);
}

static void
slow_reader(place_t *place)
{
    edri_tunnel_t *slow = open_bytes(place, PIPE__WAY__STAND);
    edri_tunnel_t *fast = open_bytes(place, PIPE__WAY__DROP);
    static uint8_t data[32768];
    uint64_t sent = 0;
    expect_bytes(slow, "!", 1);
    while (pipe_bytes_send_up(slow, data, sizeof data, 100) == EDRI_OK) {
        sent += sizeof data;
        cr_assert_leq(sent, 2 * place->here->limits.tunnel_window);
    }
    cr_expect_geq(sent, place->here->limits.tunnel_window / 2);
    // Nobody else waits.
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(
            pipe_bytes_send_up(fast, data, sizeof data, 10000), EDRI_OK);
    }
    cr_assert_eq(edri_tunnel_finish(fast), EDRI_OK);
    expect_bytes(fast, &(uint64_t){200 * sizeof data}, 8);
    go = true;
    cr_assert_eq(pipe_bytes_send_up(slow, data, 1, 10000), EDRI_OK);
    cr_assert_eq(edri_tunnel_finish(slow), EDRI_OK);
    expect_bytes(slow, &(uint64_t){sent + 1}, 8);
    edri_tunnel_close(&slow, EDRI_OK, NULL);
    edri_tunnel_close(&fast, EDRI_OK, NULL);
}

Test(tunnel, a_slow_reader_stops_its_writer_alone)
{
    place_t place = open_local(EDRI_THREADS(3));
    slow_reader(&place);
    close_place(&place);
}

Test(tunnel, a_slow_reader_stops_its_writer_alone_between_nodes)
{
    place_t place = open_two(EDRI_THREADS(3));
    slow_reader(&place);
    close_place(&place);
}

Test(tunnel, the_end_of_a_node_closes_it)
{
    place_t place = open_two(EDRI_THREADS(2));
    edri_tunnel_t *tunnel = open_bytes(&place, PIPE__WAY__ECHO);
    edri_bytes_t bytes;
    cr_assert_eq(edri_node_stop(place.there, 0), EDRI_OK);
    edri_err_t err = pipe_bytes_receive_down(tunnel, 10000, &bytes);
    // Its handler may have said so itself.
    cr_expect(err == EDRI_RESPONDER_DIED || err == EDRI_CLOSED, "%s",
        edri_err_name(err));
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    edri_node_destroy(&place.there);
    close_place(&place);
}

Test(tunnel, the_end_of_the_opener_closes_it)
{
    place_t place = open_two(EDRI_THREADS(2));
    (void)open_bytes(&place, PIPE__WAY__ECHO);
    edri_port_destroy(&place.port); // the tunnel with it
    UNTIL(returned == 1);
    cr_expect_eq((int)last_err, EDRI_RESPONDER_DIED);
    place.port = edri_node_port(place.here);
    close_place(&place);
}

Test(tunnel, nobody_accepts)
{
    hub_t hub = start_switch();
    edri_node_t *node = new_node(&hub, "alone");
    Pipe__Bytes args = PIPE__BYTES__INIT;
    edri_tunnel_t *tunnel = NULL;
    start(node);
    edri_port_t *port = edri_node_port(node);
    cr_expect_eq(pipe_bytes_open(port, &args, 0, &tunnel), EDRI_NO_RESPONDER);
    // A request is no way to open one.
    cr_expect_eq(
        edri_request(port, &pipe_bytes_type, &args.base, 0, NULL), EDRI_INVAL);
    cr_expect_eq(
        edri_emit(port, &pipe_bytes_type, &args.base, NULL), EDRI_INVAL);
    edri_port_destroy(&port);
    edri_node_destroy(&node);
    stop_switch(&hub);
}

// ----- limits

// start_with starts a node with the settings of a file.
static edri_node_t *
start_with(const char *text, edri_workers_t workers)
{
    char path[] = "/tmp/edri-tunnel-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    edri_node_t *node = edri_node_new(
        3, (char *[]){(char[]){"test"}, (char[]){"--config"}, path});
    accept_here(node, workers);
    start(node);
    unlink(path);
    return node;
}

Test(tunnel, there_are_so_many_at_most)
{
    place_t place = {.here = start_with("tunnel\n    limit = 4\nmanagers\n    "
                                        "pipe\n        tunnels = 1\n",
                         EDRI_THREADS(3))};
    Pipe__Bytes args = PIPE__BYTES__INIT;
    edri_tunnel_t *tunnel = NULL;
    place.there = place.here;
    place.port = edri_node_port(place.here);
    edri_tunnel_t *first = open_bytes(&place, PIPE__WAY__ECHO);
    cr_assert_eq(pipe_bytes_open(place.port, &args, 0, &tunnel),
        EDRI_OVERLOADED, "one more");
    cr_expect_not_null(
        strstr(edri_port_error(place.port), "manager pipe has 1 tunnels open"),
        "%s", edri_port_error(place.port));
    cr_assert_eq(pipe_bytes_send_up(first, "x", 1, 10000), EDRI_OK);
    expect_bytes(first, "x", 1); // it goes on
    edri_tunnel_close(&first, EDRI_OK, NULL);
    UNTIL(atomic_load(&place.here->tunnels_open) == 0);
    // Then there is room again.
    cr_assert_eq(pipe_bytes_open(place.port, &args, 0, &tunnel), EDRI_OK, "%s",
        edri_port_error(place.port));
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    close_place(&place);
}

Test(tunnel, the_node_has_so_many_at_most)
{
    place_t place = {
        .here = start_with("tunnel\n    limit = 4\n", EDRI_THREADS(3))};
    Pipe__Bytes args = PIPE__BYTES__INIT;
    edri_tunnel_t *tunnels[3] = {NULL};
    place.there = place.here;
    place.port = edri_node_port(place.here);
    tunnels[0] = open_bytes(&place, PIPE__WAY__ECHO);
    tunnels[1] = open_bytes(&place, PIPE__WAY__ECHO); // two ends each
    cr_expect_eq(
        pipe_bytes_open(place.port, &args, 0, &tunnels[2]), EDRI_OVERLOADED);
    cr_expect_not_null(
        strstr(edri_port_error(place.port), "as many as tunnel.limit allows"));
    edri_tunnel_close(&tunnels[0], EDRI_OK, NULL);
    edri_tunnel_close(&tunnels[1], EDRI_OK, NULL);
    close_place(&place);
}

Test(tunnel, what_goes_through_one_has_a_limit)
{
    place_t place = {
        .here = start_with("tunnel\n    bytes = 100K\n", EDRI_THREADS(1))};
    static uint8_t data[10000];
    edri_err_t err = EDRI_OK;
    place.there = place.here;
    place.port = edri_node_port(place.here);
    edri_tunnel_t *tunnel = open_bytes(&place, PIPE__WAY__DROP);
    int sent = 0;
    while (err == EDRI_OK && sent < 1000) {
        err = pipe_bytes_send_up(tunnel, data, sizeof data, 10000);
        sent += err == EDRI_OK;
        (void)edri_port_poll(place.port, 1);
    }
    cr_expect_eq(err, EDRI_TOO_BIG);
    cr_expect(sent >= 10 && sent < 100, "%d", sent);
    cr_expect_not_null(strstr(edri_tunnel_text(tunnel), "tunnel.bytes"));
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    close_place(&place);
}

Test(tunnel, one_without_a_word_is_closed)
{
    place_t place = {
        .here = start_with("tunnel\n    idle = 100ms\n", EDRI_THREADS(1))};
    edri_bytes_t bytes;
    place.there = place.here;
    place.port = edri_node_port(place.here);
    edri_tunnel_t *tunnel = open_bytes(&place, PIPE__WAY__ECHO);
    cr_expect_eq(pipe_bytes_receive_down(tunnel, 20000, &bytes), EDRI_DEADLINE);
    cr_expect_not_null(strstr(edri_tunnel_text(tunnel), "tunnel.idle"));
    UNTIL(returned == 1);
    cr_expect_eq((int)last_err, EDRI_DEADLINE, "the other end, too");
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    close_place(&place);
}

// ----- pumps

typedef struct feed {
    int fd;
    size_t size;
} feed_t;

static void *
write_feed(void *arg)
{
    const feed_t *self = arg;
    static uint8_t data[50000];
    for (size_t at = 0; at < self->size; at += sizeof data) {
        memset(data, (int)(at / sizeof data), sizeof data);
        cr_assert_eq(write(self->fd, data, sizeof data), (ssize_t)sizeof data);
    }
    close(self->fd);
    return NULL;
}

static void *
check_feed(void *arg)
{
    feed_t *self = arg;
    size_t wanted = self->size;
    static uint8_t data[65536];
    ssize_t count = 0;
    self->size = 0;
    while ((count = read(self->fd, data, sizeof data)) > 0) {
        for (ssize_t i = 0; i < count; i++) {
            cr_assert_eq(data[i], (uint8_t)((self->size + (size_t)i) / 50000));
        }
        self->size += (size_t)count;
    }
    cr_expect_eq(self->size, wanted);
    close(self->fd);
    return NULL;
}

Test(tunnel, pipes_are_poured_into_it_and_out_of_it)
{
    place_t place = open_two(EDRI_THREADS(1));
    int in[2];
    int out[2];
    pthread_t threads[2];
    uint64_t sent = 0;
    uint64_t received = 0;
    cr_assert_eq(pipe(in), 0);
    cr_assert_eq(pipe(out), 0);
    feed_t feed = {in[1], 20000000};
    feed_t check = {out[0], 20000000};
    cr_assert_eq(pthread_create(&threads[0], NULL, write_feed, &feed), 0);
    cr_assert_eq(pthread_create(&threads[1], NULL, check_feed, &check), 0);
    edri_tunnel_t *tunnel = open_bytes(&place, PIPE__WAY__ECHO);
    cr_assert_eq(edri_tunnel_pump(tunnel, in[0], out[1], &sent, &received),
        EDRI_OK, "%s", edri_port_error(place.port));
    cr_expect_eq(sent, 20000000);
    cr_expect_eq(received, 20000000);
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    close(in[0]);
    close(out[1]);
    cr_assert_eq(pthread_join(threads[0], NULL), 0);
    cr_assert_eq(pthread_join(threads[1], NULL), 0);
    close_place(&place);
}

// ----- faults

typedef struct killer {
    hub_t *hub;
    atomic_bool stop;
    atomic_int kills;
} killer_t;

// kill_switch kills it five times.  The last one ends with the thread that has
// started it.
static void *
kill_switch(void *arg)
{
    killer_t *self = arg;
    for (int i = 0; !atomic_load(&self->stop); i++) {
        (void)poll(NULL, 0, 10);
        if (i % 80 == 79 && self->kills < 5) {
            kill(self->hub->pid, SIGKILL);
            waitpid(self->hub->pid, NULL, 0);
            *self->hub = start_switch_at(self->hub->endpoint);
            self->kills++;
        }
    }
    return NULL;
}

Test(tunnel, a_switch_that_is_killed_harms_nothing, .timeout = 100)
{
    place_t place = open_two(EDRI_THREADS(1));
    killer_t killer = {.hub = &place.hub};
    pthread_t thread;
    edri_tunnel_t *tunnel = open_bytes(&place, PIPE__WAY__ECHO);
    static uint8_t data[40000];
    uint32_t sent = 0;
    uint32_t came = 0;
    cr_assert_eq(pthread_create(&thread, NULL, kill_switch, &killer), 0);
    while (killer.kills < 5 || came < sent) {
        edri_bytes_t bytes;
        edri_err_t err = EDRI_OK;
        while (killer.kills < 5 && err == EDRI_OK) {
            size_t size = sent % 7 == 0 ? sizeof data : 4 + sent % 3000;
            memcpy(data, &sent, sizeof sent);
            err = pipe_bytes_send_up(tunnel, data, size, 0);
            sent += err == EDRI_OK;
        }
        cr_assert(err == EDRI_OK || err == EDRI_AGAIN, "%s",
            edri_port_error(place.port));
        err = pipe_bytes_receive_down(tunnel, 20000, &bytes);
        cr_assert_eq(err, EDRI_OK, "%u of %u: %s", came, sent,
            edri_port_error(place.port));
        uint32_t number = 0;
        memcpy(&number, bytes.data, sizeof number);
        cr_assert_eq(number, came);
        cr_assert_eq(bytes.size, came % 7 == 0 ? sizeof data : 4 + came % 3000);
        edri_bytes_free(&bytes);
        came++;
    }
    cr_expect_gt(came, 100);
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    edri_node_destroy(&place.there);
    edri_port_destroy(&place.port);
    edri_node_destroy(&place.here);
    stop_switch(&place.hub);
    atomic_store(&killer.stop, true);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

// ----- callbacks

static struct {
    edri_tunnel_t *victim;
    int ready;
    int room;
    int closed;
    size_t bytes;
} calls_seen;

static void
see_ready(edri_tunnel_t *tunnel, void *arg)
{
    edri_bytes_t bytes;
    (void)arg;
    calls_seen.ready++;
    while (edri_tunnel_receive_bytes(tunnel, 0, &bytes) == EDRI_OK) {
        calls_seen.bytes += bytes.size;
        edri_bytes_free(&bytes);
    }
    edri_tunnel_close(&calls_seen.victim, EDRI_OK, NULL); // if there is one
}

static void
see_room(edri_tunnel_t *tunnel, void *arg)
{
    (void)tunnel;
    (void)arg;
    calls_seen.room++;
}

static void
see_closed(
    edri_tunnel_t *tunnel, edri_err_t reason, const char *text, void *arg)
{
    (void)tunnel;
    (void)reason;
    (void)text;
    (void)arg;
    calls_seen.closed++;
}

static const edri_tunnel_calls_t see = {see_ready, see_room, see_closed};

// poll_until runs callbacks until something has come about.
#define POLL_UNTIL(port, condition)                   \
    do {                                              \
        int64_t end_ms = clock_ms() + 20000;          \
        while (!(condition) && clock_ms() < end_ms) { \
            (void)edri_port_poll(port, 10);           \
        }                                             \
        cr_assert(condition);                         \
    } while (0)

Test(tunnel, callbacks_see_what_has_come_before)
{
    place_t place = open_local(EDRI_THREADS(1));
    Pipe__Bytes args = PIPE__BYTES__INIT;
    edri_tunnel_t *tunnel = NULL;
    args.way = PIPE__WAY__SEND;
    args.size = 1000;
    args.part = 100;
    cr_assert_eq(pipe_bytes_open(place.port, &args, 0, &tunnel), EDRI_OK);
    UNTIL(returned == 1); // all of it is on its way
    cr_assert_eq(edri_tunnel_on(tunnel, &see, NULL), EDRI_OK);
    POLL_UNTIL(place.port, calls_seen.closed == 1);
    cr_expect_eq(calls_seen.bytes, 1000);
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    close_place(&place);
}

Test(tunnel, one_may_be_closed_while_it_waits)
{
    place_t place = open_local(EDRI_THREADS(2));
    edri_tunnel_t *tunnel = open_bytes(&place, PIPE__WAY__ECHO);
    calls_seen.victim = open_bytes(&place, PIPE__WAY__ECHO);
    edri_bytes_t bytes;
    cr_assert_eq(edri_tunnel_on(tunnel, &see, NULL), EDRI_OK);
    cr_assert_eq(edri_tunnel_send_bytes(tunnel, "x", 1, -1), EDRI_OK);
    cr_expect_eq(edri_tunnel_receive_bytes(calls_seen.victim, 10000, &bytes),
        EDRI_CLOSED);
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    close_place(&place);
}

// sender_t sends, and looks when it is told of room.
typedef struct sender {
    bool sends;
    unsigned within; // calls while it did
    unsigned after;
} sender_t;

static void
note_room(edri_tunnel_t *tunnel, void *arg)
{
    sender_t *self = arg;
    (void)tunnel;
    *(self->sends ? &self->within : &self->after) += 1;
}

// Whoever sends has yet to count what has gone when a callback would send the next.
Test(tunnel, no_callback_comes_within_a_call)
{
    static const edri_tunnel_calls_t calls = {.room = note_room};
    static uint8_t data[30000];
    place_t place = open_local(EDRI_THREADS(1));
    sender_t sender = {0};
    edri_tunnel_t *tunnel = open_bytes(&place, PIPE__WAY__STAND);
    cr_assert_eq(edri_tunnel_on(tunnel, &calls, &sender), EDRI_OK);
    UNTIL(standing == 1);
    edri_err_t err = EDRI_OK;
    while (err == EDRI_OK) {
        err = pipe_bytes_send_up(tunnel, data, sizeof data, 0);
    }
    cr_assert_eq(err, EDRI_AGAIN);
    go = true;
    sender.sends = true;
    cr_expect_eq(pipe_bytes_send_up(tunnel, data, sizeof data, 10000), EDRI_OK);
    sender.sends = false;
    cr_expect_eq(sender.within, 0);
    (void)edri_port_poll(place.port, 0);
    cr_expect_eq(sender.after, 1);
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    close_place(&place);
}

Test(tunnel, room_in_the_port_is_told)
{
    place_t place = {
        .here = start_with("node\n    port_queue = 4096\n", EDRI_THREADS(1))};
    static uint8_t data[500];
    int sent = 0;
    place.there = place.here;
    place.port = edri_node_port(place.here);
    edri_tunnel_t *tunnel = open_bytes(&place, PIPE__WAY__DROP);
    cr_assert_eq(edri_tunnel_on(tunnel, &see, NULL), EDRI_OK);
    for (int turn = 0; turn < 5; turn++) {
        int before = calls_seen.room;
        while (sent < 900 && edri_tunnel_send_bytes(
                                 tunnel, data, sizeof data, 0) == EDRI_OK) {
            sent++;
        }
        cr_assert_lt(sent, 900, "the port is never full");
        POLL_UNTIL(place.port, calls_seen.room > before);
    }
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    close_place(&place);
}

static edri_err_t
on_late(edri_task_t *task, const Pipe__Bytes *args, edri_tunnel_t *tunnel)
{
    edri_bytes_t bytes;
    (void)task;
    (void)args;
    standing++;
    UNTIL(go);
    edri_err_t err = edri_tunnel_receive_bytes(tunnel, -1, &bytes);
    last_err = (int)err;
    returned++;
    return err;
}

Test(tunnel, one_that_is_accepted_too_late_is_closed)
{
    place_t place = {.here = edri_node_new(0, NULL)};
    Pipe__Bytes args = PIPE__BYTES__INIT;
    edri_tunnel_t *tunnel = NULL;
    place.there = place.here;
    (void)pipe_bytes_handle(
        edri_node_manager(place.here, "pipe"), on_late, EDRI_THREADS(1));
    start(place.here);
    place.port = edri_node_port(place.here);
    cr_expect_eq(
        pipe_bytes_open(place.port, &args, 50, &tunnel), EDRI_DEADLINE);
    cr_assert_eq(standing, 1);
    go = true;
    POLL_UNTIL(place.port, returned == 1);
    cr_expect_eq((int)last_err, EDRI_CANCELLED);
    close_place(&place);
}

static edri_err_t
on_blind(edri_task_t *task, const Pipe__Bytes *args, edri_tunnel_t *tunnel)
{
    static const edri_tunnel_calls_t blind = {.closed = see_closed};
    (void)task;
    (void)args;
    return edri_tunnel_on(tunnel, &blind, NULL);
}

Test(tunnel, what_nobody_reads_keeps_no_worker)
{
    place_t place = {.here = edri_node_new(0, NULL)};
    Pipe__Bytes args = PIPE__BYTES__INIT;
    edri_tunnel_t *tunnel = NULL;
    place.there = place.here;
    (void)pipe_bytes_handle(
        edri_node_manager(place.here, "pipe"), on_blind, EDRI_THREADS(1));
    start(place.here);
    place.port = edri_node_port(place.here);
    for (int i = 0; i < 3; i++) { // by its only worker
        cr_assert_eq(pipe_bytes_open(place.port, &args, 0, &tunnel), EDRI_OK);
        cr_assert_eq(edri_tunnel_send_bytes(tunnel, "x", 1, -1), EDRI_OK);
        edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    }
    close_place(&place);
}

// A method that waits must not let what comes later overtake what it had taken.
static edri_err_t
on_order(edri_task_t *task, const Pipe__Talk *args, edri_tunnel_t *tunnel)
{
    (void)args;
    (void)tunnel;
    standing++;
    while (!go) {
        (void)edri_port_poll(edri_task_port(task), 10);
    }
    return edri_task_fail(task, EDRI_DENIED, "later");
}

static uint32_t numbers[8];
static atomic_int number_count;

static void
note_number(edri_tunnel_t *tunnel, void *arg)
{
    edri_bytes_t bytes;
    (void)arg;
    while (edri_tunnel_receive_bytes(tunnel, 0, &bytes) == EDRI_OK) {
        memcpy(&numbers[number_count % 8], bytes.data, sizeof numbers[0]);
        number_count++;
        edri_bytes_free(&bytes);
    }
}

static edri_err_t
on_numbers(edri_task_t *task, const Pipe__Bytes *args, edri_tunnel_t *tunnel)
{
    static const edri_tunnel_calls_t calls = {.ready = note_number};
    (void)args;
    if (args->way == PIPE__WAY__STAND) { // until the test lets it
        standing++;
        UNTIL(go);
        go = false;
        return edri_task_fail(task, EDRI_DENIED, "stood");
    }
    return edri_tunnel_on(tunnel, &calls, NULL);
}

static void
ignore_opened(
    edri_tunnel_t *tunnel, edri_err_t err, const char *text, void *arg)
{
    (void)tunnel;
    (void)err;
    (void)text;
    (void)arg;
}

Test(tunnel, a_method_that_waits_keeps_their_order)
{
    place_t place = {.here = edri_node_new(0, NULL)};
    Pipe__Bytes stand = PIPE__BYTES__INIT;
    Pipe__Talk talk = PIPE__TALK__INIT;
    place.there = place.here;
    edri_manager_t *manager = edri_node_manager(place.here, "pipe");
    (void)pipe_bytes_handle(manager, on_numbers, EDRI_METHOD);
    (void)pipe_talk_handle(manager, on_order, EDRI_METHOD);
    start(place.here);
    place.port = edri_node_port(place.here);
    edri_tunnel_t *tunnel = open_bytes(&place, PIPE__WAY__CALLBACKS);
    // While the manager's thread stands, a load gathers: a method that will wait,
    // and behind it message 0.
    stand.way = PIPE__WAY__STAND;
    talk.room = (char[]){"x"};
    cr_assert_eq(
        pipe_bytes_open_async(place.port, &stand, 0, ignore_opened, NULL),
        EDRI_OK);
    UNTIL(standing == 1);
    cr_assert_eq(
        pipe_talk_open_async(place.port, &talk, 0, ignore_opened, NULL),
        EDRI_OK);
    cr_assert_eq(
        edri_tunnel_send_bytes(tunnel, &(uint32_t){0}, 4, -1), EDRI_OK);
    cr_assert_eq(edri_port_flush(place.port, 10000), EDRI_OK);
    go = true;
    UNTIL(standing == 2); // the method waits, with the load in its hands
    cr_assert_eq(
        edri_tunnel_send_bytes(tunnel, &(uint32_t){1}, 4, -1), EDRI_OK);
    cr_assert_eq(edri_port_flush(place.port, 10000), EDRI_OK);
    go = true;
    UNTIL(number_count == 2);
    cr_expect(
        numbers[0] == 0 && numbers[1] == 1, "%u %u", numbers[0], numbers[1]);
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    close_place(&place);
}

// on_within opens a tunnel to where it runs itself.
static edri_err_t
on_within(edri_task_t *task, const Pipe__Talk *args, edri_tunnel_t *tunnel)
{
    edri_tunnel_t *inner = NULL;
    (void)tunnel;
    last_err = (int)pipe_talk_open(edri_task_port(task), args, 0, &inner);
    return edri_task_fail(task, EDRI_DENIED, "seen");
}

static void
see_that_it_waits_for_itself(edri_workers_t workers)
{
    edri_node_t *node = edri_node_new(0, NULL);
    edri_manager_t *manager = edri_node_manager(node, "pipe");
    Pipe__Talk talk = PIPE__TALK__INIT;
    edri_tunnel_t *tunnel = NULL;
    cr_assert_eq(pipe_talk_handle(manager, on_within, workers), EDRI_OK);
    start(node);
    edri_port_t *port = edri_node_port(node);
    int64_t start_ms = clock_ms();
    for (int i = 0; i < 2; i++) { // it goes on
        last_err = 0;
        cr_expect_eq(pipe_talk_open(port, &talk, 0, &tunnel), EDRI_DENIED);
        cr_expect_eq(last_err, EDRI_DEADLOCK, "%d", last_err);
    }
    cr_expect_lt(clock_ms() - start_ms, 5000, "not by its deadline");
    edri_port_destroy(&port);
    edri_node_destroy(&node);
}

Test(tunnel, a_method_that_opens_one_to_itself)
{
    see_that_it_waits_for_itself(EDRI_METHOD);
}

Test(tunnel, an_only_thread_that_opens_one_to_itself)
{
    see_that_it_waits_for_itself(EDRI_THREADS(1));
}

Test(tunnel, a_pump_and_a_filter_go_round)
{
    place_t place = open_local(EDRI_THREADS(1));
    int in[2];
    int out[2];
    static uint8_t data[60000];
    cr_assert_eq(pipe(in), 0);
    cr_assert_eq(pipe(out), 0);
    pid_t filter = fork(); // what comes out goes through it, and in again
    if (filter == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(in[0], STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        for (int fd = 3; fd < 200; fd++) {
            (void)close(fd);
        }
        (void)execlp("head", "head", "-c", "3000000", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    edri_tunnel_t *tunnel = open_bytes(&place, PIPE__WAY__ECHO);
    for (int i = 0; i < 12; i++) {
        cr_assert_eq(
            edri_tunnel_send_bytes(tunnel, data, sizeof data, 10000), EDRI_OK);
    }
    // It ends when the filter has had enough.
    (void)signal(SIGPIPE, SIG_IGN);
    uint64_t sent = 0;
    edri_err_t err = edri_tunnel_pump(tunnel, out[0], in[1], &sent, NULL);
    cr_expect(err == EDRI_OK || err == EDRI_SYSTEM, "%s", edri_err_name(err));
    cr_expect_geq(sent, 3000000 - 720000);
    edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    waitpid(filter, NULL, 0);
    close(in[1]);
    close(out[0]);
    close_place(&place);
}
