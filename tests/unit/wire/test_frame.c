// SPDX-License-Identifier: MIT
// test_frame.c - heads: what is read, what is refused, why.

#include <criterion/criterion.h>
#include <stdlib.h>

#include "wire/envelope.h"
#include "wire/frame.h"

TestSuite(frame, .timeout = 30);

Test(frame, example)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    Edri__Wire__Destination to = EDRI__WIRE__DESTINATION__INIT;
    Edri__Wire__Destination *tos[] = {&to};
    uint32_t targets[] = {1, 9};
    uint64_t types[] = {5};
    to.life = 77;
    to.first = 3;
    to.targets = targets;
    to.n_targets = 2;
    head.from = 42;
    head.lane = EDRI__WIRE__LANE__EVENT;
    head.path = 8;
    head.taken = 100;
    head.to = tos;
    head.n_to = 1;
    head.types = types;
    head.n_types = 1;
    uint8_t *bytes = malloc(head_size(&head));
    size_t size = head_write(&head, bytes);
    cr_expect_eq(size, head_size(&head));

    head_t *got = NULL;
    const char *why = NULL;
    cr_assert_eq(head_read((slice_t){bytes, size}, &got, &why), EDRI_OK);
    cr_expect_eq(got->from, 42);
    cr_expect_eq(got->path, 8);
    cr_expect_eq(got->taken, 100);
    cr_assert_eq(got->n_to, 1);
    cr_expect_eq(got->to[0]->life, 77);
    cr_expect_eq(got->to[0]->targets[1], 9);
    head_free(&got);
    cr_expect_null(got);
    head_free(&got);
    free(bytes);
}

// refused packs the head and gives why it is refused.
static const char *
refused(const head_t *head, edri_err_t expected)
{
    uint8_t *bytes = malloc(head_size(head) + 1);
    size_t size = head_write(head, bytes);
    head_t *got = NULL;
    const char *why = "";
    cr_expect_eq(head_read((slice_t){bytes, size}, &got, &why), expected);
    cr_expect_null(got);
    head_free(&got);
    free(bytes);
    return why;
}

Test(frame, limits)
{
    static uint64_t types[WIRE_TYPES_MAX + 1];
    head_t head = EDRI__WIRE__HEAD__INIT;
    head.types = types;
    head.n_types = WIRE_TYPES_MAX + 1;
    cr_expect_not_null(strstr(refused(&head, EDRI_PROTO), "16 types"));

    head = (head_t)EDRI__WIRE__HEAD__INIT;
    head.lane = (Edri__Wire__Lane)9;
    cr_expect_not_null(strstr(refused(&head, EDRI_PROTO), "lane"));

    static control_t word = EDRI__LINK__CONTROL__INIT;
    static control_t *words[HEAD_CONTROLS_MAX + 1];
    for (size_t i = 0; i <= HEAD_CONTROLS_MAX; i++) {
        words[i] = &word;
    }
    head = (head_t)EDRI__WIRE__HEAD__INIT;
    head.control = words;
    head.n_control = 1;
    cr_expect_not_null(strstr(refused(&head, EDRI_PROTO), "empty or unknown"));
    Edri__Link__Who who = EDRI__LINK__WHO__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_WHO;
    word.who = &who;
    head.n_control = HEAD_CONTROLS_MAX + 1;
    cr_expect_not_null(strstr(refused(&head, EDRI_PROTO), "256 control"));

    Edri__Wire__Destination to = EDRI__WIRE__DESTINATION__INIT;
    static Edri__Wire__Destination *tos[HEAD_DESTINATIONS_MAX + 1];
    for (size_t i = 0; i <= HEAD_DESTINATIONS_MAX; i++) {
        tos[i] = &to;
    }
    head = (head_t)EDRI__WIRE__HEAD__INIT;
    head.to = tos;
    head.n_to = HEAD_DESTINATIONS_MAX + 1;
    cr_expect_not_null(strstr(refused(&head, EDRI_PROTO), "destinations"));

    static uint8_t segment[HEAD_MAX];
    head = (head_t)EDRI__WIRE__HEAD__INIT;
    head.segment = (ProtobufCBinaryData){sizeof segment, segment};
    cr_expect_not_null(strstr(refused(&head, EDRI_PROTO), "64 KiB"));

    static uint8_t huge[HEAD_CONTROL_MAX];
    head.segment = (ProtobufCBinaryData){sizeof huge, huge};
    cr_expect_not_null(strstr(refused(&head, EDRI_TOO_BIG), "2 MiB"));
}

Test(frame, garbage_is_no_head)
{
    static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0x00};
    head_t *got = NULL;
    const char *why = NULL;
    cr_expect_eq(
        head_read((slice_t){garbage, sizeof garbage}, &got, &why), EDRI_PROTO);
    cr_expect_str_eq(why, "not a head");
    cr_expect_eq(head_read((slice_t){garbage, sizeof garbage}, &got, NULL),
        EDRI_PROTO, "the reason may be left out");
    cr_expect_eq(head_read((slice_t){garbage, 0}, &got, &why), EDRI_OK,
        "an empty message is a head of zeros");
    head_free(&got);
}
