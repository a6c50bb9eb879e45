// SPDX-License-Identifier: MIT
// frame.c - heads of frames: once per frame, through protobuf-c.

#include "wire/frame.h"

#include "wire/envelope.h"

static edri_err_t
refuse(edri_err_t err, const char **why_p, const char *why)
{
    if (why_p != NULL) {
        *why_p = why;
    }
    return err;
}

// check says what is wrong with a head, or NULL.
static const char *
check(const head_t *head, size_t size)
{
    if ((unsigned)head->lane > EDRI__WIRE__LANE__BULK) {
        return "unknown lane";
    }
    if (head->n_control == 0 && size > HEAD_MAX) {
        return "head over 64 KiB";
    }
    if (head->n_types > WIRE_TYPES_MAX) {
        return "more than 16 types";
    }
    if (head->n_to > HEAD_DESTINATIONS_MAX) {
        return "more than 4096 destinations";
    }
    if (head->n_control > HEAD_CONTROLS_MAX) {
        return "more than 256 control words";
    }
    for (size_t i = 0; i < head->n_control; i++) {
        if (head->control[i]->word_case == EDRI__LINK__CONTROL__WORD__NOT_SET) {
            return "an empty or unknown control word";
        }
    }
    return NULL;
}

edri_err_t
head_read(slice_t bytes, head_t **head_p, const char **why_p)
{
    *head_p = NULL;
    if (bytes.len > HEAD_CONTROL_MAX) {
        return refuse(EDRI_TOO_BIG, why_p, "head over 2 MiB");
    }
    head_t *head = edri__wire__head__unpack(NULL, bytes.len, bytes.data);
    if (head == NULL) {
        return refuse(EDRI_PROTO, why_p, "not a head");
    }
    const char *wrong = check(head, bytes.len);
    if (wrong != NULL) {
        edri__wire__head__free_unpacked(head, NULL);
        return refuse(EDRI_PROTO, why_p, wrong);
    }
    *head_p = head;
    return EDRI_OK;
}

void
head_free(head_t **head_p)
{
    if (*head_p != NULL) {
        edri__wire__head__free_unpacked(*head_p, NULL);
        *head_p = NULL;
    }
}

size_t
head_size(const head_t *head)
{
    return edri__wire__head__get_packed_size(head);
}

size_t
head_write(const head_t *head, uint8_t *out)
{
    return edri__wire__head__pack(head, out);
}
