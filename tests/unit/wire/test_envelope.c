// SPDX-License-Identifier: MIT
// test_envelope.c - our reader and writer of envelopes against protobuf-c.

#include <criterion/criterion.h>
#include <stdlib.h>

#include "support/agree.h"

TestSuite(envelope, .timeout = 60);

static uint64_t
random_bits(unsigned *seed)
{
    uint64_t bits = 0;
    for (int i = 0; i < 4; i++) {
        bits = bits << 16 | (uint64_t)(rand_r(seed) & 0xffff);
    }
    // Zeros, small and large numbers alike.
    return rand_r(seed) % 4 == 0 ? 0 : bits >> (rand_r(seed) % 64);
}

static envelope_t
random_envelope(unsigned *seed, uint8_t *bytes)
{
    for (int i = 0; i < 300; i++) {
        bytes[i] = (uint8_t)rand_r(seed);
    }
    return (envelope_t){
        .type = random_bits(seed),
        .id = random_bits(seed),
        .flags = (uint32_t)random_bits(seed),
        .ttl_ms = (uint32_t)random_bits(seed),
        .request = random_bits(seed),
        .to = random_bits(seed),
        .key = random_bits(seed),
        .error = (uint32_t)random_bits(seed),
        .attempt = (uint32_t)random_bits(seed),
        .cause = random_bits(seed),
        .cause_life = random_bits(seed),
        .position = random_bits(seed),
        .trace = {bytes, rand_r(seed) % 2 ? 24 : 0},
        .text = {(const uint8_t *)"what happened", rand_r(seed) % 14},
        .body = {bytes + 24, (size_t)rand_r(seed) % 270},
    };
}

// write_item writes the whole item with its body into a new buffer.
static uint8_t *
write_item(const envelope_t *env, size_t *size)
{
    *size = envelope_size(env, env->body.len);
    uint8_t *item = malloc(*size);
    uint8_t *body = envelope_write(env, env->body.len, item, *size);
    cr_assert_eq(body + env->body.len, item + *size);
    memcpy(body, env->body.data, env->body.len);
    return item;
}

Test(envelope, example)
{
    envelope_t env = {
        .type = edri_type_id("shop.Quote"),
        .id = 7,
        .flags = envelope_flags(EDRI_REQUEST, EDRI_ONE, 3) | WIRE_ATTACHED,
        .ttl_ms = 2000,
        .body = {(const uint8_t *)"body", 4},
    };
    size_t size;
    uint8_t *item = write_item(&env, &size);
    slice_t batch = {item, size}, whole, content;
    cr_assert(batch_next(&batch, &whole, &content));
    cr_expect_eq(whole.data, item);
    cr_expect_eq(whole.len, size);
    envelope_t got = {0};
    cr_assert_eq(envelope_read(content, &got), EDRI_OK);
    cr_expect_eq(got.type, env.type);
    cr_expect_eq(got.id, 7);
    cr_expect_eq(got.ttl_ms, 2000);
    cr_expect_eq(envelope_kind(got.flags), EDRI_REQUEST);
    cr_expect_eq(envelope_deliver(got.flags), EDRI_ONE);
    cr_expect_eq(envelope_priority(got.flags), 3);
    cr_expect(got.flags & WIRE_ATTACHED);
    cr_assert_eq(got.body.len, 4);
    cr_expect_arr_eq(got.body.data, "body", 4);
    cr_expect_not(batch_next(&batch, &whole, &content));
    cr_expect_eq(batch.len, 0, "a clean end");
    free(item);
}

// Whatever we write, protobuf-c reads as the same; put one behind the other,
// it is one Batch to both.
Test(envelope, what_we_write_protobuf_reads)
{
    unsigned seed = 1;
    for (int round = 0; round < 3000; round++) {
        uint8_t bytes[300];
        uint8_t *batch = NULL;
        size_t size = 0;
        int count = 1 + rand_r(&seed) % 4;
        for (int i = 0; i < count; i++) {
            envelope_t env = random_envelope(&seed, bytes);
            size_t item_size;
            uint8_t *item = write_item(&env, &item_size);
            batch = realloc(batch, size + item_size);
            memcpy(batch + size, item, item_size);
            size += item_size;
            free(item);
        }
        Edri__Wire__Batch *theirs =
            edri__wire__batch__unpack(NULL, size, batch);
        cr_assert_not_null(theirs, "round %d", round);
        cr_assert_eq(theirs->n_events, (size_t)count);
        edri__wire__batch__free_unpacked(theirs, NULL);
        slice_t rest = {batch, size}, item, content;
        int read = 0;
        while (batch_next(&rest, &item, &content)) {
            bool taken;
            const char *wrong = agree(content, &taken);
            cr_assert_null(wrong, "round %d: %s", round, wrong);
            cr_assert(taken);
            read++;
        }
        cr_assert_eq(rest.len, 0);
        cr_assert_eq(read, count);
        free(batch);
    }
}

// ----- what other encoders may write

typedef struct piece {
    uint8_t data[64];
    size_t size;
    int number; // of the field
} piece_t;

static void
put_varint(piece_t *piece, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        piece->data[piece->size++] = (uint8_t)(value | 0x80);
    }
    piece->data[piece->size++] = (uint8_t)value;
}

