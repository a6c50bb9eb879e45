// SPDX-License-Identifier: MIT
// err.c - error codes: names and texts from the one table.

#include "edri/err.h"

const char *
edri_err_name(edri_err_t err)
{
    switch (err) {
#define X(name, value, text) \
    case EDRI_##name:        \
        return #name;
        EDRI_ERR_MAP(X)
#undef X
    }
    return "UNKNOWN";
}

const char *
edri_err_text(edri_err_t err)
{
    switch (err) {
#define X(name, value, text) \
    case EDRI_##name:        \
        return text;
        EDRI_ERR_MAP(X)
#undef X
    }
    return "unknown error";
}
