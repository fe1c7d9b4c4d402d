/* SPDX-License-Identifier: MIT */
#include "driver/stop.h"

#include "common/clock.h"

#define KILL_AFTER_MS    2000 /* the agent itself kills after its grace period: let it */
#define GIVE_UP_AFTER_MS 5000 /* from KILL to the end of our patience */

void stop_init(struct stop *stop, int64_t grace_ms)
{
    *stop = (struct stop){.grace_ms = grace_ms};
}

void stop_ask(struct stop *stop, int64_t now_ms)
{
    if (!stop->asked) {
        stop->asked = true;
        stop->kill_ms = now_ms + stop->grace_ms + KILL_AFTER_MS;
    }
}

void stop_new_link(struct stop *stop)
{
    stop->term_sent = false;
    stop->kill_sent = false;
}

void stop_extend(struct stop *stop, int64_t now_ms)
{
    stop->give_up_ms = now_ms + GIVE_UP_AFTER_MS;
}

enum stop_step stop_next(struct stop *stop, int64_t now_ms)
{
    if (!stop->asked) {
        return STOP_NOTHING;
    }
    if (now_ms >= stop->kill_ms) {
        if (!stop->kill_sent) {
            stop->kill_sent = true;
            stop_extend(stop, now_ms);
            return STOP_KILL;
        }
        return now_ms >= stop->give_up_ms ? STOP_GIVE_UP : STOP_NOTHING;
    }
    if (!stop->term_sent) {
        stop->term_sent = true;
        return STOP_TERM;
    }
    return STOP_NOTHING;
}

int64_t stop_deadline_ms(const struct stop *stop)
{
    if (!stop->asked) {
        return CLOCK_NEVER;
    }
    return stop->kill_sent ? stop->give_up_ms : stop->term_sent ? stop->kill_ms : 0;
}
