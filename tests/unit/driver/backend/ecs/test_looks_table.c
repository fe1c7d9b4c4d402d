/* SPDX-License-Identifier: MIT */
/* One process plays all drivers: each has a struct ecs_looks, and a descriptor, of its own. */
#include "common/clock.h"
#include "driver/backend/ecs/looks_table.h"
#include "tests/unit/driver/rows.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <unistd.h>

#define DRIVERS 130 /* more than fit into a call */

static char directory[64];
static struct ecs_looks drivers[DRIVERS];
static char arns[DRIVERS][ECS_ARN_BYTES];
static struct looks_batch batch;

static void open_driver(int number, const char *scope)
{
    struct ecs_looks *looks = &drivers[number];
    *looks = (struct ecs_looks){.opened = true, .index = -1};
    (void)snprintf(arns[number], ECS_ARN_BYTES, "arn:aws:ecs:r:1:task/c/%d", number);
    looks_hash(looks->scope, scope, strlen(scope));
    looks_hash(looks->task, arns[number], strlen(arns[number]));
    looks->fd = looks_table_open(directory);
    assert_true(looks->fd >= 0);
}

/* A driver that waits since 'due_ms'. */
static void want(int number, int64_t due_ms)
{
    struct looks_slot slot;
    assert_true(looks_table_own(&drivers[number], arns[number], &slot));
    assert_true(looks_table_wish(&drivers[number], &slot, due_ms, due_ms));
}

static void claim(int number)
{
    batch = (struct looks_batch){.count = 1, .begun_ms = clock_now_ms()};
    memcpy(batch.arns[0], arns[number], ECS_ARN_BYTES);
    looks_table_claim(&drivers[number], &batch);
}

static bool has(int number)
{
    for (size_t i = 0; i < batch.count; i++) {
        if (strcmp(batch.arns[i], arns[number]) == 0) {
            return true;
        }
    }
    return false;
}

static int make(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof(directory), "/tmp/berth-test-XXXXXX");
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    for (int i = 0; i < DRIVERS; i++) {
        open_driver(i, "one");
    }
    return 0;
}

static int drop(void **state)
{
    (void)state;
    for (int i = 0; i < DRIVERS; i++) {
        ecs_looks_done(&drivers[i]);
    }
    return fd_remove_tree(directory, NULL);
}

static void those_that_wait_longest_are_asked_for(void **state)
{
    (void)state;
    int64_t now_ms = clock_now_ms();
    for (int i = 0; i < DRIVERS; i++) {
        want(i, now_ms - (i * 37 % DRIVERS)); /* in no order */
    }
    claim(5);
    assert_int_equal(batch.count, ECS_DESCRIBE_CEILING);
    assert_string_equal(batch.arns[0], arns[5]);
    for (int i = 0; i < DRIVERS; i++) {
        bool late = i * 37 % DRIVERS > DRIVERS - ECS_DESCRIBE_CEILING;
        if (i != 5 && late && !has(i)) {
            fail_msg("driver %d waits longer than others and is not asked for", i);
        }
    }
    bool again = has(6);
    claim(6); /* a call for the others is under way */
    assert_int_equal(batch.count, DRIVERS - ECS_DESCRIBE_CEILING + again);
}

static void an_answer_is_for_its_task_and_from_its_time(void **state)
{
    (void)state;
    struct looks_slot slot;
    struct ecs_view view = {.exit_code = -1};
    struct ecs_view found;
    int64_t now_ms = clock_now_ms();
    want(1, now_ms);
    want(2, now_ms);
    want(3, now_ms);
    claim(1);
    assert_int_equal(batch.count, 3);
    for (size_t i = 0; i < batch.count; i++) {
        view.missing = strcmp(batch.arns[i], arns[3]) == 0;
        memcpy(view.arn, batch.arns[i], sizeof(view.arn));
        (void)snprintf(view.status, sizeof(view.status), "PENDING");
        looks_table_publish(&drivers[1], &batch, i, &view);
    }
    for (int i = 1; i <= 3; i++) {
        assert_true(looks_table_own(&drivers[i], arns[i], &slot));
        assert_true(looks_table_answer(&drivers[i], &slot, arns[i], now_ms, &found));
        assert_int_equal(found.missing, i == 3);
        assert_string_equal(found.status, "PENDING");
        assert_false(looks_table_answer(&drivers[i], &slot, arns[i], slot.begun_ms + 1, &found));
    }
    assert_true(looks_table_own(&drivers[2], arns[2], &slot));
    assert_false(looks_table_answer(&drivers[2], &slot, arns[1], now_ms, &found));
    claim(2);
    assert_int_equal(batch.count, 1); /* all have an answer */
    assert_true(looks_table_own(&drivers[1], arns[1], &slot));
    batch.begun_ms = slot.begun_ms - 1;
    memcpy(batch.arns[0], arns[1], ECS_ARN_BYTES);
    batch.entries[0].index = drivers[1].index;
    (void)snprintf(view.status, sizeof(view.status), "OLDER");
    looks_table_publish(&drivers[2], &batch, 0, &view);
    assert_true(looks_table_answer(&drivers[1], &slot, arns[1], 0, &found));
    assert_string_equal(found.status, "PENDING");
}

