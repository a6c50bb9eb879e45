// SPDX-License-Identifier: MIT
// test_schema.c - descriptors built at run time against generated code.

#include <criterion/criterion.h>

#include "base/alloc.h"
#include "base/sha256.h"
#include "older.edri.h"
#include "schema/json.h"
#include "schema/schema.h"
#include "shop.edri.h"
#include "support/random_message.h"
#include "types.edri.h"

TestSuite(schema, .timeout = 60);

static schema_t *
open_schema(const edri_file_t *file)
{
    char why[256] = "";
    schema_t *schema = NULL;
    cr_assert_eq(
        schema_new((slice_t){file->data, file->size}, &schema, why, sizeof why),
        EDRI_OK, "%s", why);
    return schema;
}

Test(schema, example)
{
    // Generated code carries its own descriptor: all a stranger needs.
    schema_t *schema = open_schema(shop_quote_type.file);
    const edri_type_t *type = schema_type(schema, "shop.Quote");
    cr_assert_not_null(type);
    cr_expect_eq(type->id, shop_quote_type.id);
    cr_expect_eq(type->kind, EDRI_REQUEST);
    cr_expect_eq(type->timeout_ms, 2000);
    cr_expect_str_eq(type->reply->name, "shop.QuoteReply");
    cr_expect_null(schema_type(schema, "shop.QuoteReply"), "no event");
    cr_expect_not_null(schema_message(schema, "shop.QuoteReply"));
    cr_expect_null(schema_type(schema, "shop.Nothing"));
    const edri_type_t *const *types = NULL;
    cr_expect_eq(schema_types(schema, &types), 5);
    uint8_t digest[32];
    sha256(shop_quote_type.file->data, shop_quote_type.file->size, digest);
    cr_expect_arr_eq(digest, shop_quote_type.file->sha256, 32);
    schema_destroy(&schema);
    cr_expect_null(schema);
    schema_destroy(&schema);
}

// same_type compares what generated code says of a type with what the same
// file says at run time.
static void
same_type(const edri_type_t *made)
{
    schema_t *schema = open_schema(made->file);
    const edri_type_t *read = schema_type(schema, made->name);
    cr_assert_not_null(read, "%s", made->name);
    cr_expect_eq(read->kind, made->kind);
    cr_expect_eq(read->deliver, made->deliver);
    cr_expect_eq(read->overflow, made->overflow);
    cr_expect_eq(read->shareable, made->shareable);
    cr_expect_eq(read->priority, made->priority);
    cr_expect_eq(read->timeout_ms, made->timeout_ms);
    cr_expect(streq(read->key, made->key));
    cr_assert_eq(read->message->n_fields, made->message->n_fields);
    for (unsigned i = 0; i < made->message->n_fields; i++) {
        const ProtobufCFieldDescriptor *a = &made->message->fields[i];
        const ProtobufCFieldDescriptor *b = &read->message->fields[i];
        cr_expect_str_eq(a->name, b->name);
        cr_expect(a->id == b->id && a->type == b->type && a->label == b->label,
            "%s.%s", made->name, a->name);
        cr_expect_eq(a->flags, b->flags, "%s.%s: flags %x, %x", made->name,
            a->name, a->flags, b->flags);
    }
    char why[256];
    cr_expect_eq(schema_compatible(made, read, why, sizeof why), EDRI_OK);
    cr_expect_eq(schema_compatible(read, made, why, sizeof why), EDRI_OK);
    cr_expect_eq(
        schema_same_options(made, read, why, sizeof why), EDRI_OK, "%s", why);
    schema_destroy(&schema);
}

Test(schema, says_the_same_as_generated_code)
{
    same_type(&shop_order_placed_type);
    same_type(&shop_quote_type);
    same_type(&shop_inside_type);
    same_type(&types_every_type);
    same_type(&older_settled_type);
}

// packed packs into a new buffer.
static uint8_t *
packed(const ProtobufCMessage *message, size_t *size)
{
    *size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(*size + 1);
    cr_assert_eq(protobuf_c_message_pack(message, bytes), *size);
    return bytes;
}

