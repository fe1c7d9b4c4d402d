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
        cmocka_unit_test(a_token_that_cannot_be_is_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
