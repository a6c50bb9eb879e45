// SPDX-License-Identifier: MIT
// test_stream.c - messages of parts on a stream of bytes.

#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "wire/envelope.h"
#include "wire/stream.h"

TestSuite(stream, .timeout = 10);

#define MOST ((size_t)1024 * 1024)

// add writes a message with parts of these lengths, each filled with its byte.
static size_t
add(uint8_t *out, const size_t *lengths, size_t count, uint8_t fill)
{
    size_t size = stream_header(lengths, count, out);
    for (size_t i = 0; i < count; i++) {
        memset(out + size, fill + (int)i, lengths[i]);
        size += lengths[i];
    }
    return size;
}

// feed gives the reader up to 'step' bytes.  Returns how many.
static size_t
feed(stream_t *stream, const uint8_t *bytes, size_t size, size_t step)
{
    size_t room = 0;
    uint8_t *place = stream_room(stream, &room);
    cr_assert_gt(room, 0);
    size = size < step ? size : step;
    size = size < room ? size : room;
    memcpy(place, bytes, size);
    stream_filled(stream, size);
    return size;
}

Test(stream, example)
{
    uint8_t bytes[64];
    size_t lengths[] = {3, 5};
    size_t size = add(bytes, lengths, 2, 'a');
    stream_t *stream = stream_new(MOST);
    stream_message_t message;
    const char *why = NULL;
    cr_expect_eq(stream_next(stream, &message, &why), EDRI_AGAIN);
    cr_assert_eq(feed(stream, bytes, size, size), size);
    cr_assert_eq(stream_next(stream, &message, &why), EDRI_OK);
    cr_expect_eq(message.head.len, 3);
    cr_expect_eq(message.batch.len, 5);
    cr_expect_eq(memcmp(message.head.data, "aaabbbbb", 8), 0);
    cr_expect_null(message.blob);
    cr_expect_eq(stream_next(stream, &message, &why), EDRI_AGAIN);
    stream_destroy(&stream);
}

// check_row reads a row of messages that comes in pieces of 'step' bytes.
static void
check_row(const uint8_t *bytes, size_t size, size_t step, unsigned expected)
{
    stream_t *stream = stream_new(MOST);
    stream_message_t message;
    const char *why = NULL;
    unsigned seen = 0;
    for (size_t at = 0; at < size;) {
        at += feed(stream, bytes + at, size - at, step);
        edri_err_t err = EDRI_OK;
        while ((err = stream_next(stream, &message, &why)) == EDRI_OK) {
            uint8_t fill = (uint8_t)(10 * seen++);
            for (size_t i = 0; i < message.head.len; i++) {
                cr_assert_eq(message.head.data[i], fill);
            }
            for (size_t i = 0; i < message.batch.len; i++) {
                cr_assert_eq(message.batch.data[i], fill + 1);
            }
            if (message.blob != NULL) {
                const uint8_t *data = blob_data(message.blob);
                size_t last = blob_size(message.blob) - 1;
                cr_assert_eq(data[0], fill + 2);
                cr_assert_eq(data[last / 2], fill + 2);
                cr_assert_eq(data[last], fill + 2);
                blob_drop(&message.blob);
            }
        }
        cr_assert_eq(err, EDRI_AGAIN);
    }
    cr_expect_eq(seen, expected, "step %zu: %u", step, seen);
    stream_destroy(&stream);
}

Test(stream, pieces_of_any_size_give_the_same_messages)
{
    static const size_t rows[][3] = {{0, 0, 0}, {5, 60, 0}, {2, 7, 9000},
        {1, 65536, 200000}, {100000, 3, 0}, {4, 4, 1}};
    static const size_t counts[] = {1, 2, 3, 3, 2, 3};
    uint8_t *bytes = mem_new(2 * MOST);
    size_t size = 0;
    for (size_t i = 0; i < 6; i++) {
        size += add(bytes + size, rows[i], counts[i], (uint8_t)(10 * i));
    }
    static const size_t steps[] = {1, 3, 13, 100, 4096, 65536, 2 * MOST};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        check_row(bytes, size, steps[i], 6);
    }
    free(bytes);
}

static void
expect_refused(const size_t *lengths, size_t count, edri_err_t expected)
{
    uint8_t header[STREAM_HEADER_MAX];
    size_t size = stream_header(lengths, count, header);
    stream_t *stream = stream_new(MOST);
    stream_message_t message;
    const char *why = NULL;
    (void)feed(stream, header, size, size);
    cr_expect_eq(stream_next(stream, &message, &why), expected);
    cr_expect_not_null(why);
    (void)feed(stream, header, size, size);
    cr_expect_eq(stream_next(stream, &message, &why), expected, "for ever");
    stream_destroy(&stream);
}

Test(stream, lengths_over_their_limits_are_refused_before_they_come)
{
    expect_refused((size_t[]){2 * MOST + 1}, 1, EDRI_TOO_BIG);
    expect_refused((size_t[]){1, WIRE_BATCH_MAX + 1}, 2, EDRI_TOO_BIG);
    expect_refused((size_t[]){1, 1, MOST + 1}, 3, EDRI_TOO_BIG);
    expect_refused((size_t[]){0xffffffff, 1, 1}, 3, EDRI_TOO_BIG);
}

Test(stream, no_parts_and_too_many_are_refused)
{
    static const uint8_t firsts[] = {0, 4, 255};
    for (size_t i = 0; i < sizeof firsts; i++) {
        stream_t *stream = stream_new(MOST);
        stream_message_t message;
        const char *why = NULL;
        (void)feed(stream, &firsts[i], 1, 1);
        cr_expect_eq(stream_next(stream, &message, &why), EDRI_PROTO);
        stream_destroy(&stream);
    }
}

Test(stream, an_attachment_that_is_not_whole_is_freed_with_the_reader)
{
    uint8_t bytes[64];
    size_t lengths[] = {1, 1, 9};
    size_t size = add(bytes, lengths, 3, 'a');
    stream_t *stream = stream_new(MOST);
    stream_message_t message;
    const char *why = NULL;
    (void)feed(stream, bytes, size - 1, size);
    cr_expect_eq(stream_next(stream, &message, &why), EDRI_AGAIN);
    stream_destroy(&stream);
}
