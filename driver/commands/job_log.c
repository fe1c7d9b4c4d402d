/* SPDX-License-Identifier: MIT */
#include "driver/commands/job_log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/escape.h"

#define READ_BYTES  (64UL << 20)
#define STAMP_BYTES 20 /* "2026-11-29T16:00:00" */
#define EARLY_S     2
#define LATE_S      120 /* cleanup logs its end after it has written the history */
#define PIDS_MAX    512
#define ROTATED     ".1" /* as logrotate names the file before */

struct search {
    const struct history_job *job;
    char from[STAMP_BYTES], to[STAMP_BYTES];
    long pids[PIDS_MAX];
    size_t count;
    bool printed;
};

static void stamp_of(int64_t unix_s, char out[STAMP_BYTES])
{
    struct tm date;
    time_t moment = (time_t)unix_s;
    if (gmtime_r(&moment, &date) == NULL ||
        strftime(out, STAMP_BYTES, "%Y-%m-%dT%H:%M:%S", &date) == 0) {
        out[0] = '\0';
    }
}

/* The line's time lies within the job's; both formats begin with it. */
static bool is_in_time(const struct search *search, const char *line)
{
    static const char json[] = "{\"time\":\"";
    const char *stamp = strncmp(line, json, sizeof(json) - 1) == 0 ? line + sizeof(json) - 1 : line;
    size_t length = STAMP_BYTES - 1;
    return strncmp(stamp, search->from, length) >= 0 && strncmp(stamp, search->to, length) <= 0;
}

/* 0: no line of the log. */
static long pid_of(const char *line)
{
    static const char json[] = "\"pid\":";
    const char *at = line[0] == '{' ? strstr(line, json) : strchr(line, '[');
    size_t skip = line[0] == '{' ? sizeof(json) - 1 : 1;
    return at == NULL ? 0 : strtol(at + skip, NULL, 10); /* the program may be called fargate */
}

/* Whether the line is about a stage of the job. */
static bool names_job(const struct search *search, const char *line)
{
    char text[2][48];
    (void)snprintf(text[0], sizeof(text[0]), " job=%lld ", (long long)search->job->job);
    (void)snprintf(text[1], sizeof(text[1]), "\"job\":%lld,", (long long)search->job->job);
    return strstr(line, text[line[0] == '{' ? 1 : 0]) != NULL;
}

static void take_pid(struct search *search, const char *line)
{
    long pid = is_in_time(search, line) && names_job(search, line) ? pid_of(line) : 0;
    if (pid > 0 && search->count < PIDS_MAX) {
        search->pids[search->count++] = pid;
    }
}

static void print_line(struct search *search, const char *line)
{
    long pid = is_in_time(search, line) ? pid_of(line) : 0;
    for (size_t i = 0; i < search->count && pid > 0; i++) {
        if (search->pids[i] == pid) {
            (void)printf("%s", search->printed ? "" : "\n");
            search->printed = true;
            escape_print(stdout, "%s\n", line);
            return;
        }
    }
}

/* The last READ_BYTES of a file; one that does not exist has no lines. */
static int each_line(struct search *search, const char *path,
                     void (*visit)(struct search *search, const char *line), struct error *err)
{
    struct stat status;
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    cleanup_file FILE *file = fopen(path, "re");
    if (file == NULL && errno == ENOENT) {
        return 0;
    }
    if (file == NULL || fstat(fileno(file), &status) < 0 ||
        fseeko(file, status.st_size > (off_t)READ_BYTES ? status.st_size - (off_t)READ_BYTES : 0,
               SEEK_SET) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot read LogFile '%s'", path);
    }
    while ((length = getline(&line, &room, file)) > 0) {
        line[length - 1] = line[length - 1] == '\n' ? '\0' : line[length - 1];
        visit(search, line);
    }
    free(line);
    return 0;
}

/* A device or FIFO does not keep its lines. */
static bool keeps_lines(const char *path)
{
    struct stat status;
    return stat(path, &status) < 0 || S_ISREG(status.st_mode);
}

int job_log_print(const struct config *config, const struct history_job *job, struct error *err)
{
    char rotated[PATH_MAX];
    struct search search = {.job = job};
    const char *current = config->log_file;
    if (current == NULL || !keeps_lines(current)) {
        return 0;
    }
    (void)snprintf(rotated, sizeof(rotated), "%s" ROTATED, current);
    stamp_of((job->started_at_s > 0 ? job->started_at_s : job->ended_at_s) - EARLY_S, search.from);
    stamp_of(job->ended_at_s + LATE_S, search.to);
    const char *const paths[] = {keeps_lines(rotated) ? rotated : current, current};
    size_t first = paths[0] == current ? 1 : 0;
    for (size_t i = first; i < 2; i++) {
        if (each_line(&search, paths[i], take_pid, err) < 0) {
            return -1;
        }
    }
    for (size_t i = first; i < 2 && search.count > 0; i++) {
        if (each_line(&search, paths[i], print_line, err) < 0) {
            return -1;
        }
    }
    if (!search.printed) {
        escape_print(stderr,
                     "no line of this job in '%s' or '%s'; older files of its rotation may have "
                     "some\n",
                     current, rotated);
    }
    return 0;
}
