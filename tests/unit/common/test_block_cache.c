/* SPDX-License-Identifier: MIT */
#include "common/runtime/block_cache.h"

#include "tests/unit/rows.h"

#define LEAST BLOCK_CACHE_LEAST_BYTES
#define MOST  BLOCK_CACHE_MOST_BYTES

static char memory[2 * BLOCK_CACHE_SLOTS]; /* blocks are only addresses here */

struct fit_row {
    const char *name;
    size_t given, asked;
    bool kept, taken;
};

static const struct fit_row fit_rows[] = {
    {"the same size", 33000, 33000, true, true},
    {"a smaller one fits", 33000, 32000, true, true},
    {"one byte more than there is", 33000, 33001, true, false},
    {"half of it", 40000, 20000, true, true},
    {"less than half would be waste", 40000, 19999, true, false},
    {"the least that is kept", LEAST, LEAST, true, true},
    {"less than that", LEAST - 1, LEAST - 1, false, false},
    {"the most that is kept", MOST, MOST, true, true},
    {"more than that", MOST + 1, MOST, false, false},
    {"nothing", 0, 0, false, false},
};

static void test_fit(void **state)
{
    const struct fit_row *row = *state;
    struct block_cache cache = {0};
    assert_int_equal(block_cache_give(&cache, memory, row->given), row->kept);
    assert_ptr_equal(block_cache_take(&cache, row->asked), row->taken ? memory : NULL);
    if (row->taken) { /* once */
        assert_null(block_cache_take(&cache, row->asked));
    }
}

static void test_full(void **state)
{
    (void)state;
    struct block_cache cache = {0};
    for (int i = 0; i < BLOCK_CACHE_SLOTS; i++) {
        assert_true(block_cache_give(&cache, memory + i, LEAST));
    }
    assert_false(block_cache_give(&cache, memory + BLOCK_CACHE_SLOTS, LEAST));
    void *block = block_cache_take(&cache, LEAST);
    assert_non_null(block);
    assert_true(block_cache_give(&cache, memory + BLOCK_CACHE_SLOTS, LEAST));
    assert_false(block_cache_give(&cache, block, LEAST));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_full)};
    return rows_run(fit_rows, test_fit) + cmocka_run_group_tests(tests, NULL, NULL);
}
