/* SPDX-License-Identifier: MIT */
#include "driver/keys.h"
#include "driver/metadata.h"
#include "rows.h"

#include <sodium.h>
#include <sys/stat.h>

static void from_hex(const char *hex, unsigned char *out)
{
    assert_int_equal(sodium_hex2bin(out, 32, hex, strlen(hex), NULL, NULL, NULL), 0);
}

/* RFC 8032, section 7.1, tests 1 to 3. */
static void public_keys_follow_from_seeds(void **state)
{
    (void)state;
    static const struct {
        const char *name, *seed, *public_key;
    } rows[] = {
        {"test 1", "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"},
        {"test 2", "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"},
        {"test 3", "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        unsigned char seed[32], expected[32], found[32];
        from_hex(rows[i].seed, seed);
        from_hex(rows[i].public_key, expected);
        ed25519_public(seed, found);
        if (memcmp(found, expected, 32) != 0) {
            fail_msg("%s: wrong public key", rows[i].name);
        }
    }
}

static void libssh_takes_both_forms(void **state)
{
    (void)state;
    struct error err = {0};
    struct keys *keys = keys_new();
    ssh_key private_key = NULL, public_key = NULL;
    char line[KEYS_LINE_BYTES], base64[ED25519_PUBLIC_BASE64_BYTES];
    char *exported = NULL;
    keys_generate(keys);
    assert_int_equal(ed25519_import_private(keys->user_seed, &private_key, &err), 0);
    assert_int_equal(ed25519_import_public(keys->user_seed, &public_key, &err), 0);
    assert_int_equal(ssh_key_cmp(private_key, public_key, SSH_KEY_CMP_PUBLIC), 0);
    assert_int_equal(ssh_pki_export_pubkey_base64(private_key, &exported), SSH_OK);
    ed25519_public_base64(keys->user_seed, base64);
    assert_string_equal(exported, base64);
    keys_authorized_line(keys->user_seed, line);
    assert_int_equal(strncmp(line, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", 37), 0);
    ssh_string_free_char(exported);
    ssh_key_free(private_key);
    ssh_key_free(public_key);
    keys_free(keys);
}

static void seeds_survive_as_text(void **state)
{
    (void)state;
    struct keys *keys = keys_new();
    unsigned char again[32];
    char base64[ED25519_SEED_BASE64_BYTES];
    keys_generate(keys);
    assert_memory_not_equal(keys->user_seed, keys->host_seed, 32);
    ed25519_seed_base64(keys->user_seed, base64);
    assert_int_equal(ed25519_seed_parse(base64, again, NULL), 0);
    assert_memory_equal(again, keys->user_seed, 32);
    assert_int_equal(ed25519_seed_parse("", again, NULL), -1);
    assert_int_equal(ed25519_seed_parse("AAAA", again, NULL), -1);
    assert_int_equal(ed25519_seed_parse("not base64 at all!", again, NULL), -1);
    keys_free(keys);
}

static struct metadata *example(void)
{
    struct error err = {0};
    struct metadata *metadata = metadata_new("job-1-aa", "local", &err);
    assert_non_null(metadata);
    keys_generate(metadata->keys);
    (void)snprintf(metadata->host, sizeof(metadata->host), "127.0.0.1");
    metadata->port = 4242;
    assert_non_null(cJSON_AddStringToObject(metadata->state, "directory", "/somewhere"));
    return metadata;
}

static void metadata_survives_a_round_trip(void **state)
{
    (void)state;
    struct error err = {0};
    char directory[128], path[160];
    struct stat status;
    struct metadata *metadata = example(), *again = NULL;
    (void)snprintf(directory, sizeof(directory), "%s/deep/er", rows_directory);
    (void)snprintf(path, sizeof(path), "%s/job-1-aa.json", directory);
    assert_int_equal(metadata_load(directory, "job-1-aa", &again, &err), 0);
    assert_int_equal(metadata_save(metadata, directory, &err), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(stat(directory, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(metadata_load(directory, "job-1-aa", &again, &err), 1);
    assert_string_equal(again->backend, "local");
    assert_string_equal(again->host, "127.0.0.1");
    assert_int_equal(again->port, 4242);
    assert_memory_equal(again->keys, metadata->keys, sizeof(*again->keys));
    assert_string_equal(cJSON_GetObjectItem(again->state, "directory")->valuestring, "/somewhere");
    assert_int_equal(metadata_remove(directory, "job-1-aa", &err), 0);
    assert_int_equal(metadata_remove(directory, "job-1-aa", &err), 0);
    metadata_free(again);
    metadata_free(metadata);
}

static void damaged_metadata_is_named(void **state)
{
    (void)state;
    static const char seed[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    static char large[METADATA_CEILING_BYTES + 10];
    static const struct {
        const char *name, *text;
    } rows[] = {
        {"empty", ""},
        {"cut off", "{\"version\": 1, \"job\": \"bad\""},
        {"another version", "{\"version\": 2, \"job\": \"bad\", \"backend\": \"local\", \"host\": "
                            "\"\", \"port\": 0, \"state\": {}}"},
        {"another job",
         "{\"version\": 1, \"job\": \"good\", \"backend\": \"local\", \"host\": \"\","
         "\"port\": 0, \"state\": {}}"},
        {"no seeds", "{\"version\": 1, \"job\": \"bad\", \"backend\": \"local\", \"host\": \"\","
                     "\"port\": 0, \"state\": {}}"},
        {"an array", "[]"},
        {"too large", large},
    };
    memset(large, ' ', sizeof(large) - 1);
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct metadata *metadata = NULL;
        struct error err = {0};
        (void)rows_file("bad.json", rows[i].text, strlen(rows[i].text));
        if (metadata_load(rows_directory, "bad", &metadata, &err) != -1) {
            fail_msg("%s: was taken", rows[i].name);
        }
        rows_assert_contains(rows[i].name, err.message, "/bad.json'");
        assert_null(metadata);
        assert_null(strstr(err.message, seed));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_keys_follow_from_seeds),
        cmocka_unit_test(libssh_takes_both_forms),
        cmocka_unit_test(seeds_survive_as_text),
        cmocka_unit_test(metadata_survives_a_round_trip),
        cmocka_unit_test(damaged_metadata_is_named),
    };
    if (keys_init(NULL) < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, rows_make_directory, rows_remove_directory);
}
