// SPDX-License-Identifier: MIT
// base/hash.h - spreading the bits of numbers.

#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdint.h>

// hash_mix spreads the bits of a number (splitmix64, S. Vigna, 2015).
static inline uint64_t
hash_mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

#endif
