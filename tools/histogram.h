// SPDX-License-Identifier: MIT
// histogram.h - how long things took, and what share of them took no longer.
//
// DESIGN: the buckets are log-linear, as HdrHistogram's (Gil Tene, hdrhistogram.org):
// one for each value below 256, then 128 for each power of two.  A bucket is told by
// its highest value, so a figure is never too small, and at most 1/128 (0.8 %) too
// large.  Adding a value costs a few instructions and takes no memory.

#ifndef TOOLS_HISTOGRAM_H
#define TOOLS_HISTOGRAM_H

#include <stdint.h>

// Values of 2^40 ns (18 minutes) and more count as the highest that there is; 'max' is
// exact for all.
#define HISTOGRAM_TOP_BITS 40
#define HISTOGRAM_BUCKETS  (256 + (HISTOGRAM_TOP_BITS - 8) * 128)

// histogram_t begins as zeroes; it may be copied, and sent to another process of this
// program as it is.
typedef struct histogram {
    uint64_t total; // values
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
} histogram_t;

void histogram_add(histogram_t *self, uint64_t value);

// histogram_merge adds what is in 'other'.
void histogram_merge(histogram_t *self, const histogram_t *other);

// histogram_at returns a value that so large a share of all (0 to 1) does not exceed;
// 0 when there are none.
uint64_t histogram_at(const histogram_t *self, double share);

#endif
