/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/rows.h"

/* What log_line() writes for 'message', as a string of at most 'room' bytes. */
static void logged(enum log_format format, const char *message, char *out, size_t room)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    log_open("berth-test", LOG_INFO, format, ends[1]);
    log_warn("%s", message);
    ssize_t got = read(ends[0], out, room - 1);
    assert_true(got > 0);
    out[got] = '\0';
    (void)close(ends[0]);
    (void)close(ends[1]);
    log_open("berth-test", LOG_INFO, LOG_TEXT, STDERR_FILENO);
}

struct log_row {
    const char *name;
    const char *message;
    const char *text; /* as escaped in a text line */
    const char
        *json; /* 'message' after a JSON parser read the line; NULL: only valid, not compared */
};

static const struct log_row log_rows[] = {
    {"plain", "cannot accept", "cannot accept", "cannot accept"},
    {"empty", "", "", ""},
    {"newline cannot break the line", "a\nb", "a\\x0ab", "a\nb"},
    {"carriage return", "a\rb", "a\\x0db", "a\rb"},
    {"escape cannot colour", "\x1b[31mred", "\\x1b[31mred", "\x1b[31mred"},
    {"delete",
     "a\x7f"
     "b",
     "a\\x7fb",
     "a\x7f"
     "b"},
    {"tab", "a\tb", "a\\x09b", "a\tb"},
    {"quotes and backslashes", "say \"hi\" \\ there", "say \"hi\" \\ there", "say \"hi\" \\ there"},
    {"two bytes of UTF-8", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
    {"three bytes", "\xe2\x82\xac", "\xe2\x82\xac", "\xe2\x82\xac"},
    {"four bytes", "\xf0\x9f\x9a\xa2", "\xf0\x9f\x9a\xa2", "\xf0\x9f\x9a\xa2"},
    {"lone continuation",
     "a\x80"
     "b",
     "a\\x80b", NULL},
    {"overlong slash", "\xc0\xaf", "\\xc0\\xaf", NULL},
    {"overlong in three bytes", "\xe0\x80\xaf", "\\xe0\\x80\\xaf", NULL},
    {"surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80", NULL},
    {"beyond Unicode", "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", NULL},
    {"cut sequence at the end", "a\xe2\x82", "a\\xe2\\x82", NULL},
    {"C1 control (CSI)",
     "\xc2\x9b"
     "31m",
     "\\u009b31m",
     "\xc2\x9b"
     "31m"},
    {"right-to-left override",
     "a\xe2\x80\xae"
     "b",
     "a\\u202eb",
     "a\xe2\x80\xae"
     "b"},
    {"percent signs are no format", "100%s%n", "100%s%n", "100%s%n"},
};

static void test_text(void **state)
{
    const struct log_row *row = *state;
    char line[1024], wanted[1024];
    logged(LOG_TEXT, row->message, line, sizeof(line));
    (void)snprintf(wanted, sizeof(wanted), "berth-test[%d]: warn: %s\n", (int)getpid(), row->text);
    assert_string_equal(line, wanted);
}

static void test_json(void **state)
{
    const struct log_row *row = *state;
    char line[1024];
    logged(LOG_JSON, row->message, line, sizeof(line));
    assert_true(strchr(line, '\n') == line + strlen(line) - 1);
    cJSON *parsed = cJSON_ParseWithOpts(line, NULL, 0);
    assert_non_null(parsed);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(parsed, "level")), "warn");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(parsed, "program")), "berth-test");
    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(parsed, "pid")), getpid());
    const char *message = cJSON_GetStringValue(cJSON_GetObjectItem(parsed, "message"));
    assert_non_null(message);
    if (row->json != NULL) {
        assert_string_equal(message, row->json);
    }
    cJSON_Delete(parsed);
}

struct level_row {
    const char *name; /* the word */
    bool known;
    enum log_level level;
};

static const struct level_row level_rows[] = {
    {"debug", true, LOG_DEBUG},  {"info", true, LOG_INFO},    {"warn", true, LOG_WARN},
    {"warning", true, LOG_WARN}, {"error", true, LOG_ERROR},  {"fatal", true, LOG_FATAL},
    {"panic", true, LOG_FATAL},  {"INFO", true, LOG_INFO},    {"Warning", true, LOG_WARN},
    {"", false, LOG_INFO},       {"inform", false, LOG_INFO},
};

static void test_level(void **state)
{
    const struct level_row *row = *state;
    enum log_level level = LOG_INFO;
    assert_int_equal(log_level_parse(row->name, &level), row->known);
    assert_int_equal(level, row->level);
}

