/* SPDX-License-Identifier: MIT */
#include "agent/job/monitor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/job/durable.h"
#include "agent/job/monitor_private.h"
#include "agent/job/register.h"
#include "agent/job/start.h"
#include "agent/limits.h"
#include "agent/wire.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

static void reap(struct monitor *monitor)
{
    for (;;) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == 0 || (pid < 0 && errno != EINTR)) {
            monitor->alone = pid < 0 && errno == ECHILD;
            return;
        }
        if (pid == monitor->job.pid) {
            monitor->exited = true;
            monitor->status = status;
        }
    }
}

/* The session hung up: nobody can hear the result any more, unless it has it already. */
static void on_hangup(struct monitor *monitor)
{
    cleanup_fd_fn(&monitor->socket);
    if (monitor->state == MONITOR_RUNNING) {
        log_info("job %d: its connection is gone, ending it", (int)monitor->job.pid);
        monitor_end_tree(monitor);
    }
}

static void on_session(struct monitor *monitor)
{
    struct wire_message message;
    int fds[WIRE_FDS];
    for (;;) {
        switch (wire_receive(monitor->socket, &message, fds)) {
        case WIRE_NOTHING:
            return;
        case WIRE_CLOSED:
            on_hangup(monitor);
            return;
        case WIRE_MESSAGE:
            break;
        }
        for (int i = 0; i < WIRE_FDS; i++) {
            cleanup_fd_fn(&fds[i]);
        }
        if (message.type == WIRE_JOB_SIGNAL) {
            monitor_on_signal_request(monitor, message.number);
        } else if (message.type == WIRE_JOB_RESIZE && monitor->job.has_terminal) {
            terminal_resize(monitor->job.stdout_fd, &message.size);
        }
    }
}

static void on_passed_signal(const struct monitor *monitor, int number)
{
    if (!monitor->exited) {
        (void)kill(-monitor->job.pid, number);
    }
}

static void on_signals(struct monitor *monitor)
{
    struct signalfd_siginfo event;
    while (read(monitor->signals, &event, sizeof(event)) == (ssize_t)sizeof(event)) {
        if (event.ssi_signo == SIGCHLD) {
            reap(monitor);
        } else if (event.ssi_signo != SIGTERM) { /* passed on by init */
            on_passed_signal(monitor, (int)event.ssi_signo);
        } else {
            monitor_end_tree(monitor); /* init shuts down, or died */
            if (monitor->durable != NULL) {
                durable_shut_down(monitor->durable);
            }
        }
    }
}

/* Discards what leftovers of the job still write, once the session stopped reading: they must
 * neither block nor die of a broken pipe. Closes at the end of the output. */
static void discard(int *fd)
{
    char chunk[4096];
    ssize_t got;
    while ((got = read(*fd, chunk, sizeof(chunk))) > 0) {
    }
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) { /* EIO: terminal.h */
        cleanup_fd_fn(fd);
    }
}

static bool is_finished(const struct monitor *monitor)
{
    return monitor->state == MONITOR_REPORTED && monitor->alone &&
           (monitor->durable == NULL || durable_is_done(monitor->durable));
}

static void loop(struct monitor *monitor)
{
    while (!is_finished(monitor)) {
        struct durable *durable = monitor->durable;
        bool discarding = durable == NULL ? monitor->socket < 0 : durable->over;
        int64_t deadline_ms = monitor->deadline_ms;
        struct pollfd entries[4 + DURABLE_ENTRIES] = {
            {.fd = monitor->signals, .events = POLLIN},
            {.fd = monitor->socket, .events = POLLIN},
            {.fd = discarding ? monitor->job.stdout_fd : -1, .events = POLLIN},
            {.fd = discarding ? monitor->job.stderr_fd : -1, .events = POLLIN},
        };
        if (durable != NULL) {
            durable_prepare(durable, entries + 4);
            deadline_ms = clock_earlier_ms(deadline_ms, durable_deadline_ms(durable));
        }
        nfds_t count = durable == NULL ? 4 : 4 + DURABLE_ENTRIES;
        if (poll(entries, count, clock_poll_timeout(deadline_ms)) < 0 && errno != EINTR) {
            log_error("job %d: poll: %m, ending the job", (int)monitor->job.pid);
            monitor_end_tree(monitor);
        }
        if (entries[1].revents != 0) {
            on_session(monitor);
        }
        if (entries[0].revents != 0) {
            on_signals(monitor);
        }
        if (entries[2].revents != 0) {
            discard(&monitor->job.stdout_fd);
        }
        if (entries[3].revents != 0) {
            discard(&monitor->job.stderr_fd);
        }
        if (durable != NULL && !durable_service(durable, monitor_on_signal_request, monitor) &&
            monitor->state == MONITOR_RUNNING) {
            monitor_end_tree(monitor);
        }
        if (clock_now_ms() >= monitor->deadline_ms) {
            monitor_kill_tree(monitor);
        }
        monitor_settle(monitor);
    }
}

