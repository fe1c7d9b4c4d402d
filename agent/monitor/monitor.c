/* SPDX-License-Identifier: MIT */
#include "agent/monitor/monitor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/child/start.h"
#include "agent/child/terminal.h"
#include "agent/ipc/job_pids.h"
#include "agent/ipc/wire.h"
#include "agent/limits.h"
#include "agent/monitor/process_tree.h"
#include "agent/monitor/resumable.h"
#include "agent/monitor/usage.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

/* SIGKILL is repeated this often while descendants are left: a fork can escape one pass. */
#define KILL_AGAIN_MS 20
/* The same while no descendant is found, but one exists: without /proc, outside the group. */
#define LOOK_AGAIN_MS 1000

enum monitor_state { MONITOR_RUNNING, MONITOR_ENDING, MONITOR_REPORTED, MONITOR_STATES };

struct monitor {
    enum monitor_state state;
    struct job job;
    int socket;                  /* to the session; -1: closed, or a resumable job */
    struct resumable *resumable; /* NULL: a plain job */
    int signals;
    const struct monitor_setup *setup;
    int64_t started_ms;
    struct usage_watch usage;
    int64_t deadline_ms; /* of the state */
    bool signalled;      /* by the client, to stop the job: no leftovers may remain */
    bool killing;        /* past the grace period */
    bool exited;         /* the job's shell has been reaped */
    bool alone;          /* it has no descendants */
    bool reported;
    int status; /* its wait status */
};

static void set_state(struct monitor *monitor, enum monitor_state state)
{
    static const char *const names[] = {[MONITOR_RUNNING] = "running",
                                        [MONITOR_ENDING] = "ending",
                                        [MONITOR_REPORTED] = "reported"};
    _Static_assert(sizeof(names) / sizeof(names[0]) == MONITOR_STATES, "a name for every state");
    log_debug("job %d: %s -> %s", (int)monitor->job.pid, names[monitor->state], names[state]);
    monitor->state = state;
}

/* The grace period starts at the first SIGTERM. */
static void begin_grace(struct monitor *monitor)
{
    int64_t deadline_ms = clock_deadline_ms(monitor->setup->options->grace_ms);
    monitor->deadline_ms = clock_earlier_ms(monitor->deadline_ms, deadline_ms);
}

/* Returns how many processes got the signal; without /proc, 1 for the shell's group. */
static int signal_tree(const struct monitor *monitor, int number)
{
    int sent = tree_signal(getpid(), number);
    if (sent == 0 && !monitor->exited && kill(-monitor->job.pid, number) == 0) {
        return 1;
    }
    return sent;
}

/* Ends every process of the job: SIGTERM now, SIGKILL after the grace period. Safe to call again.
 */
static void end_tree(struct monitor *monitor)
{
    if (monitor->state == MONITOR_ENDING) {
        return;
    }
    set_state(monitor, MONITOR_ENDING);
    (void)signal_tree(monitor, SIGTERM);
    if (monitor->job.has_terminal) {
        (void)signal_tree(monitor, SIGHUP); /* interactive shells ignore SIGTERM */
    }
    /* A stopped process would not handle it. */
    (void)signal_tree(monitor, SIGCONT);
    begin_grace(monitor);
}

/* Sends SIGKILL to the tree now, and sets the deadline for the next time. */
static void kill_tree(struct monitor *monitor)
{
    if (!monitor->killing) {
        log_info("job %d: still running after the grace period, sending SIGKILL",
                 (int)monitor->job.pid);
        monitor->killing = true;
    }
    if (monitor->state != MONITOR_ENDING) {
        set_state(monitor, MONITOR_ENDING);
    }
    int sent = signal_tree(monitor, SIGKILL);
    monitor->deadline_ms = clock_deadline_ms(sent > 0 ? KILL_AGAIN_MS : LOOK_AGAIN_MS);
}

static void report(struct monitor *monitor)
{
    struct wire_message message = {.type = WIRE_JOB_EXITED,
                                   .number = monitor->status,
                                   .ran_ms = clock_now_ms() - monitor->started_ms};
    usage_end(&monitor->usage, &message.usage);
    if (monitor->resumable != NULL && !monitor->reported) {
        resumable_exited(monitor->resumable, &message);
    }
    if (monitor->socket >= 0 && !monitor->reported) {
        (void)wire_send(monitor->socket, &message, NULL, 0); /* the session may be gone */
    }
    monitor->reported = true;
    /* init's idle timer starts now, though leftovers may keep this process. SIGCHLD wakes init up.
     */
    job_pids_set_ended();
    (void)kill(getppid(), SIGCHLD);
    set_state(monitor, MONITOR_REPORTED);
    monitor->deadline_ms = CLOCK_NEVER;
}

