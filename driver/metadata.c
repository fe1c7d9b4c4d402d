/* SPDX-License-Identifier: MIT */
#include "driver/metadata.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/fd.h"

static int path_of(const char *directory, const char *job, char out[PATH_MAX], struct error *err)
{
    int length = snprintf(out, PATH_MAX, "%s/%s.json", directory, job);
    if (length < 0 || length >= PATH_MAX) {
        return error_set(err, ERROR_USAGE, ENAMETOOLONG, "[TaskMetadata] Directory '%s'",
                         directory);
    }
    return 0;
}

struct metadata *metadata_new(const char *job, const char *backend, struct error *err)
{
    struct metadata *metadata = calloc(1, sizeof(*metadata));
    if (metadata != NULL) {
        (void)snprintf(metadata->job, sizeof(metadata->job), "%s", job);
        (void)snprintf(metadata->backend, sizeof(metadata->backend), "%s", backend);
        metadata->keys = keys_new();
        metadata->state = cJSON_CreateObject();
    }
    if (metadata == NULL || metadata->keys == NULL || metadata->state == NULL) {
        metadata_free(metadata);
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot keep the job's keys");
        return NULL;
    }
    return metadata;
}

void metadata_free(struct metadata *metadata)
{
    if (metadata != NULL) {
        keys_free(metadata->keys);
        cJSON_Delete(metadata->state);
        free(metadata);
    }
}

/* cJSON frees its strings as they are, so the seeds are wiped in place first. */
static void delete_json(cJSON *root)
{
    static const char *const secrets[] = {"user_key_seed", "host_key_seed"};
    for (size_t i = 0; root != NULL && i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        cJSON *item = cJSON_GetObjectItemCaseSensitive(root, secrets[i]);
        if (cJSON_IsString(item)) {
            sodium_memzero(item->valuestring, strlen(item->valuestring));
        }
    }
    cJSON_Delete(root);
}

static bool add_seed(cJSON *root, const char *name, const unsigned char *seed)
{
    char base64[ED25519_SEED_BASE64_BYTES];
    ed25519_seed_base64(seed, base64);
    bool added = cJSON_AddStringToObject(root, name, base64) != NULL;
    sodium_memzero(base64, sizeof(base64));
    return added;
}

static bool add_state(cJSON *root, const cJSON *state)
{
    cJSON *copy = cJSON_Duplicate(state, 1);
    if (!cJSON_AddItemToObject(root, "state", copy)) {
        cJSON_Delete(copy);
        return false;
    }
    return true;
}

static cJSON *to_json(const struct metadata *metadata)
{
    cJSON *root = cJSON_CreateObject();
    if (root == NULL || cJSON_AddNumberToObject(root, "version", METADATA_VERSION) == NULL ||
        cJSON_AddStringToObject(root, "job", metadata->job) == NULL ||
        cJSON_AddStringToObject(root, "backend", metadata->backend) == NULL ||
        cJSON_AddStringToObject(root, "host", metadata->host) == NULL ||
        cJSON_AddNumberToObject(root, "port", metadata->port) == NULL ||
        (metadata->host_key[0] != '\0' &&
         cJSON_AddStringToObject(root, "host_key", metadata->host_key) == NULL) ||
        !add_seed(root, "user_key_seed", metadata->keys->user_seed) ||
        !add_seed(root, "host_key_seed", metadata->keys->host_seed) ||
        !add_state(root, metadata->state)) {
        delete_json(root);
        return NULL;
    }
    return root;
}

int metadata_save(const struct metadata *metadata, const char *directory, struct error *err)
{
    char path[PATH_MAX];
    if (path_of(directory, metadata->job, path, err) < 0 ||
        fd_make_directories(directory, 0700, err) < 0) {
        return error_wrap(err, "cannot keep the task's metadata");
    }
    cJSON *root = to_json(metadata);
    char *text = sodium_malloc(METADATA_CEILING_BYTES);
    int result = -1;
    if (root == NULL || text == NULL ||
        !cJSON_PrintPreallocated(root, text, (int)METADATA_CEILING_BYTES, 1)) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot keep the task's metadata");
    } else {
        result = fd_replace_file(path, text, strlen(text), 0600, err);
    }
    sodium_free(text);
    delete_json(root);
    return result;
}

static const char *text_item(const cJSON *root, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static int number_item(const cJSON *root, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, name);
    return cJSON_IsNumber(item) ? item->valueint : -1;
}

static int load_seed(const cJSON *root, const char *name, unsigned char *out_seed)
{
    const char *text = text_item(root, name);
    return text == NULL ? -1 : ed25519_seed_parse(text, out_seed, NULL);
}

/* Returns NULL when something is missing or of the wrong kind. */
static struct metadata *from_json(const cJSON *root, const char *job, struct error *err)
{
    const char *backend = text_item(root, "backend");
    const char *host = text_item(root, "host");
    const char *named = text_item(root, "job");
    int port = number_item(root, "port");
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(root, "state");
    if (number_item(root, "version") != METADATA_VERSION || backend == NULL || host == NULL ||
        named == NULL || strcmp(named, job) != 0 || port < 0 || port > 65535 ||
        !cJSON_IsObject(state)) {
        return NULL;
    }
    struct metadata *metadata = metadata_new(job, backend, err);
    if (metadata == NULL) {
        return NULL;
    }
    cJSON_Delete(metadata->state);
    metadata->state = cJSON_Duplicate(state, 1);
    (void)snprintf(metadata->host, sizeof(metadata->host), "%s", host);
    metadata->port = port;
    const char *host_key = text_item(root, "host_key");
    (void)snprintf(metadata->host_key, sizeof(metadata->host_key), "%s",
                   host_key != NULL ? host_key : "");
    if (metadata->state == NULL ||
        load_seed(root, "user_key_seed", metadata->keys->user_seed) < 0 ||
        load_seed(root, "host_key_seed", metadata->keys->host_seed) < 0) {
        metadata_free(metadata);
        return NULL;
    }
    return metadata;
}

