/* SPDX-License-Identifier: MIT */
#include "agent/init/admission.h"

#include <stdio.h>

#include "common/clock.h"
#include "tests/unit/rows.h"

#define NOW 1000000000

/* The places in use: the address as a letter, the time as a number. */
enum who { STRANGER, SUSPECT, TRUSTED };

struct row {
    const char *name;
    enum who newcomer;
    int own, others;     /* places in use by its address, and by others */
    enum who others_are; /* one address each */
    int64_t age_ms;      /* of the oldest place; each later one is 1 ms younger */
    int waiting;         /* with the new one */
    int64_t owed_us;
    bool start;
    int displaced;    /* -1: none */
    int64_t again_ms; /* from now; 0: never */
};

#define MOST        10
#define PER_ADDRESS 5
#define YOUNG       10

/* clang-format off */
static const struct row rows[] = {
    {"no connection yet", STRANGER, 0, 0, STRANGER, 0, 1, 0, true, -1, 0},
    {"a place is free", STRANGER, 4, 5, STRANGER, YOUNG, 1, 0, true, -1, 0},
    {"a suspect, a place is free", SUSPECT, 4, 5, STRANGER, YOUNG, 1, 0, true, -1, 0},
    {"full of strangers", STRANGER, 0, 10, STRANGER, YOUNG, 1, 0, false, -1, 1990},
    {"full of strangers, a trusted one comes", TRUSTED, 0, 10, STRANGER, YOUNG, 1, 0, false, -1, 1990},
    {"full of old strangers", STRANGER, 0, 10, STRANGER, 2000, 1, 0, true, 0, 0},
    {"one ms too young", STRANGER, 0, 10, STRANGER, 1999, 1, 0, false, -1, 1},
    {"full of suspects, a stranger comes", STRANGER, 0, 10, SUSPECT, 0, 1, 0, true, 0, 0},
    {"full of suspects, a suspect comes", SUSPECT, 0, 10, SUSPECT, YOUNG, 1, 0, false, -1, 1990},
    {"full of strangers, many wait", STRANGER, 0, 10, STRANGER, 500, 50, 0, true, 0, 0},
    {"full of strangers, a few wait", STRANGER, 0, 10, STRANGER, 999, 25, 0, false, -1, 1},
    {"a turn for each of a few", STRANGER, 0, 10, STRANGER, 1000, 25, 0, true, 0, 0},
    {"full of suspects, many wait", SUSPECT, 0, 10, SUSPECT, 500, 200, 0, true, 0, 0},
    {"no turn is shorter", SUSPECT, 0, 10, SUSPECT, 499, 200, 0, false, -1, 1},
    {"a suspect leaves a few strangers their time", SUSPECT, 0, 10, STRANGER, 1999, 1, 0, false, -1, 1},
    {"but no more than that", SUSPECT, 0, 10, STRANGER, 2000, 1, 0, true, 0, 0},
    {"a crowd of strangers has its turn alone", SUSPECT, 0, 10, STRANGER, 500, 200, 0, true, 0, 0},
    {"its address is full", STRANGER, 5, 0, STRANGER, YOUNG, 1, 0, false, -1, 1990},
    {"its address is full of old ones", STRANGER, 5, 0, STRANGER, 2000, 1, 0, true, 0, 0},
    {"its address is full, others are old", STRANGER, 5, 0, STRANGER, 1000, 1, 0, false, -1, 1000},
    {"its address is full, others are suspects", STRANGER, 5, 5, SUSPECT, YOUNG, 1, 0, false, -1, 1990},
    {"a trusted address is full like any", TRUSTED, 5, 0, STRANGER, YOUNG, 1, 0, false, -1, 1990},
    {"a stranger, a little is owed", STRANGER, 0, 0, STRANGER, 0, 1, LIMIT_STRANGERS_CREDIT_US, true, -1, 0},
    {"a stranger, too much is owed", STRANGER, 0, 0, STRANGER, 0, 1,
     LIMIT_STRANGERS_CREDIT_US + 10L * LIMIT_STRANGERS_CPU_US, false, -1, 11},
    {"a trusted one, too much is owed", TRUSTED, 0, 0, STRANGER, 0, 1,
     LIMIT_STRANGERS_CREDIT_US + 10L * LIMIT_STRANGERS_CPU_US, false, -1, 11},
    {"a suspect, a little is owed", SUSPECT, 0, 0, STRANGER, 0, 1, LIMIT_SUSPECTS_CREDIT_US, true, -1, 0},
    {"a suspect, too much is owed", SUSPECT, 0, 0, STRANGER, 0, 1,
     LIMIT_SUSPECTS_CREDIT_US + 10L * LIMIT_STRANGERS_CPU_US, false, -1, 11},
};
/* clang-format on */

