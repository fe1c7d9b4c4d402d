/* SPDX-License-Identifier: MIT */
#include "driver/record/origin.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "driver/base/json.h"

/* The program's names in packages and downloads. A longer name may be a wrapper. */
static bool is_runner(const char *program)
{
    static const char download[] = "gitlab-runner-linux-";
    return strcmp(program, "gitlab-runner") == 0 ||
           strncmp(program, download, sizeof(download) - 1) == 0;
}

static uint64_t pid_namespace(void)
{
    struct stat status;
    return stat("/proc/self/ns/pid", &status) == 0 ? status.st_ino : 0;
}

static void begin(const struct config *config, struct origin *out_origin)
{
    *out_origin = (struct origin){.started_at_s = clock_unix_s(), .pid_namespace = pid_namespace()};
    runner_id_get(config, out_origin->machine);
}

void origin_of_exec(const struct config *config, struct origin *out_origin)
{
    begin(config, out_origin);
    if (process_id_get(getpid(), &out_origin->process, NULL) < 0) {
        out_origin->process.pid = 0;
    }
}

void origin_of_job(const struct config *config, const struct runner *runner,
                   struct origin *out_origin)
{
    char program[256];
    const char *url = runner_variable("CI_JOB_URL");
    begin(config, out_origin);
    out_origin->timeout_s = runner_job_timeout_s(runner);
    (void)snprintf(out_origin->url, sizeof(out_origin->url), "%s", url == NULL ? "" : url);
    process_id_boot(out_origin->process.boot);
    pid_t pid = getppid();
    for (int depth = 0; pid > 0 && depth < PROCESS_ID_DEPTH_CEILING; depth++) {
        if (process_id_program(pid, program, sizeof(program)) == 0 && is_runner(program)) {
            if (process_id_get(pid, &out_origin->process, NULL) < 0) {
                out_origin->process.pid = 0;
            }
            return;
        }
        pid = process_id_parent(pid);
    }
}

bool origin_add(cJSON *root, const struct origin *origin)
{
    cJSON *object = cJSON_AddObjectToObject(root, "origin");
    return object != NULL &&
           cJSON_AddNumberToObject(object, "started_at", (double)origin->started_at_s) != NULL &&
           cJSON_AddNumberToObject(object, "timeout", (double)origin->timeout_s) != NULL &&
           cJSON_AddStringToObject(object, "machine", origin->machine) != NULL &&
           cJSON_AddStringToObject(object, "boot", origin->process.boot) != NULL &&
           cJSON_AddNumberToObject(object, "pid_namespace", (double)origin->pid_namespace) !=
               NULL &&
           cJSON_AddNumberToObject(object, "pid", origin->process.pid) != NULL &&
           cJSON_AddNumberToObject(object, "start", (double)origin->process.start_ticks) != NULL &&
           cJSON_AddStringToObject(object, "url", origin->url) != NULL;
}

/* 0 for anything but a whole number that a double can hold. */
static int64_t whole(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble < 9e15
               ? (int64_t)item->valuedouble
               : 0;
}

void origin_read(const cJSON *root, struct origin *out_origin)
{
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(root, "origin");
    int64_t pid = whole(object, "pid");
    *out_origin = (struct origin){
        .started_at_s = whole(object, "started_at"),
        .timeout_s = whole(object, "timeout"),
        .pid_namespace = (uint64_t)whole(object, "pid_namespace"),
        .process = {.pid = pid <= INT32_MAX ? (pid_t)pid : 0,
                    .start_ticks = (uint64_t)whole(object, "start")},
    };
    json_copy_text(out_origin->machine, sizeof(out_origin->machine), object, "machine");
    json_copy_text(out_origin->process.boot, sizeof(out_origin->process.boot), object, "boot");
    json_copy_text(out_origin->url, sizeof(out_origin->url), object, "url");
}

bool origin_is_gone(const struct origin *origin, const char *machine)
{
    char boot[PROCESS_ID_BOOT_BYTES];
    if (origin->process.pid == 0 || origin->process.boot[0] == '\0' ||
        strcmp(origin->machine, machine) != 0) {
        return false;
    }
    process_id_boot(boot);
    if (boot[0] == '\0') {
        return false;
    }
    if (strcmp(origin->process.boot, boot) != 0) {
        return true; /* the same machine, rebooted */
    }
    return origin->pid_namespace != 0 && origin->pid_namespace == pid_namespace() &&
           process_id_is_gone(&origin->process);
}

bool origin_is_orphan(const struct origin *origin, bool gone, bool held, int64_t now_s)
{
    bool late = origin->started_at_s > 0 && origin->timeout_s > 0 &&
                now_s - origin->started_at_s > origin->timeout_s + ORIGIN_SPARE_S;
    return late || (gone && !held);
}
