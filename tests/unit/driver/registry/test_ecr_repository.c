/* SPDX-License-Identifier: MIT */
/* The calls are in tests/blackbox/test_push_agent.py. */
#include "driver/registry/ecr_repository.h"

#include "tests/unit/driver/rows.h"

static void checks_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool valid;
    } rows[] = {
        {"berth-agent", true}, {"a1", true},    {"ci/berth-agent", true},
        {"a__b", true},        {"a--b", true},  {"a_b", true},
        {"a.b", true},         {"a/b/c", true}, {"a", false},
        {"", false},           {"A1", false},   {"a..b", false},
        {"a.-b", false},       {"/a1", false},  {"a1/", false},
        {"a//b", false},       {"-ab", false},  {"ab-", false},
        {"a/-b", false},       {"a b", false},  {"ab:1", false},
        {"a-/b", false},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        if (ecr_repository_name_is_valid(rows[i].name) != rows[i].valid) {
            fail_msg("%s", rows[i].name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(checks_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