static void become(struct source *source, enum who who)
{
    if (who == SUSPECT) {
        source_penalise(source, LIMIT_PENALTY, NOW);
    } else if (who == TRUSTED) {
        source_logged_in(source, NOW);
        source_penalise(source, LIMIT_PENALTY, NOW);
    }
}

static struct source *numbered(struct admission *admission, int number, int64_t now_ms)
{
    char address[LISTEN_NAME_BYTES];
    (void)snprintf(address, sizeof(address), "192.0.2.%d", number);
    return admission_source(admission, address, now_ms);
}

static void test_ask(void **state)
{
    const struct row *row = *state;
    static struct admission admission;
    struct place places[MOST];
    int count = 0;
    memset(&admission, 0, sizeof(admission));
    struct source *newcomer = numbered(&admission, 0, NOW);
    become(newcomer, row->newcomer);
    newcomer->waiting = row->waiting < PER_ADDRESS ? row->waiting : 1;
    for (; count < row->own + row->others; count++) {
        struct source *source = count < row->own ? newcomer : numbered(&admission, 1 + count, NOW);
        if (count >= row->own) {
            become(source, row->others_are);
        }
        places[count] = (struct place){.source = source, .since_ms = NOW - row->age_ms + count};
    }
    admission_owe(&admission, row->owed_us, NOW);
    struct admission_question question = {.source = newcomer,
                                          .places = places,
                                          .count = count,
                                          .most = MOST,
                                          .most_per_address = PER_ADDRESS,
                                          .waiting = row->waiting,
                                          .now_ms = NOW};
    struct admission_answer answer = admission_ask(&admission, &question);
    assert_int_equal(answer.start, row->start);
    assert_int_equal(answer.displaced, row->displaced);
    if (!row->start) {
        assert_non_null(answer.reason);
        assert_int_equal(answer.again_ms, row->again_ms == 0 ? CLOCK_NEVER : NOW + row->again_ms);
    }
}

/* A suspect is displaced first, even if another connection is older. */
static void test_suspects_make_room_first(void **state)
{
    static struct admission admission;
    (void)state;
    struct source *suspect = numbered(&admission, 1, NOW);
    become(suspect, SUSPECT);
    const struct place places[] = {
        {.source = numbered(&admission, 2, NOW), .since_ms = NOW - 9000},
        {.source = suspect, .since_ms = NOW - 1},
        {.source = suspect, .since_ms = NOW - 2},
    };
    const struct admission_question question = {.source = numbered(&admission, 3, NOW),
                                                .places = places,
                                                .count = 3,
                                                .most = 3,
                                                .most_per_address = 3,
                                                .waiting = 1,
                                                .now_ms = NOW};
    assert_int_equal(admission_ask(&admission, &question).displaced, 2);
}

/* Ten places that are 'age_ms' old, of which the first 'strangers' are no suspect's and the first
 * 'asked' have a login on its way: what a suspect gets among a hundred that wait. */
static struct admission_answer ask_in_a_crowd(int strangers, int asked, int64_t age_ms)
{
    static struct admission admission;
    struct place places[MOST];
    memset(&admission, 0, sizeof(admission));
    for (int i = 0; i < MOST; i++) {
        struct source *source = numbered(&admission, 1 + i, NOW);
        become(source, i < strangers ? STRANGER : SUSPECT);
        places[i] =
            (struct place){.source = source, .since_ms = NOW - age_ms + i, .asked = i < asked};
    }
    struct source *newcomer = numbered(&admission, 0, NOW);
    become(newcomer, SUSPECT);
    const struct admission_question question = {.source = newcomer,
                                                .places = places,
                                                .count = MOST,
                                                .most = MOST,
                                                .most_per_address = PER_ADDRESS,
                                                .waiting = 100,
                                                .now_ms = NOW};
    return admission_ask(&admission, &question);
}

