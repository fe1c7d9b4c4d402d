/* SPDX-License-Identifier: MIT */
#include "driver/job_search.h"
#include "driver/shell_words.h"
#include "rows.h"

static const struct {
    const char *name;
    const char *wanted, *job, *task;
    bool matches;
} rows[] = {
    {"the job's id", "4711", "job-4711-0a1b2c", "local-99", true},
    {"its key", "job-4711-0a1b2c", "job-4711-0a1b2c", "local-99", true},
    {"its task", "local-99", "job-4711-0a1b2c", "local-99", true},
    {"the start of an id", "471", "job-4711-0a1b2c", "local-99", false},
    {"more than an id", "47110", "job-4711-0a1b2c", "local-99", false},
    {"the hash alone", "0a1b2c", "job-4711-0a1b2c", "local-99", false},
    {"nothing", "", "job-4711-0a1b2c", "", false},
    {"an id of a key that is none", "4711", "exec-4711-0a1b2c", "local-99", false},
    {"a key as short as its start", "4711", "job-4711", "local-99", false},
};

static void test_matches(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        print_message("%s\n", rows[i].name);
        assert_int_equal(job_search_matches(rows[i].wanted, rows[i].job, rows[i].task),
                         rows[i].matches);
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
        buffer_init(&command, SHELL_WORDS_CEILING_BYTES);
        assert_int_equal(shell_words_join(&command, word_rows[i].count, words, &err), 0);
        assert_string_equal(command.bytes, word_rows[i].command);
        buffer_done(&command);
        for (int j = 0; j < word_rows[i].count; j++) {
            free(words[j]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