static void longest_message_of_worst_bytes_fits(void **state)
{
    (void)state;
    static char message[5000], line[32768];
    memset(message, 0x01, sizeof(message) - 1);
    for (int format = LOG_TEXT; format <= LOG_JSON; format++) {
        logged((enum log_format)format, message, line, sizeof(line));
        assert_true(strlen(line) > 2000);
        assert_true(line[strlen(line) - 1] == '\n');
    }
}

static void level_below_is_not_written_and_errno_is_kept(void **state)
{
    (void)state;
    int ends[2];
    char byte = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    log_open("berth-test", LOG_WARN, LOG_TEXT, ends[1]);
    assert_false(log_enabled(LOG_INFO));
    assert_true(log_enabled(LOG_ERROR));
    log_info("not this");
    assert_int_equal(read(ends[0], &byte, 1), -1);
    (void)close(ends[0]);
    (void)close(ends[1]);
    errno = ENOTTY;
    log_error("to a closed descriptor");
    assert_int_equal(errno, ENOTTY);
    log_open("berth-test", LOG_INFO, LOG_TEXT, STDERR_FILENO);
}

/* A pipe of one page that is full: the lines meanwhile are lost, and counted when there is room. */
static void a_full_pipe_loses_lines_and_says_how_many(void **state)
{
    (void)state;
    int ends[2];
    char text[8192] = "";
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(ends[1], text, 4096) > 0) {
    }
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0); /* a write would wait for ever */
    log_open("berth-test", LOG_INFO, LOG_TEXT, ends[1]);
    log_wait_at_most(10);
    log_info("one");
    log_info("two");
    while (read(ends[0], text, sizeof(text)) > 0) {
    }
    log_info("three");
    log_info("four");
    ssize_t got = read(ends[0], text, sizeof(text) - 1);
    assert_true(got > 0);
    text[got] = '\0';
    log_wait_at_most(-1);
    log_open("berth-test", LOG_INFO, LOG_TEXT, STDERR_FILENO);
    (void)close(ends[0]);
    (void)close(ends[1]);
    const char *lost = strstr(text, "warn: 2 log lines were lost because the log was blocked\n");
    assert_non_null(lost);
    assert_non_null(strstr(lost, "info: three\n"));
    assert_non_null(strstr(lost, "info: four\n"));
    assert_null(strstr(text, "one"));
}

/* An event's fields in both formats, and where they end when there is no room. */
static void an_event_goes_to_the_file_alone(void **state)
{
    (void)state;
    static const struct {
        enum log_level level;
        enum log_format format;
        const char *wanted; /* NULL: nothing at all */
    } rows[] = {
        {LOG_INFO, LOG_TEXT,
         "info: ended job=4711 task=arn:a/b:1 name=\"a b\\\"\\u001b\" s=0.25\n"},
        {LOG_DEBUG, LOG_JSON,
         "\"message\":\"ended\",\"job\":4711,\"task\":\"arn:a/b:1\",\"name\":\"a b\\\"\\u001b\","
         "\"s\":0.25}\n"},
        {LOG_WARN, LOG_TEXT, NULL},
    };
    const struct log_field fields[] = {
        {"job", NULL, 4711},      {"task", "arn:a/b:1", 0}, {"none", "", 0},
        {"name", "a b\"\x1b", 0}, {"s", NULL, 0.25},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int ends[2];
        int file[2];
        char text[4096] = "";
        assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
        assert_int_equal(pipe2(file, O_NONBLOCK), 0);
        log_open("berth-test", LOG_DEBUG, LOG_TEXT, ends[1]);
        log_add_file(rows[i].level, rows[i].format, file[1]);
        log_event("ended", fields, sizeof(fields) / sizeof(fields[0]));
        assert_int_equal(read(ends[0], text, sizeof(text) - 1), -1);
        ssize_t got = read(file[0], text, sizeof(text) - 1);
        if (rows[i].wanted == NULL) {
            assert_int_equal(got, -1);
        } else {
            assert_non_null(strstr(text, rows[i].wanted));
        }
        log_open("berth-test", LOG_INFO, LOG_TEXT, STDERR_FILENO);
        log_event("into no file", fields, 1);
        for (size_t j = 0; j < 2; j++) {
            (void)close(ends[j]);
            (void)close(file[j]);
        }
    }
}

