/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "driver/backend/backend.h"
#include "driver/base/pattern.h"
#include "driver/base/program.h"
#include "driver/commands/doctor/checks.h"
#include "driver/history/store.h"
#include "driver/record/metadata_directory.h"

/* A failure, since a misspelt key keeps its default. */
static void report_unknown(void *context, const struct error *note)
{
    doctor_report_error(context, note, NULL);
}

static void report_note(void *context, const struct error *note)
{
    doctor_report(context, DOCTOR_WARN, note->hint[0] != '\0' ? note->hint : NULL, "%s",
                  note->message);
}

static void check_file(struct doctor *doctor)
{
    const char *path = doctor->config->path;
    struct stat stat_of;
    char remedy[96];
    (void)snprintf(remedy, sizeof(remedy), "name a file with --config, or write one with '%s init'",
                   program_name());
    if (path == NULL) {
        doctor_report(doctor, DOCTOR_WARN, remedy, "no configuration file: using defaults");
    } else if (stat(path, &stat_of) == 0 && (stat_of.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        doctor_report(doctor, DOCTOR_WARN, "run 'chmod go-w' on it",
                      "'%s' is writable by other users", path);
    } else {
        doctor_report(doctor, DOCTOR_OK, NULL, "configuration '%s'", path);
    }
    config_each_note(&doctor->config->unknown, report_unknown, doctor);
    config_each_note(&doctor->config->notes, report_note, doctor);
}

static void check_backend(struct doctor *doctor)
{
    struct error err = {0};
    const struct backend *backend = backend_choose(doctor->config, &err);
    if (backend == NULL || backend->check(doctor->config, &err) < 0) {
        doctor_report_error(doctor, &err, NULL);
    } else {
        doctor_report(doctor, DOCTOR_OK, NULL, "backend '%s': %s", backend->name, backend->summary);
    }
}

/* Creates a file and removes it: access(2) does not see every reason. */
static int try_to_write(const char *directory)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/.doctor-XXXXXX", directory);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    (void)close(fd);
    return unlink(path);
}

/* The deepest existing directory; the first job creates what is missing below it. */
static void existing_part(const char *directory, char out[PATH_MAX])
{
    (void)snprintf(out, PATH_MAX, "%s", directory);
    while (access(out, F_OK) < 0 && strcmp(out, "/") != 0 && strrchr(out, '/') != NULL) {
        char *slash = strrchr(out, '/');
        slash[slash == out ? 1 : 0] = '\0';
    }
}

static void check_metadata(struct doctor *doctor)
{
    const char *directory = doctor->config->metadata_directory;
    char there[PATH_MAX];
    struct stat stat_of;
    struct error err = {0};
    cleanup_fd int fd = -1;
    existing_part(directory, there);
    if (stat(there, &stat_of) < 0 || !S_ISDIR(stat_of.st_mode)) {
        doctor_report(doctor, DOCTOR_FAIL, "set [TaskMetadata] Directory to a directory",
                      "metadata directory '%s': '%s' is not a directory", directory, there);
        return;
    }
    int found = metadata_directory_open(directory, &fd, &err);
    if (found < 0) {
        doctor_report_error(doctor, &err, NULL);
    } else if (try_to_write(there) < 0) {
        doctor_report(
            doctor, DOCTOR_FAIL,
            "create it as the user that runs gitlab-runner, or set [TaskMetadata] Directory",
            "metadata directory '%s' cannot be written: %s", directory, strerror(errno));
    } else {
        doctor_report(doctor, DOCTOR_OK, NULL, "metadata directory '%s'%s", directory,
                      found == 1 ? "" : " will be created by the first job");
    }
}

static void check_ssh(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    const char *kept = config->ssh_host_key;
    const struct backend *backend = backend_choose(config, NULL);
    if (backend == NULL || !backend->may_lack_agent) {
        return;
    }
    if (kept != NULL && strcmp(kept, "strict") == 0) {
        doctor_report(doctor, DOCTOR_OK, NULL,
                      "SSH: user '%s', port %lld, only the host key that the driver chose",
                      config->ssh_username, (long long)config->ssh_port);
    } else {
        doctor_report(doctor, DOCTOR_WARN,
                      "set [SSH] HostKey = \"strict\" once every image has berth-agent",
                      "SSH: user '%s', port %lld; the host key of an image with sshd is accepted "
                      "at the first connection",
                      config->ssh_username, (long long)config->ssh_port);
    }
}

/* Only a problem is worth a line: a history that cannot be written fails no job. */
static void check_history(struct doctor *doctor)
{
    char path[PATH_MAX];
    struct history_store store;
    struct error err = {0};
    if (!doctor->config->history.enabled ||
        history_open(&store, doctor->config, false, path, sizeof(path), &err) == 0) {
        return;
    }
    if (err.kind != ERROR_NONE) {
        doctor_report(doctor, DOCTOR_WARN,
                      err.hint[0] != '\0' ? err.hint : "set [History] Directory",
                      "no history of jobs: %s", err.message);
        return;
    }
    history_close(&store);
}

/* Entries that matched more when these lists were fnmatch(3) patterns. */
static void check_patterns(struct doctor *doctor)
{
    const struct config_fargate *fargate = &doctor->config->fargate;
    const struct {
        const char *name;
        const struct config_list *list;
    } rows[] = {{"AllowedTaskDefinitions", &fargate->allowed_task_definitions},
                {"AllowedTaskRoles", &fargate->allowed_task_roles},
                {"AllowedExecutionRoles", &fargate->allowed_execution_roles}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t k = 0; k < rows[i].list->count; k++) {
            if (pattern_was_wider(rows[i].list->entries[k], "arn:")) {
                doctor_report(doctor, DOCTOR_WARN, "write '**' where '/' may follow too",
                              "[Fargate] %s: in \"%s\" '*' and '?' no longer match '/'",
                              rows[i].name, rows[i].list->entries[k]);
            }
        }
    }
}

void doctor_check_host(struct doctor *doctor)
{
    doctor_print_heading(doctor, "This machine");
    check_file(doctor);
    check_patterns(doctor);
    check_backend(doctor);
    check_metadata(doctor);
    check_history(doctor);
    check_ssh(doctor);
}
