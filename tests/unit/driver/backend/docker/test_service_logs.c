/* SPDX-License-Identifier: MIT */
#include "driver/backend/docker/service_logs.h"

#include "tests/unit/driver/rows.h"

#define T1 "2026-11-29T16:53:18.027515205Z "
#define T2 "2026-11-29T16:53:18.1Z "
#define T3 "2026-11-29T17:53:19+01:00 "

static void frame(struct buffer *out, const char *text)
{
    size_t length = strlen(text);
    const unsigned char header[8] = {
        1, 0, 0, 0, 0, 0, (unsigned char)(length >> 8), (unsigned char)length};
    assert_int_equal(buffer_append(out, header, sizeof(header)), 0);
    assert_int_equal(buffer_append(out, text, length), 0);
}

static void each_line_comes_once(void **state)
{
    (void)state;
    struct docker_log_position position = {.since = "0"};
    struct buffer frames, out;
    buffer_init(&frames, 4096);
    buffer_init(&out, 4096);
    frame(&frames, T1 "part ");
    frame(&frames, T1 "of one\n");
    docker_service_logs_take(frames.bytes, frames.length, "db", &position, &out);
    assert_string_equal(out.bytes, "[service:db] part of one\n");
    assert_string_equal(position.since, "1795971198.027515205");
    assert_int_equal(position.count, 2);
    /* The engine begins again at that time; one more part of it has come. */
    buffer_clear(&out);
    frame(&frames, T1 "more\n");
    frame(&frames, T2 "later\n");
    frame(&frames, T3 "zone\n");
    frame(&frames, "no time\n");
    docker_service_logs_take(frames.bytes, frames.length, "db", &position, &out);
    assert_string_equal(out.bytes, "[service:db] more\n[service:db] later\n[service:db] zone\n");
    assert_string_equal(position.since, "1795971199.000000000");
    assert_int_equal(position.count, 1);
    buffer_done(&frames);
    buffer_done(&out);
}

/* A masked value at the border must stay whole. */
static void a_long_line_stays_one(void **state)
{
    (void)state;
    enum { PART = 16384 };
    static char part[PART + 64];
    struct docker_log_position position = {.since = "0"};
    struct buffer frames, out;
    buffer_init(&frames, 1UL << 20);
    buffer_init(&out, 1UL << 20);
    for (int i = 0; i < 4; i++) { /* one line, of which two parts fit together */
        (void)snprintf(part, sizeof(part), T1 "%0*d%s", PART, i, i == 3 ? "\n" : "");
        frame(&frames, part);
    }
    docker_service_logs_take(frames.bytes, frames.length, "db", &position, &out);
    assert_int_equal(position.count, 4);
    assert_int_equal(strcspn(out.bytes, "\n"), strlen("[service:db] ") + 2 * PART);
    assert_int_equal(out.length, 2 * (strlen("[service:db] ") + 2 * PART + 1));
    buffer_done(&frames);
    buffer_done(&out);
    /* What does not fit is read again as a whole. */
    position = (struct docker_log_position){.since = "0"};
    buffer_init(&frames, 4096);
    buffer_init(&out, 25);
    frame(&frames, T1 "one\n");
    frame(&frames, T2 "two ");
    frame(&frames, T2 "three\n");
    docker_service_logs_take(frames.bytes, frames.length, "db", &position, &out);
    assert_string_equal(out.bytes, "[service:db] one\n");
    buffer_clear(&out);
    docker_service_logs_take(frames.bytes, frames.length, "db", &position, &out);
    assert_string_equal(out.bytes, "[service:db] two three\n");
    assert_int_equal(position.count, 2);
    buffer_done(&frames);
    buffer_done(&out);
}

static void what_does_not_fit_comes_next(void **state)
{
    (void)state;
    struct docker_log_position position = {.since = "0"};
    struct buffer frames, out;
    buffer_init(&frames, 4096);
    buffer_init(&out, 25); /* one line */
    frame(&frames, T1 "one\n");
    frame(&frames, T1 "two\n");
    for (int i = 0; i < 2; i++) {
        docker_service_logs_take(frames.bytes, frames.length, "db", &position, &out);
        assert_string_equal(out.bytes, i == 0 ? "[service:db] one\n" : "[service:db] two\n");
        buffer_clear(&out);
    }
    docker_service_logs_take(frames.bytes, frames.length - 1, "db", &position, &out);
    assert_int_equal(out.length, 0);
    buffer_done(&frames);
    buffer_done(&out);
}

static void names_a_service_by_its_aliases(void **state)
{
    (void)state;
    bool ok = true;
    cJSON *from = cJSON_CreateObject();
    cJSON *aliases = cJSON_Parse("[\"db\", \"postgres\"]");
    docker_service_logs_add(from, aliases, &ok);
    docker_service_logs_add(from, aliases, &ok);
    assert_true(ok);
    char *text = cJSON_PrintUnformatted(from);
    assert_string_equal(text, "{\"service_logs\":[{\"name\":\"db-postgres\",\"since\":\"0\"},"
                              "{\"name\":\"db-postgres\",\"since\":\"0\"}]}");
    cJSON_free(text);
    cJSON_Delete(aliases);
    cJSON_Delete(from);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_comes_once),
        cmocka_unit_test(a_long_line_stays_one),
        cmocka_unit_test(what_does_not_fit_comes_next),
        cmocka_unit_test(names_a_service_by_its_aliases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
