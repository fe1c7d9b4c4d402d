/* SPDX-License-Identifier: MIT */
#include "driver/history/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fd.h"
#include "driver/base/file_lock.h"
#include "driver/record/metadata_directory.h"

#define KEY        "[History] Directory"
#define NOTE       ".note"
#define SHORTER    HISTORY_FILE ".new"
#define LOCK_MS    10000
#define COPY_BYTES (64UL << 10)
#define SLACK_S    (24 * 3600)

/* [History] Directory, or beside the metadata. -1: the path is too long. */
static int find_directory(const struct config *config, char *out, size_t room, struct error *err)
{
    const char *own = config->history.directory;
    const char *metadata = config->metadata_directory;
    size_t length = strlen(metadata);
    while (length > 1 && metadata[length - 1] == '/') {
        length--;
    }
    while (length > 0 && metadata[length - 1] != '/') {
        length--;
    }
    int used = own != NULL ? snprintf(out, room, "%s", own)
                           : snprintf(out, room, "%.*shistory", (int)length, metadata);
    return used > 0 && (size_t)used < room
               ? 0
               : error_set(err, ERROR_USAGE, 0, KEY ": the path is too long");
}

int history_open(struct history_store *store, const struct config *config, bool make, char *path,
                 size_t room, struct error *err)
{
    struct stat status;
    *store = (struct history_store){.fd = -1, .path = path, .config = config};
    if (find_directory(config, path, room, err) < 0) {
        return -1;
    }
    cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && make) {
        if (fd_make_directories(path, 0700, err) < 0) {
            return error_wrap(err, KEY);
        }
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0) {
        return errno == ENOENT && !make
                   ? 0
                   : error_set(err, ERROR_SYSTEM, errno, "cannot open " KEY " '%s'", path);
    }
    if (fstat(fd, &status) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot open " KEY " '%s'", path);
    }
    if (metadata_directory_check(KEY, path, &status, err) < 0) {
        return -1;
    }
    store->fd = steal_fd(&fd);
    return 1;
}

void history_close(struct history_store *store)
{
    cleanup_fd_fn(&store->fd);
}

int history_lock(const struct history_store *store, struct error *err)
{
    int locked = file_lock(store->fd, NULL, clock_deadline_ms(LOCK_MS));
    return locked == 1 ? 0
                       : error_set(err, ERROR_SYSTEM, locked < 0 ? errno : EWOULDBLOCK,
                                   "cannot lock '%s'", store->path);
}

static int open_file(const struct history_store *store, const char *name, int flags, int *out_fd,
                     struct error *err)
{
    return metadata_directory_open_file(store->fd, store->path, name, flags, out_fd, err);
}

/* One write; a file that it leaves longer without the whole line is cut again. */
static int append_to(const struct history_store *store, const char *name, int fd, off_t size,
                     const char *line, size_t length, struct error *err)
{
    char last = '\n';
    char *text = malloc(length + 2);
    if (text == NULL) {
        return error_set(err, ERROR_SYSTEM, ENOMEM, "cannot write '%s/%s'", store->path, name);
    }
    if (size > 0 && pread(fd, &last, 1, size - 1) != 1) {
        last = '\0';
    }
    size_t used = last == '\n' ? 0 : 1; /* the line before was torn by a crash */
    text[0] = '\n';
    memcpy(text + used, line, length);
    text[used + length] = '\n';
    size_t whole = used + length + 1;
    ssize_t written = write(fd, text, whole);
    int failed_errno = errno;
    free(text);
    if (written == (ssize_t)whole) {
        return 0;
    }
    int errnum = written < 0 ? failed_errno : ENOSPC;
    if (written > 0 && ftruncate(fd, size) < 0) {
        errnum = errno; /* readers skip the torn line */
    }
    return error_set(err, ERROR_SYSTEM, errnum, "cannot write '%s/%s'", store->path, name);
}

bool history_next_line(const char *text, size_t length, size_t *at, const char **out_line,
                       size_t *out_length)
{
    while (*at < length) {
        const char *line = text + *at;
        const char *end = memchr(line, '\n', length - *at);
        if (end == NULL) {
            return false;
        }
        *at += (size_t)(end - line) + 1;
        if (end > line) {
            *out_line = line;
            *out_length = (size_t)(end - line);
            return true;
        }
    }
    return false;
}

