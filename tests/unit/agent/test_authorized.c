/* SPDX-License-Identifier: MIT */
#include "agent/session/authorized.h"

#include "agent/limits.h"
#include "common/log.h"
#include "tests/unit/rows.h"

#define KEY_A     "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUCZsNAnEVCEN6EVQPGbnLVzBs0/uzr4eqQf+7jdeRb"
#define SHORT_RSA "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAABACqqqqq"

struct row {
    const char *name;
    const char *text;
    size_t count; /* 0: refused */
};

static const struct row rows[] = {
    {"one key", KEY_A, 1},
    {"newline at the end", KEY_A "\n", 1},
    {"CRLF and a comment", "# x\r\n" KEY_A " me@here\r\n\r\n", 1},
    {"tabs and spaces", " \t" KEY_A " \t ", 1},
    {"tab between type and key",
     "ssh-ed25519\t"
     "AAAAC3NzaC1lZDI1NTE5AAAAIHUCZsNAnEVCEN6EVQPGbnLVzBs0/uzr4eqQf+7jdeRb",
     1},
    {"the same twice counts twice", KEY_A "\n" KEY_A, 2},
    {"broken before good", "ssh-ed25519 AAAA\n" KEY_A, 1},
    {"good before broken", KEY_A "\nssh-ed25519", 1},
    {"empty", "", 0},
    {"only newlines", "\n\r\n\n", 0},
    {"type alone", "ssh-ed25519", 0},
    {"type and space", "ssh-ed25519 ", 0},
    {"not base64", "ssh-ed25519 !!!!", 0},
    {"cut off", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUCZs", 0},
    {"another type's name",
     "ecdsa-sha2-nistp256 AAAAC3NzaC1lZDI1NTE5AAAAIHUCZsNAnEVCEN6EVQPGbnLVzBs0/uzr4eqQf+7jdeRb", 0},
    {"short RSA", SHORT_RSA, 0},
    {"RSA blob of nothing", "ssh-rsa AAAA", 0},
    {"certificate", "ssh-ed25519-cert-v01@openssh.com AAAA", 0},
    {"options", "no-pty " KEY_A, 0},
};

static void test_parse(void **state)
{
    const struct row *row = *state;
    struct authorized *keys = NULL;
    struct error err = {0};
    int result = authorized_parse(row->text, &keys, &err);
    assert_int_equal(result, row->count > 0 ? 0 : -1);
    if (result == 0) {
        assert_int_equal(authorized_count(keys), row->count);
    } else {
        assert_null(keys);
        assert_int_equal(err.kind, ERROR_USAGE);
    }
    authorized_free(keys);
}

struct long_row {
    const char *name;
    size_t bytes; /* of a line before the good one */
    size_t keys;  /* good ones after it */
    size_t count;
};

static const struct long_row long_rows[] = {
    {"a long line", LIMIT_AUTHORIZED_KEY_BYTES - 1, 1, 1},
    {"the first that is too long", LIMIT_AUTHORIZED_KEY_BYTES, 1, 1},
    {"64 KiB", 65536, 1, 1},
    {"as many as allowed", 1, LIMIT_AUTHORIZED_KEYS, LIMIT_AUTHORIZED_KEYS},
    {"one too many", 1, LIMIT_AUTHORIZED_KEYS + 1, LIMIT_AUTHORIZED_KEYS},
};

static void test_ceilings(void **state)
{
    const struct long_row *row = *state;
    size_t line = sizeof(KEY_A);
    char *text = malloc(row->bytes + 2 + line * row->keys);
    assert_non_null(text);
    memset(text, 'x', row->bytes);
    text[row->bytes] = '\n';
    for (size_t i = 0; i < row->keys; i++) {
        memcpy(text + row->bytes + 1 + i * line, KEY_A "\n", line);
    }
    text[row->bytes + 1 + line * row->keys] = '\0';
    struct authorized *keys = NULL;
    struct error err = {0};
    assert_int_equal(authorized_parse(text, &keys, &err), 0);
    assert_int_equal(authorized_count(keys), row->count);
    authorized_free(keys);
    free(text);
}

int main(void)
{
    log_open("test", LOG_FATAL, LOG_TEXT, 2);
    return rows_run(rows, test_parse) + rows_run(long_rows, test_ceilings);
}