static void fields_of_the_worst_bytes_fit(void **state)
{
    (void)state;
    static char worst[4096];
    static char text[1 << 16];
    struct log_field fields[12];
    int file[2];
    memset(worst, 1, sizeof(worst) - 1);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        fields[i] = (struct log_field){"field", worst, 0};
    }
    assert_int_equal(pipe2(file, O_NONBLOCK), 0);
    log_open("berth-test", LOG_INFO, LOG_TEXT, STDERR_FILENO);
    log_add_file(LOG_INFO, LOG_JSON, file[1]);
    log_event(worst, fields, sizeof(fields) / sizeof(fields[0]));
    ssize_t got = read(file[0], text, sizeof(text) - 1);
    assert_true(got > 0);
    cJSON *line = cJSON_ParseWithLength(text, (size_t)got);
    assert_non_null(line);
    cJSON_Delete(line);
    log_open("berth-test", LOG_INFO, LOG_TEXT, STDERR_FILENO);
    (void)close(file[0]);
    (void)close(file[1]);
}

/* For people: one prefix, and the level unless it is info. */
static void a_prefix_replaces_program_and_pid(void **state)
{
    (void)state;
    int ends[2];
    int file[2];
    char text[1024] = "";
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pipe2(file, O_CLOEXEC | O_NONBLOCK), 0);
    log_prefix("berth");
    log_open("berth-test", LOG_DEBUG, LOG_TEXT, ends[1]);
    log_add_file(LOG_ERROR, LOG_TEXT, file[1]);
    log_debug("1");
    log_info("2");
    log_warn("3");
    log_error("4");
    log_colour(true);
    log_fatal("5");
    log_colour(false);
    assert_false(log_has_terminal());
    assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
    const char wanted[] = "berth: debug: 1\nberth: 2\nberth: warning: 3\nberth: error: 4\n"
                          "berth: \033[31;1merror\033[0m: 5\n";
    assert_memory_equal(text, wanted, sizeof(wanted) - 1);
    ssize_t got = read(file[0], text, sizeof(text) - 1);
    assert_true(got > 0);
    text[got] = '\0';
    assert_non_null(strstr(text, " berth-test["));
    assert_non_null(strstr(text, "]: error: 4\n"));
    log_prefix(NULL);
    log_open("berth-test", LOG_INFO, LOG_TEXT, STDERR_FILENO);
    for (size_t i = 0; i < 2; i++) {
        (void)close(ends[i]);
        (void)close(file[i]);
    }
}

/* Lines of the log appear above it, and no byte of it stays at the end. */
static void a_status_is_below_the_log(void **state)
{
    (void)state;
    char text[1024] = "";
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(terminal >= 0);
    (void)setenv("TERM", "dumb", 1);
    log_open("berth-test", LOG_INFO, LOG_TEXT, terminal);
    assert_false(log_has_terminal());
    (void)setenv("TERM", "xterm", 1);
    assert_true(log_has_terminal());
    log_open("berth-test", LOG_INFO, LOG_JSON, terminal);
    assert_false(log_has_terminal());
    log_open("berth-test", LOG_WARN, LOG_TEXT, terminal);
    assert_false(log_has_terminal());
    log_prefix("berth");
    log_open("berth-test", LOG_INFO, LOG_TEXT, terminal);
    log_status(NULL);
    log_status("[=>  ] 25%");
    log_info("a line");
    log_status("[==> ] 50%");
    log_status(NULL);
    log_info("the end");
    for (size_t used = 0; strstr(text, "the end\r\n") == NULL;) { /* in pieces */
        ssize_t got = read(master, text + used, sizeof(text) - 1 - used);
        assert_true(got > 0);
        used += (size_t)got;
    }
    assert_string_equal(text, "\r\033[K[=>  ] 25%\r\033[Kberth: a line\r\n[=>  ] 25%"
                              "\r\033[K[==> ] 50%\r\033[Kberth: the end\r\n");
    log_share_terminal();
    assert_false(log_has_terminal());
    log_prefix(NULL);
    log_open("berth-test", LOG_INFO, LOG_TEXT, STDERR_FILENO);
    (void)close(terminal);
    (void)close(master);
}

int main(void)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(longest_message_of_worst_bytes_fits),
        cmocka_unit_test(level_below_is_not_written_and_errno_is_kept),
        cmocka_unit_test(a_full_pipe_loses_lines_and_says_how_many),
        cmocka_unit_test(an_event_goes_to_the_file_alone),
        cmocka_unit_test(fields_of_the_worst_bytes_fit),
        cmocka_unit_test(a_prefix_replaces_program_and_pid),
        cmocka_unit_test(a_status_is_below_the_log),
    };
    return rows_run(log_rows, test_text) + rows_run(log_rows, test_json) +
           rows_run(level_rows, test_level) + cmocka_run_group_tests(others, NULL, NULL);
}
