/* SPDX-License-Identifier: MIT */
#include "common/error.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/rows.h"

struct error_row {
    const char *name;
    int errnum;
    const char *text;
    const char *context; /* NULL: not wrapped */
    const char *message;
};

static const struct error_row error_rows[] = {
    {"plain", 0, "it failed", NULL, "it failed"},
    {"with errno", ENOENT, "cannot open 'x'", NULL, "cannot open 'x': No such file or directory"},
    {"wrapped", 0, "it failed", "while trying", "while trying: it failed"},
    {"wrapped with errno", EACCES, "cannot read", "job 7", "job 7: cannot read: Permission denied"},
    {"empty message", 0, "", "context", "context: "},
};

static void test_error(void **state)
{
    const struct error_row *row = *state;
    struct error err = {0};
    assert_int_equal(error_set(&err, ERROR_PEER, row->errnum, "%s", row->text), -1);
    if (row->context != NULL) {
        assert_int_equal(error_wrap(&err, "%s", row->context), -1);
    }
    assert_int_equal(err.kind, ERROR_PEER);
    assert_int_equal(err.errnum, row->errnum);
    assert_string_equal(err.message, row->message);
}

struct cut_row {
    const char *name;
    size_t message, context; /* lengths */
};

/* A message is cut at the end; the context in front survives. */
static const struct cut_row cut_rows[] = {
    {"both short", 10, 10},
    {"fills the room exactly", ERROR_MESSAGE_BYTES - 1 - 12, 10},
    {"one byte too long", ERROR_MESSAGE_BYTES - 12, 10},
    {"message as long as the room", ERROR_MESSAGE_BYTES - 1, 10},
    {"message longer than the room", 3 * ERROR_MESSAGE_BYTES, 10},
    {"context leaves no room for the colon", 10, ERROR_MESSAGE_BYTES - 2},
    {"context fills the room", 10, ERROR_MESSAGE_BYTES - 1},
    {"context longer than the room", 10, 3 * ERROR_MESSAGE_BYTES},
};

static void test_cut(void **state)
{
    const struct cut_row *row = *state;
    static char message[4 * ERROR_MESSAGE_BYTES], context[4 * ERROR_MESSAGE_BYTES];
    static char whole[9 * ERROR_MESSAGE_BYTES];
    memset(message, 'm', sizeof(message));
    memset(context, 'c', sizeof(context));
    message[row->message] = '\0';
    context[row->context] = '\0';
    struct error err = {0};
    (void)error_set(&err, ERROR_SYSTEM, 0, "%s", message);
    (void)error_wrap(&err, "%s", context);
    assert_true(memchr(err.message, '\0', sizeof(err.message)) != NULL);
    /* What arrived is the beginning of the whole, as long as there is room. */
    (void)snprintf(whole, sizeof(whole), "%s: %s", context, message);
    size_t wanted = strlen(whole);
    if (wanted > ERROR_MESSAGE_BYTES - 1) {
        wanted = ERROR_MESSAGE_BYTES - 1;
    }
    assert_int_equal(strlen(err.message), wanted);
    assert_memory_equal(err.message, whole, wanted);
}

static void null_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, ERROR_USAGE, 0, "x"), -1);
    assert_int_equal(error_hint(NULL, "x"), -1);
    assert_int_equal(error_wrap(NULL, "x"), -1);
}

/* 'message' of the error itself as an argument: formatted before it is overwritten. */
static void own_message_may_be_an_argument(void **state)
{
    (void)state;
    struct error err = {0};
    (void)error_set(&err, ERROR_BUILD, 0, "first");
    (void)error_set(&err, ERROR_BUILD, 0, "second, after '%s'", err.message);
    assert_string_equal(err.message, "second, after 'first'");
}

static void a_hint_stays_beside_the_message(void **state)
{
    (void)state;
    struct error err = {0};
    char text[ERROR_TEXT_BYTES];
    (void)error_set(&err, ERROR_USAGE, 0, "no region");
    assert_string_equal(error_text(&err, text), "no region");
    assert_int_equal(error_hint(&err, "set '%s'", "Region"), -1);
    (void)error_wrap(&err, "cannot start");
    assert_string_equal(err.message, "cannot start: no region");
    assert_string_equal(err.hint, "set 'Region'");
    assert_string_equal(error_text(&err, text), "cannot start: no region; set 'Region'");
    (void)error_set(&err, ERROR_USAGE, 0, "another error");
    assert_string_equal(error_text(&err, text), "another error");
}

static void a_long_hint_is_cut(void **state)
{
    (void)state;
    struct error err = {0};
    char text[ERROR_TEXT_BYTES];
    (void)error_set(&err, ERROR_USAGE, 0, "%*s", 2 * ERROR_MESSAGE_BYTES, "m");
    (void)error_hint(&err, "%*s", 2 * ERROR_HINT_BYTES, "h");
    assert_int_equal(strlen(err.hint), ERROR_HINT_BYTES - 1);
    assert_int_equal(strlen(error_text(&err, text)),
                     ERROR_MESSAGE_BYTES - 1 + 2 + ERROR_HINT_BYTES - 1);
}

int main(void)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(a_hint_stays_beside_the_message),
        cmocka_unit_test(a_long_hint_is_cut),
        cmocka_unit_test(null_is_allowed),
        cmocka_unit_test(own_message_may_be_an_argument),
    };
    return rows_run(error_rows, test_error) + rows_run(cut_rows, test_cut) +
           cmocka_run_group_tests(others, NULL, NULL);
}
