// SPDX-License-Identifier: MIT
// type.c - event types: their ids and what makes a descriptor usable.

#include "edri/type.h"

#include <string.h>

#include "base/sha256.h"

uint64_t
edri_type_id(const char *name)
{
    uint8_t digest[32];
    uint64_t id = 0;
    sha256(name, strlen(name), digest);
    for (int i = 0; i < 8; i++) {
        id = id << 8 | digest[i];
    }
    return id;
}

edri_err_t
edri_type_check(const edri_type_t *type)
{
    bool fine = type != NULL && type->name != NULL && type->name[0] != '\0' &&
                type->message != NULL && type->file != NULL &&
                type->file->data != NULL && type->priority <= 7 &&
                (type->kind != EDRI_REQUEST || type->reply != NULL) &&
                type->kind != EDRI_REPLY && type->deliver <= EDRI_ONE;
    return fine && edri_type_id(type->name) == type->id ? EDRI_OK : EDRI_INVAL;
}