// there_and_back: random messages through generated code, through descriptors
// of run time, and through JSON, are the same bytes everywhere.
static void
there_and_back(const edri_type_t *made, unsigned seed)
{
    schema_t *schema = open_schema(made->file);
    const ProtobufCMessageDescriptor *read =
        schema_message(schema, made->message->name);
    out_t *out = calloc(1, sizeof *out);
    for (int round = 0; round < 1000; round++) {
        out->size = 0;
        random_fields(out, made->message, &seed, 0);
        ProtobufCMessage *first = protobuf_c_message_unpack(
            made->message, NULL, out->size, out->data);
        cr_assert_not_null(first, "round %d", round);
        size_t size, other_size;
        uint8_t *bytes = packed(first, &size);
        ProtobufCMessage *second =
            protobuf_c_message_unpack(read, NULL, size, bytes);
        cr_assert_not_null(second, "round %d", round);
        uint8_t *other = packed(second, &other_size);
        cr_assert(size == other_size && memcmp(bytes, other, size) == 0,
            "round %d: packed anew, it differs", round);
        free(other);

        char *json = json_write(first, 0);
        char *same = json_write(second, 0);
        cr_assert_str_eq(json, same);
        char why[256] = "";
        ProtobufCMessage *third = NULL;
        cr_assert_eq(json_read(read, json, &third, why, sizeof why), EDRI_OK,
            "round %d: %s in %s", round, why, json);
        other = packed(third, &other_size);
        cr_assert(size == other_size && memcmp(bytes, other, size) == 0,
            "round %d: another after JSON: %s", round, json);
        free(other);
        free(json);
        free(same);
        free(bytes);
        protobuf_c_message_free_unpacked(first, NULL);
        protobuf_c_message_free_unpacked(second, NULL);
        protobuf_c_message_free_unpacked(third, NULL);
    }
    free(out);
    schema_destroy(&schema);
}

Test(schema, random_messages_there_and_back)
{
    there_and_back(&types_every_type, 3);
    there_and_back(&older_settled_type, 4);
    there_and_back(&shop_quote_type, 5);
}

Test(schema, defaults_of_proto2_are_kept)
{
    schema_t *schema = open_schema(older_settled_type.file);
    const ProtobufCMessageDescriptor *read =
        schema_message(schema, "older.Settled");
    ProtobufCMessage *message = NULL;
    char why[256] = "";
    cr_assert_eq(json_read(read, "{\"id\":1,\"part\":{\"name\":\"x\"}}",
                     &message, why, sizeof why),
        EDRI_OK, "%s", why);
    Older__Settled init = OLDER__SETTLED__INIT;
    const ProtobufCFieldDescriptor *text =
        protobuf_c_message_descriptor_get_field_by_name(read, "text");
    const ProtobufCFieldDescriptor *count =
        protobuf_c_message_descriptor_get_field_by_name(read, "count");
    const ProtobufCFieldDescriptor *data =
        protobuf_c_message_descriptor_get_field_by_name(read, "data");
    const uint8_t *base = (const uint8_t *)message;
    cr_expect_str_eq(*(char *const *)(base + text->offset), init.text);
    cr_expect_eq(*(const int64_t *)(base + count->offset), init.count);
    const ProtobufCBinaryData *bytes = (const void *)(base + data->offset);
    cr_assert_eq(bytes->len, init.data.len);
    cr_expect_arr_eq(bytes->data, init.data.data, bytes->len);
    protobuf_c_message_free_unpacked(message, NULL);
    schema_destroy(&schema);
}

// ----- bytes from the network

Test(schema, any_broken_bytes_are_an_error)
{
    const edri_file_t *file = types_every_type.file;
    uint8_t *bytes = malloc(file->size);
    unsigned seed = 6;
    int fine = 0;
    for (int round = 0; round < 4000; round++) {
        memcpy(bytes, file->data, file->size);
        size_t size = file->size;
        for (int i = rand_r(&seed) % 4; i >= 0; i--) {
            bytes[(size_t)rand_r(&seed) % size] ^=
                (uint8_t)(1 << rand_r(&seed) % 8);
        }
        if (rand_r(&seed) % 4 == 0) {
            size = (size_t)rand_r(&seed) % size;
        }
        char why[256] = "";
        schema_t *schema = NULL;
        edri_err_t err =
            schema_new((slice_t){bytes, size}, &schema, why, sizeof why);
        cr_assert_eq(err == EDRI_OK, schema != NULL);
        cr_assert(err == EDRI_OK || why[0] != '\0', "an error without a text");
        fine += err == EDRI_OK;
        schema_destroy(&schema);
    }
    cr_expect_lt(fine, 4000);
    free(bytes);

    schema_t *schema = NULL;
    char why[256] = "";
    cr_expect_neq(
        schema_new((slice_t){(const uint8_t *)"x", 1}, &schema, why, 256),
        EDRI_OK);
    uint8_t *large = calloc(1, 2 << 20);
    cr_expect_eq(
        schema_new((slice_t){large, 2 << 20}, &schema, why, 256), EDRI_TOO_BIG);
    free(large);
}

// ----- two nodes with different files

