/* SPDX-License-Identifier: MIT */
#include "driver/backend/ecs/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/log.h"
#include "driver/base/file_lock.h"
#include "driver/record/metadata_directory.h"

#define HASH_BYTES 16
#define LOCK_COUNT 256 /* files; names with the same one wait for each other */

static void add(crypto_generichash_state *state, const char *text)
{
    (void)crypto_generichash_update(state, (const unsigned char *)text, strlen(text) + 1);
}

void ecs_store_name(const struct aws_client *client, const char *kind, const char *about,
                    char out[ECS_STORE_NAME_BYTES])
{
    unsigned char hash[HASH_BYTES];
    char hex[2 * HASH_BYTES + 1];
    char identity[AWS_IDENTITY_BYTES];
    crypto_generichash_state state;
    aws_client_identity(client, identity);
    (void)crypto_generichash_init(&state, NULL, 0, sizeof(hash));
    add(&state, identity);
    add(&state, aws_client_region(client));
    add(&state, about);
    (void)crypto_generichash_final(&state, hash, sizeof(hash));
    (void)sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
    (void)snprintf(out, ECS_STORE_NAME_BYTES, "%.90s-%s", kind, hex);
}

static void log_unusable(const struct error *err)
{
    log_debug("task definitions are not remembered: %s", err->message);
}

static int path_of(const struct config *config, char out[PATH_MAX], struct error *err)
{
    int length = snprintf(out, PATH_MAX, "%s/.ecs-definitions", config->metadata_directory);
    return length < 0 || length >= PATH_MAX
               ? error_set(err, ERROR_USAGE, ENAMETOOLONG, "the metadata directory")
               : 0;
}

/* The directory, made if 'make'; -1: there is none. */
static int open_directory(const struct config *config, bool make, char path[PATH_MAX])
{
    struct error err;
    int fd = -1;
    int parent = -1;
    if (path_of(config, path, &err) < 0) {
        log_unusable(&err);
        return -1;
    }
    /* Its parent must be trusted, too. */
    int found = make ? metadata_directory_make(config->metadata_directory, &parent, &err)
                     : metadata_directory_open(config->metadata_directory, &parent, &err);
    if (found >= 0 && parent >= 0) {
        (void)close(parent);
        found = make ? metadata_directory_make(path, &fd, &err)
                     : metadata_directory_open(path, &fd, &err);
    }
    if (found < 0) {
        log_unusable(&err);
    }
    return fd;
}

static int open_file(int directory_fd, const char *path, const char *name, int flags)
{
    struct error err;
    int fd = -1;
    int found = metadata_directory_open_file(directory_fd, path, name, flags, &fd, &err);
    if (found < 0) {
        log_unusable(&err);
    }
    return found == 1 ? fd : -1;
}

bool ecs_store_read(const struct config *config, const char *name, int64_t age_ceiling_s,
                    struct buffer *out, int64_t *out_age_s)
{
    char path[PATH_MAX];
    struct stat status;
    cleanup_fd int directory_fd = open_directory(config, false, path);
    cleanup_fd int fd = directory_fd < 0 ? -1 : open_file(directory_fd, path, name, O_RDONLY);
    if (fd < 0 || fstat(fd, &status) < 0) {
        return false;
    }
    int64_t age_s = (int64_t)time(NULL) - (int64_t)status.st_mtime;
    if (age_s < 0 || (age_ceiling_s > 0 && age_s >= age_ceiling_s)) {
        return false;
    }
    if (out_age_s != NULL) {
        *out_age_s = age_s;
    }
    buffer_clear(out);
    return fd_read_to_end(fd, name, out, NULL) == 0 && out->length > 0;
}

void ecs_store_write(const struct config *config, const char *name, const char *text)
{
    char path[PATH_MAX];
    cleanup_fd int directory_fd = open_directory(config, true, path);
    if (directory_fd >= 0 && fd_replace_at(directory_fd, name, text, strlen(text), 0600) < 0) {
        log_debug("cannot write '%s/%s': %s", path, name, strerror(errno));
    }
}

void ecs_store_remove(const struct config *config, const char *name)
{
    char path[PATH_MAX];
    cleanup_fd int directory_fd = open_directory(config, false, path);
    if (directory_fd >= 0) {
        (void)unlinkat(directory_fd, name, 0); /* it may be missing */
    }
}

void ecs_store_sweep(const struct config *config, int64_t age_s)
{
    char path[PATH_MAX];
    int directory_fd = open_directory(config, false, path);
    cleanup_dir DIR *directory = directory_fd < 0 ? NULL : fdopendir(directory_fd);
    if (directory == NULL) {
        if (directory_fd >= 0) {
            (void)close(directory_fd);
        }
        return;
    }
    const struct dirent *entry = NULL;
    while ((entry = readdir(directory)) != NULL) {
        struct stat status;
        if (fstatat(directory_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(status.st_mode) && (int64_t)time(NULL) - (int64_t)status.st_mtime > age_s) {
            (void)unlinkat(directory_fd, entry->d_name, 0);
        }
    }
}

int ecs_store_lock(const struct config *config, const char *name, struct signals *signals,
                   int64_t deadline_ms)
{
    char path[PATH_MAX];
    char file[32];
    unsigned char hash[crypto_generichash_BYTES_MIN];
    (void)crypto_generichash(hash, sizeof(hash), (const unsigned char *)name, strlen(name), NULL,
                             0);
    (void)snprintf(file, sizeof(file), ".lock-%d", hash[0] % LOCK_COUNT);
    cleanup_fd int directory_fd = open_directory(config, true, path);
    cleanup_fd int fd =
        directory_fd < 0 ? -1 : open_file(directory_fd, path, file, O_RDWR | O_CREAT);
    if (fd < 0 || file_lock(fd, signals, deadline_ms) != 1) {
        return -1;
    }
    (void)futimens(fd, NULL); /* a lock in use is not swept away */
    return steal_fd(&fd);
}
