/* SPDX-License-Identifier: MIT */
#include "driver/registry/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/log.h"
#include "driver/base/json.h"
#include "driver/record/metadata_directory.h"

#define FILE_NAME           ".registries"
#define VERSION             2
#define FILE_CEILING_BYTES  (1UL << 20)
#define IMAGE_CEILING       128
#define IMAGE_CEILING_BYTES 4096 /* of one entry, as text; 128 fit into the file */
#define HOST_CEILING        64
#define KEY_BYTES           (IMAGE_DIGEST_BYTES + IMAGE_PLATFORM_BYTES + 1)

static void write_key(const char *digest, const struct image_platform *wanted, char out[KEY_BYTES])
{
    char platform[IMAGE_PLATFORM_BYTES];
    image_platform_text(wanted, platform);
    (void)snprintf(out, KEY_BYTES, "%s %s", digest, platform);
}

/* The file's content, or an empty one. */
static cJSON *read_file(const char *directory)
{
    struct error err = {0};
    struct buffer text;
    cleanup_fd int directory_fd = -1;
    cleanup_fd int fd = -1;
    cJSON *root = NULL;
    buffer_init(&text, FILE_CEILING_BYTES);
    int found = metadata_directory_open(directory, &directory_fd, &err);
    if (found == 1) {
        found =
            metadata_directory_open_file(directory_fd, directory, FILE_NAME, O_RDONLY, &fd, &err);
    }
    if (found == 1 && fd_read_to_end(fd, FILE_NAME, &text, &err) == 0) {
        root = cJSON_ParseWithLength(text.bytes == NULL ? "" : text.bytes, text.length);
    } else if (found != 0) {
        log_debug("nothing is remembered about registries: %s", err.message);
    }
    buffer_done(&text);
    if (!cJSON_IsObject(root) || json_number_at(root, "version") != VERSION) {
        cJSON_Delete(root);
        root = cJSON_CreateObject();
    }
    return root;
}

static void write_file(const char *directory, const cJSON *root)
{
    struct error err = {0};
    cleanup_fd int directory_fd = -1;
    char *text = cJSON_PrintUnformatted(root);
    size_t length = text == NULL ? 0 : strlen(text);
    if (length > 0 && length <= FILE_CEILING_BYTES &&
        metadata_directory_open(directory, &directory_fd, &err) == 1 &&
        fd_replace_at(directory_fd, FILE_NAME, text, length, 0600) < 0) {
        log_debug("cannot write '%s/%s': errno %d", directory, FILE_NAME, errno);
    }
    cJSON_free(text);
}

/* The member 'name', an object of entries with a time; made when it is missing. */
static cJSON *section(cJSON *root, const char *name)
{
    bool ok = true;
    cJSON *entries = cJSON_GetObjectItemCaseSensitive(root, name);
    if (!cJSON_IsObject(entries)) {
        cJSON_DeleteItemFromObjectCaseSensitive(root, name);
        entries = json_object(root, name, &ok);
    }
    return entries;
}

/* Removes the oldest until there is room for one more. */
static void make_room(cJSON *entries, int ceiling)
{
    while (cJSON_GetArraySize(entries) >= ceiling) {
        cJSON *oldest = entries->child;
        for (cJSON *entry = entries->child; entry != NULL; entry = entry->next) {
            if (json_number_at(entry, "at") < json_number_at(oldest, "at")) {
                oldest = entry;
            }
        }
        cJSON_Delete(cJSON_DetachItemViaPointer(entries, oldest));
    }
}

/* Takes 'entry'. */
static void put(const char *directory, const char *name, int ceiling, const char *key, cJSON *entry)
{
    bool ok = true;
    cJSON *root = read_file(directory);
    cJSON *entries = section(root, name);
    cJSON_DeleteItemFromObjectCaseSensitive(root, "version");
    json_number(root, "version", VERSION, &ok);
    json_number(entry, "at", (int64_t)time(NULL), &ok);
    cJSON_DeleteItemFromObjectCaseSensitive(entries, key);
    make_room(entries, ceiling);
    if (ok && entries != NULL && cJSON_AddItemToObject(entries, key, entry)) {
        write_file(directory, root);
    } else {
        cJSON_Delete(entry);
    }
    cJSON_Delete(root);
}

/* --- images --- */

static void write_words(cJSON *to, const char *name, const cJSON *words, bool *ok)
{
    cJSON *copy = cJSON_Duplicate(words, true);
    *ok = *ok && copy != NULL && cJSON_AddItemToObject(to, name, copy);
}

