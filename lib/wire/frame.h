// SPDX-License-Identifier: MIT
// wire/frame.h - heads of frames: once per frame, through protobuf-c.

#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include "base/slice.h"
#include "edri/err.h"
#include "edri/link.pb-c.h"
#include "edri/wire.pb-c.h"

typedef Edri__Wire__Head head_t;
typedef Edri__Link__Control control_t;

#define HEAD_MAX              (64 * 1024)       // a head without control words
#define HEAD_CONTROL_MAX      (2 * 1024 * 1024) // with them
#define HEAD_DESTINATIONS_MAX 4096
#define HEAD_CONTROLS_MAX     256

// head_read unpacks and checks a head: sizes, counts, lane, at most
// WIRE_TYPES_MAX types, a word in every control.  Returns EDRI_OK and
// *head_p, freed with head_free; or EDRI_PROTO / EDRI_TOO_BIG with *why_p (may
// be NULL) a static text that says what is wrong.
edri_err_t head_read(
    slice_t bytes, head_t **head_p, const char **why_p) EDRI_MUST_CHECK;
void head_free(head_t **head_p);

// head_size and head_write pack a head into memory of the caller.
size_t head_size(const head_t *head);
size_t head_write(const head_t *head, uint8_t *out);

#endif
