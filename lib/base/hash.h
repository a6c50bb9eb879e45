// SPDX-License-Identifier: MIT
// base/hash.h - spreading the bits of numbers and texts.

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

// hash_text makes a number of a text (FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv).
// Two texts may have the same.
static inline uint64_t
hash_text(const char *text)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (; *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001B3);
    }
    return hash;
}

#endif