/* A crowd of suspects leaves a few others, and a few logins on their way, their whole time: others
 * of its own give way. */
static void test_a_few_are_protected(void **state)
{
    const int few = MOST / LIMIT_PROTECTED_ONE_IN;
    (void)state;
    assert_int_equal(ask_in_a_crowd(0, few, 600).displaced, few);
    assert_int_equal(ask_in_a_crowd(few, 0, 600).displaced, few);
    assert_int_equal(ask_in_a_crowd(few, few, 600).displaced, few);
    assert_int_equal(ask_in_a_crowd(0, few, 2000).displaced, few);
    assert_int_equal(ask_in_a_crowd(few, 0, 2000).displaced, few);
}

/* More of them, and all have but their turn, or suspects would wait four times as long. */
static void test_many_are_not_protected(void **state)
{
    const int many = MOST / LIMIT_PROTECTED_ONE_IN + 1;
    (void)state;
    assert_int_equal(ask_in_a_crowd(MOST, 0, 500).displaced, 0);
    assert_int_equal(ask_in_a_crowd(0, MOST, 500).displaced, 0);
    assert_int_equal(ask_in_a_crowd(many, many, 600).displaced, many);
    struct admission_answer answer = ask_in_a_crowd(MOST, 0, 499);
    assert_false(answer.start);
    assert_int_equal(answer.again_ms, NOW + 1);
}

/* Whatever else, one login has its whole time: with a single place a slow one gets in as well. A
 * stranger still sends suspects off. */
static void test_a_login_on_its_way(void **state)
{
    static struct admission admission;
    (void)state;
    struct source *suspect = numbered(&admission, 1, NOW);
    become(suspect, SUSPECT);
    const struct place place = {.source = suspect, .since_ms = NOW - 1999, .asked = true};
    struct admission_question question = {.source = suspect,
                                          .places = &place,
                                          .count = 1,
                                          .most = 1,
                                          .most_per_address = 2,
                                          .waiting = 100,
                                          .now_ms = NOW};
    assert_false(admission_ask(&admission, &question).start);
    question.now_ms++;
    assert_true(admission_ask(&admission, &question).start);
    question.now_ms = NOW;
    question.source = numbered(&admission, 2, NOW);
    assert_true(admission_ask(&admission, &question).start);
}

/* Up to when one that was displaced leaves its address a suspect: until the last that waits in a
 * crowd of LIMIT_TURN_MS has had its turn, or it would be another when that one comes. */
static void test_a_displaced_one_is_remembered(void **state)
{
    struct source source = {0};
    (void)state;
    source_penalise(&source, LIMIT_PENALTY_DISPLACED, NOW);
    source_penalise(&source, LIMIT_PENALTY_NO_LOGIN, NOW);
    assert_true(source_is_suspect(&source, NOW + LIMIT_TURN_MS + LIMIT_LOGIN_UNDISTURBED_MS));
    assert_false(source_is_suspect(&source, NOW + 6000));
}

static void test_penalty(void **state)
{
    struct source source = {0};
    (void)state;
    for (int i = 0; i < LIMIT_PENALTY_UNNOTICED; i++) {
        source_penalise(&source, 1, NOW);
        assert_false(source_is_suspect(&source, NOW));
    }
    source_penalise(&source, 1, NOW);
    assert_true(source_is_suspect(&source, NOW));
    assert_false(source_is_suspect(&source, NOW + LIMIT_PENALTY_FORGET_MS));
    /* Points expire, and more connections do not make them expire sooner. */
    for (int i = 0; i < 1000; i++) {
        source_penalise(&source, LIMIT_PENALTY_DISPLACED, NOW);
    }
    int64_t points = LIMIT_PENALTY - LIMIT_PENALTY_UNNOTICED;
    assert_true(source_is_suspect(&source, NOW + points * LIMIT_PENALTY_FORGET_MS - 1));
    assert_false(source_is_suspect(&source, NOW + points * LIMIT_PENALTY_FORGET_MS));
}

