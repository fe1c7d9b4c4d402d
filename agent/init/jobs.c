/* SPDX-License-Identifier: MIT */
/*
 * jobs.c - the table of jobs: one forked monitor each, and the names of resumable jobs.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/init/child_setup.h"
#include "agent/init/init.h"
#include "agent/ipc/job_pids.h"
#include "agent/ipc/wire.h"
#include "agent/leaks.h"
#include "agent/monitor/monitor.h"
#include "common/cleanup.h"
#include "common/log.h"

int jobs_count(const struct init *init)
{
    int count = 0;
    for (int i = 0; i < init->jobs_top; i++) {
        count += init->jobs[i].state == JOB_RUNNING;
    }
    return count;
}

int jobs_count_running(const struct init *init)
{
    int count = 0;
    for (int i = 0; i < init->jobs_top; i++) {
        count += init->jobs[i].state == JOB_RUNNING && !job_pids_has_ended(i);
    }
    return count;
}

int jobs_find(const struct init *init, pid_t monitor)
{
    for (int i = 0; i < init->jobs_top; i++) {
        if (init->jobs[i].state == JOB_RUNNING && init->jobs[i].monitor == monitor) {
            return i;
        }
    }
    return -1;
}

/* Compares the whole fixed size: the sender is not trusted to terminate the id. */
static struct job_entry *find_id(struct init *init, const char *id)
{
    for (int i = 0; i < LIMIT_JOBS; i++) {
        struct job_entry *entry = &init->jobs[i];
        bool named =
            entry->state == JOB_LOST || (entry->state == JOB_RUNNING && entry->control >= 0);
        if (named && memcmp(entry->id, id, JOBWIRE_ID_BYTES) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* A free row, else the row of a lost job; -1: none. */
static int free_row(const struct init *init)
{
    int lost = -1;
    for (int i = 0; i < LIMIT_JOBS; i++) {
        if (init->jobs[i].state == JOB_FREE) {
            return i;
        }
        if (init->jobs[i].state == JOB_LOST) {
            lost = i;
        }
    }
    return lost;
}

static void release_row(struct init *init, int row, enum job_state state)
{
    cleanup_fd_fn(&init->jobs[row].control);
    cleanup_fd_fn(&init->jobs[row].asked);
    init->jobs[row].state = state;
    while (init->jobs_top > 0 && init->jobs[init->jobs_top - 1].state != JOB_RUNNING) {
        init->jobs_top--;
    }
}

static void refuse(int session_socket, int errnum)
{
    struct wire_message message = {.type = WIRE_JOB_FAILED, .number = errnum};
    (void)wire_send(session_socket, &message, NULL, 0); /* the session may have exited */
}

void jobs_ended(struct init *init, int row, bool killed)
{
    bool resumable = init->jobs[row].control >= 0;
    if (init->jobs[row].asked >= 0) {
        refuse(init->jobs[row].asked, killed ? EOWNERDEAD : ESRCH);
    }
    release_row(init, row, killed && resumable ? JOB_LOST : JOB_FREE);
}

/* The monitor leaves init's session, so that a signal to a terminal's foreground group never
 * reaches it, and holds neither the host key nor the list of keys. */
static _Noreturn void run_monitor(struct init *init, const struct monitor_setup *setup,
                                  pid_t parent)
{
    child_close_inherited(init, setup->request_fd, setup->session_socket, parent);
    server_close(&init->server);
    authorized_free(init->authorized);
    (void)setsid();
    int status = monitor_run(setup);
    leaks_check();
    _exit(status);
}

void jobs_start(struct init *init, const char *id, const int fds[WIRE_FDS])
{
    int request_fd = fds[0];
    int session_socket = fds[1];
    int ends[2] = {-1, -1};
    int row = free_row(init);
    pid_t parent = getpid();
    if (id != NULL && find_id(init, id) != NULL) { /* never start a job twice */
        jobs_attach(init, id, session_socket);
        return;
    }
    if (row < 0 || init->phase != SHUTDOWN_NONE) {
        log_warn("cannot start a job: %s, refusing", row < 0 ? "too many jobs" : "shutting down");
        refuse(session_socket, row < 0 ? EAGAIN : ESHUTDOWN);
        return;
    }
    if (id != NULL && wire_pair(ends) < 0) {
        int reason = errno;
        log_warn("cannot start a job: %m, refusing");
        refuse(session_socket, reason);
        return;
    }
    /* In the table before the fork, so that the child closes init's end like all the others. */
    init->jobs[row] = (struct job_entry){.state = JOB_RUNNING, .control = ends[0], .asked = -1};
    init->jobs_top = row < init->jobs_top ? init->jobs_top : row + 1;
    if (id != NULL) {
        memcpy(init->jobs[row].id, id, JOBWIRE_ID_BYTES);
    }
    struct monitor_setup setup = {.request_fd = request_fd,
                                  .session_socket = session_socket,
                                  .input_fd = id == NULL ? -1 : fds[2],
                                  .control_fd = ends[1],
                                  .row = row,
                                  .options = init->options};
    pid_t pid = fork();
    if (pid == 0) {
        run_monitor(init, &setup, parent);
    }
    int reason = errno;
    cleanup_fd_fn(&ends[1]);
    if (pid < 0) {
        errno = reason;
        log_warn("cannot fork a job's monitor: %m, refusing");
        refuse(session_socket, reason);
        release_row(init, row, JOB_FREE);
        return;
    }
    init->jobs[row].monitor = pid;
}

void jobs_attach(struct init *init, const char *id, int session_socket)
{
    struct wire_message message = {.type = WIRE_JOB_ATTACH};
    struct job_entry *entry = find_id(init, id);
    if (entry != NULL && entry->state == JOB_LOST) {
        refuse(session_socket, EOWNERDEAD);
    } else if (entry == NULL) {
        refuse(session_socket, ESRCH);
    } else if (wire_send(entry->control, &message, &session_socket, 1) < 0) {
        bool closed = errno == EPIPE || errno == ECONNRESET;
        int asked = closed ? fcntl(session_socket, F_DUPFD_CLOEXEC, 0) : -1;
        if (asked < 0) {
            refuse(session_socket, ESRCH);
            return;
        }
        if (entry->asked >= 0) {
            refuse(entry->asked, ESRCH); /* the newest counts */
            cleanup_fd_fn(&entry->asked);
        }
        entry->asked = asked;
    }
}

void jobs_signal_all(const struct init *init, int number)
{
    for (int i = 0; i < init->jobs_top; i++) {
        if (init->jobs[i].state == JOB_RUNNING) {
            (void)kill(init->jobs[i].monitor, number);
        }
    }
}
