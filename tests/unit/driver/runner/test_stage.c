/* SPDX-License-Identifier: MIT */
#include "driver/runner/stage.h"

#include "tests/unit/driver/rows.h"

/* From GitLab Runner's common/build.go; names of later versions belong to the job. */
static void test_rows(void **state)
{
    (void)state;
    static const struct {
        const char *stage;
        bool predefined, users;
    } rows[] = {
        {"prepare_script", true, false},
        {"get_sources", true, false},
        {"clear_worktree", true, false},
        {"restore_cache", true, false},
        {"download_artifacts", true, false},
        {"archive_cache", true, false},
        {"archive_cache_on_failure", true, false},
        {"upload_artifacts_on_success", true, false},
        {"upload_artifacts_on_failure", true, false},
        {"cleanup_file_variables", true, false},
        {"step_script", false, true},
        {"step_release", false, true},
        {"build_script", false, true},
        {"after_script", false, true},
        {"get_sources ", false, false},
        {"archive_cache_of_a_later_version", false, false},
        {"", false, false},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        print_message("%s\n", rows[i].stage);
        assert_int_equal(stage_is_predefined(rows[i].stage), rows[i].predefined);
        assert_int_equal(stage_is_users(rows[i].stage), rows[i].users);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
