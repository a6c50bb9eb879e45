// SPDX-License-Identifier: MIT
// test_flat.c - flat messages: the same as protobuf-c, bit by bit.

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "older.edri.h"
#include "support/flat_agrees.h"
#include "support/random_message.h"
#include "wire/flat.h"

TestSuite(flat, .timeout = 60);

Test(flat, example)
{
    flat_t *flat = flat_new(&types__flat__descriptor);
    Types__Flat sent = TYPES__FLAT__INIT;
    char text[] = "ten";
    uint8_t data[] = {1, 2, 3};
    uint8_t bytes[64];
    sent.an_int32 = -1;
    sent.a_string = text;
    sent.a_bytes = (ProtobufCBinaryData){3, data};
    size_t size = flat_size(flat, &sent.base);
    cr_assert_eq(size, 11 + 5 + 5);
    flat_pack(flat, &sent.base, bytes);
    slice_t packed = {bytes, size};
    Types__Flat *got = (Types__Flat *)flat_unpack(
        flat, &types__flat__descriptor, packed, NULL);
    cr_assert_not_null(got);
    cr_expect_eq(got->an_int32, -1);
    cr_expect_str_eq(got->a_string, "ten");
    cr_expect_arr_eq(got->a_bytes.data, data, 3);
    cr_expect_str_eq(got->a_far_string, "");
    types__flat__free_unpacked(got, NULL);
    flat_destroy(&flat);
}

Test(flat, what_is_flat)
{
    cr_expect_null(flat_new(NULL));
    cr_expect_null(flat_new(&types__every__descriptor));        // a oneof
    cr_expect_null(flat_new(&types__every__inner__descriptor)); // repeated
    cr_expect_null(flat_new(&older__settled__descriptor));      // proto2
}

// A number of every kind at its ends, and zeros of both signs.
Test(flat, ends)
{
    flat_t *flat = flat_new(&types__flat__descriptor);
    static const int64_t ends[] = {0, 1, -1, 127, 128, -128, INT32_MAX,
        INT32_MIN, UINT32_MAX, INT64_MAX, INT64_MIN};
    static const double reals[] = {0.0, -0.0, 1.5, -1e300, INFINITY, NAN};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        Types__Flat sent = TYPES__FLAT__INIT;
        sent.a_double = reals[i % 6];
        sent.a_float = (float)reals[i % 6];
        sent.a_sint32 = sent.an_int32 = sent.a_sfixed32 = (int32_t)ends[i];
        sent.a_uint32 = sent.a_fixed32 = (uint32_t)ends[i];
        sent.a_sint64 = sent.an_int64 = sent.a_sfixed64 = ends[i];
        sent.a_uint64 = sent.a_fixed64 = (uint64_t)ends[i];
        sent.a_bool = (int)ends[i];
        sent.a_colour = (Types__Colour)ends[i];
        uint8_t bytes[256];
        size_t size = types__flat__pack(&sent, bytes);
        cr_expect(packs_alike(flat, &sent.base, bytes, size), "%zu", i);
        cr_expect_null(flat_agrees((slice_t){bytes, size}));
    }
    flat_destroy(&flat);
}

// What protobuf-c keeps of a later version is packed again.
Test(flat, unknown_fields_are_kept)
{
    const uint8_t bytes[] = {0x18, 5, 0xf8, 0x01, 7};
    cr_expect_null(flat_agrees((slice_t){bytes, sizeof bytes}));
}

Test(flat, random_messages)
{
    out_t *out = calloc(1, sizeof *out);
    unsigned seed = 11;
    for (int i = 0; i < 20000; i++) {
        out->size = 0;
        random_fields(out, &types__flat__descriptor, &seed, 0);
        const char *wrong = flat_agrees((slice_t){out->data, out->size});
        cr_assert_null(wrong, "message %d: %s", i, wrong);
    }
    free(out);
}

Test(flat, broken_messages)
{
    out_t *out = calloc(1, sizeof *out);
    unsigned seed = 12;
    for (int i = 0; i < 20000; i++) {
        out->size = 0;
        random_fields(out, &types__flat__descriptor, &seed, 0);
        for (int k = 0; k < 3 && out->size > 0; k++) {
            out->data[(size_t)rand_r(&seed) % out->size] =
                (uint8_t)rand_r(&seed);
        }
        size_t size = out->size - (size_t)rand_r(&seed) % (out->size + 1);
        const char *wrong = flat_agrees((slice_t){out->data, size});
        cr_assert_null(wrong, "message %d: %s", i, wrong);
    }
    free(out);
}