static int parse(const char *path, const char *job, struct metadata **out_metadata,
                 struct error *err)
{
    struct buffer text;
    buffer_init(&text, METADATA_CEILING_BYTES);
    int result = fd_read_file(path, &text, err);
    if (result < 0 && err->errnum != ENOENT && err->errnum != ENOTDIR) {
        (void)error_wrap(err, "unusable task metadata");
    } else if (result < 0) {
        result = 0;
    } else {
        cJSON *root = cJSON_ParseWithLength(text.bytes == NULL ? "" : text.bytes, text.length);
        struct metadata *metadata = root == NULL ? NULL : from_json(root, job, err);
        delete_json(root);
        result = metadata == NULL
                     ? error_set(err, ERROR_SYSTEM, 0,
                                 "task metadata '%s' is damaged or of another version; remove it "
                                 "after looking for a task that still runs",
                                 path)
                     : 1;
        if (metadata != NULL) {
            *out_metadata = metadata;
        }
    }
    buffer_done(&text);
    return result;
}

int metadata_load(const char *directory, const char *job, struct metadata **out_metadata,
                  struct error *err)
{
    char path[PATH_MAX];
    if (path_of(directory, job, path, err) < 0) {
        return -1;
    }
    struct error own;
    int result = parse(path, job, out_metadata, &own);
    if (result < 0 && err != NULL) {
        *err = own;
    }
    return result;
}

bool metadata_exists(const char *directory, const char *job)
{
    char path[PATH_MAX];
    return strchr(job, '/') != NULL || path_of(directory, job, path, NULL) < 0 ||
           access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* A process killed while it replaced the file left its new content, seeds included, beside it. */
static void remove_unfinished(const char *directory_path, const char *job)
{
    char prefix[METADATA_JOB_BYTES + 8];
    (void)snprintf(prefix, sizeof(prefix), "%s.json.", job);
    cleanup_dir DIR *directory = opendir(directory_path);
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0) {
            (void)unlinkat(dirfd(directory), entry->d_name, 0);
        }
    }
}

int metadata_remove(const char *directory, const char *job, struct error *err)
{
    char path[PATH_MAX];
    if (path_of(directory, job, path, err) < 0) {
        return -1;
    }
    remove_unfinished(directory, job);
    if (unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot remove '%s'", path);
    }
    return 0;
}

/* A name that remove_unfinished() takes away as well. */
static int note_path_of(const char *directory, const char *job, const char *note,
                        char out[PATH_MAX])
{
    int length = snprintf(out, PATH_MAX, "%s/%s.json.%s", directory, job, note);
    return strchr(job, '/') != NULL || length < 0 || length >= PATH_MAX ? -1 : 0;
}

static int run_path_of(const char *directory, const char *job, char out[PATH_MAX])
{
    return note_path_of(directory, job, "run", out);
}

int metadata_note_run(const char *directory, const char *job, const char *id, struct error *err)
{
    char path[PATH_MAX];
    cleanup_fd int fd = -1;
    if (run_path_of(directory, job, path) == 0) {
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    if (fd < 0 || write(fd, id, METADATA_RUN_BYTES - 1) != METADATA_RUN_BYTES - 1) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot note the job in '%s'", directory);
    }
    return 0;
}

bool metadata_noted_run(const char *directory, const char *job, char out_id[METADATA_RUN_BYTES])
{
    char path[PATH_MAX];
    char id[METADATA_RUN_BYTES] = "";
    cleanup_fd int fd = -1;
    if (run_path_of(directory, job, path) == 0) {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    }
    if (fd < 0 || read(fd, id, sizeof(id)) != METADATA_RUN_BYTES - 1 ||
        strspn(id, "0123456789abcdef") != METADATA_RUN_BYTES - 1) {
        return false;
    }
    memcpy(out_id, id, sizeof(id));
    return true;
}

void metadata_forget_run(const char *directory, const char *job)
{
    char path[PATH_MAX];
    if (run_path_of(directory, job, path) == 0) {
        (void)unlink(path); /* what stays is cleaned up with the rest */
    }
}

int metadata_note_end(const char *directory, const char *job, struct error *err)
{
    char path[PATH_MAX];
    cleanup_fd int fd = -1;
    if (!metadata_exists(directory, job)) {
        return 0;
    }
    if (note_path_of(directory, job, "end", path) == 0) {
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    return fd >= 0 ? 0
                   : error_set(err, ERROR_SYSTEM, errno, "cannot note the end of '%s' in '%s'", job,
                               directory);
}

bool metadata_noted_end(const char *directory, const char *job)
{
    char path[PATH_MAX];
    return note_path_of(directory, job, "end", path) == 0 && access(path, F_OK) == 0;
}
