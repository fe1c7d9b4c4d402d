/* SPDX-License-Identifier: MIT */
#include "common/fd.h"
#include "driver/runner/result.h"
#include "driver/runner/runner.h"
#include "tests/unit/driver/rows.h"

static void set(const char *name, const char *value)
{
    if (value == NULL) {
        (void)unsetenv(name);
    } else {
        (void)setenv(name, value, 1);
    }
}

static void clear_job(void)
{
    static const char *const names[] = {"JOB_RESPONSE_FILE", "CUSTOM_ENV_CI_JOB_ID",
                                        "CUSTOM_ENV_CI_JOB_TOKEN", "CUSTOM_ENV_CI_SERVER_URL",
                                        "BUILD_EXIT_CODE_FILE"};
    for (size_t i = 0; i < ROW_COUNT(names); i++) {
        (void)unsetenv(names[i]);
    }
}

static void reads_exit_codes(void **state)
{
    (void)state;
    static const struct {
        const char *name, *build, *system;
        int result, build_code, system_code;
        bool missing;
    } rows[] = {
        {"as the runner sets them", "1", "2", 0, 1, 2, false},
        {"other values", "70", "71", 0, 70, 71, false},
        {"both unset", NULL, NULL, 0, 1, 2, true},
        {"one empty", "5", "", 0, 5, 2, true},
        {"no number", "one", "2", -1, 1, 2, false},
        {"zero would be success", "0", "2", -1, 1, 2, false},
        {"past one byte", "1", "256", -1, 1, 2, false},
        {"both bad", "x", "y", -1, 1, 2, false},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct runner runner;
        struct error err = {0};
        set("BUILD_FAILURE_EXIT_CODE", rows[i].build);
        set("SYSTEM_FAILURE_EXIT_CODE", rows[i].system);
        int result = runner_read(&runner, &err);
        if (result != rows[i].result || runner.build_failure_code != rows[i].build_code ||
            runner.system_failure_code != rows[i].system_code ||
            runner.codes_missing != rows[i].missing) {
            fail_msg("%s: %d, %d %d %d", rows[i].name, result, runner.build_failure_code,
                     runner.system_failure_code, runner.codes_missing);
        }
        if (result < 0) {
            rows_assert_contains(rows[i].name, err.message, "EXIT_CODE is '");
            assert_int_equal(err.kind, ERROR_USAGE);
        }
    }
}

static int job_key(char *out, struct error *err)
{
    struct runner runner;
    set("BUILD_FAILURE_EXIT_CODE", "1");
    set("SYSTEM_FAILURE_EXIT_CODE", "2");
    assert_int_equal(runner_read(&runner, err), 0);
    return runner_job_key(&runner, out, err);
}

static void job_key_comes_from_the_trusted_file(void **state)
{
    (void)state;
    char trusted[RUNNER_JOB_KEY_BYTES], hostile[RUNNER_JOB_KEY_BYTES], other[RUNNER_JOB_KEY_BYTES];
    struct error err = {0};
    static const char job[] = "{\"id\": 41, \"token\": \"glcbt-first\", \"steps\": []}";
    static const char second[] = "{\"id\": 41, \"token\": \"glcbt-second\"}";
    clear_job();
    set("JOB_RESPONSE_FILE", rows_file("job.json", job, strlen(job)));
    assert_int_equal(job_key(trusted, &err), 0);
    set("CUSTOM_ENV_CI_JOB_ID", "../../etc/passwd");
    assert_int_equal(job_key(hostile, &err), 0);
    assert_string_equal(trusted, hostile);
    assert_int_equal(strncmp(trusted, "job-41-", 7), 0);
    assert_int_equal(strlen(trusted), 7 + 16);
    assert_null(strstr(trusted, "glcbt"));
    set("JOB_RESPONSE_FILE", rows_file("job.json", second, strlen(second)));
    assert_int_equal(job_key(other, &err), 0);
    assert_string_not_equal(trusted, other);
}

