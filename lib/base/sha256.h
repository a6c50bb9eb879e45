// SPDX-License-Identifier: MIT
// base/sha256.h - SHA-256 (FIPS 180-4).

#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

// sha256 writes the 32-byte digest of 'len' bytes to 'digest'.  Pure.
void sha256(const void *data, size_t len, uint8_t digest[32]);

#endif
