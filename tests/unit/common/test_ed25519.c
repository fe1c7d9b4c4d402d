/* SPDX-License-Identifier: MIT */
#include "common/ed25519.h"

#include <sodium.h>

#include "tests/unit/rows.h"

struct vector {
    const char *name;
    const char *seed, *public; /* hexadecimal */
};

static const struct vector vectors[] = {
    {"RFC 8032, 7.1, test 1", "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"},
    {"RFC 8032, 7.1, test 2", "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"},
};

static void from_hex(const char *text, unsigned char *out)
{
    assert_int_equal(sodium_hex2bin(out, 32, text, strlen(text), NULL, NULL, NULL), 0);
}

static void test_public(void **state)
{
    const struct vector *row = *state;
    unsigned char seed[ED25519_SEED_BYTES];
    unsigned char wanted[ED25519_PUBLIC_BYTES];
    unsigned char found[ED25519_PUBLIC_BYTES];
    char text[ED25519_SEED_BASE64_BYTES];
    unsigned char again[ED25519_SEED_BYTES];
    struct error err = {0};
    from_hex(row->seed, seed);
    from_hex(row->public, wanted);
    ed25519_public(seed, found);
    assert_memory_equal(found, wanted, sizeof(wanted));
    ed25519_seed_base64(seed, text);
    assert_int_equal(ed25519_seed_parse(text, again, &err), 0);
    assert_memory_equal(again, seed, sizeof(seed));
}

static void test_libssh_agrees(void **state)
{
    const struct vector *row = *state;
    unsigned char seed[ED25519_SEED_BYTES];
    char wanted[ED25519_PUBLIC_BASE64_BYTES];
    ssh_key private_key = NULL;
    ssh_key public_key = NULL;
    char *found = NULL;
    struct error err = {0};
    from_hex(row->seed, seed);
    ed25519_public_base64(seed, wanted);
    assert_int_equal(ed25519_import_private(seed, &private_key, &err), 0);
    assert_int_equal(ed25519_import_public(seed, &public_key, &err), 0);
    assert_int_equal(ssh_key_cmp(private_key, public_key, SSH_KEY_CMP_PUBLIC), 0);
    assert_int_equal(ssh_pki_export_pubkey_base64(private_key, &found), SSH_OK);
    assert_string_equal(found, wanted);
    ssh_string_free_char(found);
    ssh_key_free(private_key);
    ssh_key_free(public_key);
}

struct seed_row {
    const char *name;
    const char *text;
};

static const struct seed_row bad_seeds[] = {
    {"empty", ""},
    {"31 bytes", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="},
    {"33 bytes", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    {"no padding", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    {"newline", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"},
    {"not base64", "!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
};

static void test_bad_seed(void **state)
{
    const struct seed_row *row = *state;
    unsigned char seed[ED25519_SEED_BYTES];
    struct error err = {0};
    assert_int_equal(ed25519_seed_parse(row->text, seed, &err), -1);
}

int main(void)
{
    if (sodium_init() < 0) {
        return 1;
    }
    return rows_run(vectors, test_public) + rows_run(vectors, test_libssh_agrees) +
           rows_run(bad_seeds, test_bad_seed);
}
