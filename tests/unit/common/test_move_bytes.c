/* SPDX-License-Identifier: MIT */
#include "common/runtime/move_bytes.h"

#include "tests/unit/rows.h"

#define GUARD   160
#define LONGEST 700

struct distance_row {
    const char *name;
    int distance; /* from where it was to where it goes */
};

static const struct distance_row distance_rows[] = {
    {"in place", 0},
    {"a byte up", 1},
    {"a byte down", -1},
    {"five up, as libssh moves packets", 5},
    {"five down", -5},
    {"15 up", 15},
    {"15 down", -15},
    {"a vector up", 16},
    {"a vector down", -16},
    {"63 up", 63},
    {"63 down", -63},
    {"a step up", 64},
    {"a step down", -64},
    {"more than a step up", 150},
    {"more than a step down", -150},
};

/* Every length from 0: all bytes, those around them too, are as a bytewise move leaves them. */
static void test_lengths(void **state)
{
    const struct distance_row *row = *state;
    static unsigned char before[LONGEST + 2 * GUARD], wanted[sizeof(before)], moved[sizeof(before)];
    for (size_t i = 0; i < sizeof(before); i++) {
        before[i] = (unsigned char)(i * 131 + i / 251);
    }
    for (size_t length = 0; length <= LONGEST; length++) {
        memcpy(wanted, before, sizeof(before));
        memcpy(moved, before, sizeof(before));
        for (size_t i = 0; i < length; i++) {
            wanted[GUARD + row->distance + (int)i] = before[GUARD + i];
        }
        unsigned char *to = moved + GUARD + row->distance;
        assert_ptr_equal(move_bytes(to, moved + GUARD, length), to);
        assert_memory_equal(moved, wanted, sizeof(moved));
    }
}

int main(void)
{
    return rows_run(distance_rows, test_lengths);
}