static void test_trust(void **state)
{
    struct source source = {0};
    (void)state;
    source_penalise(&source, LIMIT_PENALTY, NOW);
    source_logged_in(&source, NOW);
    assert_false(source_is_suspect(&source, NOW));
    source_penalise(&source, LIMIT_PENALTY, NOW + 1);
    assert_false(source_is_suspect(&source, NOW + 1));
    assert_true(source_is_busy(&source, NOW + 1));
    source_penalise(&source, LIMIT_PENALTY, NOW + LIMIT_TRUST_MS - 1);
    assert_false(source_is_suspect(&source, NOW + LIMIT_TRUST_MS - 1));
    assert_true(source_is_suspect(&source, NOW + LIMIT_TRUST_MS));
}

static void test_the_health_check_is_never_a_suspect(void **state)
{
    static struct admission admission;
    (void)state;
    struct source *check = admission_source(&admission, LISTEN_CHECK_ADDRESS, NOW);
    source_penalise(check, LIMIT_PENALTY, NOW);
    assert_false(source_is_suspect(check, NOW));
}

static void test_cpu_is_paid_back(void **state)
{
    static struct admission admission;
    (void)state;
    struct source *suspect = numbered(&admission, 1, NOW);
    become(suspect, SUSPECT);
    struct admission_question question = {
        .source = suspect, .most = 1, .most_per_address = 1, .waiting = 1, .now_ms = NOW};
    for (int i = 0; i < 10; i++) {
        admission_owe(&admission, LIMIT_SUSPECTS_CREDIT_US, NOW);
    }
    struct admission_answer answer = admission_ask(&admission, &question);
    assert_false(answer.start);
    int64_t expected = 9L * LIMIT_SUSPECTS_CREDIT_US / LIMIT_STRANGERS_CPU_US;
    assert_in_range(answer.again_ms - NOW, expected, expected + 1);
    question.now_ms = answer.again_ms - 2;
    assert_false(admission_ask(&admission, &question).start);
    question.now_ms = answer.again_ms;
    assert_true(admission_ask(&admission, &question).start);
}

/* More addresses than entries: those in use are kept, then those that logged in. */
static void test_addresses_are_forgotten(void **state)
{
    static struct admission admission;
    (void)state;
    struct source *used = admission_source(&admission, "used", NOW);
    used->users = 1;
    source_logged_in(admission_source(&admission, "trusted", NOW), NOW);
    for (int i = 0; i < 3 * LIMIT_SOURCES; i++) {
        struct source *source = numbered(&admission, i, NOW + i);
        assert_int_equal(source->penalty, 0);
        source_penalise(source, LIMIT_PENALTY, NOW + i);
        assert_true(source_is_suspect(numbered(&admission, i, NOW + i), NOW + i));
    }
    int64_t later_ms = NOW + 3L * LIMIT_SOURCES;
    assert_ptr_equal(admission_source(&admission, "used", later_ms), used);
    assert_int_equal(used->users, 1);
    struct source *trusted = admission_source(&admission, "trusted", later_ms);
    source_penalise(trusted, LIMIT_PENALTY, later_ms);
    assert_false(source_is_suspect(trusted, later_ms));
    /* The latest are still in the table, the first are not. */
    assert_int_not_equal(numbered(&admission, 3 * LIMIT_SOURCES - 1, later_ms)->penalty, 0);
    assert_int_equal(numbered(&admission, 0, later_ms)->penalty, 0);
}

int main(void)
{
    const struct CMUnitTest others[] = {
        cmocka_unit_test(test_suspects_make_room_first),
        cmocka_unit_test(test_a_few_are_protected),
        cmocka_unit_test(test_many_are_not_protected),
        cmocka_unit_test(test_a_login_on_its_way),
        cmocka_unit_test(test_a_displaced_one_is_remembered),
        cmocka_unit_test(test_penalty),
        cmocka_unit_test(test_trust),
        cmocka_unit_test(test_the_health_check_is_never_a_suspect),
        cmocka_unit_test(test_cpu_is_paid_back),
        cmocka_unit_test(test_addresses_are_forgotten),
    };
    return rows_run(rows, test_ask) + cmocka_run_group_tests(others, NULL, NULL);
}
