/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/nearest.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static const char *const words[] = {"Cluster", "Region", "Backend", "ecs",      "local",
                                    "config",  "ps",     "gc",      "log-level"};

static void finds_what_was_meant(void **state)
{
    (void)state;
    static const struct {
        const char *word, *best; /* NULL: nothing is near */
    } rows[] = {
        {"Cluster", "Cluster"},
        {"Clutser", "Cluster"}, /* two letters exchanged */
        {"Cluste", "Cluster"},
        {"Clluster", "Cluster"},
        {"cLUSTEr", "Cluster"},
        {"Clusfer", "Cluster"},
        {"Clstr", "Cluster"},
        {"Bakend", "Backend"},
        {"esc", "ecs"},
        {"ec2", "ecs"},
        {"lcoal", "local"},
        {"loglevel", "log-level"},
        {"log", "log-level"}, /* the beginning */
        {"conf", "config"},
        {"lo", NULL}, /* too little of it */
        {"frob", NULL},
        {"x", NULL}, /* no word of two letters is meant by one */
        {"", NULL},
        {"abc", NULL},
        {"Clusterconfiguration", NULL},
        {"0123456789012345678901234567890123456789012345678901234567890123456789", NULL},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct nearest nearest = nearest_begin(rows[i].word);
        for (size_t j = 0; j < ROWS(words); j++) {
            nearest_try(&nearest, words[j]);
        }
        if ((nearest.best == NULL) != (rows[i].best == NULL) ||
            (nearest.best != NULL && strcmp(nearest.best, rows[i].best) != 0)) {
            fail_msg("'%s': %s", rows[i].word, nearest.best == NULL ? "nothing" : nearest.best);
        }
    }
}

static void the_nearest_counts_and_the_first_of_two(void **state)
{
    (void)state;
    struct nearest nearest = nearest_begin("Subnet");
    nearest_try(&nearest, "Subnets");
    assert_string_equal(nearest.best, "Subnets");
    nearest_try(&nearest, "Submet");
    assert_string_equal(nearest.best, "Subnets");
    nearest_try(&nearest, "subnet");
    assert_string_equal(nearest.best, "subnet");
    nearest = nearest_begin("time");
    nearest_try(&nearest, "timeout-of-each");
    nearest_try(&nearest, "timeouts");
    assert_string_equal(nearest.best, "timeout-of-each");
    nearest_try(&nearest, "tme");
    assert_string_equal(nearest.best, "tme");
}

static void becomes_the_hint_of_an_error(void **state)
{
    (void)state;
    struct error err = {0};
    struct nearest nearest = nearest_begin("lokal");
    assert_int_equal(nearest_hint(&nearest, &err), -1);
    assert_string_equal(err.hint, "");
    nearest_try(&nearest, "local");
    assert_int_equal(nearest_hint(&nearest, &err), -1);
    assert_string_equal(err.hint, "did you mean 'local'?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_meant),
        cmocka_unit_test(the_nearest_counts_and_the_first_of_two),
        cmocka_unit_test(becomes_the_hint_of_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
