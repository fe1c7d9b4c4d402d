/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/service_logs.h"

#include "tests/unit/driver/rows.h"

static bool take(const char *answer_text, cJSON *entry, struct buffer *out)
{
    bool ok = true;
    cJSON *answer = cJSON_Parse(answer_text);
    assert_non_null(answer);
    bool more = ecs_service_logs_take(answer, entry, out, &ok);
    assert_true(ok);
    cJSON_Delete(answer);
    return more;
}

static void assert_entry(const cJSON *entry, const char *text)
{
    char *found = cJSON_PrintUnformatted(entry);
    assert_string_equal(found, text);
    cJSON_free(found);
}

static void a_page_comes_once(void **state)
{
    (void)state;
    static const char page[] = "{\"nextForwardToken\":\"f/1\",\"events\":["
                               "{\"message\":\"one\\ntwo\\n\"},{\"message\":\"\"},7,{}]}";
    struct buffer out;
    cJSON *entry = cJSON_Parse("{\"name\":\"db\"}");
    buffer_init(&out, 4096);
    assert_false(take(page, entry, &out));
    assert_string_equal(out.bytes, "[service:db] one\n[service:db] two\n[service:db] \n"
                                   "[service:db] \n[service:db] \n");
    assert_entry(entry, "{\"name\":\"db\",\"token\":\"f/1\"}");
    buffer_clear(&out);
    assert_false(take(page, entry, &out));
    assert_int_equal(out.length, 0);
    buffer_done(&out);
    cJSON_Delete(entry);
}

static void what_does_not_fit_comes_next(void **state)
{
    (void)state;
    static const char page[] = "{\"nextForwardToken\":\"f/1\",\"events\":["
                               "{\"message\":\"1\"},{\"message\":\"2\\n3\"},{\"message\":\"4\"}]}";
    static const struct {
        const char *line, *entry;
        bool more;
    } rows[] = {
        {"[service:db] 1\n", "{\"name\":\"db\",\"skip\":1}", true},
        {"[service:db] 2\n", "{\"name\":\"db\",\"skip\":1,\"offset\":2}", true},
        {"[service:db] 3\n", "{\"name\":\"db\",\"skip\":2}", true},
        {"[service:db] 4\n", "{\"name\":\"db\",\"token\":\"f/1\"}", false},
    };
    cJSON *entry = cJSON_Parse("{\"name\":\"db\"}");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buffer out;
        buffer_init(&out, 16); /* one line */
        assert_int_equal(take(page, entry, &out), rows[i].more);
        assert_string_equal(out.bytes, rows[i].line);
        assert_entry(entry, rows[i].entry);
        buffer_done(&out);
    }
    cJSON_Delete(entry);
}

/* A masked value has no blank, and must stay whole. */
static void a_long_line_is_broken_at_a_blank(void **state)
{
    (void)state;
    static char page[80000];
    static char word[40001];
    struct buffer out;
    const struct {
        const char *name;
        int before, value;
        size_t lines;
    } rows[] = {
        {"a value at the border", 4090, 12, 2},
        {"a value longer than a line", 100, 20000, 2},
        {"no blank at all", 0, 20000, 1},
        {"longer than any value", 0, 40000, 2},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        cJSON *entry = cJSON_Parse("{\"name\":\"db\"}");
        memset(word, 'v', sizeof(word));
        word[rows[i].value] = '\0';
        buffer_init(&out, 1UL << 20);
        (void)snprintf(page, sizeof(page),
                       "{\"nextForwardToken\":\"f/1\",\"events\":[{\"message\":\"%.*s%s%s\"}]}",
                       rows[i].before, "", rows[i].before > 0 ? " " : "", word);
        char *message = strstr(page, "message\":\"") + strlen("message\":\"");
        if (rows[i].before > 0) {
            (void)snprintf(message, sizeof(page) - (size_t)(message - page), "%0*d %s\"}]}",
                           rows[i].before, 0, word);
        }
        assert_false(take(page, entry, &out));
        size_t lines = 0;
        for (const char *at = out.bytes; (at = strchr(at, '\n')) != NULL; at++) {
            lines++;
        }
        if (lines != rows[i].lines || (rows[i].value < 40000 && strstr(out.bytes, word) == NULL)) {
            fail_msg("%s: %zu lines", rows[i].name, lines);
        }
        buffer_done(&out);
        cJSON_Delete(entry);
    }
}

static void a_token_that_cannot_be_is_the_end(void **state)
{
    (void)state;
    static const char *const pages[] = {
        "{}",
        "{\"nextForwardToken\":\"\",\"events\":[{\"message\":\"x\"}]}",
        "{\"nextForwardToken\":{},\"events\":[{\"message\":\"x\"}]}",
        "{\"nextForwardToken\":\"f/0\",\"events\":[{\"message\":\"x\"}]}",
    };
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        struct buffer out;
        cJSON *entry = cJSON_Parse("{\"name\":\"db\",\"token\":\"f/0\"}");
        buffer_init(&out, 4096);
        assert_false(take(pages[i], entry, &out));
        assert_int_equal(out.length, 0);
        assert_entry(entry, "{\"name\":\"db\",\"token\":\"f/0\"}");
        buffer_done(&out);
        cJSON_Delete(entry);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_comes_once),
        cmocka_unit_test(what_does_not_fit_comes_next),
        cmocka_unit_test(a_long_line_is_broken_at_a_blank),
        cmocka_unit_test(a_token_that_cannot_be_is_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
