// SPDX-License-Identifier: MIT
// test_nesting.c - messages in messages: counted before they are unpacked.

#include <criterion/criterion.h>
#include <stdlib.h>

#include "google/protobuf/descriptor.pb-c.h"
#include "schema/schema.h"
#include "types.edri.h"
#include "wire/nesting.h"

TestSuite(nesting, .timeout = 30);

// nest makes 'levels' of field 2 (Inner.more) around nothing, or of another
// field.
static slice_t
nest(int levels, uint8_t tag, uint8_t *room, size_t size)
{
    size_t at = size;
    for (int i = 0; i < levels; i++) {
        size_t len = size - at;
        uint8_t varint[5];
        size_t bytes = 0;
        do {
            varint[bytes++] = (uint8_t)(len >= 0x80 ? len | 0x80 : len);
            len >>= 7;
        } while (len > 0);
        cr_assert_geq(at, bytes + 1);
        at -= bytes;
        memcpy(room + at, varint, bytes);
        room[--at] = tag;
    }
    return (slice_t){room + at, size - at};
}

Test(nesting, example)
{
    const ProtobufCMessageDescriptor *inner = &types__every__inner__descriptor;
    static uint8_t room[1 << 20];
    cr_expect(nesting_fits(inner, (slice_t){room, 0}));
    cr_expect(nesting_fits(inner, nest(100, 0x12, room, sizeof room)));
    cr_expect_not(nesting_fits(inner, nest(101, 0x12, room, sizeof room)));
    // 200,000 levels would end a process that unpacks them.
    cr_expect_not(nesting_fits(inner, nest(200000, 0x12, room, sizeof room)));
    // The same bytes in a field that is no message are not nested.
    cr_expect(nesting_fits(
        &types__every__descriptor, nest(200000, 0x72, room, sizeof room)));
    // Bytes that are no message are for others to refuse.
    memset(room, 0xff, 1000);
    cr_expect(nesting_fits(inner, (slice_t){room, 1000}));
}

Test(nesting, descriptors_from_the_network)
{
    // FileDescriptorSet.file (1) holds DescriptorProto (4) holds nested_type
    // (3) holds nested_type ...
    static uint8_t room[1 << 20];
    slice_t types = nest(150000, 0x1a, room + 16, sizeof room - 16);
    uint8_t *at = (uint8_t *)(uintptr_t)types.data;
    size_t len = types.len;
    static const uint8_t tags[] = {0x22, 0x0a};
    for (int i = 0; i < 2; i++) {
        size_t bytes = len;
        uint8_t varint[3] = {(uint8_t)(bytes | 0x80),
            (uint8_t)(bytes >> 7 | 0x80), (uint8_t)(bytes >> 14)};
        at -= 3;
        memcpy(at, varint, 3);
        *--at = tags[i];
        len += 4;
    }
    char why[256] = "";
    schema_t *schema = NULL;
    cr_expect_neq(schema_new((slice_t){at, len}, &schema, why, 256), EDRI_OK);
    cr_expect_str_eq(why, "messages nested too deep");
}