/* All parts of a stage use one key, also when the runner has removed the file. */
static void the_job_key_is_read_once(void **state)
{
    (void)state;
    static const char job[] = "{\"id\": 41, \"token\": \"glcbt-first\"}";
    char first[RUNNER_JOB_KEY_BYTES], second[RUNNER_JOB_KEY_BYTES];
    struct error err = {0};
    struct runner runner;
    const char *path = rows_file("once.json", "no job", 6);
    clear_job();
    set("JOB_RESPONSE_FILE", path);
    assert_int_equal(runner_read(&runner, &err), 0);
    assert_int_equal(runner_job_key(&runner, first, &err), -1);
    (void)rows_file("once.json", job, strlen(job));
    assert_int_equal(runner_job_key(&runner, first, &err), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(runner_job_key(&runner, second, &err), 0);
    assert_string_equal(first, second);
}

static void the_timeout_is_that_of_the_trusted_file(void **state)
{
    (void)state;
    static const struct {
        const char *name, *response, *variable;
        int64_t timeout_s;
    } rows[] = {
        {"both", "{\"runner_info\": {\"timeout\": 600}}", "5", 600},
        {"no file", NULL, "90", 90},
        {"neither", NULL, NULL, 0},
        {"not in the file", "{\"id\": 1}", "90", 90},
        {"of no use", "{\"runner_info\": {\"timeout\": -1}}", "-5", 0},
        {"text", "{\"runner_info\": {\"timeout\": \"600\"}}", "1h", 0},
        {"beyond", "{\"runner_info\": {\"timeout\": 1e300}}", NULL, 0},
        {"no JSON", "{", NULL, 0},
    };
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/timeout.json", rows_directory);
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct runner runner = {.response_file = rows[i].response == NULL ? NULL : path};
        struct error err = {0};
        if (rows[i].response != NULL) {
            assert_int_equal(
                fd_replace_file(path, rows[i].response, strlen(rows[i].response), 0600, &err), 0);
        }
        set("CUSTOM_ENV_CI_JOB_TIMEOUT", rows[i].variable);
        if (runner_job_timeout_s(&runner) != rows[i].timeout_s) {
            fail_msg("%s: %lld", rows[i].name, (long long)runner_job_timeout_s(&runner));
        }
    }
    set("CUSTOM_ENV_CI_JOB_TIMEOUT", NULL);
}

static void job_key_never_holds_what_a_person_wrote(void **state)
{
    (void)state;
    char first[RUNNER_JOB_KEY_BYTES], second[RUNNER_JOB_KEY_BYTES];
    struct error err = {0};
    clear_job();
    set("CUSTOM_ENV_CI_JOB_ID", "../../x");
    assert_int_equal(job_key(first, &err), 0);
    assert_int_equal(strncmp(first, "job-0-", 6), 0);
    assert_int_equal(strspn(first, "job-0123456789abcdef"), strlen(first));
    set("CUSTOM_ENV_CI_JOB_ID", "../../y");
    assert_int_equal(job_key(second, &err), 0);
    assert_string_not_equal(first, second);
}

static void job_key_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *name, *response, *message;
    } rows[] = {
        {"no job at all", NULL, "'berth-driver exec'"},
        {"no JSON", "hello", "is not a valid JSON object"},
        {"empty file", "", "is not a valid JSON object"},
        {"no id", "{\"token\": \"t\"}", "'id' and 'token'"},
        {"id is a text", "{\"id\": \"1\", \"token\": \"t\"}", "'id' and 'token'"},
        {"negative id", "{\"id\": -1, \"token\": \"t\"}", "'id' and 'token'"},
        {"an array", "[1]", "is not a valid JSON object"},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        char key[RUNNER_JOB_KEY_BYTES];
        struct error err = {0};
        clear_job();
        if (rows[i].response != NULL) {
            set("JOB_RESPONSE_FILE",
                rows_file("bad.json", rows[i].response, strlen(rows[i].response)));
        }
        if (job_key(key, &err) == 0) {
            fail_msg("%s: was taken", rows[i].name);
        }
        rows_assert_contains(rows[i].name, err.message, rows[i].message);
    }
}