/* Reports or ends the job, as its state and its processes require. Called after every event: the
 * last child can exit between two signals that are read together, and no further SIGCHLD comes. */
static void settle(struct monitor *monitor)
{
    if (monitor->state == MONITOR_RUNNING && monitor->exited) {
        bool unwanted = monitor->signalled || monitor->setup->options->leftovers == LEFTOVERS_KILL;
        if (unwanted && !monitor->alone) {
            end_tree(monitor);
        } else {
            report(monitor);
        }
    }
    if (monitor->state == MONITOR_ENDING && monitor->alone) {
        report(monitor);
    }
}

static bool ends_job(int number)
{
    return number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT ||
           number == SIGKILL;
}

/* After the shell was reaped its process group ID may have been reused, so only descendants are
 * signalled. Until the output has ended the client waits, which a leftover that keeps writing could
 * prolong forever. */
static void on_late_signal(struct monitor *monitor, int number)
{
    bool over = monitor->resumable != NULL && monitor->resumable->over;
    if (over || monitor->alone || !ends_job(number)) {
        return;
    }
    monitor->signalled = true;
    if (number == SIGKILL) {
        monitor->killing = true;
        kill_tree(monitor);
    } else {
        end_tree(monitor);
    }
}

static void on_signal_request(void *context, int number)
{
    struct monitor *monitor = context;
    if (number <= 0 || number >= NSIG) {
        return;
    }
    if (monitor->exited) {
        on_late_signal(monitor, number);
        return;
    }
    monitor->signalled = monitor->signalled || ends_job(number);
    if (number == SIGKILL) {
        monitor->killing = true;
        kill_tree(monitor);
        return;
    }
    if (number == SIGTERM && monitor->state == MONITOR_RUNNING) {
        begin_grace(monitor); /* INT, HUP and QUIT may mean something else to the job */
    }
    (void)kill(-monitor->job.pid, number);
    if (number == SIGTERM) {
        (void)kill(-monitor->job.pid, SIGCONT); /* a stopped process would not handle it */
    }
}

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

static void on_session(struct monitor *monitor)
{
    struct wire_message message;
    int fds[WIRE_FDS];
    for (;;) {
        switch (wire_receive(monitor->socket, &message, fds)) {
        case WIRE_NOTHING:
            return;
        case WIRE_CLOSED:
            cleanup_fd_fn(&monitor->socket);
            if (monitor->state == MONITOR_RUNNING) { /* without a client the job is stopped */
                log_info("job %d: its connection closed, stopping it", (int)monitor->job.pid);
                end_tree(monitor);
            }
            return;
        case WIRE_MESSAGE:
            break;
        }
        for (int i = 0; i < WIRE_FDS; i++) {
            cleanup_fd_fn(&fds[i]);
        }
        if (message.type == WIRE_JOB_SIGNAL) {
            on_signal_request(monitor, message.number);
        } else if (message.type == WIRE_JOB_RESIZE && monitor->job.has_terminal) {
            terminal_resize(monitor->job.stdout_fd, &message.size);
        }
    }
}

static void on_signals(struct monitor *monitor)
{
    struct signalfd_siginfo event;
    while (read(monitor->signals, &event, sizeof(event)) == (ssize_t)sizeof(event)) {
        if (event.ssi_signo == SIGCHLD) {
            reap(monitor);
        } else if (event.ssi_signo != SIGTERM) { /* forwarded by init */
            if (!monitor->exited) {
                (void)kill(-monitor->job.pid, (int)event.ssi_signo);
            }
        } else {
            end_tree(monitor); /* init shuts down, or was killed */
            if (monitor->resumable != NULL) {
                resumable_shut_down(monitor->resumable);
            }
        }
    }
}

/* Discards the output of leftovers once the session has stopped reading: they must neither block
 * nor get SIGPIPE. Closes the descriptor at the end of the output. At most what a pipe holds: a
 * process that never stops writing must not keep the loop from its signals and deadlines. */
static void discard(int *fd)
{
    char chunk[4096];
    ssize_t got = 1;
    for (int i = 0; i < LIMIT_PIPE_BYTES / (int)sizeof(chunk) && got > 0; i++) {
        got = read(*fd, chunk, sizeof(chunk));
    }
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) { /* EIO: terminal.h */
        cleanup_fd_fn(fd);
    }
}

