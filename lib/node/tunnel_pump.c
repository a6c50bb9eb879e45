// SPDX-License-Identifier: MIT
// tunnel_pump.c - files and pipes, poured into and out of a tunnel.

#include <errno.h>
#include <stdlib.h>
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
    uint64_t sent;
    uint64_t received;
} pump_t;

static bool
write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t count = write(fd, data, size);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return false;
        }
        data += count;
        size -= (size_t)count;
    }
    return true;
}

// pour_out writes what has come.
static edri_err_t
pour_out(pump_t *self)
{
    edri_bytes_t bytes;
    edri_err_t err = EDRI_OK;
    while (!self->ended && (err = edri_tunnel_receive_bytes(
                                self->tunnel, 0, &bytes)) == EDRI_OK) {
        bool fine =
            self->out < 0 || write_all(self->out, bytes.data, bytes.size);
        int error = errno;
        self->received += bytes.size;
        edri_bytes_free(&bytes);
        if (!fine) {
            errno = error;
            return EDRI_SYSTEM;
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
        struct pollfd fd = {.fd = self->in, .events = POLLIN};
        if (self->block == NULL) {
            if (!readable && poll(&fd, 1, 0) <= 0) {
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

static edri_err_t
pump(pump_t *self)
{
    edri_err_t err = EDRI_OK;
    bool readable = false;
    while (err == EDRI_OK && (self->in >= 0 || !self->ended)) {
        err = pour_out(self);
        if (err == EDRI_OK && self->in >= 0) {
            err = pour_in(self, readable);
        }
        if (err != EDRI_OK || (self->in < 0 && self->ended)) {
            break;
        }
        struct pollfd fd = {.fd = self->in, .events = POLLIN};
        size_t count = self->in >= 0 && !self->waits ? 1 : 0;
        err = edri_port_wait(self->port, &fd, count, -1);
        readable = count > 0 && fd.revents != 0;
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
    if (sent != NULL) {
        *sent = self.sent;
    }
    if (received != NULL) {
        *received = self.received;
    }
    errno = error;
    return err;
}
