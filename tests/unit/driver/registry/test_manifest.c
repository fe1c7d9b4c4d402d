/* SPDX-License-Identifier: MIT */
/* What rude registries serve is in tests/blackbox/test_registry_rude.py; here are the decisions. */
#include "driver/registry/manifest.h"

#include "tests/unit/driver/rows.h"

#define DIGEST_A "sha256:" A64
#define DIGEST_B "sha256:" B64
#define A64      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64      "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ENTRY(digest, os, architecture, more)                          \
    "{\"digest\":\"" digest "\",\"size\":1,\"platform\":{\"os\":\"" os \
    "\",\"architecture\":\"" architecture "\"" more "}}"

static void chooses_a_platform(void **state)
{
    (void)state;
    static const struct {
        const char *name, *entries, *wanted, *digest; /* NULL: none fits */
    } rows[] = {
        {"the processor",
         ENTRY(DIGEST_A, "linux", "arm64", "") "," ENTRY(DIGEST_B, "linux", "amd64", ""),
         "linux/amd64", DIGEST_B},
        {"a variant that means nothing", ENTRY(DIGEST_A, "linux", "arm64", ",\"variant\":\"v8\""),
         "linux/arm64", DIGEST_A},
        {"the exact variant first",
         ENTRY(DIGEST_A, "linux", "arm", ",\"variant\":\"v6\"") "," ENTRY(DIGEST_B, "linux", "arm",
                                                                          ",\"variant\":\"v7\""),
         "linux/arm/v7", DIGEST_B},
        {"the first of equal ones",
         ENTRY(DIGEST_A, "linux", "amd64", "") "," ENTRY(DIGEST_B, "linux", "amd64", ""),
         "linux/amd64", DIGEST_A},
        {"another system", ENTRY(DIGEST_A, "windows", "amd64", ""), "linux/amd64", NULL},
        {"an attestation", ENTRY(DIGEST_A, "unknown", "unknown", ""), "linux/amd64", NULL},
        {"no platform", "{\"digest\":\"" DIGEST_A "\",\"size\":1}", "linux/amd64", NULL},
        {"an index within",
         "{\"mediaType\":\"" MANIFEST_OCI_INDEX "\",\"digest\":\"" DIGEST_A
         "\",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}}",
         "linux/amd64", NULL},
        {"empty", "", "linux/amd64", NULL},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        char text[2048];
        struct manifest manifest;
        struct manifest_descriptor entry = {.digest = NULL};
        struct image_platform wanted;
        struct error err;
        (void)snprintf(text, sizeof(text), "{\"schemaVersion\":2,\"manifests\":[%s]}",
                       rows[i].entries);
        assert_int_equal(image_platform_parse(rows[i].wanted, &wanted), 0);
        assert_int_equal(manifest_parse(text, strlen(text), MANIFEST_OCI_INDEX, &manifest, &err),
                         0);
        assert_true(manifest.is_index);
        bool found = manifest_choose(&manifest, &wanted, &entry);
        if (found != (rows[i].digest != NULL) ||
            (found && strcmp(entry.digest, rows[i].digest) != 0)) {
            fail_msg("%s: %s", rows[i].name, found ? entry.digest : "none");
        }
        manifest_done(&manifest);
    }
}

#define MANIFEST                                                                   \
    "\"config\":{\"digest\":\"" DIGEST_A "\",\"size\":7},"                         \
    "\"layers\":[{\"digest\":\"" DIGEST_B "\",\"size\":3},{\"digest\":\"" DIGEST_A \
    "\",\"size\":4}]"

