// SPDX-License-Identifier: MIT
// base/slice.h - a run of bytes that somebody else owns.

#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stddef.h>
#include <stdint.h>

typedef struct slice {
    const uint8_t *data;
    size_t len;
} slice_t;

#endif
