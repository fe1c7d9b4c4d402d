/* SPDX-License-Identifier: MIT */
#include "driver/commands/doctor/platforms.h"

#include <stdio.h>
#include <string.h>

#include "driver/base/json.h"

#define SHA256        "sha256:"
#define SHA256_DIGITS 64

bool platforms_have(const struct platforms *platforms, const char *name)
{
    for (size_t i = 0; i < platforms->count; i++) {
        if (strcmp(platforms->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* From an object with 'os' and 'architecture'. */
static void add(struct platforms *platforms, const cJSON *from)
{
    char name[PLATFORM_BYTES];
    const char *os = json_text_at(from, "os");
    const char *architecture = json_text_at(from, "architecture");
    if (os == NULL || architecture == NULL || os[0] == '\0' || architecture[0] == '\0') {
        platforms->open = true;
        return;
    }
    if (strcmp(os, "unknown") == 0) {
        return;
    }
    int length = snprintf(name, sizeof(name), "%s/%s", os, architecture);
    if (length < 0 || (size_t)length >= sizeof(name) || platforms->count == PLATFORMS_CEILING) {
        platforms->open = true;
    } else if (!platforms_have(platforms, name)) { /* variants count as one */
        (void)snprintf(platforms->names[platforms->count++], PLATFORM_BYTES, "%s", name);
    }
}

bool platforms_read_index(const cJSON *manifest, struct platforms *out)
{
    const cJSON *manifests = json_at(manifest, "manifests");
    const cJSON *entry = NULL;
    if (!cJSON_IsArray(manifests)) {
        return false;
    }
    cJSON_ArrayForEach(entry, manifests)
    {
        add(out, json_at(entry, "platform"));
    }
    return true;
}

void platforms_read_config(const cJSON *config, struct platforms *out)
{
    add(out, config);
}

const char *platforms_config_digest(const cJSON *manifest)
{
    const char *digest = json_text_at(manifest, "config.digest");
    if (digest == NULL || strncmp(digest, SHA256, strlen(SHA256)) != 0) {
        return NULL;
    }
    const char *digits = digest + strlen(SHA256);
    return strspn(digits, "0123456789abcdef") == SHA256_DIGITS && digits[SHA256_DIGITS] == '\0'
               ? digest
               : NULL;
}

void platforms_write(const struct platforms *platforms, char *out, size_t room)
{
    size_t length = 0;
    out[0] = '\0';
    for (size_t i = 0; i < platforms->count && length < room; i++) {
        length += (size_t)snprintf(out + length, room - length, "%s%s", i > 0 ? ", " : "",
                                   platforms->names[i]);
    }
}
