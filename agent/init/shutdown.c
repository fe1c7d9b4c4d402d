/* SPDX-License-Identifier: MIT */
/*
 * shutdown.c - the end: SIGTERM to every job's tree, the grace period, SIGKILL to what is left.
 *
 * Monitors end their own trees and report to their sessions, so clients still get exit-status or
 * exit-signal; sessions end when their last channel is closed. Orphans of jobs whose monitor died
 * are init's own descendants and get the same signals from here.
 */
#include <unistd.h>

#include "agent/init/init.h"
#include "agent/init/main_command.h"
#include "agent/job/tree.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"

void shutdown_begin(struct init *init, const char *reason)
{
    if (init->phase != SHUTDOWN_NONE) {
        return;
    }
    log_info("%s: ending %d jobs and %d connections within %.1f s", reason, jobs_count(init),
             connection_count(init), (double)init->options->grace_ms / 1000.0);
    cleanup_fd_fn(&init->listener);
    connection_shutdown_all(init);
    jobs_signal_all(init, SIGTERM);
    (void)main_command_signal(init, SIGTERM);
    init->phase = SHUTDOWN_TERM;
    /* Monitors need the grace period for their jobs, then a moment to report. */
    init->deadline_ms = clock_deadline_ms(init->options->grace_ms + LIMIT_KILL_MS);
}

static void kill_everything(void)
{
    if (getpid() == 1) {
        (void)kill(-1, SIGKILL); /* everything in the container but init itself */
    } else {
        (void)tree_signal(getpid(), 0, SIGKILL);
    }
}

void shutdown_deadline(struct init *init)
{
    if (init->phase == SHUTDOWN_TERM) {
        log_warn("something outlived the grace period, sending SIGKILL");
        kill_everything();
        init->phase = SHUTDOWN_KILL;
        init->deadline_ms = clock_deadline_ms(LIMIT_KILL_MS);
    } else if (init->phase == SHUTDOWN_KILL) {
        log_error("something cannot be killed, giving up");
        init->phase = SHUTDOWN_DONE;
    }
}

/* Orphans whose monitor died, and double-forked ones in a monitor's last moment, are ours now:
 * they have the rest of the grace period. */
static bool orphans_left(const struct init *init)
{
    static bool asked;
    if (init->phase == SHUTDOWN_KILL || asked) {
        return tree_signal(getpid(), 0, 0) > 0;
    }
    asked = true;
    return tree_signal(getpid(), 0, SIGTERM) > 0;
}

bool shutdown_is_done(const struct init *init)
{
    return init->phase == SHUTDOWN_DONE ||
           (init->phase != SHUTDOWN_NONE && init->main_pid == 0 && jobs_count(init) == 0 &&
            connection_count(init) == 0 && !orphans_left(init));
}
