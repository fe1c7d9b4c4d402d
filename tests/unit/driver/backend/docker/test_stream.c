/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/stream.h"

#include <stdio.h>

#include "tests/unit/driver/rows.h"

struct seen {
    int count;
    char last[64];
};

static void on_object(void *context, const cJSON *object)
{
    struct seen *seen = context;
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(object, "status");
    seen->count++;
    (void)snprintf(seen->last, sizeof(seen->last), "%s",
                   cJSON_IsString(status) ? status->valuestring : "");
}

/* Fed in pieces of 'step' bytes. Returns the result of the whole. */
static int feed(const char *text, size_t length, size_t step, struct seen *seen)
{
    struct docker_lines lines;
    int result = 0;
    *seen = (struct seen){0};
    docker_lines_init(&lines, on_object, seen);
    while (length > 0 && result == 0) {
        size_t part = length < step ? length : step;
        result = docker_lines_feed(&lines, text, part);
        text += part;
        length -= part;
    }
    result = result == 0 ? docker_lines_end(&lines) : result;
    docker_lines_done(&lines);
    return result;
}

static void reads_lines_in_any_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        int result, count;
        const char *last;
    } rows[] = {
        {"nothing", "", 0, 0, ""},
        {"blank lines", "\r\n\n \n", 0, 0, ""},
        {"as Docker writes them", "{\"status\":\"a\"}\r\n{\"status\":\"b\"}\r\n", 0, 2, "b"},
        {"the last without a newline", "{\"status\":\"a\"}\n{\"status\":\"b\"}", 0, 2, "b"},
        {"cut off", "{\"status\":\"a\"}\n{\"status\":", -1, 1, "a"},
        {"no JSON", "<html>\n{}\n", -1, 0, ""},
        {"no object", "[1]\n", -1, 0, ""},
    };
    static const size_t steps[] = {1, 2, 7, 1000};
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        for (size_t j = 0; j < ROW_COUNT(steps); j++) {
            struct seen seen;
            int result = feed(rows[i].text, strlen(rows[i].text), steps[j], &seen);
            if (result != rows[i].result || seen.count != rows[i].count ||
                strcmp(seen.last, rows[i].last) != 0) {
                fail_msg("%s in pieces of %zu: %d, %d, '%s'", rows[i].name, steps[j], result,
                         seen.count, seen.last);
            }
        }
    }
}

static void ends_a_line_at_its_ceiling(void **state)
{
    (void)state;
    struct seen seen;
    size_t length = DOCKER_LINE_CEILING_BYTES + 1;
    char *text = malloc(length);
    assert_non_null(text);
    memset(text, ' ', length);
    int result = feed(text, length, 4096, &seen);
    free(text);
    assert_int_equal(result, -1);
}

static void takes_texts_out_of_frames(void **state)
{
    (void)state;
#define OUT(length) "\x01\0\0\0\0\0\0" length
#define ERR(length) "\x02\0\0\0\0\0\0" length
    static const struct {
        const char *name, *bytes;
        size_t length;
        const char *text;
    } rows[] = {
        {"nothing", "", 0, ""},
        {"one", OUT("\x03") "abc", 11, "abc"},
        {"both streams", OUT("\x03") "abc" ERR("\x02") "\nd", 21, "abc\nd"},
        {"an empty one", OUT("\0") ERR("\x01") "x", 17, "x"},
        {"cut off in the text", OUT("\x09") "abc", 11, "abc"},
        {"cut off in the header", OUT("\x01") "a\x01\0\0", 12, "a"},
        {"a terminal's, without frames", "hello\n", 6, "hello\n"},
        {"a length past the end",
         "\x01\0\0\0\xff\xff\xff\xff"
         "ab",
         10, "ab"},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct buffer out;
        buffer_init(&out, 100);
        docker_frames_text(rows[i].bytes, rows[i].length, &out);
        const char *text = out.bytes == NULL ? "" : out.bytes;
        if (strncmp(text, rows[i].text, strlen(rows[i].text)) != 0) {
            fail_msg("%s: '%s'", rows[i].name, text);
        }
        buffer_done(&out);
    }
}

static void keeps_the_end_of_a_long_log(void **state)
{
    (void)state;
    static const char bytes[] = OUT("\x03") "abc" OUT("\x03") "def" ERR("\x03") "ghi";
    cleanup_buffer struct buffer out;
    buffer_init(&out, 5);
    docker_frames_text(bytes, sizeof(bytes) - 1, &out);
    assert_string_equal(out.bytes, "efghi");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_lines_in_any_pieces),
        cmocka_unit_test(ends_a_line_at_its_ceiling),
        cmocka_unit_test(takes_texts_out_of_frames),
        cmocka_unit_test(keeps_the_end_of_a_long_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
