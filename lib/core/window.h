// SPDX-License-Identifier: MIT
// core/window.h - how much may be on its way in one direction of a tunnel.
//
// DESIGN
// The reader grants bytes, as an absolute number: "you may send until you have sent
// N".  It may be lost behind a younger one, or come twice.  A message goes while
// anything of the window is left, however large it is: so the reader holds at most
// its window and one message.  What has been read makes room; the writer is told when
// that is half a window, or all.  Pure.

#ifndef CORE_WINDOW_H
#define CORE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ----- at the writer

typedef struct window_out {
    uint64_t sent;
    uint64_t limit;
} window_out_t;

// window_out_may says whether a message may go.
bool window_out_may(const window_out_t *self);
void window_out_sent(window_out_t *self, size_t size);

// window_out_granted takes what the reader said.  Returns whether that opened it.
bool window_out_granted(window_out_t *self, uint64_t limit);

// ----- at the reader

typedef struct window_in {
    uint64_t received;
    uint64_t read;
    uint64_t granted;
} window_in_t;

// window_in_init begins with a window of that size.
void window_in_init(window_in_t *self, size_t size);

// window_in_received books what came.  Returns false when nothing was granted for
// it: the writer breaks the protocol.
bool window_in_received(window_in_t *self, size_t size);

// window_in_read books what was read, and says whether 'granted' is new and must be
// told; 'size' is that of the window from now on.
bool window_in_read(window_in_t *self, size_t bytes, size_t size);

#endif
