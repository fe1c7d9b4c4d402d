/* SPDX-License-Identifier: MIT */
#include "driver/registry/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/parse.h"
#include "driver/base/json.h"

#define SIZE_CEILING  (1LL << 50)
#define WORDS_BYTES   (64UL << 10) /* of ENTRYPOINT, and of CMD */
#define PORTS_CEILING 1024         /* entries of ExposedPorts that are read */

#define SOCI_ANNOTATION "com.amazon.soci.index-digest"

static const struct {
    const char *type;
    bool is_index;
} types[] = {
    {MANIFEST_OCI_INDEX, true},
    {MANIFEST_DOCKER_INDEX, true},
    {MANIFEST_OCI, false},
    {MANIFEST_DOCKER, false},
};

static int reject(struct error *err, const char *what)
{
    return error_set(err, ERROR_PEER, 0, "not a valid manifest: %s", what);
}

static bool has_type(const char *text, const char *type)
{
    size_t length = strcspn(text, "; \t");
    return length == strlen(type) && strncasecmp(text, type, length) == 0;
}

/* The index in 'types', or -1. */
static int find_type(const char *text)
{
    for (size_t i = 0; text != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
        if (has_type(text, types[i].type)) {
            return (int)i;
        }
    }
    return -1;
}

static bool has_soci_annotation(const cJSON *json)
{
    const cJSON *value =
        cJSON_GetObjectItemCaseSensitive(json_at(json, "annotations"), SOCI_ANNOTATION);
    return cJSON_IsString(value) && value->valuestring[0] != '\0';
}

static struct manifest_descriptor descriptor_of(const cJSON *json)
{
    return (struct manifest_descriptor){
        .digest = json_text_or_empty(json, "digest"),
        .type = json_text_or_empty(json, "mediaType"),
        .size = json_number_at(json, "size"),
        .has_soci_index = has_soci_annotation(json),
    };
}

static bool is_descriptor(const cJSON *json)
{
    const cJSON *size = cJSON_GetObjectItemCaseSensitive(json, "size");
    return cJSON_IsObject(json) && digest_is_valid(json_text_or_empty(json, "digest")) &&
           cJSON_IsNumber(size) && size->valuedouble >= 0 &&
           size->valuedouble < (double)SIZE_CEILING;
}

static bool are_descriptors(const cJSON *list, int ceiling)
{
    const cJSON *entry = NULL;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > ceiling) {
        return false;
    }
    cJSON_ArrayForEach(entry, list)
    {
        if (!is_descriptor(entry)) {
            return false;
        }
    }
    return true;
}

/* OCI's may leave mediaType out: then the header counts, or else the form. */
static int choose_type(const cJSON *root, const char *content_type, bool is_index,
                       struct manifest *manifest, struct error *err)
{
    const char *named = json_text_at(root, "mediaType");
    int own = find_type(named);
    int header = find_type(content_type);
    bool plain = content_type == NULL || has_type(content_type, "application/json") ||
                 has_type(content_type, "application/octet-stream");
    if (named != NULL && own < 0) {
        return reject(err, "its mediaType is not one of an image");
    }
    if (header < 0 && !plain) {
        return reject(err, "its Content-Type is not one of an image");
    }
    if (own >= 0 && header >= 0 && own != header) {
        return reject(err, "mediaType and Content-Type differ");
    }
    int chosen = own >= 0 ? own : header >= 0 ? header : is_index ? 0 : 2;
    if (types[chosen].is_index != is_index) {
        return reject(err, "its form is not that of its type");
    }
    manifest->is_index = is_index;
    (void)snprintf(manifest->type, sizeof(manifest->type), "%s", types[chosen].type);
    return 0;
}

static int check(const cJSON *root, const char *content_type, struct manifest *manifest,
                 struct error *err)
{
    const cJSON *entries = cJSON_GetObjectItemCaseSensitive(root, "manifests");
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(root, "config");
    const cJSON *layers = cJSON_GetObjectItemCaseSensitive(root, "layers");
    if (!cJSON_IsObject(root) || json_number_at(root, "schemaVersion") != 2) {
        return reject(err, "not a JSON object of schemaVersion 2");
    }
    if (entries != NULL && (config != NULL || layers != NULL)) {
        return reject(err, "it has the keys of an index and of a manifest");
    }
    if (entries != NULL && !are_descriptors(entries, MANIFEST_ENTRY_CEILING)) {
        return reject(err, "its list of manifests");
    }
    if (entries == NULL &&
        (!is_descriptor(config) || !are_descriptors(layers, MANIFEST_LAYER_CEILING))) {
        return reject(err, "its config or its list of layers");
    }
    return choose_type(root, content_type, entries != NULL, manifest, err);
}

