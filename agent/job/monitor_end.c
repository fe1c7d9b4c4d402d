/* SPDX-License-Identifier: MIT */
/* How a job ends: by its own exit, by a signal that was asked for, or with its whole tree. */
#include <signal.h>
#include <unistd.h>

#include "agent/job/durable.h"
#include "agent/job/monitor_private.h"
#include "agent/job/tree.h"
#include "agent/wire.h"
#include "common/clock.h"
#include "common/log.h"

/* How often SIGKILL is repeated while descendants are left: a fork can outrun one pass. */
#define KILL_AGAIN_MS 20
/* And while there is a descendant that cannot be found: one that left the group, without /proc. */
#define LOOK_AGAIN_MS 1000

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

void monitor_end_tree(struct monitor *monitor)
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

void monitor_kill_tree(struct monitor *monitor)
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

void monitor_settle(struct monitor *monitor)
{
    if (monitor->state == MONITOR_RUNNING && monitor->exited) {
        bool unwanted = monitor->signalled || monitor->setup->options->leftovers == LEFTOVERS_KILL;
        if (unwanted && !monitor->alone) {
            monitor_end_tree(monitor);
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
        monitor_kill_tree(monitor);
    } else {
        monitor_end_tree(monitor);
    }
}

void monitor_on_signal_request(void *context, int number)
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
        monitor_kill_tree(monitor);
        return;
    }
    if (number == SIGTERM && monitor->state == MONITOR_RUNNING) {
        begin_grace(monitor); /* INT, HUP and QUIT may have another meaning to the job */
    }
    (void)kill(-monitor->job.pid, number);
}
