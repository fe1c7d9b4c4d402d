/* SPDX-License-Identifier: MIT */
#include "driver/registry/name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "driver/base/pattern.h"

#define CAPITALS     "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define ALPHANUMERIC CAPITALS "abcdefghijklmnopqrstuvwxyz0123456789"

static bool is_made_of(const char *text, const char *characters)
{
    return text[0] != '\0' && text[strspn(text, characters)] == '\0';
}

/* "sha256:" and hexadecimal digits. */
static bool is_digest(const char *text)
{
    const char *colon = strchr(text, ':');
    return colon != NULL && colon > text && strlen(colon + 1) >= 32 &&
           is_made_of(colon + 1, "0123456789abcdef") && strspn(text, ALPHANUMERIC) > 0 &&
           strchr(text, '/') == NULL;
}

bool image_name_is_hub(const char *host, size_t length)
{
    static const char *const names[] = {DOCKER_HUB, DOCKER_HUB_HOST, "registry-1.docker.io"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i]) == length && strncasecmp(host, names[i], length) == 0) {
            return true;
        }
    }
    return false;
}

static void choose_registry(struct image_name *name)
{
    size_t length = strcspn(name->repository, "/");
    bool has_registry =
        length < sizeof(name->registry) && name->repository[length] == '/' &&
        (memchr(name->repository, '.', length) != NULL ||
         memchr(name->repository, ':', length) != NULL ||
         (length == strlen("localhost") && strncmp(name->repository, "localhost", length) == 0));
    if (has_registry) {
        (void)snprintf(name->registry, sizeof(name->registry), "%.*s", (int)length,
                       name->repository);
    } else {
        (void)snprintf(name->registry, sizeof(name->registry), DOCKER_HUB);
    }
}

/* Whether there is no colon, or only digits from it to the first slash. */
static bool port_is_valid(const char *repository)
{
    const char *colon = strchr(repository, ':');
    size_t digits = colon == NULL ? 0 : strspn(colon + 1, "0123456789");
    return colon == NULL || (colon > repository && digits > 0 && colon[1 + digits] == '/');
}

/* What follows the registry: capitals are for registries and tags alone. */
static bool path_is_lower_case(const struct image_name *name)
{
    size_t registry = strlen(name->registry);
    bool is_written = strncmp(name->repository, name->registry, registry) == 0 &&
                      name->repository[registry] == '/';
    return strpbrk(name->repository + (is_written ? registry : 0), CAPITALS) == NULL;
}

/* No empty component, no port but the registry's. */
static bool repository_is_valid(const char *repository)
{
    const char *slash = strchr(repository, '/');
    const char *path = slash == NULL ? repository : slash + 1;
    return is_made_of(repository, ALPHANUMERIC "._-/:") && strchr(path, ':') == NULL &&
           port_is_valid(repository) && strstr(repository, "//") == NULL && repository[0] != '/' &&
           repository[0] != '-' && repository[0] != '.' && path[0] != '\0' &&
           path[strlen(path) - 1] != '/';
}

int image_name_parse(const char *text, struct image_name *out_name)
{
    struct image_name name = {0};
    if (strlen(text) >= sizeof(name.repository)) {
        return -1;
    }
    (void)snprintf(name.repository, sizeof(name.repository), "%s", text);
    char *at = strchr(name.repository, '@');
    if (at != NULL) {
        if (!is_digest(at + 1) || strlen(at + 1) >= sizeof(name.tag)) {
            return -1;
        }
        (void)snprintf(name.tag, sizeof(name.tag), "%s", at + 1);
        *at = '\0';
    }
    char *slash = strrchr(name.repository, '/');
    char *colon = strchr(slash == NULL ? name.repository : slash, ':');
    if (colon != NULL) {
        if (!is_made_of(colon + 1, ALPHANUMERIC "._-") || strlen(colon + 1) > 128) {
            return -1;
        }
        if (at == NULL) { /* with a digest the tag has no effect */
            (void)snprintf(name.tag, sizeof(name.tag), "%s", colon + 1);
        }
        *colon = '\0';
    } else if (at == NULL) {
        (void)snprintf(name.tag, sizeof(name.tag), "latest");
    }
    if (!repository_is_valid(name.repository)) {
        return -1;
    }
    choose_registry(&name);
    if (!path_is_lower_case(&name)) {
        return -1;
    }
    *out_name = name;
    return 0;
}