Test(schema, options_that_differ_are_named)
{
    char why[256] = "";
    static const edri_type_t base = {.name = "t", .kind = EDRI_REQUEST};
#define DIFFERS(field, value, option)                                         \
    do {                                                                      \
        edri_type_t other = base;                                             \
        other.field = (value);                                                \
        cr_expect_eq(schema_same_options(&base, &other, why, 256),            \
            EDRI_MISMATCH, "%s", #field);                                     \
        cr_expect_not_null(strstr(why, "'" option "'"), "%s", why);           \
        cr_expect_eq(schema_same_options(&other, &other, why, 256), EDRI_OK); \
    } while (0)
    DIFFERS(deliver, EDRI_ONE, "deliver");
    DIFFERS(overflow, EDRI_LATEST, "overflow");
    DIFFERS(shareable, true, "shareable");
    DIFFERS(idempotent, true, "idempotent");
    DIFFERS(priority, 1, "priority");
    DIFFERS(timeout_ms, 1, "timeout");
    DIFFERS(retained, true, "retain");
    DIFFERS(attempts, 2, "retry");
#undef DIFFERS
    // Once is once, and what nobody waits for may be anything.
    edri_type_t once = base;
    once.attempts = 1;
    once.backoff_ms = 5;
    once.retain_count = 3;
    cr_expect_eq(schema_same_options(&base, &once, why, 256), EDRI_OK);
    edri_type_t note = once;
    note.kind = EDRI_NOTIFICATION;
    edri_type_t late = note;
    late.timeout_ms = 7;
    cr_expect_eq(schema_same_options(&note, &late, why, 256), EDRI_OK);
}

Test(schema, a_difference_is_named)
{
    char why[256] = "";
    edri_type_t other = shop_quote_type;
    cr_expect_eq(
        schema_compatible(&shop_quote_type, &other, why, sizeof why), EDRI_OK);

    other.kind = EDRI_NOTIFICATION;
    cr_expect_eq(schema_compatible(&shop_quote_type, &other, why, sizeof why),
        EDRI_MISMATCH);
    cr_expect_not_null(strstr(why, "'kind'"), "%s", why);
    other = shop_quote_type;
    other.key = "symbol";
    cr_expect_eq(schema_compatible(&shop_quote_type, &other, why, sizeof why),
        EDRI_MISMATCH);
    cr_expect_not_null(strstr(why, "'key'"), "%s", why);
    other = shop_quote_type;
    other.durable = true;
    cr_expect_eq(schema_compatible(&shop_quote_type, &other, why, sizeof why),
        EDRI_MISMATCH);
    cr_expect_not_null(strstr(why, "'durable'"), "%s", why);
    other = shop_quote_type;
    other.reply = &shop__order_placed__descriptor;
    cr_expect_eq(schema_compatible(&shop_quote_type, &other, why, sizeof why),
        EDRI_MISMATCH);
    cr_expect_not_null(strstr(why, "shop.OrderPlaced"), "%s", why);

    // A field of another type, deep inside.
    ProtobufCFieldDescriptor fields[3];
    memcpy(fields, shop__quote_reply__descriptor.fields, sizeof fields);
    fields[0].type = PROTOBUF_C_TYPE_STRING;
    ProtobufCMessageDescriptor reply = shop__quote_reply__descriptor;
    reply.fields = fields;
    other = shop_quote_type;
    other.reply = &reply;
    cr_expect_eq(schema_compatible(&shop_quote_type, &other, why, sizeof why),
        EDRI_MISMATCH);
    cr_expect_str_eq(why, "shop.QuoteReply: field 1 'price' is double here, "
                          "'price' is string there");
    // A field that only one side has is fine.
    memcpy(fields, shop__quote_reply__descriptor.fields, sizeof fields);
    reply.n_fields = 2;
    ProtobufCIntRange ranges[] = {{1, 0}, {0, 2}};
    reply.n_field_ranges = 1;
    reply.field_ranges = ranges;
    cr_expect_eq(schema_compatible(&shop_quote_type, &other, why, sizeof why),
        EDRI_OK, "%s", why);
    cr_expect_eq(schema_compatible(&other, &shop_quote_type, why, sizeof why),
        EDRI_OK, "%s", why);
}

// A tree with two branches of its own type: comparing it must not take 2^depth
// steps.
Test(schema, types_that_contain_themselves, .timeout = 5)
{
    ProtobufCFieldDescriptor fields[2][8] = {{{0}}};
    ProtobufCMessageDescriptor trees[2];
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    ProtobufCIntRange ranges[] = {{1, 0}, {0, 8}};
    edri_type_t types[2];
    for (int side = 0; side < 2; side++) {
        trees[side] = types__every__inner__descriptor;
        trees[side].fields = fields[side];
        trees[side].n_fields = 8;
        trees[side].n_field_ranges = 1;
        trees[side].field_ranges = ranges;
        for (uint32_t i = 0; i < 8; i++) {
            fields[side][i].id = i + 1;
            fields[side][i].name = names[i];
            fields[side][i].type = PROTOBUF_C_TYPE_MESSAGE;
            fields[side][i].descriptor = &trees[side];
        }
        types[side] = shop_order_placed_type;
        types[side].message = &trees[side];
    }
    char why[256] = "";
    cr_expect_eq(
        schema_compatible(&types[0], &types[1], why, sizeof why), EDRI_OK);
}