// random_piece makes one field: known (1 to 15) or unknown.
static piece_t
random_piece(unsigned *seed)
{
    static const int wires[] = {0, 1, 1, 5, 5, 1, 1, 1, 5, 2, 1, 1, 2, 0, 0, 2};
    int number = 1 + rand_r(seed) % 20;
    number = number > 15 ? number * 1000 : number;
    int wire =
        number <= 15 ? wires[number] : (int[]){0, 1, 2, 5}[number / 1000 % 4];
    piece_t piece = {.number = number};
    put_varint(&piece, (uint64_t)number << 3 | (unsigned)wire);
    uint64_t value = random_bits(seed);
    if (wire == 0) {
        // uint32 fields of 5 bytes at most: more is cut by either reader.
        put_varint(&piece, number == 13 ? value & UINT32_MAX : value);
    } else if (wire == 2) {
        size_t size = (size_t)rand_r(seed) % 20;
        put_varint(&piece, size);
        memset(piece.data + piece.size, 'a' + number % 26, size);
        piece.size += size;
    } else {
        memcpy(piece.data + piece.size, &value, wire == 1 ? 8 : 4);
        piece.size += wire == 1 ? 8 : 4;
    }
    return piece;
}

Test(envelope, any_order_unknown_and_repeated_fields)
{
    unsigned seed = 2;
    int taken_count = 0, doubled_count = 0;
    for (int round = 0; round < 20000; round++) {
        uint8_t data[64 * 20];
        size_t size = 0;
        unsigned seen = 0;
        bool doubled = false;
        int count = rand_r(&seed) % 12;
        for (int i = 0; i < count; i++) {
            piece_t piece = random_piece(&seed);
            if (piece.number <= 8) {
                doubled = doubled || (seen & 1u << piece.number) != 0;
                seen |= 1u << piece.number;
            }
            memcpy(data + size, piece.data, piece.size);
            size += piece.size;
        }
        bool taken;
        const char *wrong = agree((slice_t){data, size}, &taken);
        cr_assert_null(wrong, "round %d: %s", round, wrong);
        cr_assert_eq(taken, !doubled, "round %d", round);
        if (doubled) {
            envelope_t env;
            cr_assert_eq(
                envelope_route((slice_t){data, size}, &env), EDRI_PROTO);
        }
        taken_count += taken;
        doubled_count += doubled;
        // Cut anywhere, it is never more than it was and never read past.
        if (size > 0) {
            size_t cut = (size_t)rand_r(&seed) % size;
            uint8_t *exact = malloc(cut + 1);
            memcpy(exact + 1, data, cut);
            wrong = agree((slice_t){exact + 1, cut}, &taken);
            cr_assert_null(wrong, "round %d cut at %zu: %s", round, cut, wrong);
            free(exact);
        }
    }
    cr_expect_gt(taken_count, 1000);
    cr_expect_gt(doubled_count, 1000);
}

Test(envelope, our_own_order_with_a_doubled_field_behind_is_malformed)
{
    // The fast path stops early: a second 'type' far behind must still count
    // where it can change the route.
    envelope_t env = {.type = 5, .id = 6, .flags = 7, .body = {NULL, 0}};
    uint8_t item[64];
    size_t size = envelope_size(&env, 0);
    (void)envelope_write(&env, 0, item, size);
    item[size] = 0x09; // type again
    memset(item + size + 1, 1, 8);
    slice_t content = {item + 2, size - 2 + 9};
    envelope_t got;
    cr_expect_eq(envelope_read(content, &got), EDRI_PROTO);
    cr_expect_eq(envelope_route(content, &got), EDRI_PROTO);
}

Test(envelope, wrong_wire_types_are_malformed)
{
    static const struct {
        uint8_t data[12];
        size_t size;
    } cases[] = {
        {{0x08, 1}, 2},                      // type as varint
        {{0x0d, 1, 2, 3, 4}, 5},             // type as fixed32
        {{0x19, 1, 2, 3, 4, 5, 6, 7, 8}, 9}, // flags as fixed64
        {{0x7d, 1, 2, 3, 4}, 5},             // body as fixed32
        {{0x7b}, 1},                         // a group
        {{0x00, 1}, 2},                      // field 0
        {{0x7a, 0x05, 'a'}, 3},              // body longer than the rest
        {{0x80, 0x80, 0x80}, 3},             // a tag without end
        {{0x68, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
            11}, // a number of more than 64 bits
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        envelope_t env;
        cr_expect_eq(
            envelope_read((slice_t){cases[i].data, cases[i].size}, &env),
            EDRI_PROTO, "case %zu", i);
    }
}

Test(envelope, a_batch_that_breaks_off_says_so)
{
    slice_t item, content;
    static const struct {
        uint8_t data[8];
        size_t size;
        bool fine;
    } cases[] = {
        {{0}, 0, true},
        {{0x0a, 0}, 2, true},              // an empty envelope
        {{0x0a, 5, 1, 2}, 4, false},       // shorter than it says
        {{0x0a}, 1, false},                // no length
        {{0x12, 1, 9, 0x0a, 0}, 5, true},  // an unknown field before it
        {{0x0a, 0, 0x12, 9, 9}, 5, false}, // a broken one behind it
        {{0x08, 1}, 2, false},             // 'events' as a number
        {{0xff, 0xff}, 2, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        slice_t batch = {cases[i].data, cases[i].size};
        while (batch_next(&batch, &item, &content)) {
        }
        cr_expect_eq(batch.len == 0, cases[i].fine, "case %zu", i);
    }
}