int manifest_parse(const char *text, size_t length, const char *content_type,
                   struct manifest *out_manifest, struct error *err)
{
    struct manifest manifest = {.root = cJSON_ParseWithLength(text == NULL ? "" : text, length)};
    if (check(manifest.root, content_type, &manifest, err) < 0) {
        cJSON_Delete(manifest.root);
        return -1;
    }
    *out_manifest = manifest;
    return 0;
}

void manifest_done(struct manifest *manifest)
{
    cJSON_Delete(manifest->root);
    manifest->root = NULL;
}

struct manifest_descriptor manifest_config(const struct manifest *manifest)
{
    return descriptor_of(json_at(manifest->root, "config"));
}

static bool member(const struct manifest *manifest, const char *list, size_t index,
                   struct manifest_descriptor *out)
{
    const cJSON *entry = index > MANIFEST_LAYER_CEILING
                             ? NULL
                             : cJSON_GetArrayItem(json_at(manifest->root, list), (int)index);
    if (entry != NULL) {
        *out = descriptor_of(entry);
    }
    return entry != NULL;
}

bool manifest_layer(const struct manifest *manifest, size_t index,
                    struct manifest_descriptor *out_layer)
{
    return member(manifest, "layers", index, out_layer);
}

bool manifest_entry(const struct manifest *manifest, size_t index,
                    struct manifest_descriptor *out_entry)
{
    return member(manifest, "manifests", index, out_entry);
}

int64_t manifest_bytes(const struct manifest *manifest)
{
    int64_t sum = 0;
    const cJSON *layer = NULL;
    cJSON_ArrayForEach(layer, json_at(manifest->root, "layers"))
    {
        sum += json_number_at(layer, "size"); /* 512 of 2^50 fit */
    }
    return sum;
}

bool manifest_has_soci_index(const struct manifest *manifest)
{
    return has_soci_annotation(manifest->root);
}

/* False: not an image of a platform, but for example an attestation ("unknown/unknown"). */
static bool platform_of(const cJSON *entry, struct image_platform *out)
{
    char text[IMAGE_PLATFORM_BYTES];
    const char *os = json_text_or_empty(entry, "platform.os");
    const char *variant = json_text_or_empty(entry, "platform.variant");
    (void)snprintf(text, sizeof(text), "%s/%s%s%s", os,
                   json_text_or_empty(entry, "platform.architecture"),
                   variant[0] == '\0' ? "" : "/", variant);
    return strcmp(os, "unknown") != 0 && image_platform_parse(text, out) == 0;
}

bool manifest_choose(const struct manifest *manifest, const struct image_platform *wanted,
                     struct manifest_descriptor *out_entry)
{
    const cJSON *entry = NULL, *found = NULL;
    bool exact = false;
    cJSON_ArrayForEach(entry, json_at(manifest->root, "manifests"))
    {
        struct image_platform platform;
        const char *type = json_text_or_empty(entry, "mediaType");
        int known = find_type(type);
        bool image = type[0] == '\0' || (known >= 0 && !types[known].is_index);
        if (!image || !platform_of(entry, &platform) || !image_platform_fits(wanted, &platform)) {
            continue;
        }
        bool same = strcmp(wanted->variant, platform.variant) == 0;
        if (found == NULL || (same && !exact)) {
            found = entry;
            exact = same;
        }
    }
    if (found != NULL) {
        *out_entry = descriptor_of(found);
    }
    return found != NULL;
}

void manifest_platforms(const struct manifest *manifest, char *out, size_t room)
{
    size_t length = 0;
    const cJSON *entry = NULL;
    out[0] = '\0';
    cJSON_ArrayForEach(entry, json_at(manifest->root, "manifests"))
    {
        struct image_platform platform;
        char text[IMAGE_PLATFORM_BYTES];
        if (platform_of(entry, &platform) && length + sizeof(text) + 2 < room) {
            image_platform_text(&platform, text);
            length += (size_t)snprintf(out + length, room - length, "%s%s", length == 0 ? "" : ", ",
                                       text);
        }
    }
}

/* --- the configuration --- */

