/* SPDX-License-Identifier: MIT */
#include "driver/registry/platform.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/json.h"

static const struct {
    const char *spelled, *architecture, *variant;
} spellings[] = {
    {"i386", "386", ""},      {"x86_64", "amd64", ""}, {"x86-64", "amd64", ""},
    {"aarch64", "arm64", ""}, {"armhf", "arm", "v7"},  {"armel", "arm", "v6"},
};

static bool is_word(const char *text, size_t length)
{
    size_t plain = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
    return length > 0 && length < sizeof(((struct image_platform *)NULL)->os) && plain >= length;
}

static void lower(char *text)
{
    for (; *text != '\0'; text++) {
        *text = (char)tolower((unsigned char)*text);
    }
}

static void normalise(struct image_platform *platform)
{
    lower(platform->os);
    lower(platform->architecture);
    lower(platform->variant);
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        if (strcmp(platform->architecture, spellings[i].spelled) == 0) {
            (void)snprintf(platform->architecture, sizeof(platform->architecture), "%s",
                           spellings[i].architecture);
            if (spellings[i].variant[0] != '\0') {
                (void)snprintf(platform->variant, sizeof(platform->variant), "%s",
                               spellings[i].variant);
            }
        }
    }
    if (isdigit((unsigned char)platform->variant[0])) { /* "8" is "v8" */
        char number[sizeof(platform->variant) - 1];
        (void)snprintf(number, sizeof(number), "%.30s", platform->variant);
        (void)snprintf(platform->variant, sizeof(platform->variant), "v%s", number);
    }
    /* The plain processor is written with and without these. */
    if ((strcmp(platform->architecture, "amd64") == 0 && strcmp(platform->variant, "v1") == 0) ||
        (strcmp(platform->architecture, "arm64") == 0 && strcmp(platform->variant, "v8") == 0)) {
        platform->variant[0] = '\0';
    }
}

static bool is_system(const char *word)
{
    static const char *const systems[] = {"linux", "windows", "darwin", "freebsd"};
    for (size_t i = 0; i < sizeof(systems) / sizeof(systems[0]); i++) {
        if (strcmp(word, systems[i]) == 0) {
            return true;
        }
    }
    return false;
}

int image_platform_parse(const char *text, struct image_platform *out_platform)
{
    struct image_platform platform = {.os = "linux"};
    char *const words[] = {platform.os, platform.architecture, platform.variant};
    size_t count = 0;
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, "/");
        if (count == sizeof(words) / sizeof(words[0]) || !is_word(at, length)) {
            return -1;
        }
        (void)snprintf(words[count++], sizeof(platform.os), "%.*s", (int)length, at);
        at += length;
        if (*at == '\0') {
            break;
        }
    }
    normalise(&platform);
    if (count == 1 && !is_system(platform.os)) {
        (void)snprintf(platform.architecture, sizeof(platform.architecture), "%s", platform.os);
        (void)snprintf(platform.os, sizeof(platform.os), "linux");
        normalise(&platform);
    }
    *out_platform = platform;
    return 0;
}

void image_platform_of_image(const cJSON *image, struct image_platform *out_platform)
{
    const char *os = json_text_at(image, "Os");
    const char *architecture = json_text_at(image, "Architecture");
    const char *variant = json_text_at(image, "Variant");
    *out_platform = (struct image_platform){0};
    (void)snprintf(out_platform->os, sizeof(out_platform->os), "%s", os == NULL ? "linux" : os);
    (void)snprintf(out_platform->architecture, sizeof(out_platform->architecture), "%s",
                   architecture == NULL ? "" : architecture);
    (void)snprintf(out_platform->variant, sizeof(out_platform->variant), "%s",
                   variant == NULL ? "" : variant);
    normalise(out_platform);
}

static bool same_or_unknown(const char *a, const char *b)
{
    return a[0] == '\0' || b[0] == '\0' || strcmp(a, b) == 0;
}

bool image_platform_fits(const struct image_platform *wanted, const struct image_platform *image)
{
    return same_or_unknown(wanted->os, image->os) &&
           same_or_unknown(wanted->architecture, image->architecture) &&
           same_or_unknown(wanted->variant, image->variant);
}

void image_platform_text(const struct image_platform *platform, char out[IMAGE_PLATFORM_BYTES])
{
    (void)snprintf(out, IMAGE_PLATFORM_BYTES, "%s%s%s%s%s", platform->os,
                   platform->architecture[0] == '\0' ? "" : "/", platform->architecture,
                   platform->variant[0] == '\0' ? "" : "/", platform->variant);
}
