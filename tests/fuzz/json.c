// SPDX-License-Identifier: MIT
// json.c - any text as JSON of a type with every kind of field: what is read
// is written, and what was written is read as the same.

#include <stdlib.h>
#include <string.h>

#include "older.edri.h"
#include "schema/json.h"
#include "types.edri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const ProtobufCMessageDescriptor *type, const char *text)
{
    char why[256] = "";
    ProtobufCMessage *message = NULL;
    ProtobufCMessage *again = NULL;
    if (json_read(type, text, &message, why, sizeof why) != EDRI_OK) {
        if (message != NULL || why[0] == '\0') {
            abort();
        }
        return;
    }
    char *first = json_write(message, 0);
    if (json_read(type, first, &again, why, sizeof why) != EDRI_OK) {
        abort();
    }
    char *second = json_write(again, 0);
    if (strcmp(first, second) != 0) {
        abort();
    }
    free(first);
    free(second);
    protobuf_c_message_free_unpacked(message, NULL);
    protobuf_c_message_free_unpacked(again, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    check(&types__every__descriptor, text);
    check(&older__settled__descriptor, text);
    free(text);
    return 0;
}
