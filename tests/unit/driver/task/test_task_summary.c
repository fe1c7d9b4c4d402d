/* SPDX-License-Identifier: MIT */
#include "driver/task/task_summary.h"
#include "tests/unit/driver/rows.h"

#define NOW 1000000000

static void ages(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t started_s;
        const char *text;
    } rows[] = {
        {"not started", 0, "-"},          {"now", NOW, "0s"},
        {"of the future", NOW + 5, "0s"}, {"below a minute", NOW - 59, "59s"},
        {"a minute", NOW - 60, "1m"},     {"below an hour", NOW - 3599, "59m"},
        {"hours", NOW - 11100, "3h05m"},  {"days", NOW - 187200, "2d04h"},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct backend_listed listed = {.started_at_s = rows[i].started_s};
        char text[24];
        task_summary_age(&listed, NOW, text, sizeof(text));
        if (strcmp(text, rows[i].text) != 0) {
            fail_msg("%s: '%s'", rows[i].name, text);
        }
    }
}

static void costs(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double vcpus, memory_gib;
        bool spot;
        double vcpu_hour, gib_hour;
        const char *text;
    } rows[] = {
        {"no price", 1, 2, false, 0, 0, "-"},
        {"no size", 0, 0, false, 1, 1, "-"},
        {"both", 2, 4, false, 0.05, 0.005, "0.2400"},
        {"Spot", 2, 4, true, 0.05, 0.005, "0.0720"},
        {"vCPU alone", 1, 0, false, 1, 1, "2.0000"},
        {"not Fargate", 2, 4, false, 0.05, 0.005, "-"},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct backend_listed listed = {.started_at_s = NOW - 7200,
                                        .vcpus = rows[i].vcpus,
                                        .memory_gib = rows[i].memory_gib,
                                        .spot = rows[i].spot,
                                        .elsewhere = strcmp(rows[i].name, "not Fargate") == 0};
        struct config_price price = {
            .vcpu_hour = rows[i].vcpu_hour, .gib_hour = rows[i].gib_hour, .spot_factor = 0.3};
        char text[32];
        task_summary_cost(&listed, &price, NOW, text, sizeof(text));
        if (strcmp(text, rows[i].text) != 0) {
            fail_msg("%s: '%s'", rows[i].name, text);
        }
    }
}

static void who_is_known(void **state)
{
    (void)state;
    static char directory[] = "/nonexistent";
    static const struct {
        const char *name, *job;
        int64_t age_s;
        bool known;
    } rows[] = {
        {"a job without metadata", "job-1-abc", 5, false},
        {"no name: nothing can be said", "", 5, true},
        {"a name that leads elsewhere", "../job-1", 5, true},
        {"a young exec", "exec-abc", 60, true},
        {"an old exec", "exec-abc", TASK_SUMMARY_EXEC_AGE_S + 1, false},
    };
    struct config config = {.metadata_directory = directory};
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct backend_listed listed = {.started_at_s = NOW - rows[i].age_s};
        (void)snprintf(listed.job, sizeof(listed.job), "%s", rows[i].job);
        if (task_summary_is_known(&listed, &config, NOW) != rows[i].known) {
            fail_msg("%s", rows[i].name);
        }
    }
}

/* Any record that cannot be read may be that of the job that has claimed the task. */
static void an_unreadable_record_may_be_the_claimers(void **state)
{
    (void)state;
    struct config config = {.metadata_directory = rows_directory};
    struct backend_listed listed = {.job = "warm-7", .started_at_s = NOW - 60};
    assert_false(task_summary_is_known(&listed, &config, NOW));
    const char *path = rows_file("job-7-a.json", "{", 1);
    assert_true(task_summary_is_known(&listed, &config, NOW));
    assert_int_equal(unlink(path), 0);
    assert_false(task_summary_is_known(&listed, &config, NOW));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ages),
        cmocka_unit_test(costs),
        cmocka_unit_test(who_is_known),
        cmocka_unit_test(an_unreadable_record_may_be_the_claimers),
    };
    return cmocka_run_group_tests(tests, rows_make_directory, rows_remove_directory);
}