/* When the job of the line in 'text' ended; 0: not known. */
static int64_t ended_at(const char *text, size_t length)
{
    static const char name[] = "\"ended_at\":";
    const char *found = memmem(text, length, name, sizeof(name) - 1);
    return found == NULL ? 0 : strtoll(found + sizeof(name) - 1, NULL, 10);
}

/* The offset of the first line to keep by age, from the beginning of the file. */
static off_t first_by_age(int fd, off_t size, int64_t oldest_s)
{
    char *chunk = malloc(HISTORY_LINE_BYTES + 1);
    off_t offset = 0;
    while (chunk != NULL && offset < size) {
        ssize_t got = pread(fd, chunk, HISTORY_LINE_BYTES, offset);
        if (got <= 0) {
            break;
        }
        chunk[got] = '\0';
        const char *end = memchr(chunk, '\n', (size_t)got);
        if (end == NULL) {
            offset += got; /* longer than any of ours */
            continue;
        }
        if (ended_at(chunk, (size_t)(end - chunk)) >= oldest_s) {
            break;
        }
        offset += end - chunk + 1;
    }
    free(chunk);
    return offset;
}

/* The first offset from 'from' at which a line begins. */
static off_t next_line_at(int fd, off_t from, off_t size)
{
    char chunk[4096];
    while (from > 0 && from < size) {
        ssize_t got = pread(fd, chunk, sizeof(chunk), from - 1);
        const char *end = got <= 0 ? NULL : memchr(chunk, '\n', (size_t)got);
        if (got <= 0) {
            return size;
        }
        if (end != NULL) {
            return from + (end - chunk);
        }
        from += got;
    }
    return from;
}

static int copy_from(int from_fd, off_t offset, int to_fd)
{
    cleanup_free char *chunk = malloc(COPY_BYTES);
    ssize_t got = chunk == NULL ? -1 : 1;
    while (got > 0) {
        got = pread(from_fd, chunk, COPY_BYTES, offset);
        if (got > 0 && fd_write_all(to_fd, chunk, (size_t)got, CLOCK_NEVER) < 0) {
            return -1;
        }
        offset += got;
    }
    return got < 0 || fdatasync(to_fd) < 0 ? -1 : 0;
}

/* Drops the oldest lines: those beyond MaxAge, and enough for a quarter of MaxSize to be free. */
static int shorten(const struct history_store *store, int fd, off_t size, int64_t oldest_s,
                   struct error *err)
{
    cleanup_fd int copy = -1;
    off_t keep = (off_t)store->config->history.max_size_bytes / 4 * 3;
    off_t by_size =
        size > store->config->history.max_size_bytes ? next_line_at(fd, size - keep, size) : 0;
    off_t by_age = first_by_age(fd, size, oldest_s);
    (void)unlinkat(store->fd, SHORTER, 0);
    if (open_file(store, SHORTER, O_WRONLY | O_CREAT | O_EXCL, &copy, err) < 0) {
        return -1;
    }
    if (copy_from(fd, by_size > by_age ? by_size : by_age, copy) < 0 ||
        renameat(store->fd, SHORTER, store->fd, HISTORY_FILE) < 0) {
        int errnum = errno;
        (void)unlinkat(store->fd, SHORTER, 0);
        return error_set(err, ERROR_SYSTEM, errnum, "cannot shorten '%s/" HISTORY_FILE "'",
                         store->path);
    }
    return 0;
}

/* Whether the first line is some time beyond MaxAge. */
static bool begins_too_early(int fd, int64_t oldest_s)
{
    char chunk[4096 + 1];
    ssize_t got = pread(fd, chunk, sizeof(chunk) - 1, 0);
    chunk[got > 0 ? got : 0] = '\0';
    int64_t first_s = got > 0 ? ended_at(chunk, (size_t)got) : 0;
    return first_s > 0 && first_s < oldest_s - SLACK_S;
}

int history_append(const struct history_store *store, const char *line, size_t length,
                   int64_t now_s, bool *out_kept, struct error *err)
{
    struct stat status;
    cleanup_fd int fd = -1;
    *out_kept = false;
    const struct config_history *history = &store->config->history;
    if (open_file(store, HISTORY_FILE, O_RDWR | O_CREAT | O_APPEND, &fd, err) < 0) {
        return -1;
    }
    if (fstat(fd, &status) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot write '%s/" HISTORY_FILE "'",
                         store->path);
    }
    if (append_to(store, HISTORY_FILE, fd, status.st_size, line, length, err) < 0) {
        return -1;
    }
    *out_kept = true;
    int64_t oldest_s = now_s - history->max_age_ms / 1000;
    off_t size = status.st_size + (off_t)length + 1;
    return size > history->max_size_bytes || begins_too_early(fd, oldest_s)
               ? shorten(store, fd, size, oldest_s, err)
               : 0;
}

