/* SPDX-License-Identifier: MIT */
#include "agent/session/authorized_keys.h"

#include <sodium.h>

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

struct rsa_row {
    const char *name;
    size_t bits;  /* of the modulus */
    size_t zeros; /* zero bytes before it; one is correct if its first bit is set */
    bool accepted;
};

static const struct rsa_row rsa_rows[] = {
    {"2048 bits", 2048, 1, true},
    {"4096 bits", 4096, 1, true},
    {"16384 bits", 16384, 1, true},
    {"one bit less", 2047, 0, false},
    {"a byte of one bit", 2041, 0, false},
    {"1024 bits", 1024, 1, false},
    {"1024 bits behind zeros", 1024, 128, false},
    {"1024 bits behind more zeros than a large key has bytes", 1024, 1024, false},
    {"nothing but zeros", 0, 256, false},
};

static size_t put_string(unsigned char *out, const void *bytes, size_t length)
{
    const unsigned char head[] = {0, 0, (unsigned char)(length >> 8), (unsigned char)length};
    memcpy(out, head, sizeof(head));
    memcpy(out + sizeof(head), bytes, length);
    return sizeof(head) + length;
}

static void test_rsa_size(void **state)
{
    const struct rsa_row *row = *state;
    unsigned char number[4096] = {0};
    unsigned char blob[8192];
    char text[16384] = "ssh-rsa ";
    size_t bytes = (row->bits + 7) / 8;
    size_t used = put_string(blob, "ssh-rsa", 7);
    used += put_string(blob + used, "\1\0\1", 3);
    if (bytes > 0) {
        memset(number + row->zeros, 0x5b, bytes); /* odd */
        number[row->zeros] = (unsigned char)(1U << ((row->bits - 1) % 8));
    }
    used += put_string(blob + used, number, row->zeros + bytes);
    assert_non_null(sodium_bin2base64(text + strlen(text), sizeof(text) - strlen(text), blob, used,
                                      sodium_base64_VARIANT_ORIGINAL));
    struct authorized *keys = NULL;
    struct error err = {0};
    assert_int_equal(authorized_parse(text, &keys, &err), row->accepted ? 0 : -1);
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
    return rows_run(rows, test_parse) + rows_run(rsa_rows, test_rsa_size) +
           rows_run(long_rows, test_ceilings);
}
