// SPDX-License-Identifier: MIT
// agree.h - our reader of envelopes against protobuf-c's, for unit tests and
// the fuzzer.

#ifndef SUPPORT_AGREE_H
#define SUPPORT_AGREE_H

#include <string.h>

#include "edri/wire.pb-c.h"
#include "wire/envelope.h"

static inline bool
same_bytes(slice_t ours, const void *theirs, size_t size)
{
    return ours.len == size && (size == 0 || !memcmp(ours.data, theirs, size));
}

// agree reads the same bytes with both.  What our reader takes, protobuf-c
// must take and understand alike; it may take more (our reader refuses a
// doubled routing field).  Returns NULL, or what they disagree on; *taken says
// whether ours took it.
static inline const char *
agree(slice_t content, bool *taken)
{
    envelope_t all = {0};
    envelope_t routing;
    memset(&routing, 0xa5, sizeof routing);
    edri_err_t read = envelope_read(content, &all);
    edri_err_t routed = envelope_route(content, &routing);
    *taken = read == EDRI_OK;
    if (read != EDRI_OK) {
        return read == EDRI_PROTO ? NULL : "another error than PROTO";
    }
    // The router stops early, so it may take what the full reader refuses,
    // never the reverse.
    if (routed != EDRI_OK) {
        return "read but not routed";
    }
    Edri__Wire__Envelope *theirs =
        edri__wire__envelope__unpack(NULL, content.len, content.data);
    if (theirs == NULL) {
        return "protobuf-c refuses it";
    }
    const char *wrong = NULL;
#define SAME(ours, name, field) \
    wrong = wrong != NULL || (ours) == theirs->field ? wrong : name
    SAME(all.type, "type", type);
    SAME(all.id, "id", id);
    SAME(all.flags, "flags", flags);
    SAME(all.ttl_ms, "ttl_ms", ttl_ms);
    SAME(all.request, "request", request);
    SAME(all.to, "to", to);
    SAME(all.key, "key", key);
    SAME(all.error, "error", error);
    SAME(all.attempt, "attempt", attempt);
    SAME(all.cause, "cause", cause);
    SAME(all.cause_life, "cause_life", cause_life);
    SAME(all.position, "position", position);
    SAME(routing.type, "routed type", type);
    SAME(routing.id, "routed id", id);
    SAME(routing.flags, "routed flags", flags);
    SAME(routing.ttl_ms, "routed ttl_ms", ttl_ms);
    SAME(routing.request, "routed request", request);
    SAME(routing.to, "routed to", to);
    SAME(routing.key, "routed key", key);
    SAME(routing.error, "routed error", error);
#undef SAME
    if (wrong == NULL &&
        !same_bytes(all.trace, theirs->trace.data, theirs->trace.len)) {
        wrong = "trace";
    }
    // protobuf-c's strings end at the first NUL.
    size_t text_len = all.text.len > 0
                          ? strnlen((const char *)all.text.data, all.text.len)
                          : 0;
    if (wrong == NULL && text_len != strlen(theirs->text)) {
        wrong = "text";
    }
    if (wrong == NULL &&
        !same_bytes(all.body, theirs->body.data, theirs->body.len)) {
        wrong = "body";
    }
    edri__wire__envelope__free_unpacked(theirs, NULL);
    return wrong;
}

#endif
