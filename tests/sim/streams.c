// SPDX-License-Identifier: MIT
// streams.c - tunnels of the simulation: messages each way, whole, once, in order.

#include "streams.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "books.h"
#include "net.h"
#include "sim.edri.h"

#define LARGE ((size_t)200 * 1024)

// An acceptor sends until there is no room: then it is called again.
#define ALL 1000

// A number that no message has: then comes how many the acceptor got.
#define LAST UINT32_MAX

// stream_t is one end.
typedef struct stream {
    struct stream *next;
    edri_tunnel_t *tunnel; // NULL: not open, or closed
    int node;              // that has opened it; -1: this end has accepted it
    uint32_t sent;
    uint32_t wanted;
    uint32_t came;
    uint32_t told; // how many the other end has got
    bool has_told;
    bool ended;    // nothing more comes
    bool finished; // nothing more goes
    bool over;     // may be freed
} stream_t;

static struct {
    uint64_t *random;
    stream_t *first;
    streams_totals_t totals;
} streams;

static uint64_t
draw(uint64_t below)
{
    return sim_random(streams.random) % below;
}

void
streams_begin(uint64_t *random)
{
    streams.random = random;
    streams.totals = (streams_totals_t){0};
}

static stream_t *
new_stream(int node, uint32_t wanted)
{
    stream_t *self = mem_new(sizeof *self);
    *self = (stream_t){.next = streams.first, .node = node, .wanted = wanted};
    streams.first = self;
    return self;
}

streams_totals_t
streams_clear(void)
{
    while (streams.first != NULL) {
        stream_t *next = streams.first->next;
        free(streams.first);
        streams.first = next;
    }
    return streams.totals;
}

// sweep frees what is over.
static void
sweep(void)
{
    for (stream_t **at = &streams.first; *at != NULL;) {
        stream_t *self = *at;
        if (self->over) {
            *at = self->next;
            free(self);
        } else {
            at = &self->next;
        }
    }
}

// size_of is the size of a message, by its number.
static size_t
size_of(uint32_t number)
{
    return number % 97 == 96 ? LARGE
           : number % 7 == 6 ? 9000
                             : sizeof number + number % 500;
}

// send_number sends the message of that number, or the last one.  Returns as
// edri_tunnel_send.
static edri_err_t
send_number(stream_t *self, uint32_t number)
{
    static uint8_t data[LARGE];
    uint32_t words[2] = {number, self->came};
    if (number == LAST) {
        return edri_tunnel_send_bytes(self->tunnel, words, sizeof words, 0);
    }
    memcpy(data, &number, sizeof number);
    return edri_tunnel_send_bytes(self->tunnel, data, size_of(number), 0);
}

// go_on sends what may go, at most so many.
static void
go_on(stream_t *self, int most)
{
    edri_err_t err = EDRI_OK;
    while (!self->finished && most-- > 0 && err == EDRI_OK) {
        bool all = self->sent == self->wanted;
        if (all && self->node < 0 && !self->ended) {
            return; // it has to count yet
        }
        if (all && self->node < 0) {
            err = send_number(self, LAST);
        } else if (!all) {
            err = send_number(self, self->sent);
            self->sent += err == EDRI_OK;
        }
        if (all && err == EDRI_OK) {
            self->finished = true;
            (void)edri_tunnel_finish(self->tunnel);
        }
    }
}

// take books one message.
static void
take(stream_t *self, const edri_bytes_t *bytes)
{
    uint32_t number = 0;
    memcpy(&number, bytes->data, sizeof number);
    streams.totals.messages++;
    if (number == LAST) {
        memcpy(&self->told, bytes->data + sizeof number, sizeof self->told);
        self->has_told = true;
    } else if (number != self->came || bytes->size != size_of(number)) {
        books_fail("a tunnel brought message %u of %zu bytes as number %u",
            number, bytes->size, self->came);
    } else {
        self->came++;
    }
}

