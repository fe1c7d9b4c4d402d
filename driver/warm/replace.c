/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/log.h"
#include "driver/base/program.h"
#include "driver/warm/warm.h"

#define PROGRAM      "/proc/self/exe"
#define WORD_CEILING 16

extern char **environ;

/* What the runner sets for this job alone. With it, one job's variables and logins would decide
 * what the next job's task is. */
static bool is_of_job(const char *entry)
{
    static const char *const prefixes[] = {"CUSTOM_ENV_",
                                           "JOB_RESPONSE_FILE=", "BUILD_EXIT_CODE_FILE="};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strncmp(entry, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

void warm_forget_job(void)
{
    char **kept = environ;
    for (char **entry = environ; *entry != NULL; entry++) {
        if (!is_of_job(*entry)) {
            *kept++ = *entry;
        }
    }
    *kept = NULL;
}

static bool open_null(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return fd > STDERR_FILENO && dup2(fd, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0 &&
           dup2(fd, STDERR_FILENO) >= 0;
}

/* The grandchild, which has the program's parent for a moment only, so that it is left to init. */
__attribute__((noreturn)) static void become(char *const words[])
{
    pid_t pid = setsid() < 0 ? -1 : fork();
    if (pid != 0) {
        _exit(pid < 0 ? 126 : 0);
    }
    warm_forget_job();
    signals_restore_defaults();
    if (open_null() && fd_close_range(3, ~0U) == 0) {
        (void)execv(PROGRAM, words);
    }
    _exit(127);
}

void warm_replace(const struct config *config, const struct backend *backend)
{
    static char program[] = PROGRAM_NAME, backend_option[] = "--backend",
                config_option[] = "--config", log_option[] = "--log-file", command[] = "warm",
                if_due[] = "--if-due";
    char name[16];
    char path[PATH_MAX];
    char *words[WORD_CEILING] = {program, backend_option, name};
    size_t count = 3;
    int status = 0;
    (void)snprintf(name, sizeof(name), "%s", backend->name);
    if (config->path == NULL || realpath(config->path, path) == NULL) {
        log_warn("cannot replace a warm task: no path of the configuration");
        return;
    }
    words[count++] = config_option;
    words[count++] = path;
    if (config->log_file != NULL && config->log_file[0] == '/') {
        words[count++] = log_option;
        words[count++] = config->log_file;
    }
    words[count++] = command;
    words[count++] = if_due;
    words[count] = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        become(words);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (pid < 0 || status != 0) {
        log_warn("cannot start a process that replaces a warm task; '%s warm' does it",
                 program_name());
    }
}
