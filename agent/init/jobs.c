/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <unistd.h>

#include "agent/init/init.h"
#include "agent/job/monitor.h"
#include "agent/wire.h"
#include "common/log.h"

int jobs_count(const struct init *init)
{
    int count = 0;
    for (int i = 0; i < LIMIT_JOBS; i++) {
        count += init->jobs[i] != 0;
    }
    return count;
}

static pid_t *free_slot(struct init *init)
{
    for (int i = 0; i < LIMIT_JOBS; i++) {
        if (init->jobs[i] == 0) {
            return &init->jobs[i];
        }
    }
    return NULL;
}

static void refuse(int session_socket, int errnum)
{
    struct wire_message message = {.type = WIRE_JOB_FAILED, .number = errnum};
    (void)wire_send(session_socket, &message, NULL, 0); /* a dead session needs no answer */
}

/* The monitor leaves init's session, so that a signal to a terminal's foreground group never
 * reaches it, and holds neither the host key nor the list of keys. */
static _Noreturn void run_monitor(struct init *init, int request_fd, int session_socket,
                                  pid_t parent)
{
    int64_t grace_ms = init->grace_ms;
    init_forget(init, request_fd, session_socket, parent);
    server_close(&init->server);
    authorized_free(init->authorized);
    (void)setsid();
    _exit(monitor_run(request_fd, session_socket, grace_ms));
}

void jobs_start(struct init *init, int request_fd, int session_socket)
{
    pid_t *slot = free_slot(init);
    pid_t parent = getpid();
    if (slot == NULL || init->phase != SHUTDOWN_NONE) {
        log_warn("cannot start a job: %s, refusing",
                 slot == NULL ? "too many jobs" : "shutting down");
        refuse(session_socket, slot == NULL ? EAGAIN : ESHUTDOWN);
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        run_monitor(init, request_fd, session_socket, parent);
    }
    if (pid < 0) {
        int reason = errno;
        log_warn("cannot fork a job's monitor: %m, refusing");
        refuse(session_socket, reason);
        return;
    }
    *slot = pid;
}

void jobs_signal_all(const struct init *init, int number)
{
    for (int i = 0; i < LIMIT_JOBS; i++) {
        if (init->jobs[i] != 0) {
            (void)kill(init->jobs[i], number);
        }
    }
}