int image_name_hint(const char *text, struct error *err)
{
    struct image_name name;
    char lower[IMAGE_NAME_BYTES];
    int length = snprintf(lower, sizeof(lower), "%s", text);
    for (char *at = lower; *at != '\0'; at++) {
        *at = (char)tolower((unsigned char)*at);
    }
    bool is_all = length < (int)sizeof(lower) && image_name_parse(text, &name) < 0 &&
                  image_name_parse(lower, &name) == 0;
    return is_all ? error_hint(err, "its path must be lower case, as CI_REGISTRY_IMAGE is") : -1;
}

/* The colon before the tag of a name or pattern; NULL: it has none. */
static const char *tag_of(const char *text)
{
    const char *slash = strrchr(text, '/');
    return strchr(slash == NULL ? text : slash, ':');
}

/* "ruby:3.3@sha256:..." is "ruby@sha256:...". */
static bool matches_digest(const char *pattern, const char *text)
{
    char repository[IMAGE_NAME_BYTES + 16];
    char bare[2 * sizeof(repository)];
    char before[IMAGE_NAME_BYTES];
    const char *at = strchr(text, '@');
    (void)snprintf(repository, sizeof(repository), "%.*s", (int)(at - text), text);
    const char *tag = tag_of(repository);
    if (tag != NULL) {
        repository[tag - repository] = '\0';
    }
    if (strchr(pattern, '@') != NULL) {
        (void)snprintf(bare, sizeof(bare), "%s%s", repository, at);
        return strcmp(pattern, text) == 0 || pattern_matches(pattern, bare);
    }
    tag = tag_of(pattern);
    if (tag == NULL) {
        return pattern_matches(pattern, repository);
    }
    (void)snprintf(before, sizeof(before), "%.*s", (int)(tag - pattern), pattern);
    return is_made_of(tag + 1, "*") && pattern_matches(before, repository);
}

bool image_name_matches(const char *pattern, const char *text)
{
    if (strchr(text, '@') != NULL) {
        return matches_digest(pattern, text);
    }
    char full[IMAGE_NAME_BYTES + 16];
    (void)snprintf(full, sizeof(full), "%s:latest", text);
    return pattern_matches(pattern, text) ||
           (tag_of(text) == NULL && pattern_matches(pattern, full));
}

bool image_name_may_be_id(const char *text)
{
    static const char algorithm[] = "sha256:";
    return strncmp(text, algorithm, sizeof(algorithm) - 1) == 0
               ? strchr(text, '/') == NULL
               : is_made_of(text, "0123456789abcdef");
}

bool image_name_allowed(const struct config_list *patterns, const char *text)
{
    for (size_t i = 0; i < patterns->count; i++) {
        if (image_name_matches(patterns->entries[i], text)) {
            return true;
        }
    }
    return false;
}

void image_name_aliases(const struct image_name *name, char out_aliases[2][IMAGE_ALIAS_BYTES])
{
    size_t lengths[2] = {0, 0};
    const char *slash = strchr(name->repository, '/');
    const char *colon = strchr(name->repository, ':');
    for (const char *at = name->repository; *at != '\0'; at++) {
        if (colon != NULL && at >= colon && slash != NULL && at < slash) {
            continue; /* the registry's port */
        }
        for (size_t i = 0; i < 2; i++) {
            const char *as = i == 0 ? "__" : "-";
            size_t room = IMAGE_ALIAS_BYTES - lengths[i];
            int wrote = *at == '/' ? snprintf(out_aliases[i] + lengths[i], room, "%s", as)
                                   : snprintf(out_aliases[i] + lengths[i], room, "%c", *at);
            lengths[i] += (size_t)wrote < room ? (size_t)wrote : room - 1;
        }
    }
    out_aliases[0][lengths[0]] = '\0';
    out_aliases[1][slash == NULL ? 0 : lengths[1]] = '\0';
}
