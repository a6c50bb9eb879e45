// SPDX-License-Identifier: MIT
// envelope.c - any bytes as a Batch: our reader never takes what protobuf-c
// does not, and understands it alike.

#include <stdio.h>
#include <stdlib.h>

#include "support/agree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(slice_t content)
{
    bool taken;
    const char *wrong = agree(content, &taken);
    if (wrong != NULL) {
        fprintf(stderr, "the readers disagree: %s\n", wrong);
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice_t batch = {data, size}, item, content;
    while (batch_next(&batch, &item, &content)) {
        check(content);
    }
    check((slice_t){data, size});
    return 0;
}