static int open_signals(void)
{
    sigset_t watched;
    (void)sigemptyset(&watched);
    (void)sigaddset(&watched, SIGCHLD);
    (void)sigaddset(&watched, SIGTERM);
    (void)sigaddset(&watched, SIGHUP);
    (void)sigaddset(&watched, SIGUSR1);
    (void)sigaddset(&watched, SIGUSR2);
    return signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK); /* init blocked them already */
}

/* A spool that cannot be made refuses the job, which the session hears like any other reason. */
static int open_durable(struct monitor *monitor, struct durable *durable, struct error *err)
{
    const struct monitor_setup *setup = monitor->setup;
    if (setup->control_fd < 0) {
        return 0;
    }
    monitor->durable = durable;
    monitor->socket = -1;
    return durable_open(durable, setup->options, &monitor->job, setup->control_fd,
                        setup->session_socket, err);
}

/* Reads the request and starts the job; tells the session which of the two happened. */
static int begin(struct monitor *monitor, struct durable *durable, int request_fd)
{
    struct error err = {0};
    struct job_request request = {0};
    usage_begin(&monitor->usage);
    register_monitor();
    int result = open_durable(monitor, durable, &err);
    if (result == 0) {
        result = job_request_read(request_fd, &request, &err);
    }
    if (result == 0) {
        result = job_start(&request, monitor->setup->options, monitor->setup->input_fd,
                           &monitor->job, &err);
    }
    job_request_done(&request);
    int *socket = monitor->durable == NULL ? &monitor->socket : &monitor->durable->session;
    if (result < 0) {
        log_error("cannot start a job: %s", err.message);
        struct wire_message message = {
            .type = WIRE_JOB_FAILED, .number = err.errnum, .for_good = err.kind == ERROR_BUILD};
        (void)wire_send(*socket, &message, NULL, 0);
        return -1;
    }
    if (monitor->durable != NULL) {
        durable_started(monitor->durable);
        cleanup_fd_fn(&monitor->job.stdin_fd);
        return 0;
    }
    struct wire_message message = {.type = WIRE_JOB_STARTED, .number = monitor->job.pid};
    bool terminal = monitor->job.has_terminal;
    int fds[] = {terminal ? monitor->job.stdout_fd : monitor->job.stdin_fd, monitor->job.stdout_fd,
                 monitor->job.stderr_fd};
    (void)wire_send(monitor->socket, &message, fds,
                    terminal ? 2 : 3);     /* a dead session shows as a hang-up */
    cleanup_fd_fn(&monitor->job.stdin_fd); /* the session's copy alone decides on end of input */
    return 0;
}

int monitor_run(const struct monitor_setup *setup)
{
    struct monitor monitor = {.state = MONITOR_RUNNING,
                              .job = {.stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1},
                              .setup = setup,
                              .socket = setup->session_socket,
                              .started_ms = clock_now_ms(),
                              .deadline_ms = CLOCK_NEVER};
    (void)prctl(PR_SET_NAME, "berth-job");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        log_warn("job: cannot become a subreaper: %m, relying on the process group");
    }
    monitor.signals = open_signals();
    if (monitor.signals < 0) {
        log_error("job: cannot watch signals: %m");
        return 1;
    }
    struct durable durable = {.control = -1, .session = -1, .spool = {.fd = -1, .reader_fd = -1}};
    int result = begin(&monitor, &durable, setup->request_fd);
    (void)close(setup->request_fd);
    if (setup->input_fd >= 0) {
        (void)close(setup->input_fd);
    }
    if (result == 0) {
        loop(&monitor);
    }
    job_close(&monitor.job);
    durable_close(&durable);
    cleanup_fd_fn(&monitor.socket);
    (void)close(monitor.signals);
    return result == 0 ? 0 : 1;
}
