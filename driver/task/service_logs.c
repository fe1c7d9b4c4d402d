/* SPDX-License-Identifier: MIT */
#include "driver/task/service_logs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/clock.h"
#include "common/escape.h"
#include "common/fd.h"
#include "common/log.h"
#include "driver/record/metadata.h"
#include "driver/runner/runner.h"

#define ROUND_MS       500
#define CALL_MS        5000
#define FINISH_MS      3000 /* of the last round and the report */
#define ROUND_BYTES    (64UL << 10)
#define REPORT_CEILING (16UL << 10)

/* With one write: the runner masks each stream's bytes in their order, and finds no value that
 * other output divides. For the same reason not on stdout, which has the script's output. */
static void print_line(const char *line)
{
    size_t length = strlen(line);
    size_t room = length * ESCAPE_WORST + 2;
    char *shown = malloc(room);
    if (shown != NULL) {
        size_t used = escape(shown, room - 1, line, length, ESCAPE_TEXT);
        shown[used++] = '\n';
        (void)fd_write_all(STDERR_FILENO, shown, used, CLOCK_NEVER);
    }
    free(shown);
}

/* One round. Returns the bytes that were printed, at most 'room'. */
static size_t print_round(const struct backend *backend, struct backend_task *task, size_t room)
{
    struct buffer lines;
    struct error err = {0};
    buffer_init(&lines, room < ROUND_BYTES ? room : ROUND_BYTES);
    if (backend->service_logs(task, &lines, clock_deadline_ms(CALL_MS), &err) < 0) {
        log_debug("logs of services: %s", err.message);
    }
    for (char *line = lines.bytes; line != NULL && *line != '\0';) {
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end = '\0';
        }
        print_line(line);
        line = end == NULL ? NULL : end + 1;
    }
    size_t printed = lines.length;
    buffer_done(&lines);
    return printed;
}

static void report(const struct backend_task *task, int fd)
{
    char *text = cJSON_PrintUnformatted(
        cJSON_GetObjectItemCaseSensitive(task->metadata->state, BACKEND_SERVICE_LOGS));
    if (text != NULL && strlen(text) < REPORT_CEILING) {
        (void)!write(fd, text, strlen(text)); /* fits into the pipe */
    }
    free(text);
}

/* A request to stop is for the parent, whose signal mask this process has. */
__attribute__((noreturn)) static void follow(const struct backend *backend,
                                             struct backend_task *task, int end_fd, int report_fd,
                                             pid_t parent)
{
    size_t room = SERVICE_LOGS_CEILING_BYTES;
    bool ending = false;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent) {
        _exit(1);
    }
    keys_free(task->metadata->keys);
    task->metadata->keys = NULL;
    task->signals = NULL;
    for (;;) {
        size_t printed = print_round(backend, task, room);
        room = printed < room ? room - printed : 0;
        if (ending || room < ROUND_BYTES) {
            break;
        }
        ending = signals_wait(NULL, end_fd, clock_deadline_ms(ROUND_MS)) != 0;
    }
    if (room < ROUND_BYTES) {
        log_info("the services have logged more than %lu MiB in this stage; the rest follows in "
                 "the next",
                 SERVICE_LOGS_CEILING_BYTES >> 20);
    }
    report(task, report_fd);
    _exit(0);
}

static int open_all(int fds[3])
{
    fds[1] = fds[2] = -1;
    fds[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fds[0] < 0 || pipe2(fds + 1, O_CLOEXEC) < 0 ? -1 : 0;
}

static void close_all(const int fds[3])
{
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
}

void service_logs_start(struct service_logs *logs, struct task *task)
{
    struct backend_task *backend_task = &task->backend_task;
    int fds[3]; /* end, report to read, report to write */
    *logs = (struct service_logs){.pid = 0};
    if (task->backend->service_logs == NULL || !runner_flag("CI_DEBUG_SERVICES") ||
        cJSON_GetObjectItemCaseSensitive(backend_task->metadata->state, BACKEND_SERVICE_LOGS) ==
            NULL) {
        return;
    }
    pid_t parent = getpid();
    pid_t pid = open_all(fds) < 0 ? -1 : fork();
    if (pid == 0) {
        follow(task->backend, backend_task, fds[0], fds[2], parent);
    }
    if (pid < 0) {
        log_debug("cannot follow the logs of services: %s", strerror(errno));
        close_all(fds);
        return;
    }
    (void)close(fds[2]);
    *logs = (struct service_logs){.pid = pid, .end_fd = fds[0], .report_fd = fds[1]};
}

/* What the child writes before it exits, or what there is at the deadline. */
static void read_report(int fd, struct buffer *out)
{
    int64_t deadline_ms = clock_deadline_ms(FINISH_MS);
    char bytes[4096];
    for (;;) {
        int64_t left_ms = deadline_ms - clock_now_ms();
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        int ready = left_ms <= 0 ? 0 : poll(&entry, 1, (int)left_ms);
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        ssize_t count = ready <= 0 ? 0 : read(fd, bytes, sizeof(bytes));
        if (count <= 0 || buffer_append(out, bytes, (size_t)count) < 0) {
            return;
        }
    }
}

void service_logs_stop(struct service_logs *logs, struct task *task)
{
    struct metadata *metadata = task->backend_task.metadata;
    struct buffer text;
    struct error err;
    if (logs->pid == 0) {
        return;
    }
    buffer_init(&text, REPORT_CEILING);
    (void)eventfd_write(logs->end_fd, 1);
    read_report(logs->report_fd, &text);
    (void)close(logs->report_fd);
    (void)close(logs->end_fd);
    (void)kill(logs->pid, SIGKILL);
    while (waitpid(logs->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    logs->pid = 0;
    cJSON *item = text.length == 0 ? NULL : cJSON_Parse(text.bytes);
    buffer_done(&text);
    if (item != NULL) {
        cJSON_DeleteItemFromObjectCaseSensitive(metadata->state, BACKEND_SERVICE_LOGS);
        if (!cJSON_AddItemToObject(metadata->state, BACKEND_SERVICE_LOGS, item)) {
            cJSON_Delete(item);
        } else if (metadata_save(metadata, task->backend_task.config->metadata_directory, &err) <
                   0) {
            log_debug("%s", err.message);
        }
    }
}