static int copy_words(const cJSON *from, cJSON **out, const char *name, struct error *err)
{
    size_t bytes = 0;
    bool ok = true;
    const cJSON *word = NULL;
    *out = cJSON_CreateArray();
    if (from != NULL && !cJSON_IsNull(from) && !cJSON_IsArray(from)) {
        return error_set(err, ERROR_PEER, 0, "%s of the image is not a list", name);
    }
    if (cJSON_GetArraySize(from) > IMAGE_WORDS_CEILING) {
        return error_set(err, ERROR_PEER, 0, "%s of the image is too long", name);
    }
    cJSON_ArrayForEach(word, from)
    {
        bytes += cJSON_IsString(word) ? strlen(word->valuestring) + 1 : WORDS_BYTES + 1;
        if (bytes > WORDS_BYTES) {
            return error_set(err, ERROR_PEER, 0, "%s of the image is not a list of short texts",
                             name);
        }
        json_append(*out, word->valuestring, &ok);
    }
    return ok && *out != NULL ? 0 : error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read an image");
}

static void add_port(struct image_facts *facts, uint16_t port)
{
    size_t at = 0;
    while (at < facts->port_count && facts->ports[at] < port) {
        at++;
    }
    if ((at < facts->port_count && facts->ports[at] == port) ||
        facts->port_count == IMAGE_PORT_CEILING) {
        return;
    }
    memmove(&facts->ports[at + 1], &facts->ports[at],
            (facts->port_count - at) * sizeof(facts->ports[0]));
    facts->ports[at] = port;
    facts->port_count++;
}

/* "5432/tcp", "5432" or "8000-8003/tcp". What is not one is left out: it is advice for a wait. */
static void read_port(struct image_facts *facts, const char *text)
{
    char number[12];
    int64_t first = 0;
    int64_t last = 0;
    size_t length = strcspn(text, "/");
    if (length >= sizeof(number) || (text[length] == '/' && strcmp(text + length, "/tcp") != 0)) {
        return;
    }
    (void)snprintf(number, sizeof(number), "%.*s", (int)length, text);
    char *dash = strchr(number, '-');
    if (dash != NULL) {
        *dash = '\0';
    }
    if (parse_integer(number, 1, UINT16_MAX, &first) < 0 ||
        (dash != NULL && parse_integer(dash + 1, first, UINT16_MAX, &last) < 0)) {
        return;
    }
    last = dash == NULL ? first : last;
    for (int64_t port = first; port <= last && port < first + IMAGE_PORT_CEILING; port++) {
        add_port(facts, (uint16_t)port);
    }
}

static void read_ports(const cJSON *ports, struct image_facts *facts)
{
    int count = 0;
    const cJSON *port = NULL;
    cJSON_ArrayForEach(port, ports)
    {
        if (port->string != NULL && count++ < PORTS_CEILING) {
            read_port(facts, port->string);
        }
    }
}

static int read_config(const cJSON *root, struct image_facts *facts, struct error *err)
{
    char text[IMAGE_PLATFORM_BYTES];
    const char *user = json_text_or_empty(root, "config.User");
    const char *variant = json_text_or_empty(root, "variant");
    (void)snprintf(text, sizeof(text), "%s/%s%s%s", json_text_or_empty(root, "os"),
                   json_text_or_empty(root, "architecture"), variant[0] == '\0' ? "" : "/",
                   variant);
    if (!cJSON_IsObject(root) || image_platform_parse(text, &facts->platform) < 0) {
        return error_set(err, ERROR_PEER, 0, "the configuration of the image names no platform");
    }
    if (strlen(user) >= sizeof(facts->user)) {
        return error_set(err, ERROR_PEER, 0, "USER of the image is too long");
    }
    (void)snprintf(facts->user, sizeof(facts->user), "%s", user);
    if (copy_words(json_at(root, "config.Entrypoint"), &facts->entrypoint, "ENTRYPOINT", err) < 0 ||
        copy_words(json_at(root, "config.Cmd"), &facts->command, "CMD", err) < 0) {
        return -1;
    }
    read_ports(json_at(root, "config.ExposedPorts"), facts);
    return 0;
}

int manifest_read_config(const char *text, size_t length, struct image_facts *out_facts,
                         struct error *err)
{
    struct image_facts facts = {0};
    cJSON *root = cJSON_ParseWithLength(text == NULL ? "" : text, length);
    int result = read_config(root, &facts, err);
    cJSON_Delete(root);
    if (result < 0) {
        image_facts_done(&facts);
        return -1;
    }
    *out_facts = facts;
    return 0;
}

void image_facts_done(struct image_facts *facts)
{
    cJSON_Delete(facts->entrypoint);
    cJSON_Delete(facts->command);
    facts->entrypoint = NULL;
    facts->command = NULL;
}
