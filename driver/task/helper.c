/* SPDX-License-Identifier: MIT */
#include "driver/task/helper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/parse.h"
#include "driver/base/json.h"
#include "driver/record/metadata.h"
#include "driver/runner/runner.h"
#include "driver/task/task_command.h"

#define IDENTITY_MS  30000
#define HAND_OVER_MS (10 * 60 * 1000) /* a large cache on a slow disk */

static const char *image_of(const struct task *task)
{
    const char *image = json_text_at(task->backend_task.metadata->state, BACKEND_HELPER_IMAGE);
    return image == NULL ? "" : image;
}

/* A program is killed when a task ends or memory is short: this says nothing about the image. */
static int was_killed(const char *program, struct error *err)
{
    return error_set(err, ERROR_SYSTEM, 0, "'%s --version' was killed in the task", program);
}

int helper_check(struct task *task, struct ssh_connection *connection, int64_t deadline_ms,
                 struct error *err)
{
    static const char *const programs[][3] = {{"git", "--version", NULL},
                                              {"gitlab-runner", "--version", NULL}};
    char text[TASK_COMMAND_TEXT_BYTES];
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        struct backend_command command = {.words = programs[i], .text = text, .room = sizeof(text)};
        if (task_command(task, connection, &command, deadline_ms, err) < 0) {
            return -1;
        }
        text[strcspn(text, "\n")] = '\0';
        if (command.status == BACKEND_SIGNALLED) {
            return was_killed(programs[i][0], err);
        }
        if (command.status != 0) {
            (void)error_set(err, ERROR_USAGE, 0, "the image '%s' cannot run '%s %s': %s",
                            image_of(task), programs[i][0], programs[i][1],
                            text[0] == '\0' ? "no output" : text);
            return error_hint(err, "[Helper] Image needs git and gitlab-runner-helper, as GitLab's "
                                   "own helper image has them");
        }
        log_debug("helper: %s", text);
    }
    return 0;
}

/* Whether the program answers to --version in the job's container: 1, 0, or -1. */
static int has_program(const struct task *task, struct ssh_connection *connection,
                       const char *program, int64_t deadline_ms, struct error *err)
{
    const char *const words[] = {program, "--version", NULL};
    char text[TASK_COMMAND_TEXT_BYTES];
    struct backend_command command = {.words = words, .text = text, .room = sizeof(text)};
    if (task_command(task, connection, &command, deadline_ms, err) < 0) {
        return -1;
    }
    return command.status == BACKEND_SIGNALLED ? was_killed(program, err)
           : command.status == 0               ? 1
                                               : 0;
}

static bool has_sources(void)
{
    const char *strategy = runner_variable("GIT_STRATEGY");
    return strategy == NULL || (strcmp(strategy, "none") != 0 && strcmp(strategy, "empty") != 0);
}

/* Whether GitLab's scripts call gitlab-runner for the job: 1, 0, or -1. */
static int has_files(struct error *err)
{
    struct runner runner;
    struct error ignored; /* about exit codes, which are not used here */
    cJSON *response = NULL;
    const cJSON *dependency = NULL;
    (void)!runner_read(&runner, &ignored);
    if (runner_read_response(&runner, &response, err) < 0) {
        return -1;
    }
    int found = cJSON_GetArraySize(json_at(response, "artifacts")) > 0 ||
                cJSON_GetArraySize(json_at(response, "cache")) > 0;
    cJSON_ArrayForEach(dependency, json_at(response, "dependencies"))
    {
        found = found || json_text_at(dependency, "artifacts_file.filename") != NULL;
    }
    json_delete_wiped(response);
    return found;
}

int helper_check_job(struct task *task, struct ssh_connection *connection, int64_t deadline_ms,
                     struct error *err)
{
    bool never = strcmp(task->backend_task.config->helper.use, "never") == 0;
    enum error_kind kind = task->backend_task.lost_helper ? ERROR_SYSTEM : ERROR_USAGE;
    int files = has_files(err);
    if (files < 0) {
        return -1;
    }
    const struct {
        bool wanted;
        const char *program, *purpose;
    } rows[] = {{has_sources(), "git", "clone with"},
                {files > 0, "gitlab-runner", "pass artifacts and caches with"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int found =
            rows[i].wanted ? has_program(task, connection, rows[i].program, deadline_ms, err) : 1;
        if (found < 0) {
            return -1;
        }
        if (found == 0) {
            (void)error_set(err, kind, 0,
                            "the job's image has no %s, and there is no helper container to %s",
                            rows[i].program, rows[i].purpose);
            return error_hint(err, never ? "install it in the image, or set [Helper] Use = \"auto\""
                                         : "set [Helper] Image to an image that this engine can "
                                           "pull");
        }
    }
    return 0;
}

/* "UID GID" of the job's container. */
static int find_owner(struct task *task, char out_owner[48], struct error *err)
{
    static const char *const words[] = {BACKEND_AGENT_PATH, "identity", NULL};
    char text[TASK_COMMAND_TEXT_BYTES];
    struct ssh_connection *connection = NULL;
    int64_t uid = -1, gid = -1;
    struct backend_command command = {.words = words, .text = text, .room = sizeof(text)};
    if (task_connect_to(task, METADATA_JOB, &connection, err) < 0) {
        return -1;
    }
    int result = task_command(task, connection, &command, clock_deadline_ms(IDENTITY_MS), err);
    ssh_connection_free(connection);
    if (result < 0) {
        return -1;
    }
    text[strcspn(text, "\n")] = '\0';
    char *blank = strchr(text, ' ');
    if (blank != NULL) {
        *blank = '\0';
    }
    if (command.status != 0 || blank == NULL || parse_integer(text, 0, UINT32_MAX, &uid) < 0 ||
        parse_integer(blank + 1, 0, UINT32_MAX, &gid) < 0) {
        return error_set(err, ERROR_PEER, 0,
                         "the agent in the job's container did not report its user");
    }
    (void)snprintf(out_owner, 48, "%lld:%lld", (long long)uid, (long long)gid);
    return uid == 0 ? 1 : 0;
}

static int give(struct task *task, const char *owner, const char *builds, struct error *err)
{
    const char *const words[] = {BACKEND_AGENT_PATH, "own", owner, builds, NULL};
    char text[TASK_COMMAND_TEXT_BYTES];
    struct ssh_connection *connection = NULL;
    struct backend_command command = {.words = words, .text = text, .room = sizeof(text)};
    if (task_connect_to(task, METADATA_HELPER, &connection, err) < 0) {
        return -1;
    }
    int result = task_command(task, connection, &command, clock_deadline_ms(HAND_OVER_MS), err);
    ssh_connection_free(connection);
    if (result == 0 && command.status != 0) {
        text[strcspn(text, "\n")] = '\0';
        result = error_set(err, ERROR_SYSTEM, 0, "%s",
                           text[0] == '\0' ? "the agent reported no reason" : text);
    }
    return result < 0 ? error_wrap(err, "cannot give '%s' to the job's user %s", builds, owner) : 0;
}

int helper_hand_over(struct task *task, struct error *err)
{
    struct metadata *metadata = task->backend_task.metadata;
    const char *builds = json_text_at(metadata->state, BACKEND_BUILDS);
    char owner[48];
    if (!metadata->has_helper || metadata->owned || builds == NULL) {
        return 0;
    }
    int root = find_owner(task, owner, err);
    if (root < 0 || (root == 0 && give(task, owner, builds, err) < 0)) {
        return -1;
    }
    metadata->owned = true;
    return metadata_save(metadata, task->backend_task.config->metadata_directory, err);
}
