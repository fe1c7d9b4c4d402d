/* SPDX-License-Identifier: MIT */
#include "driver/commands/job_log.h"

#include <errno.h>
#include <fcntl.h>
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

static void each_line(struct search *search, FILE *file, off_t from,
                      void (*visit)(struct search *search, const char *line))
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    if (fseeko(file, from, SEEK_SET) < 0) {
        return;
    }
    while ((length = getline(&line, &room, file)) > 0) {
        line[length - 1] = line[length - 1] == '\n' ? '\0' : line[length - 1];
        visit(search, line);
    }
    free(line);
}

int job_log_print(const struct config *config, const struct history_job *job, struct error *err)
{
    struct stat status;
    struct search search = {.job = job};
    if (config->log_file == NULL ||
        (stat(config->log_file, &status) == 0 && !S_ISREG(status.st_mode))) {
        return 0; /* a device or FIFO does not keep its lines */
    }
    cleanup_file FILE *file = fopen(config->log_file, "re");
    if (file == NULL || fstat(fileno(file), &status) < 0) {
        return errno == ENOENT ? 0
                               : error_set(err, ERROR_SYSTEM, errno, "cannot read LogFile '%s'",
                                           config->log_file);
    }
    off_t from = status.st_size > (off_t)READ_BYTES ? status.st_size - (off_t)READ_BYTES : 0;
    stamp_of((job->started_at_s > 0 ? job->started_at_s : job->ended_at_s) - EARLY_S, search.from);
    stamp_of(job->ended_at_s + LATE_S, search.to);
    each_line(&search, file, from, take_pid);
    if (search.count > 0) {
        each_line(&search, file, from, print_line);
    }
    return 0;
}
