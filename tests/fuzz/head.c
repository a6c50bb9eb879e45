// SPDX-License-Identifier: MIT
// head.c - any bytes as a frame's head.

#include <stdlib.h>

#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    head_t *head = NULL;
    const char *why = NULL;
    edri_err_t err = head_read((slice_t){data, size}, &head, &why);
    if ((err == EDRI_OK) != (head != NULL) || (err != EDRI_OK && why == NULL)) {
        abort();
    }
    if (head != NULL) {
        // What was read can be written.  (protobuf-c keeps unknown fields of
        // number 0, which it then refuses itself.)
        uint8_t *bytes = malloc(head_size(head) + 1);
        size_t written = head_write(head, bytes);
        head_t *again = NULL;
        if (head_read((slice_t){bytes, written}, &again, &why) == EDRI_OK &&
            head_size(again) != written) {
            abort();
        }
        head_free(&again);
        free(bytes);
    }
    head_free(&head);
    return 0;
}
