/* SPDX-License-Identifier: MIT */
#include "agent/ipc/terminal_modes.h"

#include "tests/unit/rows.h"

static void add(unsigned char *out, size_t *used, const void *bytes, size_t length)
{
    memcpy(out + *used, bytes, length);
    *used += length;
}

static void add_string(unsigned char *out, size_t *used, const void *bytes, size_t length)
{
    const unsigned char size[4] = {0, 0, (unsigned char)(length >> 8), (unsigned char)length};
    add(out, used, size, sizeof(size));
    add(out, used, bytes, length);
}

/* A complete request with this name and these modes; returns its length. */
static size_t request(unsigned char *out, const char *name, const char *modes, size_t length)
{
    static const unsigned char zeros[16];
    size_t used = 0;
    add(out, &used, zeros, 4); /* the channel */
    add_string(out, &used, name, strlen(name));
    add(out, &used, zeros, 1); /* no reply wanted */
    add_string(out, &used, "xterm", strlen("xterm"));
    add(out, &used, zeros, 16); /* the size */
    add_string(out, &used, modes, length);
    return used;
}

struct read_row {
    const char *name;
    const char *request;
    const char *modes;
    size_t length;
    size_t cut; /* bytes missing at the end of the request */
    bool accepted;
    uint32_t count;
    int end; /* of input */
};

static const struct read_row read_rows[] = {
    {"none", "pty-req", "", 0, 0, true, 0, 4},
    {"end at once", "pty-req", "\0", 1, 0, true, 0, 4},
    {"one", "pty-req", "\1\0\0\0\3\0", 6, 0, true, 1, 4},
    {"two without an end", "pty-req", "\1\0\0\0\3\x35\0\0\0\1", 10, 0, true, 2, 4},
    {"another end of input", "pty-req", "\5\0\0\0\x1a\0", 6, 0, true, 1, 26},
    {"the last counts", "pty-req", "\5\0\0\0\x1a\5\0\0\0\x0b\0", 11, 0, true, 2, 11},
    {"no end of input", "pty-req", "\5\0\0\0\xff\0", 6, 0, true, 1, -1},
    {"a value cut off", "pty-req", "\1\0\0\0\3\2\0\0", 8, 0, true, 1, 4},
    {"an opcode without a value ends them", "pty-req", "\xa0\0\0\0\3\1\0\0\0\3", 10, 0, true, 0, 4},
    {"behind the end nothing counts", "pty-req", "\0\1\0\0\0\3", 6, 0, true, 0, 4},
    {"another request", "pty-rex", "", 0, 0, false, 0, 0},
    {"a longer name", "pty-reqs", "", 0, 0, false, 0, 0},
    {"an empty name", "", "", 0, 0, false, 0, 0},
    {"modes cut off", "pty-req", "\1\0\0\0\3\0", 6, 1, false, 0, 0},
    {"size cut off", "pty-req", "", 0, 5, false, 0, 0},
    {"type cut off", "pty-req", "", 0, 21, false, 0, 0},
    {"name cut off", "pty-req", "", 0, 36, false, 0, 0},
    {"nothing", "pty-req", "", 0, 45, false, 0, 0},
};

static void test_read(void **state)
{
    const struct read_row *row = *state;
    unsigned char whole[256];
    size_t length = request(whole, row->request, row->modes, row->length);
    struct terminal_modes modes = {.count = 77};
    length -= row->cut < length ? row->cut : length;
    unsigned char *exact =
        malloc(length + 1); /* so that AddressSanitizer detects reads past the end */
    assert_non_null(exact);
    memcpy(exact + 1, whole, length);
    assert_int_equal(terminal_modes_read(exact + 1, length, &modes), row->accepted);
    assert_int_equal(modes.count, row->accepted ? row->count : 77);
    if (row->accepted) {
        assert_int_equal(terminal_modes_end_of_input(&modes), row->end);
    }
    free(exact);
}

static void test_ceiling(void **state)
{
    char modes[5 * (TERMINAL_MODES + 10)];
    unsigned char whole[sizeof(modes) + 64];
    struct terminal_modes got = {0};
    (void)state;
    memset(modes, 1, sizeof(modes));
    assert_true(terminal_modes_read(whole, request(whole, "pty-req", modes, sizeof(modes)), &got));
    assert_int_equal(got.count, TERMINAL_MODES);
    got.count = UINT32_MAX; /* as a compromised session might write it */
    struct termios termios = {0};
    terminal_modes_apply(&got, &termios);
    assert_int_equal(termios.c_cc[VINTR], 0); /* 0x01010101 is not a character */
}

struct apply_row {
    const char *name;
    uint32_t opcode, value;
    struct termios before, after;
};

static const struct apply_row apply_rows[] = {
    {"a character", 1, 24, {0}, {.c_cc = {[VINTR] = 24}}},
    {"the last character", 18, 15, {0}, {.c_cc = {[VDISCARD] = 15}}},
    {"a character disabled", 3, 255, {.c_cc = {[VERASE] = 127}}, {0}},
    {"an input flag on", 36, 1, {0}, {.c_iflag = ICRNL}},
    {"an input flag off", 42, 0, {.c_iflag = IUTF8 | IXON}, {.c_iflag = IXON}},
    {"a local flag off", 53, 0, {.c_lflag = ECHO | ISIG}, {.c_lflag = ISIG}},
    {"an output flag on", 72, 9, {.c_oflag = OPOST}, {.c_oflag = OPOST | ONLCR}},
    {"8 bits", 91, 1, {.c_cflag = CS7 | CREAD}, {.c_cflag = CS8 | CREAD}},
    {"7 bits", 90, 1, {.c_cflag = CS8}, {.c_cflag = CS7}},
    {"not 7 bits", 90, 0, {.c_cflag = CS8}, {.c_cflag = CS8}},
    {"parity off", 92, 0, {.c_cflag = CS8 | PARENB}, {.c_cflag = CS8}},
    {"a speed", 128, 9600, {.c_cflag = B38400}, {.c_cflag = B38400}},
    {"one that this kernel does not have", 17, 3, {0}, {0}},
    {"an unknown one", 150, 1, {0}, {0}},
    {"past the table", 1U << 31, 1, {0}, {0}},
};

static void test_apply(void **state)
{
    const struct apply_row *row = *state;
    struct terminal_modes modes = {.count = 1, .entries = {{row->opcode, row->value}}};
    struct termios got = row->before;
    terminal_modes_apply(&modes, &got);
    assert_memory_equal(&got, &row->after, sizeof(got));
}

int main(void)
{
    const struct CMUnitTest ceiling[] = {cmocka_unit_test(test_ceiling)};
    return rows_run(read_rows, test_read) + rows_run(apply_rows, test_apply) +
           cmocka_run_group_tests(ceiling, NULL, NULL);
}