static void scopes_do_not_meet(void **state)
{
    (void)state;
    ecs_looks_done(&drivers[2]);
    open_driver(2, "two");
    int64_t now_ms = clock_now_ms();
    want(1, now_ms);
    want(2, now_ms);
    claim(1);
    assert_true(batch.count == 1 && has(1));
    claim(2);
    assert_true(batch.count == 1 && has(2));
    looks_table_take_turn(&drivers[1], clock_deadline_ms(60000));
    assert_true(looks_table_is_taken(&drivers[3]));
    assert_false(looks_table_is_taken(&drivers[2]));
    looks_table_end_turn(&drivers[3], 1);
    assert_true(looks_table_is_taken(&drivers[3])); /* it was not this one's */
    looks_table_take_turn(&drivers[1], clock_now_ms());
    assert_false(looks_table_is_taken(&drivers[3]));
}

static void a_slot_that_is_given_away_is_not_written(void **state)
{
    (void)state;
    struct looks_slot slot;
    struct ecs_view view = {.status = "RUNNING"};
    want(1, clock_now_ms());
    claim(1);
    assert_true(looks_table_own(&drivers[1], arns[1], &slot));
    looks_hash(slot.task, "another", 7);
    assert_true(looks_table_wish(&drivers[1], &slot, 1, 1));
    memcpy(view.arn, arns[1], sizeof(view.arn));
    looks_table_publish(&drivers[1], &batch, 0, &view);
    int before = drivers[1].index;
    off_t at = 4096 + before * (off_t)sizeof(slot);
    assert_int_equal(pread(drivers[1].fd, &slot, sizeof(slot), at), sizeof(slot));
    assert_int_equal(slot.begun_ms, 0);
    assert_true(looks_table_own(&drivers[1], arns[1], &slot));
    assert_int_not_equal(drivers[1].index, before);
    assert_int_equal(slot.begun_ms, 0);
}

static void noise_is_no_answer(void **state)
{
    (void)state;
    struct looks_slot slot;
    struct ecs_view view;
    glob_t found;
    char pattern[96];
    static unsigned char noise[1UL << 20];
    (void)snprintf(pattern, sizeof(pattern), "%s/.ecs-looks-*", directory);
    assert_int_equal(glob(pattern, GLOB_PERIOD, NULL, &found), 0);
    for (int value = 0; value < 256; value += 85) {
        memset(noise, value, sizeof(noise));
        int fd = open(found.gl_pathv[0], O_WRONLY | O_CLOEXEC);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(write(fd, noise, sizeof(noise)), sizeof(noise));
        }
        (void)close(fd);
        drivers[1].index = -1;
        if (looks_table_own(&drivers[1], arns[1], &slot)) {
            assert_false(looks_table_answer(&drivers[1], &slot, arns[1], 0, &view));
        }
        drivers[1].index = drivers[1].index < 0 ? 0 : drivers[1].index;
        claim(1);
        assert_int_equal(batch.count, 1);
        assert_false(looks_table_is_taken(&drivers[1]));
    }
    globfree(&found);
}

/* Its clock was far ahead of this one's, so that nothing in the file would expire for long. */
static void slots_of_another_boot_are_free(void **state)
{
    (void)state;
    struct looks_slot slot = {.expires_ms = clock_now_ms() + 24LL * 3600 * 1000};
    for (int i = 0; i < 2048; i++) { /* all that the file has */
        off_t at = 4096 + i * (off_t)sizeof(slot);
        assert_int_equal(pwrite(drivers[0].fd, &slot, sizeof(slot), at), sizeof(slot));
    }
    want(0, clock_now_ms());
    claim(0);
    assert_int_equal(batch.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(those_that_wait_longest_are_asked_for, make, drop),
        cmocka_unit_test_setup_teardown(an_answer_is_for_its_task_and_from_its_time, make, drop),
        cmocka_unit_test_setup_teardown(scopes_do_not_meet, make, drop),
        cmocka_unit_test_setup_teardown(a_slot_that_is_given_away_is_not_written, make, drop),
        cmocka_unit_test_setup_teardown(noise_is_no_answer, make, drop),
        cmocka_unit_test_setup_teardown(slots_of_another_boot_are_free, make, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
