/* SPDX-License-Identifier: MIT */
#include "driver/record/keys.h"
#include "driver/record/pool.h"
#include "tests/unit/driver/rows.h"

static void save(const char *key, int64_t ready_at_s)
{
    struct metadata *metadata = metadata_new(key, "docker", NULL);
    assert_non_null(metadata);
    (void)snprintf(metadata->warm.wish, sizeof(metadata->warm.wish), "abc");
    metadata->warm.ready_at_s = ready_at_s;
    metadata->warm.max_age_s = 3600;
    assert_int_equal(metadata_save(metadata, rows_directory, NULL), 0);
    metadata_free(metadata);
}

static enum pool_state state_of(const char *key)
{
    struct pool_record record;
    assert_int_equal(pool_read_one(rows_directory, key, &record, NULL), 1);
    assert_string_equal(record.key, key);
    return record.state;
}

/* One process alone gets it; its task keeps its name under every key. */
static void a_claim_and_its_end(void **state)
{
    (void)state;
    char key[METADATA_JOB_BYTES] = "";
    struct metadata *metadata = NULL;
    save("warm-1", 1000);
    assert_int_equal(state_of("warm-1"), POOL_READY);
    assert_int_equal(metadata_rename(rows_directory, "warm-1", "job-1-a", NULL), 1);
    assert_int_equal(metadata_rename(rows_directory, "warm-1", "job-2-a", NULL), 0);
    assert_int_equal(pool_find_task(rows_directory, "warm-1", key, NULL), 1);
    assert_string_equal(key, "job-1-a");
    assert_int_equal(metadata_load(rows_directory, "job-1-a", &metadata, NULL), 1);
    assert_string_equal(metadata->job, "warm-1");
    assert_string_equal(metadata->record, "job-1-a");
    assert_int_equal(metadata_save(metadata, rows_directory, NULL), 0); /* under the job's key */
    metadata_free(metadata);
    assert_int_equal(pool_retire(rows_directory, "job-1-a", "warm-1", key, NULL), 1);
    assert_string_equal(key, "spent-1");
    assert_int_equal(state_of("spent-1"), POOL_SPENT);
    assert_int_equal(pool_retire(rows_directory, "job-1-a", "warm-1", key, NULL), 0);
    assert_int_equal(metadata_remove(rows_directory, "spent-1", NULL), 0);
    assert_int_equal(pool_find_task(rows_directory, "warm-1", key, NULL), 0);
}

/* Without a process that works on it, a record that is not ready is a leftover. */
static void leftovers(void **state)
{
    (void)state;
    struct pool pool;
    save("warm-2", 0);
    save("warm-3", 1000);
    save("job-3-b", 1000);
    assert_int_equal(pool_read(rows_directory, &pool, NULL), 0);
    assert_int_equal(pool.count, 2);
    for (size_t i = 0; i < pool.count; i++) {
        bool ready = strcmp(pool.records[i].key, "warm-3") == 0;
        assert_int_equal(pool.records[i].state, ready ? POOL_READY : POOL_LEFT);
        assert_int_equal(pool_is_known(&pool.records[i], 2000), ready);
        assert_false(pool_is_known(&pool.records[i], 1000 + 3600 + POOL_AGE_SPARE_S));
    }
    pool_done(&pool);
    assert_int_equal(metadata_remove(rows_directory, "warm-2", NULL), 0);
    assert_int_equal(metadata_remove(rows_directory, "warm-3", NULL), 0);
    assert_int_equal(metadata_remove(rows_directory, "job-3-b", NULL), 0);
}

/* A job's file that names the task of another job is damaged. */
static void only_warm_tasks_change_hands(void **state)
{
    (void)state;
    struct metadata *metadata = metadata_new("job-4-c", "docker", NULL);
    assert_non_null(metadata);
    assert_int_equal(metadata_save(metadata, rows_directory, NULL), 0);
    metadata_free(metadata);
    metadata = NULL;
    assert_int_equal(metadata_rename(rows_directory, "job-4-c", "job-5-c", NULL), 1);
    assert_int_equal(metadata_load(rows_directory, "job-5-c", &metadata, NULL), -1);
    assert_int_equal(metadata_remove(rows_directory, "job-5-c", NULL), 0);
}

static void keys_of_the_pool(void **state)
{
    (void)state;
    char key[METADATA_JOB_BYTES];
    pool_new_key(key);
    assert_true(pool_has_key(key) && !pool_is_spent(key));
    assert_true(pool_has_key("spent-1") && pool_is_spent("spent-1"));
    assert_false(pool_has_key("job-1-warm-") || pool_has_key("exec-1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_claim_and_its_end),
        cmocka_unit_test(leftovers),
        cmocka_unit_test(only_warm_tasks_change_hands),
        cmocka_unit_test(keys_of_the_pool),
    };
    return keys_init(NULL) < 0
               ? 1
               : cmocka_run_group_tests(tests, rows_make_directory, rows_remove_directory);
}
