/* SPDX-License-Identifier: MIT */
#include "driver/remote/stop_sequence.h"

#include "common/clock.h"

#define KILL_AFTER_MS    2000 /* the agent kills by itself after its grace period; give it time */
#define GIVE_UP_AFTER_MS 5000 /* from KILL to giving up */

void stop_sequence_init(struct stop_sequence *stop, int64_t grace_ms)
{
    *stop = (struct stop_sequence){.grace_ms = grace_ms};
}

void stop_sequence_start(struct stop_sequence *stop, int64_t now_ms)
{
    if (!stop->started) {
        stop->started = true;
        stop->kill_ms = now_ms + stop->grace_ms + KILL_AFTER_MS;
        stop->limit_ms = now_ms + stop->grace_ms + STOP_SEQUENCE_SPARE_MS;
    }
}

void stop_sequence_new_connection(struct stop_sequence *stop)
{
    stop->term_sent = false;
    stop->kill_sent = false;
}

void stop_sequence_extend(struct stop_sequence *stop, int64_t now_ms)
{
    stop->give_up_ms = clock_earlier_ms(now_ms + GIVE_UP_AFTER_MS, stop->limit_ms);
}

enum stop_step stop_sequence_next(struct stop_sequence *stop, int64_t now_ms)
{
    if (!stop->started) {
        return STOP_NOTHING;
    }
    if (now_ms >= stop->limit_ms) {
        return STOP_GIVE_UP;
    }
    if (now_ms >= stop->kill_ms) {
        if (!stop->kill_sent) {
            stop->kill_sent = true;
            stop_sequence_extend(stop, now_ms);
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

int64_t stop_sequence_limit_ms(const struct stop_sequence *stop)
{
    return stop->started ? stop->limit_ms : CLOCK_NEVER;
}

int64_t stop_sequence_deadline_ms(const struct stop_sequence *stop)
{
    if (!stop->started) {
        return CLOCK_NEVER;
    }
    return stop->kill_sent ? stop->give_up_ms : stop->term_sent ? stop->kill_ms : 0;
}
