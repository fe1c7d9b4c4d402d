/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/jobwire.h"

#define ID "0123456789abcdef0123456789abcdef"

static const struct {
    const char *name;
    struct jobwire_frame frame;
    size_t payload; /* bytes expected behind the header */
} rows[] = {
    {"start", {.type = JOBWIRE_START, .id = ID, .bytes = "sh -s", .length = 5}, 37},
    {"input", {.type = JOBWIRE_INPUT, .bytes = "a\0b", .length = 3}, 3},
    {"input end", {.type = JOBWIRE_INPUT_END, .offsets = {1ULL << 40}}, 8},
    {"attach", {.type = JOBWIRE_ATTACH, .id = ID, .offsets = {1, UINT64_MAX}}, 48},
    {"ack", {.type = JOBWIRE_ACK, .offsets = {7, 8}}, 16},
    {"signal", {.type = JOBWIRE_SIGNAL, .bytes = "TERM", .length = 4}, 4},
    {"release", {.type = JOBWIRE_RELEASE}, 0},
    {"run", {.type = JOBWIRE_RUN, .id = ID, .bytes = "/d\0ls\0-l\0", .length = 9}, 41},
    {"started", {.type = JOBWIRE_STARTED, .offsets = {0, 0}}, 16},
    {"attached", {.type = JOBWIRE_ATTACHED, .offsets = {5, 6}}, 16},
    {"output",
     {.type = JOBWIRE_OUTPUT, .number = 1, .offsets = {9}, .bytes = "out", .length = 3},
     12},
    {"exit",
     {.type = JOBWIRE_EXIT,
      .number = 143,
      .usage = {3, 1ULL << 33, JOBWIRE_UNKNOWN, 5, 6},
      .offsets = {4, 5},
      .bytes = "TERM",
      .length = 4},
     64},
    {"notice", {.type = JOBWIRE_NOTICE, .number = 1, .bytes = "text", .length = 4}, 5},
    {"refused", {.type = JOBWIRE_REFUSED, .number = 2, .bytes = "no", .length = 2}, 6},
};

static void check_same(const struct jobwire_frame *a, const struct jobwire_frame *b)
{
    assert_int_equal(a->type, b->type);
    assert_string_equal(a->id, b->id);
    assert_int_equal(a->number, b->number);
    assert_memory_equal(&a->usage, &b->usage, sizeof(a->usage));
    assert_memory_equal(a->offsets, b->offsets, sizeof(a->offsets));
    assert_int_equal(a->length, b->length);
    if (a->length > 0) {
        assert_memory_equal(a->bytes, b->bytes, a->length);
    }
}

static void test_what_was_encoded_is_decoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buffer encoded;
        struct jobwire_decoder decoder;
        struct jobwire_frame frame = {0};
        buffer_init(&encoded, 1 << 20);
        jobwire_decoder_init(&decoder);
        print_message("%s\n", rows[i].name);
        assert_int_equal(jobwire_encode(&rows[i].frame, &encoded), 0);
        assert_int_equal(encoded.length, JOBWIRE_HEADER_BYTES + rows[i].payload);
        for (size_t at = 0; at < encoded.length; at++) { /* byte by byte */
            const char *byte = encoded.bytes + at;
            size_t left = 1;
            bool last = at + 1 == encoded.length;
            assert_int_equal(jobwire_decode(&decoder, &byte, &left, &frame),
                             last ? JOBWIRE_FRAME : JOBWIRE_MORE);
        }
        check_same(&rows[i].frame, &frame);
        jobwire_decoder_done(&decoder);
        buffer_done(&encoded);
    }
}

static void test_output_header_is_the_encoder_s(void **state)
{
    (void)state;
    struct jobwire_frame frame = {.type = JOBWIRE_OUTPUT,
                                  .number = JOBWIRE_STDERR,
                                  .offsets = {0x123456789},
                                  .bytes = "abc",
                                  .length = 3};
    char header[JOBWIRE_OUTPUT_HEADER_BYTES];
    struct buffer encoded;
    buffer_init(&encoded, 100);
    assert_int_equal(jobwire_encode(&frame, &encoded), 0);
    jobwire_output_header(header, JOBWIRE_STDERR, 0x123456789, 3);
    assert_memory_equal(encoded.bytes, header, sizeof(header));
    buffer_done(&encoded);
}

/* Two OUTPUT frames, one of them empty, and an EXIT behind them, in pieces of every size, with a
 * reader that takes all but 'kept' bytes of each piece at first. */
