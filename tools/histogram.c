// SPDX-License-Identifier: MIT
// histogram.c - how long things took, and what share of them took no longer.

#include "histogram.h"

#include <stddef.h>

static size_t
bucket_of(uint64_t value)
{
    if (value < 256) {
        return (size_t)value;
    }
    if (value >> HISTOGRAM_TOP_BITS != 0) {
        return HISTOGRAM_BUCKETS - 1;
    }
    unsigned shift = 56 - (unsigned)__builtin_clzll(value); // leaves 8 bits
    return (size_t)shift * 128 + (size_t)(value >> shift);
}

// highest_in returns the highest value of a bucket.
static uint64_t
highest_in(size_t bucket)
{
    if (bucket < 256) {
        return bucket;
    }
    size_t shift = bucket / 128 - 1;
    return ((bucket % 128 + 128 + 1) << shift) - 1;
}

void
histogram_add(histogram_t *self, uint64_t value)
{
    self->buckets[bucket_of(value)]++;
    self->total++;
    self->max = value > self->max ? value : self->max;
}

void
histogram_merge(histogram_t *self, const histogram_t *other)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        self->buckets[i] += other->buckets[i];
    }
    self->total += other->total;
    self->max = other->max > self->max ? other->max : self->max;
}

uint64_t
histogram_at(const histogram_t *self, double share)
{
    double wanted = share * (double)self->total;
    uint64_t seen = 0;
    for (size_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        seen += self->buckets[i];
        if (seen > 0 && (double)seen >= wanted) {
            uint64_t highest = highest_in(i);
            return highest < self->max ? highest : self->max;
        }
    }
    return self->max;
}
