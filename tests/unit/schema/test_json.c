// SPDX-License-Identifier: MIT
// test_json.c - the JSON mapping: what is written, what is read, what is
// refused and how that is said.

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "older.edri.h"
#include "schema/json.h"
#include "shop.edri.h"
#include "types.edri.h"

TestSuite(json, .timeout = 30);

static Types__Every *
read_every(const char *text)
{
    char why[256] = "";
    ProtobufCMessage *message = NULL;
    cr_assert_eq(
        json_read(&types__every__descriptor, text, &message, why, sizeof why),
        EDRI_OK, "%s: %s", text, why);
    return (Types__Every *)message;
}

Test(json, example)
{
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    order.id = 12345678901234567890u;
    order.sku = (char[]){"a \"b\""};
    char *text = json_write(&order.base, 0);
    cr_expect_str_eq(
        text, "{\"id\":\"12345678901234567890\",\"sku\":\"a \\\"b\\\"\"}");
    char why[256];
    ProtobufCMessage *message = NULL;
    cr_assert_eq(json_read(&shop__order_placed__descriptor, text, &message, why,
                     sizeof why),
        EDRI_OK);
    cr_expect_eq(((Shop__OrderPlaced *)message)->id, order.id);
    protobuf_c_message_free_unpacked(message, NULL);
    free(text);
}

// Each text is what protobuf's own JSON mapping gives for the message.
Test(json, canonical_forms)
{
    static const char *const texts[] = {
        "{}",
        "{\"aDouble\":1.5,\"aFloat\":0.25,\"anInt32\":-1,\"anInt64\":\"-2\","
        "\"aUint32\":3,\"aUint64\":\"4\",\"aSint32\":-5,\"aSint64\":\"-6\","
        "\"aFixed32\":7,\"aFixed64\":\"8\",\"aSfixed32\":-9,"
        "\"aSfixed64\":\"-10\",\"aBool\":true,\"aString\":\"x\","
        "\"aBytes\":\"AAH/\",\"aColour\":\"RED\","
        "\"anInner\":{\"number\":1,\"more\":[{},{\"number\":2}]}}",
        "{\"aDouble\":\"NaN\"}",
        "{\"aDouble\":\"-Infinity\",\"aFloat\":\"Infinity\"}",
        "{\"aBytes\":\"AA==\"}",
        "{\"aColour\":\"DARK\"}",
        "{\"aColour\":77}",
        "{\"ints\":[1,-2,3],\"loose\":[\"0\"],\"strings\":[\"\",\"b\"],"
        "\"colours\":[\"NONE\",\"GREEN\"],\"bools\":[true,false]}",
        "{\"chosenText\":\"\"}",
        "{\"chosenNumber\":\"0\"}",
        "{\"chosenInner\":{}}",
        "{\"counts\":{\"a\":1,\"b\":2},\"byNumber\":{\"-7\":{\"number\":3}},"
        "\"byBool\":{\"true\":\"yes\"}}",
        "{\"at\":\"2026-11-23T15:04:05Z\",\"lasts\":\"1.500s\"}",
        "{\"at\":\"0001-01-01T00:00:00.000000001Z\","
        "\"lasts\":\"-315576000000s\"}",
        "{\"at\":\"9999-12-31T23:59:59.999999Z\",\"lasts\":\"-0.250s\"}",
        "{\"maybe\":\"0\",\"maybeText\":\"\"}",
        "{\"times\":[\"1970-01-01T00:00:00Z\",\"1969-12-31T23:59:59.900Z\"]}",
        "{\"keyText\":\"\\u20ac\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        Types__Every *message = read_every(texts[i]);
        char *text = json_write(&message->base, 0);
        if (strstr(texts[i], "\\u") == NULL) {
            cr_expect_str_eq(text, texts[i]);
        } else {
            cr_expect_str_eq(text, "{\"keyText\":\"\xe2\x82\xac\"}");
        }
        free(text);
        types__every__free_unpacked(message, NULL);
    }
}

Test(json, what_readers_accept_beyond_that)
{
    Types__Every *message =
        read_every("{\"a_double\":3,\"an_int64\":7,\"aUint64\":8,"
                   "\"a_string\":null,\"a_colour\":2,\"anInt32\":\"12\","
                   "\"aFloat\":\"1.5\",\"aBytes\":\"_-8\","
                   "\"at\":\"2026-01-31T14:00:00+02:00\"}");
    cr_expect_eq(message->a_double, 3);
    cr_expect_eq(message->an_int64, 7);
    cr_expect_eq(message->a_uint64, 8);
    cr_expect_str_eq(message->a_string, "");
    cr_expect_eq(message->a_colour, TYPES__COLOUR__GREEN);
    cr_expect_eq(message->an_int32, 12);
    cr_expect_eq(message->a_float, 1.5f);
    cr_assert_eq(message->a_bytes.len, 2);
    cr_expect(
        message->a_bytes.data[0] == 0xff && message->a_bytes.data[1] == 0xef);
    cr_expect_eq(message->at->seconds, 1769860800);
    types__every__free_unpacked(message, NULL);
}

