// SPDX-License-Identifier: MIT
// test_small.c - errors, log, clock, SHA-256, type ids.

#include <criterion/criterion.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "edri/log.h"
#include "edri/type.h"
#include "shop.edri.h"

TestSuite(small, .timeout = 30);

Test(small, example)
{
    cr_expect_str_eq(edri_err_name(EDRI_NO_RESPONDER), "NO_RESPONDER");
    cr_expect_str_eq(
        edri_err_text(EDRI_NO_RESPONDER), "nobody handles this request");
    cr_expect_str_eq(edri_err_name((edri_err_t)9999), "UNKNOWN");
    cr_expect_str_eq(edri_err_text((edri_err_t)9999), "unknown error");
    char *text = str_printf("%d %s", 7, "x");
    cr_expect_str_eq(text, "7 x");
    free(text);
    cr_expect_null(str_dup(NULL));
    cr_expect(streq(NULL, NULL) && !streq("a", NULL) && streq("a", "a"));
}

static void
hex(const uint8_t digest[32], char out[65])
{
    for (int i = 0; i < 32; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
}

// The examples of FIPS 180-4, and every length around a block's end against
// the digest of all their digests, from Python's hashlib.
Test(small, sha256_of_the_standard)
{
    static const struct {
        const char *text, *digest;
    } cases[] = {
        {"",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    uint8_t digest[32];
    char text[65];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sha256(cases[i].text, strlen(cases[i].text), digest);
        hex(digest, text);
        cr_expect_str_eq(text, cases[i].digest);
    }
    static char many[1000000];
    memset(many, 'a', sizeof many);
    sha256(many, sizeof many, digest);
    hex(digest, text);
    cr_expect_str_eq(text,
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    uint8_t all[130 * 32];
    for (size_t i = 0; i < 130; i++) {
        sha256(many, i, all + i * 32);
    }
    sha256(all, sizeof all, digest);
    hex(digest, text);
    cr_expect_str_eq(text,
        "39a48225ae6069c68f7c9f867bf47f4a2e188c3903dd919926b8259a73ecada5");
}

Test(small, type_ids_are_the_names_digest)
{
    // printf shop.Quote | sha256sum | head -c 16
    cr_expect_eq(edri_type_id("shop.Quote"), 0x9a1d907637119107u);
    cr_expect_eq(shop_quote_type.id, edri_type_id("shop.Quote"));
    cr_expect_eq(edri_type_check(&shop_quote_type), EDRI_OK);

    edri_type_t bad = shop_quote_type;
    bad.reply = NULL;
    cr_expect_eq(edri_type_check(&bad), EDRI_INVAL, "a request needs a reply");
    bad = shop_quote_type;
    bad.id++;
    cr_expect_eq(edri_type_check(&bad), EDRI_INVAL, "the id is the name's");
    bad = shop_quote_type;
    bad.priority = 8;
    cr_expect_eq(edri_type_check(&bad), EDRI_INVAL);
    cr_expect_eq(edri_type_check(NULL), EDRI_INVAL);
}

typedef struct lines {
    int count;
    edri_log_level_t level;
    char id[32];
    char text[3000];
} lines_t;

static void
keep(edri_log_level_t level, const char *id, const char *text, void *arg)
{
    lines_t *lines = arg;
    lines->count++;
    lines->level = level;
    (void)snprintf(lines->id, sizeof lines->id, "%s", id);
    (void)snprintf(lines->text, sizeof lines->text, "%s", text);
}

Test(small, log_goes_to_the_sink)
{
    lines_t lines = {0};
    edri_log_warn("TEST-EARLY", "nobody=listens");
    edri_log_set(keep, &lines, EDRI_LOG_WARN);
    edri_log_info("TEST-INFO", "below=1");
    cr_expect_eq(lines.count, 0);
    edri_log_warn("TEST-WARN", "peer=%s", "evil\nWARN FORGED x=1\x7f");
    cr_expect_eq(lines.count, 1);
    cr_expect_eq(lines.level, EDRI_LOG_WARN);
    cr_expect_str_eq(lines.id, "TEST-WARN");
    cr_expect_str_eq(lines.text, "peer=evil?WARN FORGED x=1?");
    char *endless = mem_new(100001);
    memset(endless, 'x', 100000);
    edri_log_error("TEST-LONG", "%s", endless);
    cr_expect_eq(lines.count, 2);
    cr_expect_gt(strlen(lines.text), 500);
    free(endless);
    edri_log_set(NULL, NULL, EDRI_LOG_DEBUG);
    edri_log_error("TEST-OFF", "off=1");
    cr_expect_eq(lines.count, 2);
}

Test(small, time_goes_on_and_lives_are_younger)
{
    int64_t before = clock_ns();
    uint64_t life = life_new();
    int64_t us = clock_us();
    while (clock_us() < us + 2) { // of one moment they are in no order
    }
    cr_expect_gt(life_new(), life);
    cr_expect_gt(clock_ns(), before);
    cr_expect_gt(clock_unix_us(), 1700000000000000);
    cr_expect_lt(clock_ms() - clock_us() / 1000, 2);
    cr_expect_neq(random_u64(), random_u64());
}
