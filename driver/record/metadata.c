/* SPDX-License-Identifier: MIT */
#include "driver/record/metadata.h"

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
#include "driver/base/json.h"

#define OLDEST_VERSION 1

static int name_of(const char *job, const char *note, char out[NAME_MAX + 1], struct error *err)
{
    int length = snprintf(out, NAME_MAX + 1, "%s.json%s", job, note);
    return strchr(job, '/') != NULL || length < 0 || length > NAME_MAX
               ? error_set(err, ERROR_USAGE, 0, "'%s' is not a valid job key", job)
               : 0;
}

struct metadata *metadata_new(const char *job, const char *backend, struct error *err)
{
    struct metadata *metadata = calloc(1, sizeof(*metadata));
    if (metadata != NULL) {
        (void)snprintf(metadata->job, sizeof(metadata->job), "%s", job);
        (void)snprintf(metadata->record, sizeof(metadata->record), "%s", job);
        (void)snprintf(metadata->backend, sizeof(metadata->backend), "%s", backend);
        metadata->keys = keys_new();
        metadata->state = cJSON_CreateObject();
    }
    if (metadata == NULL || metadata->keys == NULL || metadata->state == NULL) {
        metadata_free(metadata);
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot allocate the job's keys");
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

const unsigned char *metadata_host_seed(const struct metadata *metadata,
                                        enum metadata_container container)
{
    return container == METADATA_HELPER ? metadata->keys->helper_seed : metadata->keys->host_seed;
}

static bool add_seed(cJSON *root, const char *name, const unsigned char *seed)
{
    char base64[ED25519_SEED_BASE64_BYTES];
    ed25519_seed_base64(seed, base64);
    bool added = cJSON_AddStringToObject(root, name, base64) != NULL;
    sodium_memzero(base64, sizeof(base64));
    return added;
}

static bool add_agent(cJSON *object, const struct metadata_agent *agent)
{
    return cJSON_AddStringToObject(object, "host", agent->host) != NULL &&
           cJSON_AddNumberToObject(object, "port", agent->port) != NULL &&
           (agent->host_key[0] == '\0' ||
            cJSON_AddStringToObject(object, "host_key", agent->host_key) != NULL);
}

static bool add_helper(cJSON *root, const struct metadata *metadata)
{
    cJSON *helper = cJSON_AddObjectToObject(root, "helper");
    return helper != NULL && add_agent(helper, &metadata->agents[METADATA_HELPER]) &&
           add_seed(helper, "host_key_seed", metadata->keys->helper_seed) &&
           cJSON_AddBoolToObject(helper, "owned", metadata->owned) != NULL;
}

static bool add_warm(cJSON *root, const struct metadata_warm *warm)
{
    cJSON *object = cJSON_AddObjectToObject(root, "warm");
    return object != NULL && cJSON_AddStringToObject(object, "wish", warm->wish) != NULL &&
           cJSON_AddStringToObject(object, "owner", warm->owner) != NULL &&
           cJSON_AddNumberToObject(object, "ready_at", (double)warm->ready_at_s) != NULL &&
           cJSON_AddNumberToObject(object, "max_age", (double)warm->max_age_s) != NULL;
}

static cJSON *to_json(const struct metadata *metadata)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *state = cJSON_Duplicate(metadata->state, 1); /* the root's once it is added, last */
    if (root == NULL || cJSON_AddNumberToObject(root, "version", METADATA_VERSION) == NULL ||
        cJSON_AddStringToObject(root, "job", metadata->job) == NULL ||
        cJSON_AddStringToObject(root, "backend", metadata->backend) == NULL ||
        !add_agent(root, &metadata->agents[METADATA_JOB]) ||
        (metadata->has_helper && !add_helper(root, metadata)) ||
        (metadata->warm.wish[0] != '\0' && !add_warm(root, &metadata->warm)) ||
        !origin_add(root, &metadata->origin) ||
        !add_seed(root, "user_key_seed", metadata->keys->user_seed) ||
        !add_seed(root, "host_key_seed", metadata->keys->host_seed) ||
        !cJSON_AddItemToObject(root, "state", state)) {
        cJSON_Delete(state);
        json_delete_wiped(root);
        return NULL;
    }
    return root;
}

int metadata_save(const struct metadata *metadata, const char *directory, struct error *err)
{
    char name[NAME_MAX + 1];
    cleanup_fd int directory_fd = -1;
    if (name_of(metadata->record, "", name, err) < 0 ||
        metadata_directory_make(directory, &directory_fd, err) < 0) {
        return error_wrap(err, "cannot save the task's metadata");
    }
    cJSON *root = to_json(metadata);
    char *text = sodium_malloc(METADATA_CEILING_BYTES);
    int result = -1;
    if (root == NULL || text == NULL ||
        !cJSON_PrintPreallocated(root, text, (int)METADATA_CEILING_BYTES, 1)) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot save the task's metadata");
    } else {
        result = fd_replace_at(directory_fd, name, text, strlen(text), 0600);
        if (result < 0) {
            (void)error_set(err, ERROR_SYSTEM, errno, "cannot write '%s/%s'", directory, name);
        }
    }
    sodium_free(text);
    json_delete_wiped(root);
    return result;
}

