// SPDX-License-Identifier: MIT
// schema/options.h - option (edri.event): reading and checking, in one place.
//
// The code generator and the descriptors of run time share these rules.

#ifndef SCHEMA_OPTIONS_H
#define SCHEMA_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edri/err.h"
#include "edri/event.pb-c.h"
#include "edri/type.h"
#include "google/protobuf/descriptor.pb-c.h"

#define OPTIONS_NAME_MAX 256

// options_t is what a type says of itself, checked, with defaults filled in.
typedef struct options {
    edri_kind_t kind;
    edri_deliver_t deliver;
    edri_overflow_t overflow;
    bool shareable;
    bool durable;
    bool idempotent;
    uint8_t priority;
    uint32_t timeout_ms;
    bool retained;
    uint32_t retain_count; // 0: no limit
    uint32_t retain_ms;    // 0: no limit
    uint32_t attempts;     // 1: no retry
    uint32_t backoff_ms;
    uint32_t backoff_max_ms;
    char key[OPTIONS_NAME_MAX];   // "" : none
    char reply[OPTIONS_NAME_MAX]; // full names; "" : none
    char up[OPTIONS_NAME_MAX];
    char down[OPTIONS_NAME_MAX];
} options_t;

// options_exists_fn says whether a message of that full name is known.
typedef bool options_exists_fn(const char *full_name, const void *arg);

// options_find returns the message's event option, or NULL when it has none
// (*err is EDRI_OK) or a broken one (EDRI_UNDECODABLE).  Free the result with
// edri__event_options__free_unpacked.
Edri__EventOptions *options_find(
    const Google__Protobuf__DescriptorProto *message, edri_err_t *err);

// options_read checks 'raw' of the message 'full_name' and fills *out.
// Returns EDRI_OK, or EDRI_INVAL with a text in 'why' that names the option and
// the remedy.
edri_err_t options_read(const Edri__EventOptions *raw,
    const Google__Protobuf__DescriptorProto *message, const char *full_name,
    options_exists_fn *exists, const void *arg, options_t *out, char *why,
    size_t why_size) EDRI_MUST_CHECK;

// options_duration reads "150ms", "2s", "1.5s", "1m", "1h" or "1d" as
// milliseconds.  False when it is none, or not from 1 ms to 24 h.
bool options_duration(const char *text, uint32_t *ms);

#endif
