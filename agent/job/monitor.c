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
#include "agent/job/register.h"
#include "agent/job/start.h"
#include "agent/job/tree.h"
#include "agent/limits.h"
#include "agent/wire.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

/* How often SIGKILL is repeated while descendants are left: a fork can outrun one pass. */
#define KILL_AGAIN_MS 20
/* And while there is a descendant that cannot be found: one that left the group, without /proc. */
#define LOOK_AGAIN_MS 1000

enum monitor_state { MONITOR_RUNNING, MONITOR_ENDING, MONITOR_REPORTED, MONITOR_STATES };

struct monitor {
    enum monitor_state state;
    struct job job;
    int socket;              /* to the session; -1 once it hung up, and always for a durable job */
    struct durable *durable; /* NULL: an end of the connection is the end of the job */
    int signals;
    const struct monitor_setup *setup;
    int64_t started_ms;
    struct usage_watch usage;
    int64_t deadline_ms; /* of the state */
    bool signalled;      /* the client asked for the end: nothing of the job may outlive it */
    bool killing;        /* past the grace period */
    bool exited;         /* the job's shell has been reaped */
    bool alone;          /* no descendant is left */
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

/* Runs from the first SIGTERM, whoever sent it. */
static void begin_grace(struct monitor *monitor)
{
    int64_t deadline_ms = clock_deadline_ms(monitor->setup->options->grace_ms);
    monitor->deadline_ms = clock_earlier_ms(monitor->deadline_ms, deadline_ms);
}

/* Returns how many processes of the job it reached. Without /proc that is the shell's group. */
static int signal_tree(const struct monitor *monitor, int number)
{
    int sent = tree_signal(getpid(), 0, number);
    if (sent == 0 && !monitor->exited && kill(-monitor->job.pid, number) == 0) {
        return 1;
    }
    return sent;
}

/* Ends every process of the job. Safe to call again. */
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
    /* A stopped process would never see it. */
    (void)signal_tree(monitor, SIGCONT);
    begin_grace(monitor);
}

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

/* init counts its idle time from here, though leftovers may keep this process. SIGCHLD is what
 * makes it look; one more than children ended does no harm. */
static void tell_init(const struct monitor *monitor)
{
    if (monitor->setup->over != NULL) {
        *monitor->setup->over = true;
        (void)kill(getppid(), SIGCHLD);
    }
}

static void report(struct monitor *monitor)
{
    struct wire_message message = {.type = WIRE_JOB_EXITED,
                                   .number = monitor->status,
                                   .ran_ms = clock_now_ms() - monitor->started_ms};
    usage_end(&monitor->usage, &message.usage);
    if (monitor->durable != NULL && !monitor->reported) {
        durable_exited(monitor->durable, &message);
    }
    if (monitor->socket >= 0 && !monitor->reported) {
        (void)wire_send(monitor->socket, &message, NULL, 0); /* a dead session needs no report */
    }
    monitor->reported = true;
    tell_init(monitor);
    set_state(monitor, MONITOR_REPORTED);
    monitor->deadline_ms = CLOCK_NEVER;
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

/* What follows from who is still there. Called after every event: the last child can end between
 * two signals that are read together, and no further SIGCHLD would come. */
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

/* The shell is gone, and its process group may be somebody else's by now: what the job left is
 * known by descent alone. As long as its output is not at an end the client waits for it, so that
 * a leftover which goes on writing would hold it up for ever. */
static void on_late_signal(struct monitor *monitor, int number)
{
    bool over = monitor->durable != NULL && monitor->durable->over;
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
        begin_grace(monitor); /* INT, HUP and QUIT may have another meaning to the job */
    }
    (void)kill(-monitor->job.pid, number);
}

/* The session hung up: nobody can hear the result any more, unless it has it already. */
static void on_hangup(struct monitor *monitor)
{
    cleanup_fd_fn(&monitor->socket);
    if (monitor->state == MONITOR_RUNNING) {
        log_info("job %d: its connection is gone, ending it", (int)monitor->job.pid);
        end_tree(monitor);
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
            on_signal_request(monitor, message.number);
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
            end_tree(monitor); /* init shuts down, or died */
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
        if (durable != NULL && !durable_service(durable, on_signal_request, monitor) &&
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
