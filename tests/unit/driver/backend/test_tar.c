/* SPDX-License-Identifier: MIT */
/* What tar(1) reads is checked by the tests with an engine; here the bytes and the limits. */
#include "driver/backend/tar.h"

#include "tests/unit/driver/rows.h"

static unsigned checksum(const unsigned char *header)
{
    unsigned sum = 0;
    for (int i = 0; i < 512; i++) {
        sum += i >= 148 && i < 156 ? ' ' : header[i];
    }
    return sum;
}

static void writes_entries(void **state)
{
    (void)state;
    struct buffer archive;
    buffer_init(&archive, 1 << 16);
    assert_int_equal(tar_directory(&archive, "d", 01777), 0);
    assert_int_equal(tar_file(&archive, "d/f", 0755, "abc", 3), 0);
    assert_int_equal(tar_file(&archive, "d/empty", 0644, NULL, 0), 0);
    assert_int_equal(tar_end(&archive), 0);
    assert_int_equal(archive.length, 6 * 512);
    const char *directory = archive.bytes;
    const char *file = archive.bytes + 512;
    assert_string_equal(directory, "d");
    assert_string_equal(directory + 100, "0001777");
    assert_int_equal(directory[156], '5');
    assert_string_equal(file, "d/f");
    assert_string_equal(file + 100, "0000755");
    assert_string_equal(file + 124, "00000000003");
    assert_memory_equal(file + 257, "ustar\00000", 8);
    assert_memory_equal(file + 512, "abc\0\0", 5);
    for (int i = 0; i < 2; i++) {
        const unsigned char *header = (const unsigned char *)archive.bytes + (size_t)i * 512;
        assert_int_equal(strtoul((const char *)header + 148, NULL, 8), checksum(header));
    }
    buffer_done(&archive);
}

static void pads_to_whole_blocks(void **state)
{
    (void)state;
    static const char bytes[1025];
    static const struct {
        size_t length, blocks;
    } rows[] = {{0, 1}, {1, 2}, {511, 2}, {512, 2}, {513, 3}, {1024, 3}, {1025, 4}};
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct buffer archive;
        buffer_init(&archive, 1 << 16);
        assert_int_equal(tar_file(&archive, "f", 0644, bytes, rows[i].length), 0);
        assert_int_equal(archive.length, rows[i].blocks * 512);
        buffer_done(&archive);
    }
}

/* A file whose bytes are elsewhere: the same archive around them. */
static void writes_a_file_in_pieces(void **state)
{
    (void)state;
    struct buffer whole, frame;
    buffer_init(&whole, 1 << 16);
    buffer_init(&frame, 1 << 16);
    assert_int_equal(tar_file(&whole, "f", 0755, "abc", 3), 0);
    assert_int_equal(tar_file_begin(&frame, "f", 0755, 3), 0);
    assert_int_equal(frame.length, 512);
    assert_memory_equal(frame.bytes, whole.bytes, 512);
    assert_int_equal(tar_file_end(&frame, 3), 0);
    assert_int_equal(frame.length, 1024 - 3);
    assert_memory_equal(frame.bytes + 512, whole.bytes + 515, 512 - 3);
    buffer_done(&whole);
    buffer_done(&frame);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    char name[101];
    struct buffer archive;
    memset(name, 'n', 100);
    name[100] = '\0';
    buffer_init(&archive, 1000);
    assert_int_equal(tar_file(&archive, name, 0644, "", 0), -1);
    assert_int_equal(tar_directory(&archive, &name[1], 0755), 0);
    assert_int_equal(tar_end(&archive), -1);
    buffer_done(&archive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_entries),
        cmocka_unit_test(pads_to_whole_blocks),
        cmocka_unit_test(writes_a_file_in_pieces),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
