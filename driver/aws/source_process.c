/* SPDX-License-Identifier: MIT */
/* credential_process: a program of the administrator's that prints credentials as JSON. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "driver/aws/sources.h"

#define PROCESS_TIMEOUT_MS    (60 * 1000)
#define PROCESS_CEILING_BYTES (64UL << 10)

/* Copies one word from *at to *out, without its quotes. -1: a quote or backslash without end. */
static int take_word(const char **at, char **out)
{
    char quote = '\0';
    for (; **at != '\0'; (*at)++) {
        char byte = **at;
        bool escapes = byte == '\\' && quote != '\'';
        if (escapes && quote == '"' && strchr("\"\\", (*at)[1]) == NULL) {
            escapes = false; /* inside double quotes only these two can be escaped */
        }
        if (escapes) {
            if ((*at)[1] == '\0') {
                return -1;
            }
            *(*out)++ = *++(*at);
        } else if (quote == '\0' && (byte == '\'' || byte == '"')) {
            quote = byte;
        } else if (byte == quote) {
            quote = '\0';
        } else if (quote == '\0' && strchr(" \t\r\n", byte) != NULL) {
            break;
        } else {
            *(*out)++ = byte;
        }
    }
    *(*out)++ = '\0';
    return quote == '\0' ? 0 : -1;
}

int aws_words_split(const char *command, struct aws_words *words)
{
    words->count = 0;
    char *out = words->text;
    /* Every word takes one byte more than it had, at most for the last, which has no blank. */
    if (strlen(command) + 1 >= sizeof(words->text)) {
        return -1;
    }
    for (const char *at = command + strspn(command, " \t\r\n"); *at != '\0';
         at += strspn(at, " \t\r\n")) {
        if (words->count == AWS_WORD_CEILING) {
            return -1;
        }
        words->word[words->count++] = out;
        if (take_word(&at, &out) < 0) {
            return -1;
        }
    }
    words->word[words->count] = NULL;
    return words->count == 0 ? -1 : 0;
}

__attribute__((noreturn)) static void become(char *const argv[], int out_fd)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setpgid(0, 0);
    signals_restore_defaults();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* Its messages could hold what it prints: the job's log must not get them. */
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out_fd, STDOUT_FILENO) < 0 ||
        dup2(null, STDERR_FILENO) < 0) {
        _exit(126);
    }
    (void)execvp(argv[0], argv);
    _exit(127);
}

/* Reads to the end of file. -1 with 'err' for a deadline, a signal, or too much. */
static int collect(struct aws_search *search, int fd, int64_t deadline_ms, struct buffer *out,
                   struct error *err)
{
    for (;;) {
        char part[4096];
        int ready = signals_wait(search->client->signals, fd, deadline_ms);
        if (ready <= 0) {
            return error_set(err, ERROR_SYSTEM, ready < 0 ? EINTR : ETIMEDOUT,
                             ready < 0 ? "stopped by a signal" : "it did not end in time");
        }
        ssize_t got = read(fd, part, sizeof(part));
        if (got == 0) {
            return 0;
        }
        int kept = got < 0 ? -1 : buffer_append(out, part, (size_t)got);
        explicit_bzero(part, sizeof(part));
        if (got < 0 && errno != EINTR) {
            return error_set(err, ERROR_SYSTEM, errno, "cannot read what it prints");
        }
        if (got > 0 && kept < 0) {
            return error_set(err, ERROR_LIMIT, 0, "it prints more than %zu bytes",
                             out->ceiling_bytes);
        }
    }
}

/* After end of file the process has at most a moment left. */
static int reap(pid_t pid, int64_t deadline_ms, int *out_status)
{
    while (waitpid(pid, out_status, WNOHANG) == 0) {
        if (clock_now_ms() >= deadline_ms) {
            (void)kill(-pid, SIGKILL);
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, out_status, 0);
            return -1;
        }
        (void)poll(NULL, 0, 5);
    }
    return 0;
}

static int run(struct aws_search *search, char *const argv[], struct buffer *out, struct error *err)
{
    int pipes[2] = {-1, -1};
    int64_t deadline_ms =
        clock_earlier_ms(search->deadline_ms, clock_deadline_ms(PROCESS_TIMEOUT_MS));
    if (pipe2(pipes, O_CLOEXEC) < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot make a pipe");
    }
    cleanup_fd int from = pipes[0];
    cleanup_fd int to = pipes[1];
    pid_t pid = fork();
    if (pid < 0) {
        return error_set(err, ERROR_SYSTEM, errno, "cannot start a process");
    }
    if (pid == 0) {
        become(argv, to);
    }
    (void)close(steal_fd(&to));
    int status = 0;
    int collected = collect(search, from, deadline_ms, out, err);
    int reaped = reap(pid, collected < 0 ? 0 : deadline_ms, &status);
    if (collected < 0) {
        return -1;
    }
    if (reaped < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return error_set(err, ERROR_USAGE, 0, "'%s' ended with %s %d; run it by hand to see why",
                         argv[0], WIFEXITED(status) ? "status" : "signal",
                         WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
    return 0;
}

/* Version 1 is the only one there is; another may mean anything. */
static int check_version(const struct buffer *printed, const char *source, struct error *err)
{
    cJSON *object =
        printed->bytes == NULL ? NULL : cJSON_ParseWithLength(printed->bytes, printed->length);
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(object, "Version");
    bool good = cJSON_IsNumber(version) && version->valueint == 1;
    bool is_object = cJSON_IsObject(object);
    cJSON *item = NULL;
    cJSON_ArrayForEach(item, object)
    {
        if (cJSON_IsString(item)) {
            explicit_bzero(item->valuestring, strlen(item->valuestring));
        }
    }
    cJSON_Delete(object);
    return good || !is_object ? 0
                              : error_set(err, ERROR_USAGE, 0, "%s: \"Version\" is not 1", source);
}

int aws_source_process(struct aws_search *search, const char *profile, struct error *err)
{
    const char *command = aws_profile_get(search->profiles, profile, "credential_process");
    struct aws_words words;
    struct buffer printed;
    char source[160];
    if (command == NULL) {
        return 0;
    }
    (void)snprintf(source, sizeof(source), "credential_process of profile '%s'", profile);
    if (aws_words_split(command, &words) < 0) {
        return error_set(err, ERROR_USAGE, 0, "%s: not a command line", source);
    }
    buffer_init(&printed, PROCESS_CEILING_BYTES);
    int result = run(search, words.word, &printed, err);
    if (result < 0) {
        (void)error_wrap(err, "%s", source);
    } else if (check_version(&printed, source, err) < 0) {
        result = -1;
    } else {
        result = aws_source_read_json(search, printed.bytes, printed.length, "SessionToken", source,
                                      err);
    }
    aws_wipe(&printed);
    return result;
}
