/* SPDX-License-Identifier: MIT */
#include "driver/job_search.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "common/buffer.h"
#include "common/cleanup.h"

#define SUFFIX              ".json"
#define LIST_CEILING_BYTES  600
#define MATCHES_THAT_MATTER 2

/* What a look at the directory found. */
struct search {
    const struct task *like; /* for the configuration */
    const char *wanted;
    char found[METADATA_JOB_BYTES];
    int matches;
    struct buffer matching, all; /* names for a message */
};

bool job_search_matches(const char *wanted, const char *job, const char *task_name)
{
    static const char prefix[] = "job-";
    size_t length = strlen(wanted);
    if (strcmp(wanted, job) == 0 || (task_name[0] != '\0' && strcmp(wanted, task_name) == 0)) {
        return true;
    }
    return length > 0 && strncmp(job, prefix, sizeof(prefix) - 1) == 0 &&
           strncmp(job + sizeof(prefix) - 1, wanted, length) == 0 &&
           job[sizeof(prefix) - 1 + length] == '-';
}

static void add_name(struct buffer *names, const char *job, const char *task_name)
{
    if (buffer_printf(names, "%s'%s' (task %s)", names->length == 0 ? "" : ", ", job, task_name) <
        0) {
        return; /* the ceiling: a message has room for so many */
    }
}

static void look_at(struct search *search, const char *job)
{
    struct task task = {.at_backend = {.config = search->like->at_backend.config}};
    struct error unusable; /* of no use for this search, and cleanup tells of it */
    if (task_find(&task, job, &unusable) == 1 && task.at_backend.metadata->port != 0) {
        add_name(&search->all, job, task.name);
        if (job_search_matches(search->wanted, job, task.name)) {
            add_name(&search->matching, job, task.name);
            memcpy(search->found, task.at_backend.metadata->job, sizeof(search->found));
            search->matches++;
        }
    }
    task_done(&task);
}

static int look_at_all(struct search *search, struct error *err)
{
    const char *path = search->like->at_backend.config->metadata_directory;
    cleanup_dir DIR *directory = opendir(path);
    struct dirent *entry;
    if (directory == NULL && errno != ENOENT) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot read '%s'", path);
    }
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char job[METADATA_JOB_BYTES];
        size_t length = strlen(entry->d_name);
        size_t suffix = strlen(SUFFIX);
        if (length > suffix && length - suffix < sizeof(job) &&
            strcmp(entry->d_name + length - suffix, SUFFIX) == 0) {
            memcpy(job, entry->d_name, length - suffix);
            job[length - suffix] = '\0';
            look_at(search, job);
        }
    }
    return 0;
}

static int none_or_several(const struct search *search, struct error *err)
{
    const char *path = search->like->at_backend.config->metadata_directory;
    if (search->matches >= MATCHES_THAT_MATTER) {
        return error_set(err, ERROR_USAGE, 0, "'%s' means several jobs: %s; say which one",
                         search->wanted, search->matching.bytes);
    }
    return error_set(err, ERROR_USAGE, 0, "no running job '%s' in '%s'; there %s", search->wanted,
                     path, search->all.length == 0 ? "is none" : search->all.bytes);
}

int job_search(struct task *task, const char *wanted, struct error *err)
{
    struct search search = {.like = task, .wanted = wanted};
    buffer_init(&search.matching, LIST_CEILING_BYTES);
    buffer_init(&search.all, LIST_CEILING_BYTES);
    int result = look_at_all(&search, err);
    if (result == 0 && search.matches != 1) {
        result = none_or_several(&search, err);
    }
    if (result == 0) {
        int found = task_find(task, search.found, err);
        result = found == 1   ? 0
                 : found == 0 ? error_set(err, ERROR_USAGE, 0, "'%s' has just ended", search.found)
                              : -1;
    }
    buffer_done(&search.matching);
    buffer_done(&search.all);
    return result;
}