static void
on_ready(edri_tunnel_t *tunnel, void *arg)
{
    stream_t *self = arg;
    edri_bytes_t bytes;
    edri_err_t err = EDRI_OK;
    // Some read slowly.
    int most = draw(4) == 0 ? 1 : 1000;
    while (most-- > 0 &&
           (err = edri_tunnel_receive_bytes(tunnel, 0, &bytes)) == EDRI_OK) {
        take(self, &bytes);
        edri_bytes_free(&bytes);
    }
    self->ended = self->ended || err == EDRI_END;
    if (self->node < 0) {
        go_on(self, ALL);
    }
}

static void
on_room(edri_tunnel_t *tunnel, void *arg)
{
    (void)tunnel;
    go_on(arg, ALL);
}

static void
on_closed(edri_tunnel_t *tunnel, edri_err_t reason, const char *text, void *arg)
{
    stream_t *self = arg;
    bool peace = self->finished; // nobody closes one without an error here
    bool whole = self->node < 0 || (self->has_told && self->told == self->sent);
    if (reason == EDRI_OK && peace && !whole) {
        books_fail(
            "a tunnel ended in peace: %u of %u came", self->told, self->sent);
    }
    streams.totals.whole += reason == EDRI_OK && peace;
    // Openers cancel some themselves.
    streams.totals.broken += reason != EDRI_OK && reason != EDRI_CANCELLED;
    if (reason == EDRI_OK && !peace && text[0] == '\0') {
        books_fail("a tunnel of node %d was closed without a reason, %u of %u "
                   "sent, %u came",
            self->node, self->sent, self->wanted, self->came);
    }
    if (self->node >= 0) {
        edri_tunnel_close(&tunnel, EDRI_OK, NULL);
    }
    self->tunnel = NULL;
    self->over = true;
}

static const edri_tunnel_calls_t calls = {on_ready, on_room, on_closed};

// ----- who accepts

static edri_err_t
on_stream(edri_task_t *task, const Sim__Stream *args, edri_tunnel_t *tunnel)
{
    if (draw(20) == 0) {
        return edri_task_fail(task, EDRI_DENIED, "not this one");
    }
    stream_t *self = new_stream(-1, args->down);
    self->tunnel = tunnel;
    (void)edri_tunnel_on(tunnel, &calls, self);
    go_on(self, ALL);
    return EDRI_OK;
}

void
streams_accept(edri_manager_t *manager)
{
    (void)sim_stream_handle(manager, on_stream, EDRI_METHOD);
}

// ----- who opens

static void
on_opened(edri_tunnel_t *tunnel, edri_err_t err, const char *text, void *arg)
{
    stream_t *self = arg;
    (void)text;
    if (err != EDRI_OK) {
        self->over = true;
        return;
    }
    streams.totals.opened++;
    self->tunnel = tunnel;
    (void)edri_tunnel_on(tunnel, &calls, self);
}

void
streams_open(int node, edri_port_t *port)
{
    Sim__Stream args = SIM__STREAM__INIT;
    args.down = (uint32_t)draw(200);
    stream_t *self = new_stream(node, (uint32_t)draw(200));
    if (sim_stream_open_async(port, &args, 0, on_opened, self) != EDRI_OK) {
        self->over = true;
    }
}

void
streams_step(int node)
{
    sweep();
    for (stream_t *self = streams.first; self != NULL; self = self->next) {
        if (self->node != node || self->tunnel == NULL || self->over) {
            continue;
        }
        if (draw(300) == 0) {
            edri_tunnel_close(&self->tunnel, EDRI_CANCELLED, "enough");
            self->over = true;
        } else {
            go_on(self, 1 + (int)draw(30));
        }
    }
}

void
streams_gone(int node)
{
    for (stream_t *self = streams.first; self != NULL; self = self->next) {
        self->over = self->over || self->node == node;
    }
}