static void loop(struct monitor *monitor)
{
    struct resumable *resumable = monitor->resumable;
    while (monitor->state != MONITOR_REPORTED || !monitor->alone ||
           (resumable != NULL && !resumable_is_done(resumable))) {
        bool discarding = resumable == NULL ? monitor->socket < 0 : resumable->over;
        int64_t deadline_ms = monitor->deadline_ms;
        struct pollfd entries[4 + RESUMABLE_ENTRIES] = {
            {.fd = monitor->signals, .events = POLLIN},
            {.fd = monitor->socket, .events = POLLIN},
            {.fd = discarding ? monitor->job.stdout_fd : -1, .events = POLLIN},
            {.fd = discarding ? monitor->job.stderr_fd : -1, .events = POLLIN},
        };
        if (resumable != NULL) {
            resumable_prepare(resumable, entries + 4);
            deadline_ms = clock_earlier_ms(deadline_ms, resumable_deadline_ms(resumable));
        }
        nfds_t count = resumable == NULL ? 4 : 4 + RESUMABLE_ENTRIES;
        if (poll(entries, count, clock_poll_timeout(deadline_ms)) < 0 && errno != EINTR) {
            log_error("job %d: poll: %m, stopping the job", (int)monitor->job.pid);
            end_tree(monitor);
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
        if (resumable != NULL && !resumable_service(resumable, on_signal_request, monitor) &&
            monitor->state == MONITOR_RUNNING) {
            end_tree(monitor);
        }
        if (clock_now_ms() >= monitor->deadline_ms) {
            kill_tree(monitor);
        }
        settle(monitor);
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
    return signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK); /* init has blocked them */
}

/* Reads the request, starts the job and reports success or failure to the session. */
static int begin(struct monitor *monitor, struct resumable *resumable, int request_fd)
{
    struct error err = {0};
    struct job_request request = {0};
    const struct monitor_setup *setup = monitor->setup;
    usage_begin(&monitor->usage);
    job_pids_monitor(setup->row);
    int result = 0;
    if (setup->control_fd >= 0) {
        monitor->resumable = resumable;
        monitor->socket = -1;
        result = resumable_open(resumable, setup->options, &monitor->job, setup->control_fd,
                                setup->session_socket, &err);
    }
    if (result == 0) {
        result = job_request_read(request_fd, &request, &err);
    }
    if (result == 0) {
        result = job_start(&request, setup->options, setup->input_fd, &monitor->job, &err);
    }
    job_request_done(&request);
    int *socket = monitor->resumable == NULL ? &monitor->socket : &monitor->resumable->session;
    if (result < 0) {
        log_error("cannot start a job: %s", err.message);
        struct wire_message message = {
            .type = WIRE_JOB_FAILED, .number = err.errnum, .permanent = err.kind == ERROR_BUILD};
        (void)wire_send(*socket, &message, NULL, 0);
        return -1;
    }
    if (monitor->resumable != NULL) {
        resumable_started(monitor->resumable);
        cleanup_fd_fn(&monitor->job.stdin_fd);
        return 0;
    }
    struct wire_message message = {.type = WIRE_JOB_STARTED, .number = monitor->job.pid};
    bool terminal = monitor->job.has_terminal;
    int fds[] = {terminal ? monitor->job.stdout_fd : monitor->job.stdin_fd, monitor->job.stdout_fd,
                 monitor->job.stderr_fd};
    (void)wire_send(monitor->socket, &message, fds,
                    terminal ? 2 : 3);     /* the loop sees a closed session */
    cleanup_fd_fn(&monitor->job.stdin_fd); /* only the session's copy keeps the input open */
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
        log_error("job: cannot create a signalfd: %m");
        return 1;
    }
    struct resumable resumable = {
        .control = -1, .session = -1, .spool = {.fd = -1, .reader_fd = -1}};
    int result = begin(&monitor, &resumable, setup->request_fd);
    (void)close(setup->request_fd);
    if (setup->input_fd >= 0) {
        (void)close(setup->input_fd);
    }
    if (result == 0) {
        loop(&monitor);
    }
    job_close(&monitor.job);
    resumable_close(&resumable);
    cleanup_fd_fn(&monitor.socket);
    (void)close(monitor.signals);
    return result == 0 ? 0 : 1;
}
