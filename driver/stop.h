/* SPDX-License-Identifier: MIT */
/*
 * stop.h - when a job that is to end gets TERM, then KILL, and when we give up on it.
 *
 * Only the order and the times; whoever calls sends the signals and knows the link. A link that
 * was lost may have swallowed a signal, so after stop_new_link() the steps so far come again.
 * Times are milliseconds of the monotonic clock and passed in. Nothing here fails.
 */
#ifndef BERTH_DRIVER_STOP_H
#define BERTH_DRIVER_STOP_H

#include <stdbool.h>
#include <stdint.h>

struct stop {
    bool asked;
    int64_t grace_ms; /* from TERM to KILL, before what the agent itself needs */
    int64_t kill_ms;
    int64_t give_up_ms;
    bool term_sent, kill_sent; /* over the link that there is */
};

enum stop_step { STOP_NOTHING, STOP_TERM, STOP_KILL, STOP_GIVE_UP };

void stop_init(struct stop *stop, int64_t grace_ms);
/* The job is to end from now on; once said, it stays. */
void stop_ask(struct stop *stop, int64_t now_ms);
void stop_new_link(struct stop *stop);
/* What is due. TERM and KILL are told once a link, GIVE_UP whenever it is asked for. */
enum stop_step stop_next(struct stop *stop, int64_t now_ms);
/* Once more the time from KILL to giving up. */
void stop_extend(struct stop *stop, int64_t now_ms);
/* When stop_next() has something new to say; CLOCK_NEVER: nothing is to end. */
int64_t stop_deadline_ms(const struct stop *stop);

#endif
