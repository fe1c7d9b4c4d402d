/* SPDX-License-Identifier: MIT */
#include "common/clock.h"
#include "common/fd.h"
#include "driver/backend/ecs.h"
#include "driver/backend/ecs_pace.h"
#include "rows.h"

#include <stdio.h>
#include <unistd.h>

static void refusals_and_stops_are_understood(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        bool stop;
        enum ecs_verdict verdict;
        const char *hint;
    } rows[] = {
        {"capacity", "Capacity is unavailable at this time. Please try again later.", false,
         ECS_ELSEWHERE, "subnets"},
        {"capacity after the launch", "Capacity is unavailable at this time", true, ECS_ELSEWHERE,
         "subnets"},
        {"addresses", "TaskFailedToStart: InsufficientFreeAddressesInSubnet", true, ECS_ELSEWHERE,
         "larger"},
        {"quota", "You've reached the limit on the number of vCPUs", false, ECS_PERMANENT, "quota"},
        {"name before definition",
         "Override for container named x is not a container in the TaskDefinition.", false,
         ECS_PERMANENT, "ContainerName"},
        {"other words of a stop refuse nothing", "the task definition's secret was not found", true,
         ECS_UNKNOWN, NULL},
        {"image", "CannotPullContainerError: manifest unknown", true, ECS_PERMANENT, "tag"},
        {"image as Fargate 1.4 says it",
         "TaskFailedToStart: CannotPullContainerError: pull image manifest has been retried 5 "
         "time(s): failed to resolve ref registry/ci:9: registry/ci:9: not found",
         true, ECS_PERMANENT, "tag"},
        {"processor",
         "CannotPullContainerError: pull image manifest has been retried 7 time(s): image Manifest "
         "does not contain descriptor matching platform 'linux/amd64'",
         true, ECS_PERMANENT, "--platform"},
        {"registry out of reach",
         "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to "
         "resolve ref registry/ci:9: failed to do request: dial tcp 1.2.3.4:443: i/o timeout",
         true, ECS_UNKNOWN, "NAT gateway"},
        {"a secret that was not found is no image",
         "ResourceInitializationError: unable to pull secrets: x: not found", true, ECS_UNKNOWN,
         "execution role"},
        {"Spot", "SpotInterruption: Your Spot Task was interrupted.", true, ECS_UNKNOWN,
         "runner_system_failure"},
        {"memory", "OutOfMemoryError: Container killed", true, ECS_UNKNOWN, "more memory"},
        {"nothing known", "the moon", false, ECS_UNKNOWN, NULL},
        {"empty", "", true, ECS_UNKNOWN, NULL},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ecs_advice advice =
            rows[i].stop ? ecs_advice_of_stop(rows[i].text) : ecs_advice_of_refusal(rows[i].text);
        bool hinted = rows[i].hint == NULL
                          ? advice.hint == NULL
                          : advice.hint != NULL && strstr(advice.hint, rows[i].hint) != NULL;
        if (advice.verdict != rows[i].verdict || !hinted) {
            fail_msg("%s: verdict %d, hint '%s'", rows[i].name, (int)advice.verdict,
                     advice.hint == NULL ? "" : advice.hint);
        }
    }
}

static void slots_are_spaced_by_kind(void **state)
{
    (void)state;
    char directory[] = "/tmp/berth-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    struct config config = {.metadata_directory = directory};
    config.fargate.calls_per_second = 4;
    int64_t before_ms = clock_now_ms();
    int64_t first_ms = ecs_pace_reserve(&config, "look");
    assert_true(first_ms >= before_ms && first_ms <= clock_now_ms());
    assert_int_equal(ecs_pace_reserve(&config, "look"), first_ms + 250);
    assert_int_equal(ecs_pace_reserve(&config, "look"), first_ms + 500);
    assert_true(ecs_pace_reserve(&config, "run") <= clock_now_ms());
    assert_int_equal(fd_remove_tree(directory, NULL), 0);
    assert_true(ecs_pace_reserve(&config, "look") <= clock_now_ms());
}

static void a_slot_of_another_time_is_not_waited_for(void **state)
{
    (void)state;
    char directory[] = "/tmp/berth-test-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(directory));
    struct config config = {.metadata_directory = directory};
    config.fargate.calls_per_second = 10;
    (void)snprintf(path, sizeof(path), "%s/.ecs-look", directory);
    static const struct {
        const char *name;
        int64_t ahead_ms;
        size_t length;
    } rows[] = {{"far ahead", 3600000, 8}, {"half a number", 5000, 4}, {"empty", 0, 0}};
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        int64_t slot_ms = clock_now_ms() + rows[i].ahead_ms;
        assert_int_equal(fd_replace_file(path, &slot_ms, rows[i].length, 0600, NULL), 0);
        if (ecs_pace_reserve(&config, "look") > clock_now_ms()) {
            fail_msg("%s: waits", rows[i].name);
        }
    }
    assert_int_equal(fd_remove_tree(directory, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_and_stops_are_understood),
        cmocka_unit_test(slots_are_spaced_by_kind),
        cmocka_unit_test(a_slot_of_another_time_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
