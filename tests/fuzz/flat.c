// SPDX-License-Identifier: MIT
// flat.c - any bytes as a flat message: we take what protobuf-c takes, and alike.

#include <stdio.h>
#include <stdlib.h>

#include "support/flat_agrees.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *wrong = flat_agrees((slice_t){data, size});
    if (wrong != NULL) {
        fprintf(stderr, "flat and protobuf-c: %s\n", wrong);
        abort();
    }
    return 0;
}
