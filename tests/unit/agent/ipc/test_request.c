/* SPDX-License-Identifier: MIT */
#include "agent/ipc/request.h"

#include <unistd.h>

#include "agent/limits.h"
#include "tests/unit/rows.h"

struct request_row {
    const char *name;
    const char *texts[6]; /* user, command, subsystem, variables, term, client */
    struct terminal_size size;
    const char *words;
    uint32_t words_bytes;
};

static const struct request_row rows[] = {
    {"a command", {"root", "echo 1", NULL, NULL, NULL, "a 1 b 2"}, {0}, NULL, 0},
    {"a shell in a terminal",
     {"root", NULL, NULL, "A=1\nB=2\n", "xterm", NULL},
     {80, 24, 640, 480},
     NULL,
     0},
    {"a subsystem", {"root", NULL, "sftp", NULL, NULL, NULL}, {0}, NULL, 0},
    {"empty texts are not absent", {"", "", "", "", "", ""}, {0}, NULL, 0},
    {"nothing", {NULL, NULL, NULL, NULL, NULL, NULL}, {0}, NULL, 0},
    {"words", {"root", NULL, NULL, "A=1\n", NULL, "a 1 b 2"}, {0}, "/d\0env\0a b\0", 11},
};

static char *copy(const char *text)
{
    return text == NULL ? NULL : strdup(text);
}

static void assert_same(const char *got, const char *wanted)
{
    assert_int_equal(got == NULL, wanted == NULL);
    if (wanted != NULL) {
        assert_string_equal(got, wanted);
    }
}

static void test_round_trip(void **state)
{
    const struct request_row *row = *state;
    struct error err = {0};
    struct job_request got = {0};
    struct job_request sent = {.user = copy(row->texts[0]),
                               .command = copy(row->texts[1]),
                               .subsystem = copy(row->texts[2]),
                               .variables = copy(row->texts[3]),
                               .term = copy(row->texts[4]),
                               .client = copy(row->texts[5]),
                               .words = row->words_bytes > 0 ? malloc(row->words_bytes) : NULL,
                               .words_bytes = row->words_bytes,
                               .size = row->size,
                               .modes = {.count = 1, .entries = {{1, 3}}}};
    if (sent.words != NULL) {
        memcpy(sent.words, row->words, row->words_bytes);
    }
    int fd = job_request_write(&sent, &err);
    assert_true(fd >= 0);
    assert_int_equal(job_request_read(fd, &got, &err), 0);
    assert_int_equal(got.words_bytes, row->words_bytes);
    assert_true(row->words_bytes == 0 || memcmp(got.words, row->words, row->words_bytes) == 0);
    assert_same(got.user, row->texts[0]);
    assert_same(got.command, row->texts[1]);
    assert_same(got.subsystem, row->texts[2]);
    assert_same(got.variables, row->texts[3]);
    assert_same(got.term, row->texts[4]);
    assert_same(got.client, row->texts[5]);
    assert_memory_equal(&got.size, &row->size, sizeof(got.size));
    assert_memory_equal(&got.modes, &sent.modes, sizeof(got.modes));
    job_request_done(&sent);
    job_request_done(&got);
    (void)close(fd);
}

struct broken_row {
    const char *name;
    off_t length; /* -1: as written */
    off_t offset; /* of a byte to overwrite */
    char byte;
};

static const struct broken_row broken_rows[] = {
    {"empty file", 0, 0, 0},
    {"cut header", 5, 0, 0},
    {"cut text", -2, 0, 4},
    {"a length over its ceiling", -1, 2, 0x7f},
    {"words over their ceiling", -1, 6 * 4 + 2, 0x7f},
    {"words that are not there", -1, 6 * 4, 9},
    {"more modes than there can be", -1, 7 * 4 + sizeof(struct terminal_size) + 1, 1},
    {"a NUL inside a text", -1,
     7 * 4 + sizeof(struct terminal_size) + sizeof(struct terminal_modes), 0},
};

static void test_broken(void **state)
{
    const struct broken_row *row = *state;
    struct error err = {0};
    struct job_request got = {0};
    struct job_request sent = {.user = copy("root")};
    int fd = job_request_write(&sent, &err);
    assert_true(fd >= 0);
    off_t size = lseek(fd, 0, SEEK_END);
    if (row->length == -1 || row->length >= 0) {
        assert_int_equal(pwrite(fd, &row->byte, 1, row->offset), 1);
    }
    off_t length = row->length >= 0 ? row->length : row->length == -1 ? size : size - 1;
    assert_int_equal(ftruncate(fd, length), 0);
    assert_int_equal(job_request_read(fd, &got, &err), -1);
    assert_null(got.user);
    job_request_done(&sent);
    (void)close(fd);
}

struct words_row {
    const char *name, *words;
    size_t length;
    bool good;
};

static const struct words_row words_rows[] = {
    {"shell text at home", "\0echo x", 8, true},
    {"a program in a directory", "/d\0a\0\0c", 8, true},
    {"nothing", "", 0, false},
    {"a directory alone", "/d", 3, false},
    {"an empty word", "/d\0", 4, false},
    {"no NUL at the end", "/d\0a", 4, false},
    {"no NUL at all", "/d", 2, false},
};

static void test_words(void **state)
{
    const struct words_row *row = *state;
    assert_int_equal(job_request_words(row->words, row->length), row->good);
}

int main(void)
{
    return rows_run(rows, test_round_trip) + rows_run(words_rows, test_words) +
           rows_run(broken_rows, test_broken);
}
