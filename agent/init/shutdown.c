/* SPDX-License-Identifier: MIT */
/*
 * shutdown.c - SIGTERM to every process of every job, grace period, SIGKILL to those that remain.
 *
 * Monitors stop their jobs and report to their sessions, so that clients get exit-status or
 * exit-signal; sessions exit when their last channel is closed. The processes of a killed monitor's
 * job are init's descendants and get the same signals from here.
 */
#include <unistd.h>

#include "agent/init/init.h"
#include "agent/init/main_command.h"
#include "agent/monitor/process_tree.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

void shutdown_begin(struct init *init, const char *reason)
{
    if (init->phase != SHUTDOWN_NONE) {
        return;
    }
    log_info("%s: stopping %d jobs and closing %d connections within %.1f s", reason,
             jobs_count(init), connection_count(init), (double)init->options->grace_ms / 1000.0);
    cleanup_fd_fn(&init->listener);
    connection_shutdown_all(init);
    jobs_signal_all(init, SIGTERM);
    (void)main_command_signal(init, SIGTERM);
    init->phase = SHUTDOWN_TERM;
    /* The grace period for the jobs, then time for the monitors to report. */
    init->deadline_ms = clock_deadline_ms(init->options->grace_ms + LIMIT_KILL_MS);
}

void shutdown_deadline(struct init *init)
{
    if (init->phase == SHUTDOWN_TERM) {
        log_warn("processes are left after the grace period, sending SIGKILL");
        if (getpid() == 1) {
            (void)kill(-1, SIGKILL); /* everything in the container except init */
        } else {
            (void)tree_signal(getpid(), SIGKILL);
        }
        init->phase = SHUTDOWN_KILL;
        init->deadline_ms = clock_deadline_ms(LIMIT_KILL_MS);
    } else if (init->phase == SHUTDOWN_KILL) {
        log_error("processes are left after SIGKILL, exiting anyway");
        init->phase = SHUTDOWN_DONE;
    }
}

/* Orphans of a killed monitor, or forked just before a monitor exited, are init's children. They
 * have the rest of the grace period, or LIMIT_ORPHAN_MS when the jobs used it up. */
static bool orphans_left(struct init *init)
{
    static bool signalled;
    if (init->phase == SHUTDOWN_KILL || signalled) {
        return tree_signal(getpid(), 0) > 0;
    }
    signalled = true;
    if (tree_signal(getpid(), SIGTERM) == 0) {
        return false;
    }
    (void)tree_signal(getpid(), SIGCONT); /* a stopped process would not handle it */
    int64_t grace_ends_ms = init->deadline_ms - LIMIT_KILL_MS;
    int64_t moment_ms = clock_deadline_ms(LIMIT_ORPHAN_MS);
    int64_t deadline_ms = grace_ends_ms > moment_ms ? grace_ends_ms : moment_ms;
    init->deadline_ms = clock_earlier_ms(init->deadline_ms, deadline_ms);
    return true;
}

bool shutdown_is_done(struct init *init)
{
    return init->phase == SHUTDOWN_DONE ||
           (init->phase != SHUTDOWN_NONE && init->main_pid == 0 && jobs_count(init) == 0 &&
            connection_count(init) == 0 && !orphans_left(init));
}
