/* SPDX-License-Identifier: MIT */
#include "driver/record/keys.h"
#include "driver/record/metadata.h"
#include "tests/unit/driver/rows.h"

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
    (void)snprintf(metadata->agents[METADATA_JOB].host, METADATA_ADDRESS_BYTES, "127.0.0.1");
    metadata->agents[METADATA_JOB].port = 4242;
    metadata->has_helper = true;
    metadata->owned = true;
    metadata->agents[METADATA_HELPER] = (struct metadata_agent){"10.0.0.7", 22123, ""};
    metadata->origin = (struct origin){.started_at_s = 1790000000,
                                       .timeout_s = 3600,
                                       .machine = "0123456789ab",
                                       .pid_namespace = 4026531836,
                                       .process = {77, 1234567890123, "a-boot"},
                                       .url = "https://x/-/jobs/1"};
    assert_non_null(cJSON_AddStringToObject(metadata->state, "directory", "/somewhere"));
    return metadata;
}

static void assert_same_origin(const struct origin *a, const struct origin *b)
{
    assert_true(a->started_at_s == b->started_at_s && a->timeout_s == b->timeout_s);
    assert_true(a->pid_namespace == b->pid_namespace && a->process.pid == b->process.pid);
    assert_true(a->process.start_ticks == b->process.start_ticks);
    assert_string_equal(a->machine, b->machine);
    assert_string_equal(a->process.boot, b->process.boot);
    assert_string_equal(a->url, b->url);
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
    assert_string_equal(again->agents[METADATA_JOB].host, "127.0.0.1");
    assert_int_equal(again->agents[METADATA_JOB].port, 4242);
    assert_true(again->has_helper && again->owned);
    assert_string_equal(again->agents[METADATA_HELPER].host, "10.0.0.7");
    assert_int_equal(again->agents[METADATA_HELPER].port, 22123);
    assert_same_origin(&again->origin, &metadata->origin);
    assert_memory_equal(again->keys, metadata->keys, sizeof(*again->keys));
    assert_string_equal(cJSON_GetObjectItem(again->state, "directory")->valuestring, "/somewhere");
    assert_int_equal(metadata_remove(directory, "job-1-aa", &err), 0);
    assert_int_equal(metadata_remove(directory, "job-1-aa", &err), 0);
    metadata_free(again);
    metadata_free(metadata);
}

/* A job in flight over an upgrade of the driver. */
static void version_1_is_read(void **state)
{
    (void)state;
    static const char seed[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    char text[512];
    struct metadata *metadata = NULL;
    struct error err = {0};
    int length = snprintf(text, sizeof(text),
                          "{\"version\": 1, \"job\": \"old\", \"backend\": \"local\", \"host\": "
                          "\"127.0.0.1\", \"port\": 22, \"user_key_seed\": \"%s\", "
                          "\"host_key_seed\": \"%s\", \"state\": {}}",
                          seed, seed);
    (void)rows_file("old.json", text, (size_t)length);
    assert_int_equal(metadata_load(rows_directory, "old", &metadata, &err), 1);
    assert_false(metadata->has_helper);
    assert_int_equal(metadata->agents[METADATA_JOB].port, 22);
    metadata_free(metadata);
}

/* The notes of the two containers are apart. */
static void each_container_has_its_note(void **state)
{
    (void)state;
    static const char id[] = "0123456789abcdef0123456789abcdef";
    static const char second[] = "fedcba9876543210fedcba9876543210";
    struct metadata *metadata = example();
    char found[METADATA_RUN_BYTES];
    struct error err = {0};
    assert_int_equal(metadata_save(metadata, rows_directory, &err), 0);
    assert_int_equal(metadata_note_run(rows_directory, metadata->job, METADATA_HELPER, id, &err),
                     0);
    assert_int_equal(metadata_noted_run(rows_directory, metadata->job, METADATA_JOB, found, &err),
                     0);
    assert_int_equal(
        metadata_noted_run(rows_directory, metadata->job, METADATA_HELPER, found, &err), 1);
    assert_string_equal(found, id);
    assert_int_equal(
        metadata_note_run(rows_directory, metadata->job, METADATA_HELPER, second, &err), 0);
    assert_int_equal(
        metadata_noted_run(rows_directory, metadata->job, METADATA_HELPER, found, &err), 1);
    assert_string_equal(found, second);
    assert_int_equal(metadata_remove(rows_directory, metadata->job, &err), 0);
    assert_int_equal(
        metadata_noted_run(rows_directory, metadata->job, METADATA_HELPER, found, &err), 0);
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
        {"another version", "{\"version\": 3, \"job\": \"bad\", \"backend\": \"local\", \"host\": "
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
        cmocka_unit_test(version_1_is_read),
        cmocka_unit_test(each_container_has_its_note),
        cmocka_unit_test(damaged_metadata_is_named),
    };
    if (keys_init(NULL) < 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, rows_make_directory, rows_remove_directory);
}