static int number_item(const cJSON *root, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, name);
    return cJSON_IsNumber(item) ? item->valueint : -1;
}

static int load_seed(const cJSON *root, const char *name, unsigned char *out_seed)
{
    const char *text = json_text_at(root, name);
    return text == NULL ? -1 : ed25519_seed_parse(text, out_seed, NULL);
}

static int read_agent(const cJSON *object, struct metadata_agent *agent)
{
    const char *host = json_text_at(object, "host");
    const char *host_key = json_text_at(object, "host_key");
    agent->port = number_item(object, "port");
    if (host == NULL || agent->port < 0 || agent->port > 65535) {
        return -1;
    }
    (void)snprintf(agent->host, sizeof(agent->host), "%s", host);
    (void)snprintf(agent->host_key, sizeof(agent->host_key), "%s",
                   host_key != NULL ? host_key : "");
    return 0;
}

static int read_helper(const cJSON *root, struct metadata *metadata)
{
    const cJSON *helper = cJSON_GetObjectItemCaseSensitive(root, "helper");
    metadata->has_helper = helper != NULL;
    if (helper == NULL) {
        return 0;
    }
    metadata->owned = json_true_at(helper, "owned");
    return read_agent(helper, &metadata->agents[METADATA_HELPER]) < 0
               ? -1
               : load_seed(helper, "host_key_seed", metadata->keys->helper_seed);
}

static void read_warm(const cJSON *root, struct metadata_warm *warm)
{
    (void)snprintf(warm->wish, sizeof(warm->wish), "%s", json_text_or_empty(root, "warm.wish"));
    (void)snprintf(warm->owner, sizeof(warm->owner), "%s", json_text_or_empty(root, "warm.owner"));
    warm->ready_at_s = json_number_at(root, "warm.ready_at");
    warm->max_age_s = json_number_at(root, "warm.max_age");
}

/* Whether the task of this key may be in the file of 'record': only a warm one has two. */
static bool may_hold(const cJSON *root, const char *record, const char *job)
{
    return job != NULL && strlen(job) < METADATA_JOB_BYTES && strchr(job, '/') == NULL &&
           (strcmp(job, record) == 0 ||
            (strncmp(job, METADATA_WARM_PREFIX, strlen(METADATA_WARM_PREFIX)) == 0 &&
             json_text_or_empty(root, "warm.wish")[0] != '\0'));
}

