/* SPDX-License-Identifier: MIT */
/* What a registry sends: challenges, manifests, indexes, configurations, places to go to. Beyond
 * "no crash": what is taken is within its bounds, what is chosen from an index has a valid digest,
 * and no URL that is followed leads to this host or without TLS. The first byte chooses. */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "driver/registry/address.h"
#include "driver/registry/challenge.h"
#include "driver/registry/manifest.h"
#include "driver/registry/target.h"
#include "tests/fuzz/fuzz.h"

static void check_challenge(const char *text)
{
    struct challenge challenge;
    challenge_parse(text, &challenge);
    fuzz_require(challenge.scheme >= CHALLENGE_NONE && challenge.scheme <= CHALLENGE_BEARER);
    fuzz_require(strlen(challenge.realm) < sizeof(challenge.realm));
    fuzz_require(strlen(challenge.service) < sizeof(challenge.service));
    fuzz_require(challenge.scheme != CHALLENGE_BEARER || challenge.realm[0] != '\0');
    fuzz_require(strpbrk(challenge.realm, "\r\n\t") == NULL);
}

static void check_index(const struct manifest *manifest)
{
    static const char *const wanted[] = {"linux/amd64", "linux/arm64", "linux/arm/v7"};
    char platforms[256];
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct image_platform platform;
        struct manifest_descriptor entry;
        fuzz_require(image_platform_parse(wanted[i], &platform) == 0);
        if (manifest_choose(manifest, &platform, &entry)) {
            fuzz_require(digest_is_valid(entry.digest) && entry.size >= 0);
        }
    }
    manifest_platforms(manifest, platforms, sizeof(platforms));
    fuzz_require(strlen(platforms) < sizeof(platforms));
}

static void check_manifest(const char *text, size_t length)
{
    static const char *const types[] = {NULL, MANIFEST_OCI, MANIFEST_OCI_INDEX, MANIFEST_DOCKER};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct manifest manifest;
        struct manifest_descriptor layer;
        struct error err = {0};
        size_t count = 0;
        if (manifest_parse(text, length, types[i], &manifest, &err) < 0) {
            fuzz_require(err.kind == ERROR_PEER && err.message[0] != '\0');
            continue;
        }
        while (manifest_layer(&manifest, count, &layer)) {
            fuzz_require(digest_is_valid(layer.digest) && layer.size >= 0);
            count++;
        }
        fuzz_require(count <= MANIFEST_LAYER_CEILING && manifest_bytes(&manifest) >= 0);
        if (manifest.is_index) {
            check_index(&manifest);
        } else {
            fuzz_require(digest_is_valid(manifest_config(&manifest).digest));
        }
        manifest_done(&manifest);
    }
}

static void check_config(const char *text, size_t length)
{
    struct image_facts facts;
    struct error err = {0};
    if (manifest_read_config(text, length, &facts, &err) < 0) {
        fuzz_require(err.message[0] != '\0');
        return;
    }
    fuzz_require(facts.port_count <= IMAGE_PORT_CEILING);
    for (size_t i = 1; i < facts.port_count; i++) {
        fuzz_require(facts.ports[i - 1] < facts.ports[i]);
    }
    fuzz_require(cJSON_IsArray(facts.entrypoint) && cJSON_IsArray(facts.command));
    fuzz_require(cJSON_GetArraySize(facts.entrypoint) <= IMAGE_WORDS_CEILING);
    fuzz_require(strlen(facts.user) < IMAGE_USER_BYTES);
    image_facts_done(&facts);
}

static void check_target(const char *location)
{
    static const struct config_list none = {.count = 0};
    struct target from;
    struct target to;
    struct error err = {0};
    fuzz_require(target_set("https://registry.example/v2/", &none, &from, &err) == 0);
    if (target_follow(&from, location, &none, &to, &err) == 0) {
        char host[TARGET_HOST_BYTES];
        (void)snprintf(host, sizeof(host), "%s", to.host);
        char *port = strrchr(host, ':');
        if (port != NULL && strchr(port, ']') == NULL) {
            *port = '\0';
        }
        fuzz_require(to.https && strncmp(to.url, "https://", 8) == 0);
        fuzz_require(address_host_is_allowed(host));
        fuzz_require(strpbrk(to.url, "\r\n ") == NULL);
    } else {
        fuzz_require(err.kind == ERROR_PEER);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 1 || size > 1U << 16) {
        return 0;
    }
    char *text = fuzz_text(bytes + 1, size - 1);
    switch (bytes[0] % 4) {
    case 0:
        check_challenge(text);
        break;
    case 1:
        check_manifest(text, strlen(text));
        break;
    case 2:
        check_config(text, strlen(text));
        break;
    default:
        check_target(text);
        break;
    }
    free(text);
    return 0;
}