static void results_become_exit_codes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct result result;
        int code;
        const char *file; /* content of BUILD_EXIT_CODE_FILE, NULL: not written */
    } rows[] = {
        {"success", {RESULT_SUCCESS, 0}, 0, NULL},
        {"script 1", {RESULT_SCRIPT, 1}, 70, "1\n"},
        {"script 42", {RESULT_SCRIPT, 42}, 70, "42\n"},
        {"script 255", {RESULT_SCRIPT, 255}, 70, "255\n"},
        {"cancelled", {RESULT_CANCELLED, 0}, 70, NULL},
        {"our build failure", {RESULT_BUILD, 0}, 70, NULL},
        {"system", {RESULT_SYSTEM, 0}, 71, NULL},
    };
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/code", rows_directory);
    struct runner runner = {
        .build_failure_code = 70, .system_failure_code = 71, .exit_code_file = path};
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct buffer text;
        buffer_init(&text, 100);
        (void)unlink(path);
        int code = result_exit_code(rows[i].result, &runner);
        int found = fd_read_file(path, &text, NULL);
        if (code != rows[i].code || (found == 0) != (rows[i].file != NULL) ||
            (found == 0 && strcmp(text.bytes, rows[i].file) != 0)) {
            fail_msg("%s: code %d, file '%s'", rows[i].name, code, text.bytes);
        }
        buffer_done(&text);
    }
}

static struct result of_status(int status)
{
    struct job_outcome outcome = {.status = status};
    return result_from_outcome(&outcome);
}

static void ends_become_results(void **state)
{
    (void)state;
    assert_int_equal(of_status(0).kind, RESULT_SUCCESS);
    for (int status = 1; status <= 255; status++) {
        assert_int_equal(of_status(status).kind, RESULT_SCRIPT);
        assert_int_equal(of_status(status).status, status);
    }
    assert_int_equal(of_status(256).status, 255); /* never success */
    assert_int_equal(of_status(-1).status, 255);
}

static void errors_become_results(void **state)
{
    (void)state;
    static const struct {
        enum error_kind kind;
        enum result_kind result;
    } rows[] = {
        {ERROR_USAGE, RESULT_BUILD}, {ERROR_BUILD, RESULT_BUILD},  {ERROR_SYSTEM, RESULT_SYSTEM},
        {ERROR_PEER, RESULT_SYSTEM}, {ERROR_LIMIT, RESULT_SYSTEM}, {ERROR_OPTION, RESULT_BUILD},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct error err = {.kind = rows[i].kind};
        assert_int_equal(result_from_error(&err).kind, rows[i].result);
    }
}

static void exec_exits_like_the_command(void **state)
{
    (void)state;
    assert_int_equal(result_exec_exit_code((struct result){RESULT_SUCCESS, 0}, 0), 0);
    assert_int_equal(result_exec_exit_code((struct result){RESULT_SCRIPT, 7}, 0), 7);
    assert_int_equal(result_exec_exit_code((struct result){RESULT_CANCELLED, 0}, 15), 143);
    assert_int_equal(result_exec_exit_code((struct result){RESULT_SYSTEM, 0}, 0), 255);
    assert_int_equal(result_exec_exit_code((struct result){RESULT_BUILD, 0}, 0), 255);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_exit_codes),
        cmocka_unit_test(job_key_comes_from_the_trusted_file),
        cmocka_unit_test(the_job_key_is_read_once),
        cmocka_unit_test(the_timeout_is_that_of_the_trusted_file),
        cmocka_unit_test(job_key_never_holds_what_a_person_wrote),
        cmocka_unit_test(job_key_refuses),
        cmocka_unit_test(results_become_exit_codes),
        cmocka_unit_test(ends_become_results),
        cmocka_unit_test(errors_become_results),
        cmocka_unit_test(exec_exits_like_the_command),
    };
    return cmocka_run_group_tests(tests, rows_make_directory, rows_remove_directory);
}
