/* SPDX-License-Identifier: MIT */
#include "driver/record/pool_failure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/log.h"
#include "driver/base/json.h"

#define PREFIX             ".warm-failed-"
#define NAME_BYTES         80
#define FILE_CEILING_BYTES (16UL << 10)
#define COUNT_CEILING      1000
#define KEPT_S             (24 * 3600)

static void name_file(const char *wish, const char *owner, char out[NAME_BYTES])
{
    (void)snprintf(out, NAME_BYTES, PREFIX "%.32s-%.16s", wish, owner);
}

static bool read_one(int directory_fd, const char *directory, const char *name,
                     struct pool_failure *out)
{
    struct error err = {0};
    struct buffer text;
    char own_name[NAME_BYTES];
    cleanup_fd int fd = -1;
    cJSON *root = NULL;
    buffer_init(&text, FILE_CEILING_BYTES);
    if (metadata_directory_open_file(directory_fd, directory, name, O_RDONLY, &fd, &err) == 1 &&
        fd_read_to_end(fd, name, &text, &err) == 0) {
        root = cJSON_ParseWithLength(text.bytes == NULL ? "" : text.bytes, text.length);
    }
    buffer_done(&text);
    *out = (struct pool_failure){
        .count = json_number_at(root, "count"),
        .failed_at_s = json_number_at(root, "failed_at"),
    };
    json_copy_text(out->wish, sizeof(out->wish), root, "wish");
    json_copy_text(out->owner, sizeof(out->owner), root, "owner");
    json_copy_text(out->config, sizeof(out->config), root, "config");
    json_copy_text(out->name, sizeof(out->name), root, "name");
    json_copy_text(out->reason, sizeof(out->reason), root, "reason");
    cJSON_Delete(root);
    name_file(out->wish, out->owner, own_name);
    if (out->count < 1 || strcmp(own_name, name) != 0) {
        log_debug("'%s/%s' is not the record of a failed launch%s%s", directory, name,
                  err.message[0] == '\0' ? "" : ": ", err.message);
        return false;
    }
    return true;
}

struct reading {
    const char *directory;
    struct pool_failures *failures;
};

static int add_file(void *context, int directory_fd, const char *name, struct error *err)
{
    const struct reading *reading = context;
    struct pool_failures *failures = reading->failures;
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || strlen(name) >= NAME_BYTES ||
        failures->count >= COUNT_CEILING) {
        return 0;
    }
    struct pool_failure *entries =
        reallocarray(failures->entries, failures->count + 1, sizeof(*entries));
    if (entries == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot read the pool");
    }
    failures->entries = entries;
    failures->count +=
        read_one(directory_fd, reading->directory, name, &entries[failures->count]) ? 1 : 0;
    return 0;
}

int pool_failures_read(const char *directory, struct pool_failures *out_failures, struct error *err)
{
    struct reading reading = {.directory = directory, .failures = out_failures};
    *out_failures = (struct pool_failures){.count = 0};
    return metadata_directory_each_file(directory, add_file, &reading, err);
}

void pool_failures_done(struct pool_failures *failures)
{
    free(failures->entries);
    *failures = (struct pool_failures){.count = 0};
}

int pool_failure_write(const char *directory, const struct pool_failure *failure, struct error *err)
{
    bool ok = true;
    char name[NAME_BYTES];
    cleanup_fd int directory_fd = -1;
    if (metadata_directory_make(directory, &directory_fd, err) < 0) {
        return -1;
    }
    cJSON *root = cJSON_CreateObject();
    json_text(root, "wish", failure->wish, &ok);
    json_text(root, "owner", failure->owner, &ok);
    json_text(root, "config", failure->config, &ok);
    json_text(root, "name", failure->name, &ok);
    json_text(root, "reason", failure->reason, &ok);
    json_number(root, "count", failure->count, &ok);
    json_number(root, "failed_at", failure->failed_at_s, &ok);
    char *text = ok ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    name_file(failure->wish, failure->owner, name);
    int result = -1;
    if (text == NULL) {
        (void)error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write '%s'", name);
    } else if (fd_replace_at(directory_fd, name, text, strlen(text), 0600) < 0) {
        (void)error_set(err, ERROR_SYSTEM, errno, "cannot write '%s/%s'", directory, name);
    } else {
        result = 0;
    }
    cJSON_free(text);
    return result;
}

void pool_failure_remove(const char *directory, const char *wish, const char *owner)
{
    char name[NAME_BYTES];
    struct error err = {0};
    cleanup_fd int directory_fd = -1;
    name_file(wish, owner, name);
    if (metadata_directory_open(directory, &directory_fd, &err) == 1 &&
        unlinkat(directory_fd, name, 0) < 0 && errno != ENOENT) {
        log_debug("cannot remove '%s/%s': errno %d", directory, name, errno);
    }
}

int64_t pool_failure_pause_s(int64_t count)
{
    int64_t pause_s = POOL_FAILURE_FIRST_S;
    for (int64_t i = 1; i < count && pause_s < POOL_FAILURE_CEILING_S; i++) {
        pause_s *= 2;
    }
    return pause_s < POOL_FAILURE_CEILING_S ? pause_s : POOL_FAILURE_CEILING_S;
}

static int64_t left_s(const struct pool_failure *failure, int64_t now_s)
{
    int64_t left = failure->failed_at_s + pool_failure_pause_s(failure->count) - now_s;
    return left < 0 || now_s < failure->failed_at_s ? 0 : left;
}

bool pool_failure_is_due(const struct pool_failure *failure, int64_t now_s)
{
    return left_s(failure, now_s) == 0;
}

bool pool_failure_is_old(const struct pool_failure *failure, int64_t now_s)
{
    return now_s < failure->failed_at_s || now_s - failure->failed_at_s > KEPT_S;
}

void pool_failure_text(const struct pool_failure *failure, int64_t now_s,
                       char out[POOL_FAILURE_TEXT_BYTES])
{
    char failed[64] = "the last launch failed";
    if (failure->count > 1) {
        (void)snprintf(failed, sizeof(failed), "the last %lld launches failed",
                       (long long)failure->count);
    }
    (void)snprintf(out, POOL_FAILURE_TEXT_BYTES, "%s, the next is due in %lld s: %s", failed,
                   (long long)left_s(failure, now_s), failure->reason);
}
