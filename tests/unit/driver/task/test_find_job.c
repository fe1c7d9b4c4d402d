/* SPDX-License-Identifier: MIT */
#include "driver/remote/shell_quote.h"
#include "driver/task/find_job.h"
#include "tests/unit/driver/rows.h"

static const struct {
    const char *name;
    const char *wanted, *job;
    int result; /* of find_job(), when this job of the task "local-99" is the only one */
} rows[] = {
    {"the job's id", "4711", "job-4711-0a1b2c", 0},
    {"its key", "job-4711-0a1b2c", "job-4711-0a1b2c", 0},
    {"its task", "local-99", "job-4711-0a1b2c", 0},
    {"the start of an id", "471", "job-4711-0a1b2c", -1},
    {"more than an id", "47110", "job-4711-0a1b2c", -1},
    {"the hash alone", "0a1b2c", "job-4711-0a1b2c", -1},
    {"nothing", "", "job-4711-0a1b2c", -1},
    {"an id of a key that is none", "4711", "exec-4711-0a1b2c", -1},
    {"a key as short as its start", "4711", "job-4711", -1},
};

static void save_job(const char *job)
{
    struct metadata *metadata = metadata_new(job, "local", NULL);
    assert_non_null(metadata);
    metadata->agents[METADATA_JOB].port = 22;
    assert_non_null(cJSON_AddNumberToObject(metadata->state, "pid", 99));
    assert_non_null(cJSON_AddNumberToObject(metadata->state, "start", 1));
    assert_non_null(cJSON_AddStringToObject(metadata->state, "boot", "b"));
    assert_int_equal(metadata_save(metadata, rows_directory, NULL), 0);
    metadata_free(metadata);
}

static void test_matches(void **state)
{
    (void)state;
    struct config config = {.metadata_directory = rows_directory};
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct task task = {.backend_task = {.config = &config}};
        struct error err;
        save_job(rows[i].job);
        print_message("%s\n", rows[i].name);
        assert_int_equal(find_job(&task, rows[i].wanted, &err), rows[i].result);
        if (rows[i].result == 0) {
            assert_string_equal(task.name, "local-99");
        } else {
            rows_assert_contains(rows[i].name, err.message, rows[i].job); /* it lists the jobs */
        }
        task_done(&task);
        assert_int_equal(metadata_remove(rows_directory, rows[i].job, NULL), 0);
    }
}

static const struct {
    const char *name;
    char words[4][24];
    int count;
    const char *command;
} word_rows[] = {
    {"one word is shell text", {"echo $HOME; exit 3"}, 1, "echo $HOME; exit 3"},
    {"several are quoted", {"printf", "%s", "a b"}, 3, "'printf' '%s' 'a b'"},
    {"a quote inside", {"echo", "it's"}, 2, "'echo' 'it'\\''s'"},
    {"an empty one", {"a", ""}, 2, "'a' ''"},
};

static void test_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT(word_rows); i++) {
        struct buffer command;
        struct error err;
        char *words[4];
        print_message("%s\n", word_rows[i].name);
        for (int j = 0; j < word_rows[i].count; j++) {
            words[j] = strdup(word_rows[i].words[j]);
        }
        buffer_init(&command, SHELL_QUOTE_CEILING_BYTES);
        assert_int_equal(shell_quote_join(&command, word_rows[i].count, words, &err), 0);
        assert_string_equal(command.bytes, word_rows[i].command);
        buffer_done(&command);
        for (int j = 0; j < word_rows[i].count; j++) {
            free(words[j]);
        }
    }
}

int main(void)
{
    if (keys_init(NULL) < 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, rows_make_directory, rows_remove_directory);
}