int history_read(const struct history_store *store, const char *name, struct buffer *out,
                 struct error *err)
{
    cleanup_fd int fd = -1;
    int found = open_file(store, name, O_RDONLY, &fd, err);
    return found <= 0 ? found : fd_read_to_end(fd, name, out, err) < 0 ? -1 : 1;
}

int history_read_jobs(const struct history_store *store, char **out_text, size_t *out_length,
                      struct error *err)
{
    struct stat status;
    cleanup_fd int fd = -1;
    int found = open_file(store, HISTORY_FILE, O_RDONLY, &fd, err);
    if (found <= 0) {
        return found;
    }
    if (fstat(fd, &status) < 0 || status.st_size > (off_t)HISTORY_READ_BYTES) {
        return error_set(err, ERROR_LIMIT, 0, "'%s/" HISTORY_FILE "' is larger than %lu bytes",
                         store->path, HISTORY_READ_BYTES);
    }
    size_t size = (size_t)status.st_size;
    size_t length = 0;
    char *text = malloc(size + 1);
    ssize_t got = text == NULL ? -1 : 1;
    while (got > 0 && length < size) {
        got = read(fd, text + length, size - length);
        length += got > 0 ? (size_t)got : 0;
    }
    if (got < 0) {
        free(text);
        return error_set(err, ERROR_SYSTEM, errno, "cannot read '%s/" HISTORY_FILE "'",
                         store->path);
    }
    *out_text = text;
    *out_length = length;
    return 1;
}

static int note_name(const char *job, char out[NAME_MAX + 1], struct error *err)
{
    int length = snprintf(out, NAME_MAX + 1, "%s" NOTE, job);
    return strchr(job, '/') != NULL || length < 0 || length > NAME_MAX
               ? error_set(err, ERROR_USAGE, 0, "'%s' is not a valid job key", job)
               : 0;
}

int history_note(const struct history_store *store, const char *job, const char *line,
                 size_t length, struct error *err)
{
    char name[NAME_MAX + 1];
    struct stat status;
    cleanup_fd int fd = -1;
    if (note_name(job, name, err) < 0 ||
        open_file(store, name, O_RDWR | O_CREAT | O_APPEND, &fd, err) < 0) {
        return -1;
    }
    if (fstat(fd, &status) < 0 || status.st_size > (off_t)(HISTORY_NOTE_BYTES - length - 2)) {
        return error_set(err, ERROR_LIMIT, 0, "'%s/%s' is full", store->path, name);
    }
    return append_to(store, name, fd, status.st_size, line, length, err);
}

int history_noted(const struct history_store *store, const char *job, struct buffer *out,
                  struct error *err)
{
    char name[NAME_MAX + 1];
    return note_name(job, name, err) < 0 ? -1 : history_read(store, name, out, err);
}

void history_forget(const struct history_store *store, const char *job)
{
    char name[NAME_MAX + 1];
    if (note_name(job, name, NULL) == 0) {
        (void)unlinkat(store->fd, name, 0);
    }
}

int history_each_note(const struct history_store *store, int64_t age_s, int64_t now_s,
                      void (*visit)(void *context, const char *job), void *context,
                      struct error *err)
{
    int again = fcntl(store->fd, F_DUPFD_CLOEXEC, 0);
    cleanup_dir DIR *entries = again < 0 ? NULL : fdopendir(again);
    const struct dirent *entry;
    if (entries == NULL) {
        cleanup_fd_fn(&again);
        return error_set(err, ERROR_SYSTEM, errno, "cannot read '%s'", store->path);
    }
    rewinddir(entries);
    while ((entry = readdir(entries)) != NULL) {
        char job[METADATA_JOB_BYTES];
        struct stat status;
        size_t length = strlen(entry->d_name);
        size_t suffix = sizeof(NOTE) - 1;
        if (length > suffix && length - suffix < sizeof(job) &&
            strcmp(entry->d_name + length - suffix, NOTE) == 0 &&
            fstatat(store->fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            status.st_mtim.tv_sec <= now_s - age_s) {
            memcpy(job, entry->d_name, length - suffix);
            job[length - suffix] = '\0';
            visit(context, job);
        }
    }
    return 0;
}