/* Returns NULL when something is missing or has the wrong type. */
static struct metadata *from_json(const cJSON *root, const char *record, struct error *err)
{
    const char *backend = json_text_at(root, "backend");
    const char *named = json_text_at(root, "job");
    int version = number_item(root, "version");
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(root, "state");
    if (version < OLDEST_VERSION || version > METADATA_VERSION || backend == NULL ||
        !may_hold(root, record, named) || !cJSON_IsObject(state)) {
        return NULL;
    }
    struct metadata *metadata = metadata_new(named, backend, err);
    if (metadata == NULL) {
        return NULL;
    }
    (void)snprintf(metadata->record, sizeof(metadata->record), "%s", record);
    read_warm(root, &metadata->warm);
    cJSON_Delete(metadata->state);
    metadata->state = cJSON_Duplicate(state, 1);
    origin_read(root, &metadata->origin);
    if (metadata->state == NULL || read_agent(root, &metadata->agents[METADATA_JOB]) < 0 ||
        load_seed(root, "user_key_seed", metadata->keys->user_seed) < 0 ||
        load_seed(root, "host_key_seed", metadata->keys->host_seed) < 0 ||
        read_helper(root, metadata) < 0) {
        metadata_free(metadata);
        return NULL;
    }
    return metadata;
}

static int parse(int fd, const char *path, const char *job, struct metadata **out_metadata,
                 struct error *err)
{
    struct buffer text;
    buffer_init(&text, METADATA_CEILING_BYTES);
    if (fd_read_to_end(fd, path, &text, err) < 0) {
        buffer_done(&text);
        return error_wrap(err, "unusable task metadata");
    }
    cJSON *root = cJSON_ParseWithLength(text.bytes == NULL ? "" : text.bytes, text.length);
    struct metadata *metadata = root == NULL ? NULL : from_json(root, job, err);
    json_delete_wiped(root);
    buffer_done(&text);
    if (metadata == NULL) {
        return error_set(err, ERROR_SYSTEM, 0,
                         "task metadata '%s' is damaged or from another version; check for a task "
                         "that is still running, then remove it",
                         path);
    }
    *out_metadata = metadata;
    return 1;
}

int metadata_load(const char *directory, const char *job, struct metadata **out_metadata,
                  struct error *err)
{
    char name[NAME_MAX + 1];
    char path[PATH_MAX];
    cleanup_fd int directory_fd = -1;
    cleanup_fd int fd = -1;
    struct error own = {0};
    int result = name_of(job, "", name, &own);
    if (result == 0) {
        (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
        result = metadata_directory_open(directory, &directory_fd, &own);
    }
    if (result == 1) {
        result = metadata_directory_open_file(directory_fd, directory, name, O_RDONLY, &fd, &own);
    }
    if (result == 1) {
        result = parse(fd, path, job, out_metadata, &own);
    }
    if (result < 0 && err != NULL) {
        *err = own;
    }
    return result;
}

int metadata_rename(const char *directory, const char *from, const char *to, struct error *err)
{
    char old_name[NAME_MAX + 1];
    char new_name[NAME_MAX + 1];
    cleanup_fd int fd = -1;
    if (name_of(from, "", old_name, err) < 0 || name_of(to, "", new_name, err) < 0) {
        return -1;
    }
    int found = metadata_directory_open(directory, &fd, err);
    if (found <= 0) {
        return found;
    }
    if (renameat(fd, old_name, fd, new_name) < 0) {
        return errno == ENOENT ? 0
                               : error_set(err, ERROR_SYSTEM, errno, "cannot rename '%s/%s'",
                                           directory, old_name);
    }
    (void)fsync(fd); /* as fd_replace_at() does */
    return 1;
}

/* A process that was killed while it replaced the file leaves the new content, seeds included,
 * beside it. The notes have such names, too. */
static int remove_beside(void *context, int directory_fd, const char *name, struct error *err)
{
    const char *prefix = context;
    (void)err;
    if (strncmp(name, prefix, strlen(prefix)) == 0) {
        (void)unlinkat(directory_fd, name, 0);
    }
    return 0;
}

int metadata_remove(const char *directory, const char *job, struct error *err)
{
    char name[NAME_MAX + 1];
    char beside[NAME_MAX + 1];
    cleanup_fd int fd = -1;
    if (name_of(job, "", name, err) < 0 || name_of(job, ".", beside, err) < 0) {
        return -1;
    }
    int found = metadata_directory_open(directory, &fd, err);
    if (found <= 0) {
        return found;
    }
    if (metadata_directory_each_file(directory, remove_beside, beside, err) < 0) {
        return -1;
    }
    if (unlinkat(fd, name, 0) < 0 && errno != ENOENT) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot remove '%s/%s'", directory, name);
    }
    return 0;
}