static void check_pieces(size_t step, size_t kept)
{
    static const char text[] = "0123456789abcdef";
    struct jobwire_frame output = {
        .type = JOBWIRE_OUTPUT, .number = 1, .offsets = {100}, .bytes = text, .length = 16};
    struct jobwire_frame empty = {.type = JOBWIRE_OUTPUT, .offsets = {7}};
    struct jobwire_frame exited = {.type = JOBWIRE_EXIT, .number = 3};
    struct buffer encoded;
    struct jobwire_decoder decoder;
    buffer_init(&encoded, 1000);
    assert_int_equal(jobwire_encode(&output, &encoded), 0);
    assert_int_equal(jobwire_encode(&empty, &encoded), 0);
    assert_int_equal(jobwire_encode(&exited, &encoded), 0);
    jobwire_decoder_init(&decoder);
    decoder.pieces = true;
    size_t seen = 0;
    unsigned empties = 0;
    struct jobwire_frame frame = {0};
    for (size_t at = 0; at < encoded.length;) {
        const char *bytes = encoded.bytes + at;
        size_t left = encoded.length - at < step ? encoded.length - at : step;
        size_t offered = left;
        while (jobwire_decode(&decoder, &bytes, &left, &frame) == JOBWIRE_FRAME) {
            if (frame.type == JOBWIRE_OUTPUT && frame.length > 0) {
                size_t back = frame.length > kept ? kept : 0;
                assert_int_equal(frame.offsets[0], 100 + seen);
                assert_true(frame.bytes >= encoded.bytes &&
                            frame.bytes < encoded.bytes + encoded.length);
                assert_memory_equal(frame.bytes, text + seen, frame.length);
                jobwire_take_back(&decoder, back, &bytes, &left);
                seen += frame.length - back;
                if (back > 0) {
                    break;
                }
            } else if (frame.type == JOBWIRE_OUTPUT) {
                assert_int_equal(frame.offsets[0], 7);
                empties++;
            }
        }
        at += offered - left;
    }
    assert_int_equal(seen, 16);
    assert_int_equal(empties, 1);
    check_same(&frame, &exited);
    jobwire_decoder_done(&decoder);
    buffer_done(&encoded);
}

static void test_output_comes_in_pieces_where_it_lies(void **state)
{
    (void)state;
    for (size_t step = 1; step < 120; step++) {
        for (size_t kept = 0; kept < 4; kept++) {
            check_pieces(step, kept);
        }
    }
}

static const struct {
    const char *name;
    const char *bytes;
    size_t length;
} broken[] = {
    {"type 0", "\0\0\0\0\0", 5},
    {"type between the sides", "\x09\0\0\0\0", 5},
    {"type above all", "\x47\0\0\0\0", 5},
    {"longer than any frame", "\x01\xff\xff\xff\xff", 5},
    {"one byte above the ceiling", "\x02\0\x01\0\x01", 5},
    {"shorter than its fixed part", "\x01\0\0\0\x1f", 5},
    {"bytes where there are none", "\x07\0\0\0\x01", 5},
    {"an id in capitals",
     "\x01\0\0\0\x20"
     "0123456789ABCDEF0123456789abcdef",
     37},
    {"a stream that is none", "\x43\0\0\0\x09\x02\0\0\0\0\0\0\0\0", 14},
};

static void test_broken_frames_are_refused_for_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct jobwire_decoder decoder;
        struct jobwire_frame frame = {0};
        const char *bytes = broken[i].bytes;
        size_t left = broken[i].length;
        jobwire_decoder_init(&decoder);
        print_message("%s\n", broken[i].name);
        assert_int_equal(jobwire_decode(&decoder, &bytes, &left, &frame), JOBWIRE_BROKEN);
        bytes = "\x07\0\0\0\0";
        left = 5;
        assert_int_equal(jobwire_decode(&decoder, &bytes, &left, &frame), JOBWIRE_BROKEN);
        jobwire_decoder_done(&decoder);
    }
}

static void test_encoder_keeps_the_ceilings(void **state)
{
    (void)state;
    char text[JOBWIRE_TEXT_BYTES + 1] = {0};
    struct jobwire_frame frame = {.type = JOBWIRE_NOTICE, .bytes = text, .length = sizeof(text)};
    struct buffer encoded;
    buffer_init(&encoded, 1 << 20);
    assert_int_equal(jobwire_encode(&frame, &encoded), -1);
    assert_int_equal(encoded.length, 0);
    buffer_done(&encoded);
    buffer_init(&encoded, 8); /* the head fits, the bytes do not */
    frame.length = 10;
    assert_int_equal(jobwire_encode(&frame, &encoded), -1);
    assert_int_equal(encoded.length, 0);
    buffer_done(&encoded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_encoded_is_decoded),
        cmocka_unit_test(test_output_header_is_the_encoder_s),
        cmocka_unit_test(test_output_comes_in_pieces_where_it_lies),
        cmocka_unit_test(test_broken_frames_are_refused_for_good),
        cmocka_unit_test(test_encoder_keeps_the_ceilings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