static cJSON *write_facts(const struct image_facts *facts, bool *ok)
{
    char platform[IMAGE_PLATFORM_BYTES];
    cJSON *entry = cJSON_CreateObject();
    image_platform_text(&facts->platform, platform);
    json_text(entry, "platform", platform, ok);
    json_text(entry, "user", facts->user, ok);
    write_words(entry, "entrypoint", facts->entrypoint, ok);
    write_words(entry, "command", facts->command, ok);
    cJSON *ports = json_array(entry, "ports", ok);
    for (size_t i = 0; i < facts->port_count; i++) {
        cJSON *port = cJSON_CreateNumber(facts->ports[i]);
        *ok = *ok && cJSON_AddItemToArray(ports, port);
    }
    json_number(entry, "bytes", facts->compressed_bytes, ok);
    json_bool(entry, "soci", facts->has_soci_index, ok);
    return entry;
}

void cache_add(const char *directory, const struct image_platform *wanted,
               const struct image_facts *facts)
{
    bool ok = true;
    char key[KEY_BYTES];
    write_key(facts->digest, wanted, key);
    cJSON *entry = write_facts(facts, &ok);
    char *text = ok ? cJSON_PrintUnformatted(entry) : NULL;
    if (text != NULL && strlen(text) <= IMAGE_CEILING_BYTES) {
        put(directory, "images", IMAGE_CEILING, key, entry);
    } else {
        cJSON_Delete(entry);
    }
    cJSON_free(text);
}

static bool is_list_of_texts(const cJSON *list)
{
    const cJSON *word = NULL;
    if (!cJSON_IsArray(list)) {
        return false;
    }
    cJSON_ArrayForEach(word, list)
    {
        if (!cJSON_IsString(word)) {
            return false;
        }
    }
    return true;
}

static bool read_facts(const cJSON *entry, const char *digest, struct image_facts *out)
{
    struct image_facts facts = {.compressed_bytes = json_number_at(entry, "bytes"),
                                .has_soci_index = json_true_at(entry, "soci")};
    const cJSON *port = NULL;
    const char *user = json_text_or_empty(entry, "user");
    if (image_platform_parse(json_text_or_empty(entry, "platform"), &facts.platform) < 0 ||
        !is_list_of_texts(json_at(entry, "entrypoint")) ||
        !is_list_of_texts(json_at(entry, "command")) || strlen(user) >= sizeof(facts.user)) {
        return false;
    }
    (void)snprintf(facts.digest, sizeof(facts.digest), "%s", digest);
    (void)snprintf(facts.user, sizeof(facts.user), "%s", user);
    cJSON_ArrayForEach(port, json_at(entry, "ports"))
    {
        if (facts.port_count < IMAGE_PORT_CEILING && cJSON_IsNumber(port) && port->valueint > 0 &&
            port->valueint <= UINT16_MAX) {
            facts.ports[facts.port_count++] = (uint16_t)port->valueint;
        }
    }
    facts.entrypoint = cJSON_Duplicate(json_at(entry, "entrypoint"), true);
    facts.command = cJSON_Duplicate(json_at(entry, "command"), true);
    if (facts.entrypoint == NULL || facts.command == NULL) {
        image_facts_done(&facts);
        return false;
    }
    *out = facts;
    return true;
}

bool cache_find(const char *directory, const char *digest, const struct image_platform *wanted,
                struct image_facts *out_facts)
{
    char key[KEY_BYTES];
    write_key(digest, wanted, key);
    cJSON *root = read_file(directory);
    const cJSON *images = cJSON_GetObjectItemCaseSensitive(root, "images");
    const cJSON *entry = cJSON_GetObjectItemCaseSensitive(images, key);
    bool found = entry != NULL && read_facts(entry, digest, out_facts);
    cJSON_Delete(root);
    return found;
}

/* --- hosts --- */

bool cache_is_silent(const char *directory, const char *host)
{
    int64_t now = (int64_t)time(NULL);
    cJSON *root = read_file(directory);
    const cJSON *hosts = cJSON_GetObjectItemCaseSensitive(root, "silent");
    const cJSON *entry = cJSON_GetObjectItemCaseSensitive(hosts, host);
    int64_t at = json_number_at(entry, "at");
    bool silent = at > 0 && at <= now && now - at < CACHE_SILENCE_S; /* the clock may be set back */
    cJSON_Delete(root);
    return silent;
}

void cache_add_silent(const char *directory, const char *host)
{
    put(directory, "silent", HOST_CEILING, host, cJSON_CreateObject());
}