/* 1: 'out_fd' is the note; 0: there is none, or no directory; -1: it is not trusted. */
static int open_note(const char *directory, const char *job, const char *note, int flags,
                     int *out_fd, struct error *err)
{
    char name[NAME_MAX + 1];
    cleanup_fd int directory_fd = -1;
    if (name_of(job, note, name, err) < 0) {
        return -1;
    }
    int found = metadata_directory_open(directory, &directory_fd, err);
    return found <= 0
               ? found
               : metadata_directory_open_file(directory_fd, directory, name, flags, out_fd, err);
}

static const char *run_note(enum metadata_container container)
{
    return container == METADATA_HELPER ? ".run-helper" : ".run";
}

int metadata_note_run(const char *directory, const char *job, enum metadata_container container,
                      const char *id, struct error *err)
{
    cleanup_fd int fd = -1;
    int found = open_note(directory, job, run_note(container), O_WRONLY | O_CREAT, &fd, err);
    if (found < 0) {
        return error_wrap(err, "cannot record the job that this stage runs");
    }
    /* Without truncating a file that may exist: all ids have one length, and ext4 writes a file
     * that was truncated to the disk when it is closed. */
    if (found == 0 || write(fd, id, METADATA_RUN_BYTES - 1) != METADATA_RUN_BYTES - 1) {
        return error_set(err, ERROR_SYSTEM, found == 0 ? ENOENT : errno,
                         "cannot record the job in '%s'", directory);
    }
    return 0;
}

int metadata_noted_run(const char *directory, const char *job, enum metadata_container container,
                       char out_id[METADATA_RUN_BYTES], struct error *err)
{
    char id[METADATA_RUN_BYTES] = "";
    cleanup_fd int fd = -1;
    int found = open_note(directory, job, run_note(container), O_RDONLY, &fd, err);
    if (found <= 0) {
        return found;
    }
    if (read(fd, id, sizeof(id)) != METADATA_RUN_BYTES - 1 ||
        strspn(id, "0123456789abcdef") != METADATA_RUN_BYTES - 1) {
        return 0; /* its writer was killed before it started the job */
    }
    memcpy(out_id, id, sizeof(id));
    return 1;
}

void metadata_forget_run(const char *directory, const char *job, enum metadata_container container)
{
    char name[NAME_MAX + 1];
    cleanup_fd int fd = -1;
    if (name_of(job, run_note(container), name, NULL) == 0 &&
        metadata_directory_open(directory, &fd, NULL) == 1) {
        (void)unlinkat(fd, name, 0); /* metadata_remove() removes what stays */
    }
}

/* Whether the job has a file; true when this cannot be found out. */
static bool exists(const char *directory, const char *job)
{
    char name[NAME_MAX + 1];
    cleanup_fd int fd = -1;
    int found =
        name_of(job, "", name, NULL) < 0 ? -1 : metadata_directory_open(directory, &fd, NULL);
    return found < 0 ||
           (found == 1 && (faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT));
}

int metadata_note_end(const char *directory, const char *job, struct error *err)
{
    cleanup_fd int fd = -1;
    if (!exists(directory, job)) {
        return 0;
    }
    int found = open_note(directory, job, ".end", O_WRONLY | O_CREAT, &fd, err);
    return found < 0 ? error_wrap(err, "cannot record that '%s' is ending", job) : 0;
}

bool metadata_noted_end(const char *directory, const char *job)
{
    cleanup_fd int fd = -1;
    return open_note(directory, job, ".end", O_RDONLY, &fd, NULL) == 1;
}
