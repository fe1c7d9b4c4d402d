/* SPDX-License-Identifier: MIT */
#include "driver/task/find_job.h"

#include <string.h>

#include "common/buffer.h"
#include "driver/record/metadata_directory.h"
#include "driver/record/pool.h"

#define LIST_CEILING_BYTES 600

/* What the metadata directory holds. */
struct job_search {
    const struct task *like; /* for the configuration */
    const char *wanted;
    char found[METADATA_JOB_BYTES];
    int matches;
    struct buffer matching, all; /* names for a message */
};

/* Whether 'wanted' names the job of this key and task. */
static bool matches(const char *wanted, const char *job, const char *task_name)
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
        return; /* the ceiling: the message has no room for more */
    }
}

static int look_at(void *context, const char *job, struct error *err)
{
    struct job_search *search = context;
    struct task task = {.backend_task = {.config = search->like->backend_task.config}};
    struct error unusable; /* ignored here; cleanup reports it */
    (void)err;
    if (pool_has_key(job)) {
        return 0; /* of no job yet */
    }
    if (task_find(&task, job, &unusable) == 1 &&
        task.backend_task.metadata->agents[METADATA_JOB].port != 0) {
        add_name(&search->all, job, task.name);
        if (matches(search->wanted, job, task.name)) {
            add_name(&search->matching, job, task.name);
            memcpy(search->found, task.backend_task.metadata->record, sizeof(search->found));
            search->matches++;
        }
    }
    task_done(&task);
    return 0;
}

int find_job(struct task *task, const char *wanted, struct error *err)
{
    struct job_search search = {.like = task, .wanted = wanted};
    buffer_init(&search.matching, LIST_CEILING_BYTES);
    buffer_init(&search.all, LIST_CEILING_BYTES);
    const char *directory = task->backend_task.config->metadata_directory;
    int result = metadata_directory_each(directory, look_at, &search, err);
    if (result == 0 && search.matches == 0) {
        result = error_set(err, ERROR_USAGE, 0, "no running job '%s' in '%s'; running jobs: %s",
                           wanted, directory, search.all.length == 0 ? "none" : search.all.bytes);
    } else if (result == 0 && search.matches > 1) {
        result = error_set(err, ERROR_USAGE, 0, "'%s' matches several jobs: %s; name one of them",
                           wanted, search.matching.bytes);
    }
    if (result == 0) {
        int found = task_find(task, search.found, err);
        result = found == 1 ? 0
                 : found == 0
                     ? error_set(err, ERROR_USAGE, 0, "job '%s' has just exited", search.found)
                     : -1;
    }
    buffer_done(&search.matching);
    buffer_done(&search.all);
    return result;
}
