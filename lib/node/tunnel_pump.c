// SPDX-License-Identifier: MIT
// tunnel_pump.c - files and pipes, poured into and out of a tunnel.

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "edri/tunnel.h"
#include "node/tunnel.h"

// What is read at once, and sent by reference.
#define BLOCK ((size_t)64 * 1024)

typedef struct pump {
    edri_tunnel_t *tunnel;
    edri_port_t *port;
    int in;         // -1: nothing goes, any more
    int out;        // -1: what comes is dropped
    uint8_t *block; // read and not sent, or NULL
    size_t size;
    bool waits; // there is no room for it
    bool ended; // nothing more comes
    bool is_file;
    bool is_socket;
    edri_bytes_t piece; // that has come, and is being written
    size_t written;     // so far
    uint64_t sent;
    uint64_t received;
} pump_t;

// is_ready says whether poll(2) lets it be read or written.
static bool
is_ready(int fd, short events)
{
    struct pollfd item = {.fd = fd, .events = events};
    return poll(&item, 1, 0) > 0;
}

// write_some writes what does not block: a filter whose other end this pump feeds must
// be able to go on.  Returns how much; -1 with errno.
static ssize_t
write_some(const pump_t *self, const uint8_t *data, size_t size)
{
    if (self->is_socket) {
        return send(self->out, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    // A pipe that may be written to takes PIPE_BUF without blocking.
    size_t most = self->is_file || size < PIPE_BUF ? size : PIPE_BUF;
    return self->is_file || is_ready(self->out, POLLOUT)
               ? write(self->out, data, most)
               : 0;
}

// write_piece writes what is left of the piece, as far as it goes.
static edri_err_t
write_piece(pump_t *self)
{
    while (self->written < self->piece.size) {
        ssize_t count = self->out < 0
                            ? (ssize_t)self->piece.size
                            : write_some(self, self->piece.data + self->written,
                                  self->piece.size - self->written);
        if (count == 0 || (count < 0 && errno == EAGAIN)) {
            return EDRI_AGAIN;
        }
        if (count < 0 && errno != EINTR) {
            return EDRI_SYSTEM;
        }
        self->written += count > 0 ? (size_t)count : 0;
    }
    self->received += self->piece.size;
    self->written = 0;
    edri_bytes_free(&self->piece);
    return EDRI_OK;
}

// pour_out writes what has come.
static edri_err_t
pour_out(pump_t *self)
{
    edri_err_t err = self->piece.owner != NULL ? write_piece(self) : EDRI_OK;
    while (err == EDRI_OK && !self->ended) {
        err = edri_tunnel_receive_bytes(self->tunnel, 0, &self->piece);
        if (err == EDRI_OK) {
            err = write_piece(self);
        }
    }
    self->ended = self->ended || err == EDRI_END;
    edri_err_t reason = EDRI_OK;
    if (self->ended && edri_tunnel_is_closed(self->tunnel, &reason) != 0 &&
        reason == EDRI_OK) {
        self->in = -1; // it has all that it wanted
        return EDRI_OK;
    }
    return err == EDRI_AGAIN || err == EDRI_END ? EDRI_OK : err;
}

// read_block reads the next; at the end of the file this end finishes.
static edri_err_t
read_block(pump_t *self)
{
    self->block = mem_resize(NULL, BLOCK);
    ssize_t count = 0;
    do {
        count = read(self->in, self->block, BLOCK);
    } while (count < 0 && errno == EINTR);
    if (count > 0) {
        self->size = (size_t)count;
        return EDRI_OK;
    }
    free(self->block);
    self->block = NULL;
    if (count < 0) {
        return errno == EAGAIN ? EDRI_OK : EDRI_SYSTEM;
    }
    self->in = -1;
    return edri_tunnel_finish(self->tunnel);
}

// send_block sends it if there is room.
static edri_err_t
send_block(pump_t *self)
{
    if (!tunnel_has_room(self->tunnel)) {
        self->waits = true;
        return EDRI_OK;
    }
    uint8_t *block = self->block;
    self->block = NULL;
    self->waits = false;
    self->sent += self->size;
    return edri_tunnel_send_owned(
        self->tunnel, block, self->size, free, block, -1);
}

// pour_in reads and sends what is there, so much at most that what comes is not
// forgotten.
static edri_err_t
pour_in(pump_t *self, bool readable)
{
    edri_err_t err = EDRI_OK;
    for (int i = 0; i < 16 && self->in >= 0 && err == EDRI_OK; i++) {
        if (self->block == NULL) {
            if (!readable && !is_ready(self->in, POLLIN)) {
                break;
            }
            readable = false;
            err = read_block(self);
        }
        if (err == EDRI_OK && self->block != NULL) {
            err = send_block(self);
        }
        if (self->waits) {
            break;
        }
    }
    return err;
}

static bool
is_open(const pump_t *self)
{
    return self->in >= 0 || !self->ended || self->piece.owner != NULL;
}

static edri_err_t
pump(pump_t *self)
{
    edri_err_t err = EDRI_OK;
    bool readable = false;
    while (err == EDRI_OK && is_open(self)) {
        err = pour_out(self);
        if (err == EDRI_OK && self->in >= 0) {
            err = pour_in(self, readable);
        }
        if (err != EDRI_OK || !is_open(self)) {
            break;
        }
        struct pollfd fds[2];
        size_t count = 0;
        bool reads = self->in >= 0 && !self->waits;
        if (reads) {
            fds[count++] = (struct pollfd){.fd = self->in, .events = POLLIN};
        }
        if (self->piece.owner != NULL) {
            fds[count++] = (struct pollfd){.fd = self->out, .events = POLLOUT};
        }
        err = edri_port_wait(self->port, fds, count, -1);
        readable = reads && fds[0].revents != 0;
    }
    return err;
}

edri_err_t
edri_tunnel_pump(
    edri_tunnel_t *tunnel, int in, int out, uint64_t *sent, uint64_t *received)
{
    edri_err_t err = tunnel_carries_bytes(tunnel, in >= 0);
    if (err != EDRI_OK) {
        return err;
    }
    pump_t self = {
        .tunnel = tunnel, .port = tunnel_port(tunnel), .in = in, .out = out};
    if (in < 0) {
        err = edri_tunnel_finish(tunnel);
    }
    err = err == EDRI_OK ? pump(&self) : err;
    int error = errno;
    free(self.block);
    edri_bytes_free(&self.piece);
    if (sent != NULL) {
        *sent = self.sent;
    }
    if (received != NULL) {
        *received = self.received;
    }
    errno = error;
    return err;
}