Test(json, wrong_texts_are_refused_with_their_place)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "line 1, column 0"},
        {"{\"aDouble\":}", "line 1, column"},
        {"{\"aBool\":true,\"aBool\":true}", "line 1"},
        {"[]", "an object is expected, got an array"},
        {"{\"nothing\":1}",
            "nothing: no such field; types.Every has: a_double"},
        {"{\"anInt32\":2147483648}", "anInt32: out of range, -2147483648 to"},
        {"{\"aUint32\":-1}", "aUint32: out of range"},
        {"{\"aUint64\":\"18446744073709551616\"}", "aUint64: "},
        {"{\"anInt64\":\"7x\"}", "anInt64: \"7x\" is no whole number"},
        {"{\"anInt32\":1.5}", "anInt32: a whole number is expected"},
        {"{\"aBool\":1}", "aBool: true or false is expected, got a number"},
        {"{\"aString\":5}", "aString: a string is expected, got a number"},
        {"{\"aBytes\":\"A?\"}", "aBytes: '?' is no base64"},
        {"{\"aBytes\":\"A\"}", "aBytes: the string is no base64"},
        {"{\"aColour\":\"BLUE\"}", "aColour: \"BLUE\" is no value of"},
        {"{\"ints\":5}", "ints: an array is expected"},
        {"{\"ints\":[1,null]}",
            "ints[1]: a whole number is expected, got null"},
        {"{\"anInner\":{\"more\":[{},{\"number\":\"x\"}]}}",
            "anInner.more[1].number: \"x\" is no whole number"},
        {"{\"chosenText\":\"a\",\"chosenNumber\":1}",
            "another of its oneof is set, too"},
        {"{\"counts\":[]}", "counts: an object is expected, got an array"},
        {"{\"counts\":{\"a\":\"x\"}}", "counts.a: \"x\" is no whole number"},
        {"{\"counts\":{\"a\":null}}",
            "counts.a: a value is expected, got null"},
        {"{\"byNumber\":{\"one\":{}}}", "byNumber.one: \"one\" is no whole"},
        {"{\"byBool\":{\"maybe\":\"x\"}}", "byBool.maybe: true or false"},
        {"{\"at\":\"yesterday\"}", "at: a time such as \"2026-01-31T12:00"},
        {"{\"at\":\"2026-02-30T00:00:00Z\"}", "at: a time such as"},
        {"{\"at\":\"2026-01-31T24:00:00Z\"}", "at: a time such as"},
        {"{\"at\":\"2026-01-31T12:00:00\"}", "at: a time such as"},
        {"{\"at\":5}", "at: a time such as"},
        {"{\"lasts\":\"5\"}", "lasts: a duration such as \"1.5s\""},
        {"{\"lasts\":\"999999999999s\"}", "lasts: a duration such as"},
        {"{\"anInner\":{},\"an_inner\":{}}", "this field is set twice"},
        {"{\"maybe\":true}", "maybe: a whole number is expected, got true"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char why[256] = "";
        ProtobufCMessage *message = NULL;
        cr_expect_eq(json_read(&types__every__descriptor, cases[i].text,
                         &message, why, sizeof why),
            EDRI_INVAL, "%s was taken", cases[i].text);
        cr_expect_null(message);
        cr_expect_not_null(
            strstr(why, cases[i].why), "%s: said \"%s\"", cases[i].text, why);
    }
}

Test(json, required_fields_of_proto2)
{
    char why[256] = "";
    ProtobufCMessage *message = NULL;
    cr_expect_eq(json_read(&older__settled__descriptor, "{\"id\":1}", &message,
                     why, sizeof why),
        EDRI_INVAL);
    cr_expect_str_eq(why, "part: this field is required");
    cr_expect_eq(json_read(&older__settled__descriptor,
                     "{\"id\":1,\"part\":{}}", &message, why, sizeof why),
        EDRI_INVAL);
    cr_expect_str_eq(why, "part.name: this field is required");
}

Test(json, a_deep_text_is_refused)
{
    char text[4096] = "";
    for (int i = 0; i < 100; i++) {
        strcat(text, i == 0 ? "{\"anInner\":" : "{\"more\":[");
    }
    strcat(text, "{}");
    for (int i = 99; i >= 0; i--) {
        strcat(text, i == 0 ? "}" : "]}");
    }
    char why[256] = "";
    ProtobufCMessage *message = NULL;
    cr_expect_eq(
        json_read(&types__every__descriptor, text, &message, why, sizeof why),
        EDRI_INVAL);
    cr_expect_not_null(strstr(why, "nested too deep"), "%s", why);
}

Test(json, bytes_that_are_no_text_are_still_written)
{
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    order.sku = (char[]){"a\xff"
                         "b\n"};
    char *text = json_write(&order.base, 0);
    cr_expect_str_eq(text, "{\"sku\":\"a\xef\xbf\xbd"
                           "b\\n\"}");
    free(text);
    text = json_write(&order.base, 2);
    cr_expect_not_null(strstr(text, "\n  \"sku\": "));
    free(text);
}

// Names lie: what calls itself a Timestamp is looked at before it is believed.
Test(json, a_false_timestamp_is_a_plain_object)
{
    ProtobufCMessageDescriptor lie = shop__order_placed__descriptor;
    lie.name = "google.protobuf.Timestamp";
    Shop__OrderPlaced order = SHOP__ORDER_PLACED__INIT;
    order.base.descriptor = &lie;
    order.id = 5;
    char *text = json_write(&order.base, 0);
    cr_expect_str_eq(text, "{\"id\":\"5\"}");
    free(text);
}
