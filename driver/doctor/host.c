/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/backend.h"
#include "driver/doctor/doctor.h"

static void check_file(struct doctor *doctor)
{
    const char *path = doctor->config->path;
    struct stat stat_of;
    if (path == NULL) {
        doctor_tell(doctor, DOCTOR_ODD, "name a file with --config; 'berth-driver init' writes one",
                    "no configuration file: built-in settings");
    } else if (stat(path, &stat_of) == 0 && (stat_of.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        doctor_tell(doctor, DOCTOR_ODD, "chmod go-w that file",
                    "'%s' can be changed by others than its owner", path);
    } else {
        doctor_tell(doctor, DOCTOR_FINE, NULL, "settings of '%s'", path);
    }
}

static void check_backend(struct doctor *doctor)
{
    struct error err = {0};
    const struct backend *backend = backend_choose(doctor->config, &err);
    if (backend == NULL || backend->check(doctor->config, &err) < 0) {
        doctor_tell_error(doctor, &err, NULL);
    } else {
        doctor_tell(doctor, DOCTOR_FINE, NULL, "backend '%s': %s", backend->name, backend->summary);
    }
}

/* Whether a file can be made there, by making one. */
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

/* The nearest directory that is there; what is missing below it is made at the first job. */
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
    existing_part(directory, there);
    bool exists = strcmp(there, directory) == 0;
    if (stat(there, &stat_of) < 0 || !S_ISDIR(stat_of.st_mode)) {
        doctor_tell(doctor, DOCTOR_WRONG, "set [TaskMetadata] Directory to a directory",
                    "metadata directory '%s': '%s' is no directory", directory, there);
    } else if (try_to_write(there) < 0) {
        doctor_tell(doctor, DOCTOR_WRONG,
                    "make it as the user that runs gitlab-runner, or set [TaskMetadata] Directory",
                    "metadata directory '%s' cannot be written: %s", directory, strerror(errno));
    } else if (exists && (stat_of.st_mode & S_IWOTH) != 0 && (stat_of.st_mode & S_ISVTX) == 0) {
        doctor_tell(doctor, DOCTOR_WRONG, "chmod 700 it: the files in it open running jobs",
                    "everybody may change files in the metadata directory '%s'", directory);
    } else {
        doctor_tell(doctor, DOCTOR_FINE, NULL, "metadata directory '%s'%s", directory,
                    exists ? "" : " will be made by the first job");
    }
}

static void check_ssh(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    const char *kept = config->ssh_host_key;
    const struct backend *backend = backend_choose(config, NULL);
    if (backend == NULL || !backend->any_image) {
        return;
    }
    if (kept != NULL && strcmp(kept, "strict") == 0) {
        doctor_tell(doctor, DOCTOR_FINE, NULL,
                    "SSH: user '%s', port %lld, only the host key that the driver chose",
                    config->ssh_username, (long long)config->ssh_port);
    } else {
        doctor_tell(doctor, DOCTOR_ODD,
                    "set [SSH] HostKey = \"strict\" once every image has berth-agent",
                    "SSH: user '%s', port %lld; the host key of an image with sshd is believed at "
                    "first contact",
                    config->ssh_username, (long long)config->ssh_port);
    }
}

void doctor_check_host(struct doctor *doctor)
{
    doctor_part("This machine");
    check_file(doctor);
    check_backend(doctor);
    check_metadata(doctor);
    check_ssh(doctor);
}
