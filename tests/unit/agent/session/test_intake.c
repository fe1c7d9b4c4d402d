/* SPDX-License-Identifier: MIT */
#include "agent/session/intake.h"

#include "agent/limits.h"
#include "agent/session/server.h"
#include "tests/unit/rows.h"

struct refusal_row {
    const char *name;
    struct intake intake;
    bool before, after; /* whether it is refused before the login */
};

#define LOGIN .messages = 6, .known = 6, .bytes = 6000

static const struct refusal_row refusal_rows[] = {
    {"nothing yet", {0}, false, false},
    {"a login", {LOGIN}, false, false},
    {"15 unknown messages", {.messages = 21, .known = 6}, false, false},
    {"16 unknown messages", {.messages = 22, .known = 6}, true, true},
    {"all messages of a login",
     {.messages = LIMIT_LOGIN_MESSAGES, .known = LIMIT_LOGIN_MESSAGES},
     false,
     false},
    {"one more",
     {.messages = LIMIT_LOGIN_MESSAGES + 1, .known = LIMIT_LOGIN_MESSAGES + 1},
     true,
     false},
    {"all bytes of a login", {.bytes = LIMIT_LOGIN_BYTES}, false, false},
    {"one byte more", {.bytes = LIMIT_LOGIN_BYTES + 1}, true, false},
    {"as much chatter as may be",
     {.messages = LIMIT_LOGIN_CHATTER,
      .known = LIMIT_LOGIN_CHATTER,
      .chatter = LIMIT_LOGIN_CHATTER},
     false,
     false},
    {"more chatter",
     {.messages = LIMIT_LOGIN_CHATTER + 1,
      .known = LIMIT_LOGIN_CHATTER + 1,
      .chatter = LIMIT_LOGIN_CHATTER + 1},
     true,
     false},
};

static void test_refusal(void **state)
{
    const struct refusal_row *row = *state;
    assert_int_equal(intake_refusal(&row->intake, false) != NULL, row->before);
    assert_int_equal(intake_refusal(&row->intake, true) != NULL, row->after);
}

struct type_row {
    const char *name;
    uint8_t first, last;
    bool known, chatter;
};

static const struct type_row type_rows[] = {
    {"DISCONNECT", 1, 1, true, false},
    {"IGNORE, UNIMPLEMENTED, DEBUG", 2, 4, true, true},
    {"SERVICE_REQUEST", 5, 5, true, false},
    {"SERVICE_ACCEPT", 6, 6, false, false},
    {"EXT_INFO", 7, 7, true, true},
    {"none of the transport's", 8, 19, false, false},
    {"KEXINIT, NEWKEYS", 20, 21, true, false},
    {"none of the negotiation's", 22, 29, false, false},
    {"the client's half of the key exchange", 30, 30, true, false},
    {"others of the key exchange", 31, 49, false, false},
    {"USERAUTH_REQUEST", 50, 50, true, false},
    {"what a server says of a login", 51, 79, false, false},
    {"global requests", 80, 82, true, false},
    {"none of the connection's", 83, 89, false, false},
    {"channels", 90, 100, true, false},
    {"local extensions", 101, 255, false, false},
};

static void test_type(void **state)
{
    const struct type_row *row = *state;
    struct intake intake = {0};
    uint64_t count = 0;
    for (int type = row->first; type <= row->last; type++) {
        intake_count(&intake, (uint8_t)type);
        count++;
    }
    assert_int_equal(intake.known, row->known ? count : 0);
    assert_int_equal(intake.chatter, row->chatter ? count : 0);
}

static void test_queued(void **state)
{
    (void)state;
    const struct intake intake = {.sent_messages = 10, .sent_payload = 1000, .sent_bytes = 1400};
    assert_int_equal(intake_queued(&intake, 10, 1000, 1400), 0);
    /* Never less than what is queued, for any framing. */
    assert_in_range(intake_queued(&intake, 11, 1000 + 5, 1400), 5 + 64, 5 + 128);
    assert_in_range(intake_queued(&intake, 12, 1000 + 70000, 1400 + 60000), 10000, 10000 + 256);
    assert_int_equal(intake_queued(&intake, 11, 1000 + 5, 1400 + 5000), 0);
}

static void test_signature(void **state)
{
    (void)state;
    static const char *const accepted[] = {"ssh-ed25519", "ecdsa-sha2-nistp521", "rsa-sha2-512",
                                           "rsa-sha2-256"};
    static const char *const refused[] = {
        "", "ssh-rsa", "ssh-dss", "rsa-sha2-25", "rsa-sha2-2567", "rsa-sha2-512,rsa-sha2-256", ","};
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        assert_true(
            server_accepts_signature((const unsigned char *)accepted[i], strlen(accepted[i])));
    }
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_false(
            server_accepts_signature((const unsigned char *)refused[i], strlen(refused[i])));
    }
}

int main(void)
{
    const struct CMUnitTest others[] = {cmocka_unit_test(test_queued),
                                        cmocka_unit_test(test_signature)};
    return rows_run(refusal_rows, test_refusal) + rows_run(type_rows, test_type) +
           cmocka_run_group_tests(others, NULL, NULL);
}
