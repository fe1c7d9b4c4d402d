/* SPDX-License-Identifier: MIT */
/*
 * idle_timers.c - automatic exit, so that an unused task does not incur charges.
 *
 * connect: from startup until the first login. idle: from the moment when no job runs and no client
 * is logged in; leftover processes and connections that do not log in do not count. A task that is
 * launched ahead of its job is idle too; --claim-timeout then applies until a client claims it.
 * lifetime: from startup. A running main command disables the first two.
 */
#include <stdio.h>

#include "agent/init/init.h"
#include "common/clock.h"

#define REASON_BYTES 128

static int64_t from_now(int64_t timeout_ms)
{
    return timeout_ms == 0 || timeout_ms > INT64_MAX / 2 ? CLOCK_NEVER
                                                         : clock_deadline_ms(timeout_ms);
}

void timers_start(struct init *init)
{
    init->timers = (struct timers){.connect_ms = init->listener < 0
                                                     ? CLOCK_NEVER
                                                     : from_now(init->options->connect_timeout_ms),
                                   .idle_ms = CLOCK_NEVER,
                                   .lifetime_ms = from_now(init->options->max_lifetime_ms)};
}

int64_t timers_next_ms(const struct init *init)
{
    if (init->phase != SHUTDOWN_NONE) {
        return CLOCK_NEVER;
    }
    return clock_earlier_ms(clock_earlier_ms(init->timers.connect_ms, init->timers.idle_ms),
                            init->timers.lifetime_ms);
}

static bool awaits_claim(const struct init *init)
{
    return init->options->claim_timeout_ms > 0 && !init->claimed;
}

static int64_t idle_timeout_ms(const struct init *init)
{
    return awaits_claim(init) ? init->options->claim_timeout_ms : init->options->idle_timeout_ms;
}

static void arm(struct init *init)
{
    bool busy =
        init->main_pid != 0 || connection_count_logged_in(init) > 0 || jobs_count_running(init) > 0;
    if (init->ever_logged_in || busy) {
        init->timers.connect_ms = CLOCK_NEVER;
    }
    if (busy || !init->ever_logged_in) {
        init->timers.idle_ms = CLOCK_NEVER;
    } else if (init->timers.idle_ms == CLOCK_NEVER) {
        init->timers.idle_ms = from_now(idle_timeout_ms(init));
    }
}

static void end(struct init *init, const char *what, int64_t timeout_ms, const char *option)
{
    char reason[REASON_BYTES];
    (void)snprintf(reason, sizeof(reason), "%s %.1f s (%s)", what, (double)timeout_ms / 1000.0,
                   option);
    shutdown_begin(init, reason);
}

void timers_update(struct init *init)
{
    if (init->phase != SHUTDOWN_NONE) {
        return;
    }
    arm(init);
    int64_t now = clock_now_ms();
    if (now >= init->timers.connect_ms) {
        end(init, "no login within", init->options->connect_timeout_ms, "--connect-timeout");
    } else if (now >= init->timers.idle_ms) {
        end(init, "no job and no login for", idle_timeout_ms(init),
            awaits_claim(init) ? "--claim-timeout" : "--idle-timeout");
    } else if (now >= init->timers.lifetime_ms) {
        end(init, "lifetime limit reached after", init->options->max_lifetime_ms, "--max-lifetime");
    }
}
