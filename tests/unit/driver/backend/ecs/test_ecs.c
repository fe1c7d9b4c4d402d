/* SPDX-License-Identifier: MIT */
#include "common/clock.h"
#include "common/fd.h"
#include "driver/backend/ecs/ecs.h"
#include "driver/backend/ecs/pace.h"
#include "tests/unit/driver/rows.h"

#include <stdio.h>
#include <sys/stat.h>
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
        {"an instance without room", "RESOURCE:MEMORY", false, ECS_ELSEWHERE, "no instance"},
        {"an interface", "RESOURCE:ENI", false, ECS_ELSEWHERE, "subnets"},
        {"quota", "You've reached the limit on the number of vCPUs", false, ECS_PERMANENT, "quota"},
        {"name before definition",
         "Override for container named x is not a container in the TaskDefinition.", false,
         ECS_PERMANENT, "ContainerName"},
        {"default strategy before definition",
         "Task definition does not support launch_type MANAGED_INSTANCES.", false, ECS_PERMANENT,
         "CapacityProviders"},
        {"execution role before definition",
         "Fargate requires task definition to have execution role ARN to support ECR images.",
         false, ECS_PERMANENT, "ExecutionRole"},
        {"a right on a resource is no shortage",
         "AccessDeniedException: User: arn:aws:sts::1:assumed-role/x is not authorized to perform: "
         "ecs:RunTask on resource: arn:aws:ecs:eu-west-1:1:task-definition/ci:1",
         false, ECS_PERMANENT, "--policy"},
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
        {"login of a private registry",
         "ResourceInitializationError: unable to pull secrets or registry auth: execution resource "
         "retrieval failed: unable to get registry auth from asm: service call has been retried 1 "
         "time(s): AccessDeniedException: not authorized to perform: secretsmanager:GetSecretValue",
         true, ECS_UNKNOWN, "RegistrySecrets"},
        {"pull-through cache",
         "CannotPullContainerError: failed to resolve ref x: denied: User: y is not authorized to "
         "perform: ecr:BatchImportUpstreamImage on resource: z",
         true, ECS_UNKNOWN, "pull-through cache"},
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

static void refusals_that_need_a_launch_type_are_recognised(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum ecs_wants wants;
    } rows[] = {
        {"ecs RunTask: InvalidParameterException: No Container Instances were found in your "
         "cluster. (request x)",
         ECS_WANTS_LAUNCH_TYPE},
        {"Task definition does not support launch_type EC2.", ECS_WANTS_LAUNCH_TYPE_MAYBE},
        {"The platform version must be null when specifying an EC2 launch type.",
         ECS_WANTS_LAUNCH_TYPE_MAYBE},
        {"Assign public IP is not supported for this launch type.", ECS_WANTS_LAUNCH_TYPE_MAYBE},
        {"No Container Instances were found in your capacity provider.", ECS_WANTS_NOTHING},
        {"Task definition does not support launch_type FARGATE.", ECS_WANTS_NOTHING},
        {"Cluster not found.", ECS_WANTS_NOTHING},
        {"", ECS_WANTS_NOTHING},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        if (ecs_advice_wants(rows[i].text) != rows[i].wants) {
            fail_msg("%s", rows[i].text);
        }
    }
}

/* Time stands still in this program: a slot is compared with the one before. */
int clock_gettime(clockid_t clock_id, struct timespec *tp)
{
    (void)clock_id;
    *tp = (struct timespec){.tv_sec = 1000000, .tv_nsec = 0};
    return 0;
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

static void a_slot_that_is_not_now_is_not_taken(void **state)
{
    (void)state;
    char directory[] = "/tmp/berth-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    struct config config = {.metadata_directory = directory};
    config.fargate.calls_per_second = 1;
    assert_true(ecs_pace_try(&config, "look"));
    int64_t next_ms = clock_deadline_ms(1000);
    assert_false(ecs_pace_try(&config, "look"));
    assert_false(ecs_pace_try(&config, "look"));
    assert_true(ecs_pace_reserve(&config, "look") <= next_ms);
    assert_int_equal(fd_remove_tree(directory, NULL), 0);
    assert_true(ecs_pace_try(&config, "look"));
}

static void a_slot_of_another_time_is_not_waited_for(void **state)
{
    (void)state;
    struct config config = {.metadata_directory = rows_directory, .fargate.calls_per_second = 10};
    const char *path = rows_file(".ecs-look", "", 0);
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
}

static void a_slot_of_another_user_is_not_waited_for(void **state)
{
    (void)state;
    struct config config = {.metadata_directory = rows_directory, .fargate.calls_per_second = 10};
    const char *path = rows_file(".ecs-look", "", 0);
    static const struct {
        const char *name;
        mode_t directory_mode, mode;
        bool waits;
    } rows[] = {
        {"private", 0700, 0600, true},
        {"writable by its group", 0700, 0620, false},
        {"writable by all", 0700, 0602, false},
        {"in a directory that others can write", 0770, 0600, false},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        int64_t slot_ms = clock_now_ms() + 300000;
        assert_int_equal(fd_replace_file(path, &slot_ms, sizeof(slot_ms), rows[i].mode, NULL), 0);
        assert_int_equal(chmod(rows_directory, rows[i].directory_mode), 0);
        if ((ecs_pace_reserve(&config, "look") > clock_now_ms()) != rows[i].waits) {
            fail_msg("%s: %s", rows[i].name, rows[i].waits ? "does not wait" : "waits");
        }
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(chmod(rows_directory, 0700), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_true(ecs_pace_reserve(&config, "look") <= clock_now_ms());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_and_stops_are_understood),
        cmocka_unit_test(refusals_that_need_a_launch_type_are_recognised),
        cmocka_unit_test(slots_are_spaced_by_kind),
        cmocka_unit_test(a_slot_that_is_not_now_is_not_taken),
        cmocka_unit_test_setup_teardown(a_slot_of_another_time_is_not_waited_for,
                                        rows_make_directory, rows_remove_directory),
        cmocka_unit_test_setup_teardown(a_slot_of_another_user_is_not_waited_for,
                                        rows_make_directory, rows_remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