static void finds_the_type(void **state)
{
    (void)state;
    static const struct {
        const char *name, *own, *header, *type; /* NULL: rejected */
    } rows[] = {
        {"both", MANIFEST_DOCKER, MANIFEST_DOCKER, MANIFEST_DOCKER},
        {"the document's", MANIFEST_DOCKER, NULL, MANIFEST_DOCKER},
        {"the header's", NULL, MANIFEST_OCI "; charset=utf-8", MANIFEST_OCI},
        {"neither", NULL, NULL, MANIFEST_OCI},
        {"a plain header", NULL, "application/json", MANIFEST_OCI},
        {"upper case", NULL, "Application/VND.oci.image.manifest.v1+JSON", MANIFEST_OCI},
        {"they differ", MANIFEST_DOCKER, MANIFEST_OCI, NULL},
        {"an index by its type", MANIFEST_OCI_INDEX, NULL, NULL},
        {"an index by its header", NULL, MANIFEST_OCI_INDEX, NULL},
        {"an unknown type", "application/x", NULL, NULL},
        {"an unknown header", NULL, "text/html", NULL},
        {"schema 1", "application/vnd.docker.distribution.manifest.v1+json", NULL, NULL},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        char text[1024];
        struct manifest manifest;
        struct error err;
        (void)snprintf(text, sizeof(text), "{\"schemaVersion\":2,%s%s%s" MANIFEST "}",
                       rows[i].own == NULL ? "" : "\"mediaType\":\"",
                       rows[i].own == NULL ? "" : rows[i].own, rows[i].own == NULL ? "" : "\",");
        int result = manifest_parse(text, strlen(text), rows[i].header, &manifest, &err);
        if (result != (rows[i].type == NULL ? -1 : 0)) {
            fail_msg("%s: %d", rows[i].name, result);
        }
        if (result == 0) {
            assert_string_equal(manifest.type, rows[i].type);
            assert_int_equal(manifest_bytes(&manifest), 7);
            assert_string_equal(manifest_config(&manifest).digest, DIGEST_A);
            manifest_done(&manifest);
        } else {
            assert_int_equal(err.kind, ERROR_PEER);
        }
    }
}

static void reads_a_configuration(void **state)
{
    (void)state;
    static const char text[] =
        "{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\",\"config\":{"
        "\"User\":\"1000:1000\",\"Entrypoint\":[\"a\",\"b\"],\"Cmd\":null,"
        "\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{},\"22\":{},\"80\":{}}}}";
    struct image_facts facts;
    struct error err;
    assert_int_equal(manifest_read_config(text, strlen(text), &facts, &err), 0);
    assert_string_equal(facts.platform.architecture, "arm64");
    assert_string_equal(facts.platform.variant, "");
    assert_string_equal(facts.user, "1000:1000");
    assert_int_equal(cJSON_GetArraySize(facts.entrypoint), 2);
    assert_int_equal(cJSON_GetArraySize(facts.command), 0);
    assert_int_equal(facts.port_count, 2);
    assert_int_equal(facts.ports[0], 22);
    assert_int_equal(facts.ports[1], 80);
    image_facts_done(&facts);
}

static void finds_a_soci_index(void **state)
{
    (void)state;
    static const struct {
        const char *name, *annotations;
        bool found;
    } rows[] = {
        {"none", "", false},
        {"others", "\"annotations\":{\"a\":\"b\"},", false},
        {"not an object", "\"annotations\":[\"com.amazon.soci.index-digest\"],", false},
        {"not a text", "\"annotations\":{\"com.amazon.soci.index-digest\":1},", false},
        {"an index", "\"annotations\":{\"com.amazon.soci.index-digest\":\"" DIGEST_A "\"},", true},
    };
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        char text[2048];
        struct manifest manifest;
        struct manifest_descriptor entry = {.digest = NULL};
        struct error err;
        (void)snprintf(text, sizeof(text), "{\"schemaVersion\":2,%s" MANIFEST "}",
                       rows[i].annotations);
        assert_int_equal(manifest_parse(text, strlen(text), NULL, &manifest, &err), 0);
        if (manifest_has_soci_index(&manifest) != rows[i].found) {
            fail_msg("%s", rows[i].name);
        }
        manifest_done(&manifest);
        (void)snprintf(text, sizeof(text),
                       "{\"schemaVersion\":2,\"manifests\":[{%s\"digest\":\"" DIGEST_A
                       "\",\"size\":1}]}",
                       rows[i].annotations);
        assert_int_equal(manifest_parse(text, strlen(text), NULL, &manifest, &err), 0);
        assert_true(manifest_entry(&manifest, 0, &entry));
        if (entry.has_soci_index != rows[i].found) {
            fail_msg("%s, of an entry", rows[i].name);
        }
        manifest_done(&manifest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses_a_platform),
        cmocka_unit_test(finds_the_type),
        cmocka_unit_test(reads_a_configuration),
        cmocka_unit_test(finds_a_soci_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
